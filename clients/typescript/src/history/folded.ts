// Pages of folded runs, and their place among the entries that arrive: each entry takes effect once. Pure.

import { applyEntries, type Thread } from '../conversation.js';
import { hasEnded, type Call, type Part, type Run } from '../run.js';
import { placeOf } from '../tree.js';
import type { FoldedRun } from '../http/index.js';
import type { Entry } from '../types.js';

/** Returns the run of its folded form: without reasoning and progress, its calls before its answer. */
export function runOf(thread_id: string, folded: FoldedRun): Run {
  const { run_id, agent_name, accepted_offset, accepted_at, status, calls, answer } = folded;
  const parts: Part[] = calls.map(({ call_id, tool_name, parameters, by, status, results, error, duration_ms }): Call => (
    { type: 'call', call_id, tool_name, parameters, by, status: status ?? 'open', results: results ?? null, error: error ?? null, duration_ms: duration_ms ?? null }
  ));
  if (answer) parts.push({ type: 'text', kind: 'answer', text: answer });
  const last_offset = folded.completed_offset ?? folded.started_offset ?? accepted_offset;
  return {
    run_id,
    thread_id,
    agent_name,
    message: folded.text === null ? null : { message_id: folded.message_id, text: folded.text, offset: accepted_offset, parent: folded.parent },
    status: status ?? (folded.started_offset == null ? 'waiting' : 'active'),
    parts,
    final_response: status === 'succeeded' ? answer : null,
    error: folded.error ?? null,
    usage: folded.usage ?? null,
    duration_ms: folded.duration_ms ?? null,
    merged_into: folded.merged_into ?? null,
    seq: 0,
    withdrawals: 0,
    partial: false,
    folded: true,
    first_offset: accepted_offset,
    last_offset,
    accepted_at,
    last_at: folded.completed_at ?? accepted_at,
  };
}

/** Returns the runs of `run_ids` with everything in `entries`. */
export function runsIn(entries: readonly Entry[], thread_id: string, run_ids: ReadonlySet<string>): Run[] {
  const own = entries.filter((entry) => 'run_id' in entry && run_ids.has(entry.run_id));
  return [...(applyEntries({ offset: 0, threads: new Map() }, own).threads.get(thread_id)?.runs ?? [])];
}

/**
 * Puts loaded runs into a thread that is read live. A loaded run stands for the same run there, whose beginning may be
 * missing; `since` are the entries appended after the request, of which those after a loaded run's own are applied to
 * it. Returns undefined if nothing is left of the thread (DEL-8).
 */
export function mergeRuns(thread_id: string, held: Thread | undefined, loaded: readonly Run[], since: readonly Entry[]): Thread | undefined {
  const ids = new Map(loaded.map((run) => [run.run_id, run]));
  const kept = held?.runs.filter((run) => !ids.has(run.run_id)) ?? [];
  const runs = [...loaded, ...kept].sort((a, b) => placeOf(a) - placeOf(b));
  const last = runs.reduce((a, b) => (b.last_offset > a.last_offset ? b : a), runs[0] as Run);
  const thread: Thread = held ?? { thread_id, title: null, archived: false, runs: [], last_offset: last?.last_offset ?? 0, last_at: last?.last_at ?? 0 };
  const missed = since.filter((entry) => {
    if (entry.type === 'log_erased') return true;
    if (entry.type === 'thread_erased') return entry.thread_id === thread_id;
    const run = 'run_id' in entry ? ids.get(entry.run_id) : undefined;
    return run !== undefined && !hasEnded(run) && entry.offset > run.last_offset;
  });
  const { threads } = applyEntries({ offset: 0, threads: new Map([[thread_id, { ...thread, runs }]]) }, missed);
  const merged = threads.get(thread_id);
  return merged && merged.runs.length > 0 ? { ...merged, last_offset: Math.max(merged.last_offset, thread.last_offset) } : undefined;
}
