/**
 * The HTTP side of the service: credentials, and history without a connection.
 *
 * @packageDocumentation
 */

import { expiryOf, type CredentialRequest, type CredentialSource } from '../credentials.js';
import { QuintetError } from '../errors.js';
import type { Entry, Gap } from '../types.js';

/** Options of a request. */
export interface RequestOptions {
  /** `GET` by default. */
  method?: string;
  /** The bearer token. */
  token?: string;
  /** Sent as JSON. */
  body?: unknown;
  /** Aborts the request. */
  signal?: AbortSignal | undefined;
  /** The function that sends. Default: the global one. */
  fetch?: typeof fetch;
}

/** Sends one request to the service and returns its JSON. Throws a `QuintetError` of the problem document. */
export async function request<T>(url: string | URL, options: RequestOptions = {}): Promise<T> {
  const { method = 'GET', token, body, signal } = options;
  const headers: Record<string, string> = { accept: 'application/json' };
  if (token) headers['authorization'] = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const init: RequestInit = { method, headers };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;
  const response = await (options.fetch ?? fetch)(url, init);
  const content = (await response.json().catch(() => null)) as (T & Problem) | null;
  if (response.ok && content !== null) return content;
  const seconds = Number(response.headers.get('retry-after'));
  throw new QuintetError(content?.code ?? 'internal', content?.detail ?? `HTTP ${response.status}`, {
    final: FINAL.includes(response.status),
    retryAfterMs: content?.retry_after_ms ?? (seconds > 0 ? seconds * 1_000 : null),
  });
}

interface Problem {
  code?: QuintetError['code'];
  detail?: string;
  retry_after_ms?: number;
}

/** Answers that the same request gets again. */
const FINAL = [400, 401, 403, 404, 409, 413];

/**
 * Creates a source that logs in under `quintet dev` as any user, without a password. A service in production has no
 * such route.
 */
export function devLogin(url: string | URL, user_id: string): CredentialSource {
  return ({ signal }) =>
    request<{ token: string; expires_at: number }>(new URL('/dev/login', url), { method: 'POST', body: { user_id }, signal });
}

/** Creates a source that exchanges a token of your own back end for a ticket, `POST /v1/tickets`. */
export function ticketsFor(url: string | URL, token: (request: CredentialRequest) => Promise<string> | string): CredentialSource {
  return async (context) => {
    const bearer = await token(context);
    const options = { method: 'POST', token: bearer, body: {}, signal: context.signal };
    const { ticket } = await request<{ ticket: string }>(new URL('/v1/tickets', url), options);
    return { ticket, expires_at: expiryOf(bearer) };
  };
}

/** A page of entries, oldest first. */
export interface EntryPage {
  /** The epoch of the journal. */
  epoch: string;
  /** The offset after which the page begins. */
  after: number;
  /** The offset of the user's last entry. */
  head: number;
  /** What was trimmed of the requested range, or null. */
  gap: Gap | null;
  /** The entries. A page may hold fewer than `limit`, even none. */
  entries: Entry[];
  /** The `after` of the next page; null if there are no more entries yet. */
  next_after: number | null;
}

/** A page of the entries before an offset, oldest first. */
export interface EntryPageBefore {
  /** The epoch of the journal. */
  epoch: string;
  /** The offset before which the page ends. */
  before: number;
  /** The offset of the user's last entry. */
  head: number;
  /** The beginning of the log, if it was trimmed and this page reaches it; or null. */
  gap: Gap | null;
  /** The entries. A page may hold fewer than `limit`, even none. */
  entries: Entry[];
  /** The `before` of the next older page; null if there are no older entries. */
  next_before: number | null;
}

/** A page of the user's threads, the one with the latest entry first. */
export interface ThreadPage {
  /** The threads. */
  threads: { thread_id: string; first_offset: number; last_offset: number; last_at: number; messages: number }[];
  /** The `before` of the next page; null on the last one. */
  next_before: number | null;
}

/** An agent that a message may name. */
export interface AgentInfo {
  /** The name. */
  agent_name: string;
  /** The description. */
  description: string;
  /** Whether a message without `agent_name` goes to it. */
  default: boolean;
}

/** Reads a user's history and the agents over HTTP. */
export class QuintetHttp {
  #url: string | URL;
  #token: () => Promise<string> | string;
  #fetch: typeof fetch | undefined;

  /** `token` returns the user's bearer token for each request. */
  constructor(options: { url: string | URL; token: () => Promise<string> | string; fetch?: typeof fetch }) {
    this.#url = options.url;
    this.#token = options.token;
    this.#fetch = options.fetch;
  }

  /** Reads a page of the log, or of one thread. */
  entries(query: { thread_id?: string; after?: number; limit?: number; signal?: AbortSignal } = {}): Promise<EntryPage> {
    const { thread_id, signal, ...rest } = query;
    return this.#get(entriesOf(thread_id), rest, signal);
  }

  /** Reads the last entries before an offset, of the log or of one thread: `ready.resumed_after + 1` after `start: head`. */
  entriesBefore(query: { thread_id?: string; before: number; limit?: number; signal?: AbortSignal }): Promise<EntryPageBefore> {
    const { thread_id, signal, ...rest } = query;
    return this.#get(entriesOf(thread_id), rest, signal);
  }

  /** Iterates over the entries that exist now, page by page. */
  async *allEntries(query: { thread_id?: string; after?: number; limit?: number; signal?: AbortSignal } = {}): AsyncGenerator<Entry> {
    for (let after: number | null = query.after ?? 0; after !== null; ) {
      const page: EntryPage = await this.entries({ ...query, after });
      yield* page.entries;
      after = page.next_after;
    }
  }

  /** Reads a page of threads. */
  threads(query: { before?: number; limit?: number; signal?: AbortSignal } = {}): Promise<ThreadPage> {
    const { signal, ...rest } = query;
    return this.#get('/v1/threads', rest, signal);
  }

  /** Lists the agents. */
  async agents(signal?: AbortSignal): Promise<AgentInfo[]> {
    return (await this.#get<{ agents: AgentInfo[] }>('/v1/agents', {}, signal)).agents;
  }

  async #get<T>(path: string, query: Record<string, number>, signal?: AbortSignal): Promise<T> {
    const url = new URL(path, this.#url);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
    const options: RequestOptions = { token: await this.#token(), signal };
    if (this.#fetch) options.fetch = this.#fetch;
    return request<T>(url, options);
  }
}

function entriesOf(thread_id: string | undefined): string {
  return thread_id === undefined ? '/v1/entries' : `/v1/threads/${encodeURIComponent(thread_id)}/entries`;
}
