import { applyEntries, NO_CONVERSATIONS } from '../conversation.js';
import { answerOf, callsOf, openQuestions } from '../select.js';
import { hasEnded, type Run } from '../run.js';
import type { FoldedRun, OpenCall, ThreadInfo } from '../http/index.js';
import type { Entry } from '../types.js';

/** Returns the JSON of a route over one user's log; undefined: no such route. */
export function answerGet(url: URL, log: readonly Entry[], epoch: string): object | undefined {
  const limit = Number(url.searchParams.get('limit') ?? 100);
  const before = Number(url.searchParams.get('before') ?? Infinity);
  const [, , collection, id, part] = url.pathname.split('/').map(decodeURIComponent);
  const { threads } = applyEntries(NO_CONVERSATIONS, log);
  if (collection === 'agents') return { agents: [{ agent_name: 'fake', description: 'the agent of the test', default: true }] };
  if (collection === 'calls') {
    const calls = openQuestions({ offset: 0, threads }).map(({ run, call }): OpenCall => {
      const opened = log.find((entry) => entry.type === 'tool_executing' && entry.run_id === run.run_id && entry.call_id === call.call_id);
      const { call_id, tool_name, parameters } = call;
      return { run_id: run.run_id, call_id, thread_id: run.thread_id, agent_name: run.agent_name, tool_name, parameters, opened_offset: opened?.offset ?? 0, opened_at: opened?.timestamp ?? 0, deadline: null };
    });
    return { calls, next_after: null };
  }
  if (collection === 'threads' && part === 'runs') {
    const all = [...(threads.get(id as string)?.runs ?? [])].reverse().filter((run) => run.first_offset < before);
    return { runs: all.slice(0, limit).map((run) => folded(run, log)), next_before: all.length > limit ? all[limit - 1]?.first_offset : null };
  }
  if (collection === 'entries' || part === 'entries') {
    const after = Number(url.searchParams.get('after') ?? 0);
    const own = log.filter((entry) => entry.offset > after && (part !== 'entries' || ('thread_id' in entry && entry.thread_id === id)));
    const entries = own.slice(0, limit);
    return { epoch, after, head: log.length, gap: null, entries, next_after: own.length > limit ? entries.at(-1)?.offset : null };
  }
  if (collection !== 'threads') return undefined;
  const infos = [...threads.values()].filter(({ runs }) => runs.length > 0).map((thread): ThreadInfo => {
    const { thread_id, title, archived, runs } = thread;
    const last = runs.reduce((a, b) => (b.last_offset > a.last_offset ? b : a));
    const open_runs = runs.filter((run) => !hasEnded(run)).length;
    const [first] = runs;
    return { thread_id, title, archived, last_offset: last.last_offset, last_at: last.last_at, open_runs, first_text: first?.message?.text ?? null, agent_name: runs.at(-1)?.agent_name ?? null, first_offset: first?.first_offset ?? 0 };
  });
  const all = infos.filter((info) => info.last_offset < before).sort((a, b) => b.last_offset - a.last_offset);
  return { threads: all.slice(0, limit), next_before: all.length > limit ? all[limit - 1]?.last_offset : null };
}

function folded(run: Run, log: readonly Entry[]): FoldedRun {
  const own = log.filter((entry) => 'run_id' in entry && entry.run_id === run.run_id);
  const end = own.find((entry) => entry.type === 'agent_completed');
  return {
    run_id: run.run_id,
    message_id: run.message?.message_id ?? '',
    text: run.message?.text ?? null,
    parent: run.message?.parent ?? 0,
    agent_name: run.agent_name,
    status: end ? end.status : null,
    calls: callsOf(run).map(({ call_id, tool_name, parameters, by, status, results, error, duration_ms }) => (
      { call_id, tool_name, parameters, by, status: status === 'open' ? null : status, results, error, duration_ms }
    )),
    answer: answerOf(run) || null,
    error: run.error,
    merged_into: run.merged_into,
    usage: run.usage,
    duration_ms: run.duration_ms,
    accepted_offset: run.first_offset,
    started_offset: own.find((entry) => entry.type === 'agent_started')?.offset ?? null,
    completed_offset: end?.offset ?? null,
    accepted_at: run.accepted_at,
    completed_at: end?.timestamp ?? null,
  };
}
