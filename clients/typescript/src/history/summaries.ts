// The list of threads: pages of `GET /v1/threads`, and the entries that came after them. Pure.

import type { Entry } from '../types.js';

/** A thread in the list. */
export interface ThreadSummary {
  /** The id of the thread. */
  readonly thread_id: string;
  /** The title that the user gave, or null. */
  readonly title: string | null;
  /** The beginning of the first message; null if it is not kept. */
  readonly first_text: string | null;
  /** The agent of the last message; null if it is not kept. */
  readonly agent_name: string | null;
  /** Whether the user archived the thread. */
  readonly archived: boolean;
  /** The offset of the last entry of its runs. A change of the title, or of `archived`, does not move it. */
  readonly last_offset: number;
  /** The time of the last entry, Unix milliseconds. */
  readonly last_at: number;
  /** The runs that have not ended. */
  readonly open_runs: number;
}

/** The threads by their id. */
export type Threads = ReadonlyMap<string, ThreadSummary>;

/** Applies an entry that is after everything in the list. `isWhole`: a thread that is not in it begins with its entry. */
export function applyToThreads(threads: Threads, entry: Entry, isWhole: boolean): Threads {
  if (entry.type === 'log_erased') {
    const kept = [...threads].filter(([, { last_offset }]) => last_offset > entry.erased_through);
    return kept.length === threads.size ? threads : new Map(kept);
  }
  if (!('thread_id' in entry)) return threads;
  const next = new Map(threads);
  const held = threads.get(entry.thread_id);
  if (entry.type === 'thread_erased') {
    // A message that was accepted after the erasure is kept.
    if (!held || held.last_offset <= entry.erased_through) next.delete(entry.thread_id);
    else next.set(entry.thread_id, { ...held, title: null, first_text: null });
    return next;
  }
  // An older thread is listed with its page, or with its next message.
  if (!held && entry.type !== 'user_message') return threads;
  next.set(entry.thread_id, applyToSummary(held ?? EMPTY, entry, isWhole));
  return next;
}

/** Applies pages' threads, and the entries that were appended since the request, each once. */
export function mergeThreads(threads: Threads, page: readonly ThreadSummary[], since: readonly Entry[], isWhole: boolean): Threads {
  let next: Threads = new Map([...threads, ...page.map((summary) => [summary.thread_id, summary] as const)]);
  const through = new Map(page.map(({ thread_id, last_offset }) => [thread_id, last_offset]));
  for (const entry of since) {
    const last_offset = 'thread_id' in entry ? through.get(entry.thread_id) : undefined;
    // A change of a thread sets what it names: applied again, it changes nothing.
    const isNew = last_offset !== undefined && (entry.type === 'thread_updated' || entry.offset > last_offset);
    if (isNew || entry.type === 'log_erased') next = applyToThreads(next, entry, isWhole);
  }
  return next;
}

/** Returns the threads, the one with the latest entry first. */
export function byActivity(threads: Threads): ThreadSummary[] {
  return [...threads.values()].sort((a, b) => b.last_offset - a.last_offset);
}

function applyToSummary(held: ThreadSummary, entry: Extract<Entry, { thread_id: string }>, isWhole: boolean): ThreadSummary {
  if (entry.type === 'thread_updated') return { ...held, title: entry.title, archived: entry.archived };
  const { thread_id, offset: last_offset, timestamp: last_at } = entry;
  const next = { ...held, thread_id, last_offset, last_at };
  switch (entry.type) {
    case 'user_message':
      return { ...next, first_text: held === EMPTY && (isWhole || !entry.parent) ? entry.text : held.first_text, agent_name: entry.agent_name, open_runs: held.open_runs + 1 };
    case 'agent_completed':
      return { ...next, open_runs: Math.max(0, held.open_runs - 1) };
    default:
      return next;
  }
}

const EMPTY: ThreadSummary = {
  thread_id: '',
  title: null,
  first_text: null,
  agent_name: null,
  archived: false,
  last_offset: 0,
  last_at: 0,
  open_runs: 0,
};
