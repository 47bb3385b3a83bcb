// HTTP requests: login under `quintet dev`, tickets, agents, pages of the log.

import { decode } from './json.js';

/** An error response, with the error `code` of the protocol. */
export class ApiError extends Error {
  constructor(status, code, message, retry_after_ms = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retry_after_ms = retry_after_ms;
  }

  /** Whether retrying with the same credential is useless. */
  get final() {
    return this.status === 401 || this.status === 403 || this.status === 404;
  }
}

/** Logs in as any user without a password, under `quintet dev`. Returns `{token, user_id, expires_at}`. */
export function login(user_id) {
  return call('POST', '/dev/login', null, { user_id });
}

/** Issues a ticket for one connection. Returns `{ticket, expires_at, expires_in_ms}`. */
export function ticket(token) {
  return call('POST', '/v1/tickets', token, {});
}

/** Lists the agents that a message may name: `[{agent_name, description, default}]`. */
export async function agents(token) {
  return (await call('GET', '/v1/agents', token)).agents;
}

/** Reads a page of the user's log: `{epoch, after, head, gap, entries, next_after}`. */
export function entries(token, after) {
  return call('GET', `/v1/entries?after=${after}&limit=${ENTRIES_MAX}`, token);
}

async function call(method, path, token, body) {
  const headers = { accept: 'application/json' };
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new ApiError(0, 'unreachable', 'The server cannot be reached.');
  }
  const content = await answer.text().then(decode).catch(() => null);
  if (answer.ok && content !== null) return content;
  const message = content?.detail ?? content?.message ?? content?.title ?? `HTTP ${answer.status}`;
  const seconds = Number(answer.headers.get('retry-after'));
  const retry_after_ms = content?.retry_after_ms ?? (seconds > 0 ? seconds * 1_000 : null);
  throw new ApiError(answer.status, content?.code ?? 'internal', message, retry_after_ms);
}

const ENTRIES_MAX = 1_000;
