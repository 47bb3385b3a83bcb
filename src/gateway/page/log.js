// The user's log, grouped into conversations.
//
// Pure: no document, no socket, no clock. The same frames in the same order yield the same log.
// Each offset is applied exactly once: repeats are ignored and holes are errors. Only `ready` may move
// the cursor otherwise, with a `gap` (DEL-2, DEL-3).

import { EVENT_TYPES, applyEvent, createRun } from './run.js';

export function createLog() {
  return {
    user_id: null,
    epoch: null,
    /** The offset of the last applied entry: the cursor to resume from. */
    offset: 0,
    /** The highest offset that the server has reported. */
    head: 0,
    /** Whether all entries that existed when the connection opened have been applied. */
    caught_up: false,
    resumed_after: 0,
    /** The gap reported for the current connection, or null. */
    gap: null,
    /** How often the log was read again from the start: the epoch changed, or the server's log is shorter. */
    restarts: 0,
    counts: { applied: 0, repeated: 0, holes: 0, foreign: 0 },
    faults: [],
    threads: new Map(),
    runs: new Map(),
    /** Maps message_id to its turn. */
    messages: new Map(),
    /** Changes with every entry except a delta: what a list of threads or of open calls shows. */
    version: 0,
  };
}

/**
 * Applies one server frame and returns a verdict: `ready`, `restarted`, `shorter`, `caught_up`,
 * `applied`, `repeated`, `hole`, `foreign` or `none` (not an entry). After a verdict in `BROKEN`, the
 * connection must be replaced by a new one that resumes from the cursor.
 */
export function reduce(log, frame) {
  if (frame.type === 'ready') return { verdict: begin(log, frame) };
  if (frame.type === 'caught_up') return { verdict: catchUp(log, frame) };
  if (isEntry(frame)) return place(log, frame);
  return { verdict: 'none' };
}

/** `shorter`: the server's log ends before the cursor, so it must be read again from the start. */
export const BROKEN = Object.freeze(['hole', 'foreign', 'shorter']);

/** A frame is an entry if and only if it has an `offset`. */
export function isEntry(frame) {
  return Number.isSafeInteger(frame.offset);
}

/** Returns the active run of a thread, or null (RUN-8). */
export function activeRun(log, thread_id) {
  const [run_id] = log.threads.get(thread_id)?.open ?? [];
  return log.runs.get(run_id) ?? null;
}

/** Applies `ready`: the server resumes after the cursor, or reports a gap (DEL-3). */
function begin(log, ready) {
  let verdict = 'ready';
  // Every start of the service has its own epoch; a gap from the first entry means that the log is another one.
  if (log.epoch !== null && log.epoch !== ready.epoch && ready.gap?.from <= 1) {
    forget(log);
    verdict = 'restarted';
  } else if (ready.resumed_after < log.offset) {
    forget(log);
    return 'shorter';
  } else if (ready.resumed_after > log.offset && !ready.gap) {
    fault(log, 'DEL-3', `resumed after ${ready.resumed_after} instead of ${log.offset} without saying gap`);
  }
  if (ready.gap) for (const run of log.runs.values()) run.partial ||= !run.end;
  log.user_id = ready.user_id;
  log.epoch = ready.epoch;
  log.offset = ready.resumed_after;
  log.resumed_after = ready.resumed_after;
  log.head = Math.max(ready.head, ready.resumed_after);
  log.gap = ready.gap ?? null;
  log.caught_up = false;
  return verdict;
}

/** Discards all entries, since the server's log is a different one. Keeps the counters and faults. */
function forget(log) {
  const { restarts, counts, faults, version } = log;
  Object.assign(log, createLog(), { restarts: restarts + 1, counts, faults, version: version + 1 });
}

function catchUp(log, frame) {
  if (frame.head > log.offset) {
    log.counts.holes += 1;
    fault(log, 'DEL-2', `caught_up at ${frame.head}, but only ${log.offset} came`);
    return 'hole';
  }
  log.caught_up = true;
  return 'caught_up';
}

function place(log, entry) {
  // An erased entry has neither owner nor content; it only holds its offset.
  if (log.user_id !== null && entry.user_id !== undefined && entry.user_id !== log.user_id) {
    log.counts.foreign += 1;
    fault(log, 'ISO-1', `entry ${entry.offset} belongs to another user`);
    return { verdict: 'foreign' };
  }
  if (entry.offset <= log.offset) {
    log.counts.repeated += 1;
    fault(log, 'DEL-2', `entry ${entry.offset} came again`);
    return { verdict: 'repeated' };
  }
  if (entry.offset !== log.offset + 1) {
    log.counts.holes += 1;
    fault(log, 'DEL-2', `entry ${entry.offset} came after ${log.offset}`);
    return { verdict: 'hole' };
  }
  log.offset = entry.offset;
  log.head = Math.max(log.head, entry.offset);
  log.counts.applied += 1;
  const isEvent = EVENT_TYPES.includes(entry.type);
  // An entry of a later protocol moves the cursor and shows nothing.
  if (!isEvent && entry.type !== 'user_message') return { verdict: 'applied' };
  const thread = threadOf(log, entry);
  thread.last_offset = entry.offset;
  thread.last_at = entry.timestamp;
  if (entry.type !== 'agent_thinking') log.version += 1;
  if (entry.type === 'user_message') applyMessage(log, thread, entry);
  else applyEvent(runOf(log, thread, entry), entry);
  if (entry.type === 'agent_completed') thread.open.delete(entry.run_id);
  return { verdict: 'applied', thread_id: entry.thread_id, run_id: entry.run_id };
}

function applyMessage(log, thread, entry) {
  const { offset, message_id, text, run_id, timestamp: at, parent = null } = entry;
  const turn = { offset, message_id, text, run_id, at, parent };
  thread.title ??= entry.text;
  log.messages.set(entry.message_id, turn);
  begun(log, thread, turn, createRun(entry));
}

/** Returns the run of an event. A run whose message lies before a gap gets its own turn. */
function runOf(log, thread, entry) {
  let run = log.runs.get(entry.run_id);
  if (!run) {
    run = createRun(entry);
    run.partial = entry.type !== 'agent_started';
    const { offset, run_id, timestamp: at } = entry;
    begun(log, thread, { offset, message_id: null, text: null, run_id, at, parent: null }, run);
  }
  return run;
}

function begun(log, thread, turn, run) {
  thread.turns.push(turn);
  thread.open.add(run.run_id);
  log.runs.set(run.run_id, run);
}

function threadOf(log, { thread_id, offset, timestamp }) {
  let thread = log.threads.get(thread_id);
  if (!thread) {
    const last = { last_offset: offset, last_at: timestamp };
    thread = { thread_id, title: null, first_offset: offset, ...last, turns: [], open: new Set() };
    log.threads.set(thread_id, thread);
  }
  return thread;
}

function fault(log, rule, text) {
  log.faults.push({ rule, text });
  if (log.faults.length > FAULTS_MAX) log.faults.shift();
}

const FAULTS_MAX = 100;
