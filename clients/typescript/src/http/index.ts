/**
 * The HTTP side of the service: credentials, and history without a connection.
 *
 * @packageDocumentation
 */

import { expiryOf, type CredentialRequest, type CredentialSource } from '../credentials.js';
import { QuintetError } from '../errors.js';
import type { AgentCompleted, Entry, Gap, ToolCompleted, ToolExecuting } from '../types.js';

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
  fetch?: typeof fetch | undefined;
  /** Parses the body. Default: `JSON.parse`. */
  parse?: ((text: string) => unknown) | undefined;
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
  const content = (await response
    .text()
    .then(options.parse ?? JSON.parse)
    .catch(() => null)) as (T & Problem) | null;
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

/** A thread in a page. */
export interface ThreadInfo {
  /** The id of the thread. */
  thread_id: string;
  /** The title that the user gave, or null. */
  title?: string | null;
  /** The beginning of the first message; null if it is not kept. */
  first_text?: string | null;
  /** The agent of the thread; null if it is not kept. */
  agent_name?: string | null;
  /** Whether the user archived the thread. */
  archived?: boolean;
  /** The offset of the first entry. */
  first_offset: number;
  /** The offset of the last entry. */
  last_offset: number;
  /** The time of the last entry, Unix milliseconds. */
  last_at: number;
  /** The number of runs that have not ended. */
  open_runs?: number;
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
  threads: ThreadInfo[];
  /** The `before` of the next page; null on the last one. */
  next_before: number | null;
}

/** A call of a folded run. */
export interface FoldedCall {
  /** The id of the call within its run. */
  call_id: string;
  /** The tool. */
  tool_name: string;
  /** The parameters. */
  parameters: Record<string, unknown>;
  /** The party that completes the call. */
  by: ToolExecuting['by'];
  /** The status of its end; null while it is open. */
  status: ToolCompleted['status'] | null;
  /** Any JSON. */
  results?: unknown;
  /** The error, or the reason of a refusal. */
  error?: string | null;
  /** Milliseconds; null while the call is open. */
  duration_ms?: number | null;
}

/** A run with its message, calls and answer, without the steps between. */
export interface FoldedRun {
  /** The id of the run. */
  run_id: string;
  /** The id of the message. */
  message_id: string;
  /** The text of the message; null if it is not kept. */
  text: string | null;
  /** The offset of the message that this one follows; 0: none. */
  parent: number;
  /** The agent that executes the run. */
  agent_name: string;
  /** The outcome; null until the run has ended. */
  status: AgentCompleted['status'] | null;
  /** The calls, oldest first. */
  calls: FoldedCall[];
  /** The answer, or its part so far; null if there is none. */
  answer: string | null;
  /** The reason of a run that did not succeed. */
  error?: AgentCompleted['error'];
  /** The run that took the message, if the status is `merged`. */
  merged_into?: string | null;
  /** The language model tokens. */
  usage?: AgentCompleted['usage'];
  /** Milliseconds; null until the run has ended. */
  duration_ms?: number | null;
  /** The offset of the message. */
  accepted_offset: number;
  /** The offset of `agent_started`; null before. */
  started_offset?: number | null;
  /** The offset of `agent_completed`; null before. */
  completed_offset?: number | null;
  /** The time of the message, Unix milliseconds. */
  accepted_at: number;
  /** The time of the end, Unix milliseconds; null before. */
  completed_at?: number | null;
  /** Whether calls and a part of the answer are left out, because the run is too large for a page. */
  truncated?: boolean;
}

/** A page of a thread's runs. */
export interface RunPage {
  /** The runs. */
  runs: FoldedRun[];
  /** The `before` of the next older page; null on the last one. */
  next_before: number | null;
}

/** A call that waits for an answer of the user (RUN-11). */
export interface OpenCall {
  /** The run that waits. */
  run_id: string;
  /** The call. */
  call_id: string;
  /** The conversation. */
  thread_id: string;
  /** The agent. */
  agent_name: string;
  /** The name of the tool. */
  tool_name: string;
  /** The parameters. */
  parameters: Record<string, unknown>;
  /** The offset of its `tool_executing`. */
  opened_offset: number;
  /** The time of its `tool_executing`, Unix milliseconds. */
  opened_at: number;
  /** The time at which the call ends without an answer, Unix milliseconds; null: the run waits to be resumed. */
  deadline?: number | null;
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
  #options: Pick<RequestOptions, 'fetch' | 'parse'>;

  /** `token` returns the user's bearer token for each request. */
  constructor(options: { url: string | URL; token: () => Promise<string> | string; fetch?: typeof fetch; parse?: (text: string) => unknown }) {
    this.#url = options.url;
    this.#token = options.token;
    this.#options = { fetch: options.fetch, parse: options.parse };
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

  /** Reads a page of threads; `archived`: only those that are, or are not. */
  threads(query: { before?: number; limit?: number; archived?: boolean; signal?: AbortSignal } = {}): Promise<ThreadPage> {
    const { signal, ...rest } = query;
    return this.#get('/v1/threads', rest, signal);
  }

  /** Reads a page of a thread's runs, the newest page first. */
  runs(thread_id: string, query: { before?: number; limit?: number; signal?: AbortSignal } = {}): Promise<RunPage> {
    const { signal, ...rest } = query;
    return this.#get(`/v1/threads/${encodeURIComponent(thread_id)}/runs`, rest, signal);
  }

  /** Lists the calls that wait for an answer of the user, over all threads, oldest first. */
  async openCalls(signal?: AbortSignal): Promise<OpenCall[]> {
    const calls: OpenCall[] = [];
    for (let after: number | null | undefined = 0; after != null; ) {
      const page: { calls: OpenCall[]; next_after: number | null } = await this.#get('/v1/calls', { open: true, after, limit: PAGE_CALLS }, signal);
      calls.push(...page.calls);
      after = page.next_after;
    }
    return calls;
  }

  /** Lists the agents. */
  async agents(signal?: AbortSignal): Promise<AgentInfo[]> {
    return (await this.#get<{ agents: AgentInfo[] }>('/v1/agents', {}, signal)).agents;
  }

  async #get<T>(path: string, query: Record<string, number | boolean>, signal?: AbortSignal): Promise<T> {
    const url = new URL(path, this.#url);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
    return request<T>(url, { token: await this.#token(), signal, ...this.#options });
  }
}

function entriesOf(thread_id: string | undefined): string {
  return thread_id === undefined ? '/v1/entries' : `/v1/threads/${encodeURIComponent(thread_id)}/entries`;
}

const PAGE_CALLS = 200;
