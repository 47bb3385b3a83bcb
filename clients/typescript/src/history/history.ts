import type { Quintet } from '../client.js';
import { applyEntries, type Conversations, type Thread } from '../conversation.js';
import { QuintetError } from '../errors.js';
import type { QuintetHttp } from '../http/index.js';
import type { Entry } from '../types.js';
import { mergeRuns, runOf, runsIn } from './folded.js';
import { applyToThreads, mergeThreads, type Threads } from './summaries.js';
import { applyToWaiting, waitingOf, type Waiting } from './waiting.js';

/** The settings of a history. */
export interface HistoryOptions {
  /** The client; `start: 'head'` and `conversations: false`. */
  client: Quintet;
  /** The HTTP side of the same user. */
  http: QuintetHttp;
  /** Runs in a page. Default 30. */
  pageRuns?: number;
  /** Threads in a page. Default 100. */
  pageThreads?: number;
  /** Threads that are kept open; one more closes the one that was opened first. Default 16. */
  openedMax?: number;
  /** Called with each entry after it has been applied. */
  onEntry?: (entry: Entry) => void;
}

/** What is known of a thread that was opened. */
export interface OpenedThread {
  /** The thread with its loaded runs; undefined if it has none. */
  readonly thread: Thread | undefined;
  /** Whether its last page has been loaded. */
  readonly isLoaded: boolean;
  /** Whether a page is being loaded. */
  readonly isLoading: boolean;
  /** The `before` of the next older page; null if every run is loaded. */
  readonly next_before: number | null;
  /** Why the last page could not be loaded, or null. */
  readonly error: unknown;
}

/** The state for a view. A new object for each change. */
export interface HistoryState {
  /** Whether the first page of threads, and the calls, have been loaded. */
  readonly isLoaded: boolean;
  /** The threads that are known. */
  readonly threads: Threads;
  /** The `before` of the next page of threads; null if all are known. */
  readonly next_before: number | null;
  /** The calls that wait for the user. */
  readonly waiting: Waiting;
  /** The threads that were opened. */
  readonly opened: ReadonlyMap<string, OpenedThread>;
  /** Why the threads or calls could not be loaded, or null. */
  readonly error: unknown;
}

/** The conversations of a client that began at the head: lists and pages over HTTP, and every entry after them. */
export class History {
  #client: Quintet;
  #http: QuintetHttp;
  #options: Required<Omit<HistoryOptions, 'client' | 'http' | 'onEntry'>> & Pick<HistoryOptions, 'onEntry'>;
  #state: HistoryState = NOTHING;
  #conversations: Conversations = { offset: 0, threads: new Map() };
  #listeners = new Set<() => void>();
  /** The entries since each request that is under way. */
  #since = new Set<Entry[]>();
  /** Counts what makes earlier answers useless: a reset, a gap. */
  #generation = 0;
  #marks = '';
  /** The request of threads that is under way. */
  #listing: Promise<void> | null = null;
  #wanted = new Set<string>();

  /** Creates a history. It follows the client from `start` on. */
  constructor({ client, http, ...options }: HistoryOptions) {
    this.#client = client;
    this.#http = http;
    this.#options = { pageRuns: 30, pageThreads: 100, openedMax: 16, ...options };
  }

  /** The present state. */
  get state(): HistoryState {
    return this.#state;
  }

  /** Calls `listener` after each change. Returns a function that ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Connects the client and follows it until it is closed. */
  start(): void {
    void this.#follow();
    this.#client.subscribe(() => this.#connectionChanged());
    this.#connectionChanged();
  }

  /** Opens a thread: its last page is loaded, and its entries are applied from now on. */
  open(thread_id: string): void {
    const opened = this.#state.opened.get(thread_id);
    if (opened && opened.error === null) return;
    this.#wanted.delete(thread_id);
    this.#wanted.add(thread_id);
    for (const oldest of this.#wanted) {
      if (this.#wanted.size <= this.#options.openedMax) break;
      this.#wanted.delete(oldest);
      this.#drop(oldest);
    }
    void this.#load(thread_id);
  }

  /** Loads the page before the loaded runs of a thread. Resolves when it is applied, or could not be loaded. */
  async older(thread_id: string): Promise<void> {
    const opened = this.#state.opened.get(thread_id);
    if (opened && !opened.isLoading && (opened.next_before !== null || opened.error !== null)) await this.#load(thread_id);
  }

  /** Loads the next page of threads. */
  async moreThreads(): Promise<void> {
    if (this.#state.next_before !== null) await this.#list(this.#state.next_before);
  }

  /** Loads the threads and calls again after an error. */
  async reload(): Promise<void> {
    await this.#list();
  }

  /** Returns the entries of a run, which replace its folded form. */
  async entriesOf(thread_id: string, run_id: string): Promise<Entry[]> {
    const run = this.#state.opened.get(thread_id)?.thread?.runs.find((held) => held.run_id === run_id);
    if (!run) return [];
    const generation = this.#generation;
    return this.#recording(async (since) => {
      const all = await this.#entriesAfter(thread_id, run.first_offset - 1, (entry) => entry.type === 'agent_completed' && entry.run_id === run_id);
      const own = all.filter((entry) => 'run_id' in entry && entry.run_id === run_id);
      if (generation === this.#generation && own.length > 0) this.#merge(thread_id, runsIn(own, thread_id, new Set([run_id])), since);
      return own;
    });
  }

  async #follow(): Promise<void> {
    for (;;) {
      try {
        for await (const entry of this.#client.entries()) this.#apply(entry);
        return;
      } catch (error) {
        if (!(error instanceof QuintetError && error.code === 'reset')) return; // the client reports why it closed
        this.#clear();
      }
    }
  }

  /** Loads everything again if the client missed entries, and what was not loaded while there was no connection. */
  #connectionChanged(): void {
    const { connection, gap, resets } = this.#client.snapshot;
    if (connection.phase !== 'live') return;
    const marks = `${resets} ${gap?.from} ${gap?.to}`;
    if (this.#marks !== '' && this.#marks !== marks) this.#clear();
    this.#marks = marks;
    if (!this.#listing && (!this.#state.isLoaded || this.#state.error !== null)) void this.#list();
    for (const thread_id of this.#wanted) {
      const opened = this.#state.opened.get(thread_id);
      if (!opened || (!opened.isLoaded && !opened.isLoading)) void this.#load(thread_id);
    }
  }

  /** Applies an entry to everything that it concerns. */
  #apply(entry: Entry): void {
    for (const since of this.#since) since.push(entry);
    const isKnown = !('thread_id' in entry) || this.#state.threads.has(entry.thread_id);
    const threads = applyToThreads(this.#state.threads, entry, this.#state.isLoaded && this.#state.next_before === null);
    const waiting = applyToWaiting(this.#state.waiting, entry);
    const concerned = entry.type === 'log_erased' ? [...this.#wanted] : 'thread_id' in entry && this.#wanted.has(entry.thread_id) ? [entry.thread_id] : [];
    if (concerned.length > 0) this.#conversations = applyEntries(this.#conversations, [entry]);
    else this.#conversations = { ...this.#conversations, offset: entry.offset };
    let { opened } = this.#state;
    for (const thread_id of concerned) opened = this.#shown(opened, thread_id, {});
    this.#publish({ threads, waiting, opened });
    // A message to a thread that was not listed yet: the service knows its beginning.
    if (!isKnown && entry.type === 'user_message' && this.#state.next_before !== null) void this.#list();
    this.#options.onEntry?.(entry);
  }

  async #list(before?: number): Promise<void> {
    while (this.#listing) await this.#listing;
    this.#listing = this.#listNow(before).finally(() => (this.#listing = null));
    await this.#listing;
  }

  async #listNow(before?: number): Promise<void> {
    const generation = this.#generation;
    try {
      await this.#recording(async (since) => {
        const query = { limit: this.#options.pageThreads, ...(before !== undefined && { before }) };
        const [page, calls] = await Promise.all([this.#http.threads(query), before === undefined ? this.#http.openCalls() : null]);
        if (generation !== this.#generation) return;
        const summaries = page.threads.map(({ thread_id, title = null, first_text = null, agent_name = null, archived = false, last_offset, last_at, open_runs = 0 }) => (
          { thread_id, title, first_text, agent_name, archived, last_offset, last_at, open_runs }
        ));
        const threads = mergeThreads(this.#state.threads, summaries, since, page.next_before === null);
        const waiting = calls ? waitingOf(calls, since) : this.#state.waiting;
        this.#publish({ threads, waiting, next_before: page.next_before, isLoaded: true, error: null });
      });
    } catch (error) {
      this.#publish({ error });
    }
    if (generation !== this.#generation) await this.#listNow();
  }

  async #load(thread_id: string): Promise<void> {
    // Before the client is live, entries between the page and the first one would be missing.
    if (this.#client.state.phase !== 'live') return this.#show(thread_id, {});
    const before = this.#state.opened.get(thread_id)?.next_before ?? null;
    const generation = this.#generation;
    this.#show(thread_id, { isLoading: true, error: null });
    // The list knows whether the thread exists: a request for one that does not is an error in a browser's console.
    await this.#listing;
    if (generation !== this.#generation || !this.#wanted.has(thread_id)) return;
    const { isLoaded, next_before, threads } = this.#state;
    if (isLoaded && next_before === null && !threads.has(thread_id)) return this.#show(thread_id, { isLoaded: true, isLoading: false });
    try {
      await this.#recording(async (since) => {
        const query = { limit: this.#options.pageRuns, ...(before !== null && { before }) };
        const page = await this.#http.runs(thread_id, query).catch(noThread);
        const open = page.runs.filter(({ status }) => status === null);
        const runs = page.runs.filter(({ status }) => status !== null).map((run) => runOf(thread_id, run));
        if (open.length > 0) {
          const from = Math.min(...open.map(({ accepted_offset }) => accepted_offset)) - 1;
          const ids = new Set(open.map(({ run_id }) => run_id));
          runs.push(...runsIn(await this.#entriesAfter(thread_id, from), thread_id, ids));
        }
        if (generation !== this.#generation || !this.#wanted.has(thread_id)) return;
        this.#merge(thread_id, runs, since, { isLoaded: true, isLoading: false, next_before: page.next_before });
        for (const { run_id, status, truncated } of page.runs) if (truncated && status !== null) await this.entriesOf(thread_id, run_id);
      });
    } catch (error) {
      if (generation === this.#generation && this.#wanted.has(thread_id)) this.#show(thread_id, { isLoading: false, error });
    }
  }

  /** Reads a thread's entries to its end, or to the one where `isEnd`. */
  async #entriesAfter(thread_id: string, from: number, isEnd: (entry: Entry) => boolean = () => false): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (let after: number | null = from; after !== null; ) {
      const page: { entries: Entry[]; next_after: number | null } = await this.#http.entries({ thread_id, after, limit: PAGE_ENTRIES });
      entries.push(...page.entries);
      if (page.entries.some(isEnd)) break;
      after = page.next_after;
    }
    return entries;
  }

  #merge(thread_id: string, loaded: Parameters<typeof mergeRuns>[2], since: readonly Entry[], changes: Partial<OpenedThread> = {}): void {
    const threads = new Map(this.#conversations.threads);
    const merged = mergeRuns(thread_id, threads.get(thread_id), loaded, since);
    if (merged) threads.set(thread_id, merged);
    else threads.delete(thread_id);
    this.#conversations = { ...this.#conversations, threads };
    this.#show(thread_id, changes);
  }

  /** Collects the entries that arrive while `work` is under way. */
  async #recording<T>(work: (since: readonly Entry[]) => Promise<T>): Promise<T> {
    const since: Entry[] = [];
    this.#since.add(since);
    try {
      return await work(since);
    } finally {
      this.#since.delete(since);
    }
  }

  #show(thread_id: string, changes: Partial<OpenedThread>): void {
    this.#publish({ opened: this.#shown(this.#state.opened, thread_id, changes) });
  }

  #shown(opened: HistoryState['opened'], thread_id: string, changes: Partial<OpenedThread>): HistoryState['opened'] {
    const held = opened.get(thread_id) ?? UNLOADED;
    return new Map(opened).set(thread_id, { ...held, ...changes, thread: this.#conversations.threads.get(thread_id) });
  }

  #drop(thread_id: string): void {
    const threads = new Map(this.#conversations.threads);
    threads.delete(thread_id);
    this.#conversations = { ...this.#conversations, threads };
    const opened = new Map(this.#state.opened);
    opened.delete(thread_id);
    this.#publish({ opened });
  }

  #clear(): void {
    this.#generation += 1;
    this.#conversations = { offset: 0, threads: new Map() };
    this.#publish(NOTHING);
    this.#marks = '';
    this.#connectionChanged();
  }

  #publish(changes: Partial<HistoryState>): void {
    this.#state = { ...this.#state, ...changes };
    for (const listener of [...this.#listeners]) listener();
  }
}

/** A thread that does not exist has no runs. */
function noThread(error: unknown): { runs: []; next_before: null } {
  if (error instanceof QuintetError && error.code === 'not_found') return { runs: [], next_before: null };
  throw error;
}

const NOTHING: HistoryState = { isLoaded: false, threads: new Map(), next_before: null, waiting: new Map(), opened: new Map(), error: null };
const UNLOADED: OpenedThread = { thread: undefined, isLoaded: false, isLoading: false, next_before: null, error: null };
const PAGE_ENTRIES = 1_000;
