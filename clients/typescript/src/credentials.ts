/** A credential for one connection. */
export type Credential = ({ ticket: string; token?: undefined } | { token: string; ticket?: undefined }) & {
  /**
   * The end of the connection's right, Unix milliseconds: the client renews before it. Missing: the `exp` of a token;
   * without either, the service closes with 4401 in time and the client reconnects with a new credential.
   */
  readonly expires_at?: number | null;
};

/** The reason of a request for a credential. */
export interface CredentialRequest {
  /** `connect`: a new connection; `refused`: the service refused the last one; `renew`: the present one expires. */
  readonly reason: 'connect' | 'refused' | 'renew';
  /** Aborted when the credential is no longer needed. */
  readonly signal: AbortSignal;
}

/**
 * Returns a fresh credential; called for every connection. An error is retried with back-off, unless it is a
 * `QuintetError` with `final: true`.
 */
export type CredentialSource = (request: CredentialRequest) => Promise<Credential> | Credential;

/** Returns when the credential has to be renewed, in milliseconds from now; null if it is not known. */
export function renewalDelay(credential: Credential, now: number): number | null {
  const expires_at = credential.expires_at ?? (credential.token ? expiryOf(credential.token) : null);
  if (expires_at == null) return null;
  const left = expires_at - now;
  return Math.min(Math.max(RENEW_MS_MIN, left - Math.min(RENEW_BEFORE_MS, left / 2)), TIMER_MS_MAX);
}

/** Reads `exp` of a JWT without checking it, in Unix milliseconds; null if there is none. */
export function expiryOf(token: string): number | null {
  try {
    const payload = token.split('.')[1] ?? '';
    const { exp } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1_000 : null;
  } catch {
    return null; // an opaque token
  }
}

const RENEW_BEFORE_MS = 30_000;
const RENEW_MS_MIN = 1_000;
/** The longest delay that timers support. */
const TIMER_MS_MAX = 2 ** 31 - 1;
