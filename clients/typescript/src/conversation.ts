// The log, folded into conversations.
//
// Pure: the same entries in the same order yield the same state, in batches of any size. An entry at or before
// `offset` changes nothing, so a saved state and an overlapping suffix give what the whole log gives. What an entry
// does not touch keeps its identity (===), so that a view compares references.

import { applyToRun, hasEnded, newRun, type Run } from './run.js';
import type { AgentEvent, Entry, ThreadUpdated, UserMessage } from './types.js';

/** All conversations of the user, up to `offset`. */
export interface Conversations {
  /** The offset of the last entry applied. */
  readonly offset: number;
  /** The threads by their id, in order of their first entry. */
  readonly threads: ReadonlyMap<string, Thread>;
}

/** One conversation. */
export interface Thread {
  /** The id of the thread. */
  readonly thread_id: string;
  /** The title that the user gave, or null. */
  readonly title: string | null;
  /** Whether the user archived the thread. */
  readonly archived: boolean;
  /** The runs in order of their messages. Branches of a tree stand side by side: `branch` selects one. */
  readonly runs: readonly Run[];
  /** The offset of the last entry of the thread. */
  readonly last_offset: number;
  /** The time of the last entry of the thread, Unix milliseconds. */
  readonly last_at: number;
}

/** The state before the first entry. */
export const NO_CONVERSATIONS: Conversations = { offset: 0, threads: new Map() };

/** Applies entries in order and returns the new state. */
export function applyEntries(state: Conversations, entries: Iterable<Entry>): Conversations {
  const draft = new Draft(state);
  for (const entry of entries) draft.apply(entry);
  return draft.finish();
}

/**
 * Returns the state after a gap: a run that was open before it may have ended inside it, so its end is unknown until
 * a later event of it arrives.
 */
export function afterGap(state: Conversations): Conversations {
  const threads = new Map<string, Thread>();
  for (const [id, thread] of state.threads) {
    threads.set(id, thread.runs.every(hasEnded) ? thread : { ...thread, runs: thread.runs.map(lost) });
  }
  return { ...state, threads };
}

function lost(run: Run): Run {
  return hasEnded(run) ? run : { ...run, status: 'unknown', partial: true };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** One batch: copies what it changes once, and mutates its copies. */
class Draft {
  #state: Conversations;
  #threads: Map<string, Thread> | null = null;
  #offset: number;
  #owned = new Set<object>();

  constructor(state: Conversations) {
    this.#state = state;
    this.#offset = state.offset;
  }

  apply(entry: Entry): void {
    if (entry.offset <= this.#offset) return;
    this.#offset = entry.offset;
    if ('seq' in entry) this.#event(entry);
    else if (entry.type === 'user_message') this.#message(entry);
    else if (entry.type === 'thread_updated') this.#updated(entry);
    else if (entry.type === 'thread_erased') this.#erase(this.#thread(entry), entry.erased_through);
    else if (entry.type === 'log_erased') for (const thread of this.#mutableThreads().values()) this.#erase(this.#own(thread), entry.erased_through);
  }

  finish(): Conversations {
    if (this.#offset === this.#state.offset) return this.#state;
    return { offset: this.#offset, threads: this.#threads ?? this.#state.threads };
  }

  #message(entry: UserMessage): void {
    const thread = this.#thread(entry);
    const message = { message_id: entry.message_id, text: entry.text, offset: entry.offset, parent: entry.parent ?? null };
    this.#runs(thread).push(newRun(entry, message));
  }

  #event(entry: AgentEvent): void {
    const runs = this.#runs(this.#thread(entry));
    let index = runs.findLastIndex((run) => run.run_id === entry.run_id);
    // The message lies before a gap or before the start: the run is shown without it.
    if (index < 0) index = runs.push(newRun(entry, null)) - 1;
    runs[index] = applyToRun(runs[index] as Run, entry, (value) => this.#own(value));
  }

  #updated(entry: ThreadUpdated): void {
    const thread = this.#thread(entry);
    thread.title = entry.title;
    thread.archived = entry.archived;
  }

  #erase(thread: Mutable<Thread>, through: number): void {
    thread.title = null;
    thread.runs = thread.runs.filter((run) => (run.message?.offset ?? run.first_offset) > through);
    const threads = this.#mutableThreads();
    if (thread.runs.length) threads.set(thread.thread_id, thread);
    else threads.delete(thread.thread_id);
  }

  #thread(entry: { thread_id: string; offset: number; timestamp: number }): Mutable<Thread> {
    const threads = this.#mutableThreads();
    const held: Thread = threads.get(entry.thread_id) ?? {
      thread_id: entry.thread_id,
      title: null,
      archived: false,
      runs: [],
      last_offset: 0,
      last_at: 0,
    };
    const thread: Mutable<Thread> = this.#own(held);
    thread.last_offset = entry.offset;
    thread.last_at = entry.timestamp;
    threads.set(entry.thread_id, thread);
    return thread;
  }

  #runs(thread: Mutable<Thread>): Run[] {
    const runs = this.#own(thread.runs) as Run[];
    thread.runs = runs;
    return runs;
  }

  #mutableThreads(): Map<string, Thread> {
    return (this.#threads ??= new Map(this.#state.threads));
  }

  /** Returns the value if this batch made it, otherwise a copy that this batch may change. */
  #own<T extends object>(value: T): T {
    if (this.#owned.has(value)) return value;
    const copy = (Array.isArray(value) ? [...value] : { ...value }) as T;
    this.#owned.add(copy);
    return copy;
  }
}
