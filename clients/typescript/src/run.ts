// One run, folded from its message and its five events. Pure.

import type { AgentCompleted, AgentEvent, AgentThinking, ToolCompleted, ToolExecuting, UserMessage } from './types.js';

/** A run and the message that it answers. */
export interface Run {
  /** The id of the run. */
  readonly run_id: string;
  /** The conversation. */
  readonly thread_id: string;
  /** The agent that executes the run. */
  readonly agent_name: string;
  /** The message; null if it lies before the part of the log that was read. */
  readonly message: Message | null;
  /** `waiting` before `agent_started`, `active` until `agent_completed`, then its status. `unknown`: lost in a gap. */
  readonly status: RunStatus;
  /** What the run did, in order: text by kind, and calls. Withdrawn text is not in it. */
  readonly parts: readonly Part[];
  /** The final response of a run that succeeded, otherwise null: `answerOf` also gives the answer so far. */
  readonly final_response: string | null;
  /** The reason of a run that did not succeed, or null. */
  readonly error: AgentCompleted['error'];
  /** The language model tokens, or null. */
  readonly usage: NonNullable<AgentCompleted['usage']> | null;
  /** Milliseconds; null before the end. */
  readonly duration_ms: number | null;
  /** The run that took the message, if the status is `merged`. */
  readonly merged_into: string | null;
  /** The `seq` of the last event; 0 before the first. */
  readonly seq: number;
  /** How often text was withdrawn (`reset`), as after a restart of the agent. */
  readonly withdrawals: number;
  /** Whether events of the run are missing, because they lie in a gap. */
  readonly partial: boolean;
  /** Whether the run was read in its folded form: its reasoning and progress are missing. */
  readonly folded?: boolean;
  /** The offset of the first entry of the run that was read. */
  readonly first_offset: number;
  /** The offset of the last entry of the run. */
  readonly last_offset: number;
  /** The time of the first entry, Unix milliseconds. */
  readonly accepted_at: number;
  /** The time of the last entry, Unix milliseconds. */
  readonly last_at: number;
}

/** The status of a run. */
export type RunStatus = 'waiting' | 'active' | 'unknown' | AgentCompleted['status'];

/** The message of a run. */
export interface Message {
  /** The id that the client chose. */
  readonly message_id: string;
  /** The text of the user. */
  readonly text: string;
  /** The offset, which is what `parent` refers to. */
  readonly offset: number;
  /** The offset of the message before it; 0: none; null: the service does not know trees. */
  readonly parent: number | null;
}

/** Text of one kind, or a call. */
export type Part = TextPart | Call;

/** Consecutive text of one kind. */
export interface TextPart {
  readonly type: 'text';
  /** `answer` is for the user; `reasoning` and `progress` are beside it. */
  readonly kind: AgentThinking['kind'];
  /** The concatenated deltas. */
  readonly text: string;
}

/** A call of a tool. With `by: 'client'` and status `open` it is a question to the user. */
export interface Call {
  readonly type: 'call';
  /** The id of the call within its run. */
  readonly call_id: string;
  /** The tool. */
  readonly tool_name: string;
  /** The parameters. */
  readonly parameters: Record<string, unknown>;
  /** The party that completes the call. */
  readonly by: ToolExecuting['by'];
  /** `open`, then the status of the end. */
  readonly status: 'open' | ToolCompleted['status'];
  /** Any JSON; null while the call is open. */
  readonly results: unknown;
  /** The error, or the reason of a refusal, or null. */
  readonly error: string | null;
  /** Milliseconds; null while the call is open. */
  readonly duration_ms: number | null;
}

/** Creates a run of its first entry. */
export function newRun(entry: UserMessage | AgentEvent, message: Message | null): Run {
  return {
    run_id: entry.run_id,
    thread_id: entry.thread_id,
    agent_name: entry.agent_name,
    message,
    status: 'waiting',
    parts: [],
    final_response: null,
    error: null,
    usage: null,
    duration_ms: null,
    merged_into: null,
    seq: 0,
    withdrawals: 0,
    partial: entry.type !== 'user_message' && entry.type !== 'agent_started',
    first_offset: entry.offset,
    last_offset: entry.offset,
    accepted_at: entry.timestamp,
    last_at: entry.timestamp,
  };
}

/** Returns whether the run has ended. */
export function hasEnded(run: Run): boolean {
  return run.status !== 'waiting' && run.status !== 'active';
}

/** Copies a value before its first change in a batch. */
type Own = <T extends object>(value: T) => T;

/** Applies the run's next event. */
export function applyToRun(held: Run, event: AgentEvent, own: Own): Run {
  if (hasEnded(held) && held.status !== 'unknown') return held; // RUN-5: nothing comes after the end
  const run: { -readonly [K in keyof Run]: Run[K] } = own(held);
  run.seq = event.seq;
  run.last_offset = event.offset;
  run.last_at = event.timestamp;
  run.agent_name = event.agent_name;
  if (event.type === 'agent_completed') return complete(run, event);
  run.status = 'active';
  if (event.type === 'agent_started') return run;
  const parts = own(run.parts) as Part[];
  run.parts = parts;
  if (event.type === 'agent_thinking') {
    run.parts = think(parts, event, own);
    if (run.parts !== parts) run.withdrawals += 1;
  }
  if (event.type === 'tool_executing') parts.push(open(event));
  if (event.type === 'tool_completed') close(parts, event);
  return run;
}

function think(parts: Part[], { kind, delta, reset }: AgentThinking, own: Own): Part[] {
  if (reset) {
    const kept = parts.filter((part) => part.type === 'call' || part.kind !== kind);
    if (kept.length < parts.length) parts = own(kept);
  }
  const last = parts.at(-1);
  if (last?.type === 'text' && last.kind === kind) parts[parts.length - 1] = { ...last, text: last.text + delta };
  else parts.push({ type: 'text', kind, text: delta });
  return parts;
}

function open({ call_id, tool_name, parameters, by }: ToolExecuting): Call {
  return { type: 'call', call_id, tool_name, parameters, by, status: 'open', results: null, error: null, duration_ms: null };
}

function close(parts: Part[], event: ToolCompleted): void {
  const index = parts.findLastIndex((part) => part.type === 'call' && part.call_id === event.call_id);
  const call = parts[index];
  const { status, results, error, duration_ms } = event;
  if (call?.type === 'call') parts[index] = { ...call, status, results, error, duration_ms };
}

function complete(run: { -readonly [K in keyof Run]: Run[K] }, event: AgentCompleted): Run {
  run.status = event.status;
  run.final_response = event.final_response;
  run.error = event.error;
  run.usage = event.usage ?? null;
  run.duration_ms = event.duration_ms;
  run.merged_into = event.merged_into ?? null;
  return run;
}
