import type { ErrorCode, ErrorFrame } from './types.js';

/** A refusal by the service, or a failure of this client. `code` is for programs, `message` for people. */
export class QuintetError extends Error {
  override readonly name = 'QuintetError';
  /** The reason, for programs: the README's table of errors. */
  readonly code: ErrorCode;
  /** Whether repeating the same request is useless. */
  readonly final: boolean;
  /** The time to wait before a retry, in milliseconds; null if the service gave none. */
  readonly retryAfterMs: number | null;

  /** Creates an error. A credential callback throws one with `final: true` to stop the client. */
  constructor(code: ErrorCode, message: string, options: { final?: boolean; retryAfterMs?: number | null } = {}) {
    super(message);
    this.code = code;
    this.final = options.final ?? false;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** Creates the error of an `error` frame. */
export function refusal(frame: ErrorFrame): QuintetError {
  return new QuintetError(frame.code, frame.message, { final: true, retryAfterMs: frame.retry_after_ms ?? null });
}
