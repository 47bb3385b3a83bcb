// The calls that wait for the user, over all threads: `GET /v1/calls?open=true`, and the entries after it. Pure.

import type { Entry } from '../types.js';

/** A call that waits for an answer of the user (RUN-11). */
export interface WaitingCall {
  /** The run that waits. */
  readonly run_id: string;
  /** The call. */
  readonly call_id: string;
  /** The conversation. */
  readonly thread_id: string;
  /** The agent. */
  readonly agent_name: string;
  /** The name of the tool. */
  readonly tool_name: string;
  /** The parameters. */
  readonly parameters: Record<string, unknown>;
  /** The offset of its `tool_executing`. */
  readonly opened_offset: number;
  /** The time of its `tool_executing`, Unix milliseconds. */
  readonly opened_at: number;
  /** The time at which the call ends without an answer, Unix milliseconds; null or missing: not known. */
  readonly deadline?: number | null;
}

/** The calls by run and call id. */
export type Waiting = ReadonlyMap<string, WaitingCall>;

/** Applies an entry. Opening twice is opening once, so that a list may overlap the entries after it. */
export function applyToWaiting(waiting: Waiting, entry: Entry): Waiting {
  switch (entry.type) {
    case 'tool_executing': {
      if (entry.by !== 'client') return waiting;
      const { run_id, call_id, thread_id, agent_name, tool_name, parameters, offset, timestamp } = entry;
      const call = { run_id, call_id, thread_id, agent_name, tool_name, parameters, opened_offset: offset, opened_at: timestamp };
      return new Map(waiting).set(keyOf(run_id, call_id), call);
    }
    case 'tool_completed': {
      const key = keyOf(entry.run_id, entry.call_id);
      if (!waiting.has(key)) return waiting;
      const next = new Map(waiting);
      next.delete(key);
      return next;
    }
    case 'agent_completed':
      return without(waiting, (call) => call.run_id === entry.run_id);
    case 'thread_erased':
      return without(waiting, (call) => call.thread_id === entry.thread_id && call.opened_offset <= entry.erased_through);
    case 'log_erased':
      return without(waiting, (call) => call.opened_offset <= entry.erased_through);
    default:
      return waiting;
  }
}

/** Returns the calls of a list, and of the entries that were appended since it was requested. */
export function waitingOf(calls: readonly WaitingCall[], since: readonly Entry[]): Waiting {
  return since.reduce(applyToWaiting, new Map(calls.map((call) => [keyOf(call.run_id, call.call_id), call])) as Waiting);
}

function without(waiting: Waiting, isGone: (call: WaitingCall) => boolean): Waiting {
  const kept = [...waiting].filter(([, call]) => !isGone(call));
  return kept.length === waiting.size ? waiting : new Map(kept);
}

function keyOf(run_id: string, call_id: string): string {
  return `${run_id} ${call_id}`;
}
