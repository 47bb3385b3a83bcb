// One run as the chunks of an AI SDK message: the difference between what was emitted and the run as it is now.
//
// A run is folded before it is emitted, so that a reader at any speed costs no memory, and a replay from the start is
// the same code as live streaming. Text that the run withdraws (`reset`) is removed by the chunk `reset-step`.

import { hasEnded, type Call, type Part, type Run } from '../run.js';

/** The run, in the metadata of an assistant message. */
export interface QuintetMetadata {
  /** The run; also the id of the message. */
  run_id: string;
  /** The status of the run. */
  status: Run['status'];
  /** The agent. */
  agent_name: string;
  /** The language model tokens, or null. */
  usage: Run['usage'];
  /** The run that took the message, if the status is `merged`. */
  merged_into: string | null;
  /** The place up to which the message shows the run: where a continuation begins. */
  place: Place;
}

/** A place in a run. */
export interface Place {
  /** Parts that were emitted. */
  parts: number;
  /** Characters of the last of them, if it is text. */
  chars: number;
  /** `withdrawals` of the run. */
  withdrawals: number;
  /** Calls that were emitted as open. */
  open: string[];
}

/**
 * A chunk of a stream. These have the same form in every version of `ai` 7; a union of one version's chunks would be
 * refused by the compiler where a framework brings another version along.
 */
export type QuintetChunk =
  | { type: 'start'; messageId: string }
  | { type: 'start-step' }
  | { type: 'finish-step' }
  | { type: 'reset-step' }
  | { type: 'text-start'; id: string }
  | { type: 'text-delta'; id: string; delta: string }
  | { type: 'text-end'; id: string }
  | { type: 'reasoning-start'; id: string }
  | { type: 'reasoning-delta'; id: string; delta: string }
  | { type: 'reasoning-end'; id: string }
  | { type: 'tool-input-available'; toolCallId: string; toolName: string; input: unknown; dynamic: true; providerExecuted?: boolean }
  | { type: 'tool-approval-request'; toolCallId: string; approvalId: string }
  | { type: 'tool-approval-response'; approvalId: string; approved: boolean; reason?: string }
  | { type: 'tool-output-available'; toolCallId: string; output: unknown }
  | { type: 'tool-output-error'; toolCallId: string; errorText: string }
  | { type: 'tool-output-denied'; toolCallId: string }
  | { type: 'data-run'; id: string; data: RunData }
  | { type: 'data-progress'; id: string; data: ProgressData }
  | { type: 'message-metadata'; messageMetadata: { quintet: QuintetMetadata } }
  | { type: 'error'; errorText: string }
  | { type: 'finish'; finishReason: 'stop' | 'tool-calls' | 'other'; messageMetadata: { quintet: QuintetMetadata } };

/** The data part `data-run`. */
export interface RunData {
  /** The run. */
  run_id: string;
  /** The thread. */
  thread_id: string;
  /** The status of the run. */
  status: Run['status'];
  /** The agent. */
  agent_name: string;
}

/** The data part `data-progress`. */
export interface ProgressData {
  /** The deltas of `progress`, up to the next part of another kind. */
  text: string;
}

interface Emitted {
  part: Part;
  /** Characters of text that were emitted. */
  chars: number;
}

/** Decides which calls are questions for approval, and whether data parts are emitted. */
export interface ChunkOptions {
  isApproval(call: Call): boolean;
  dataParts: boolean;
}

/** Emits one run. */
export class RunChunks {
  #options: ChunkOptions;
  /** Whether the message shows text of an earlier step that was withdrawn: it has to be built again. */
  stale = false;
  #emitted: Emitted[] = [];
  /** The first part of the present step. What an earlier stream emitted is in no step that can be reset. */
  #step = 0;
  #open = new Set<string>();
  #text: { index: number; kind: 'text' | 'reasoning' } | null = null;
  #begun = false;
  #status: Run['status'] | null = null;
  #withdrawals = 0;
  #from: Place | null;

  /** `from`: the place where an earlier stream of the same message ended. */
  constructor(options: ChunkOptions, from: Place | null = null) {
    this.#options = options;
    this.#from = from;
  }

  /** Returns what is new, and whether the stream ends: with the run, or with a question to the user. */
  next(run: Run): { chunks: QuintetChunk[]; ends: boolean } {
    const chunks: QuintetChunk[] = [];
    if (!this.#begun) this.#begin(run, chunks);
    if (run.withdrawals !== this.#withdrawals) this.#withdraw(run, chunks);
    if (run.status !== this.#status) {
      this.#status = run.status;
      const { run_id, thread_id, status, agent_name } = run;
      if (this.#options.dataParts) chunks.push({ type: 'data-run', id: run_id, data: { run_id, thread_id, status, agent_name } });
    }
    this.#results(run, chunks);
    this.#parts(run, chunks);
    if (hasEnded(run)) return this.#end(run, chunks, run.status === 'succeeded' ? 'stop' : 'other');
    const waits = run.parts.some((part) => part.type === 'call' && part.by === 'client' && part.status === 'open');
    return waits ? this.#end(run, chunks, 'tool-calls') : { chunks, ends: false };
  }

  #begin(run: Run, chunks: QuintetChunk[]): void {
    this.#begun = true;
    chunks.push({ type: 'start', messageId: run.run_id });
    const from = this.#from;
    this.#withdrawals = run.withdrawals;
    if (from) {
      // Text that was withdrawn between the two streams is in the message, and nothing here knows where.
      this.stale = from.withdrawals !== run.withdrawals;
      const length = this.stale ? run.parts.findLastIndex(({ type }) => type === 'call') + 1 : from.parts;
      this.#emitted = run.parts.slice(0, length).map((part) => ({ part, chars: part.type === 'text' ? part.text.length : 0 }));
      const last = this.#emitted.at(-1);
      if (last && !this.stale) last.chars = from.chars;
      this.#step = this.#emitted.length;
      this.#open = new Set(from.open);
    } else {
      chunks.push({ type: 'start-step' });
    }
  }

  /** Removes withdrawn text: by `reset-step`, if all of it is in the present step; otherwise the message is stale. */
  #withdraw(run: Run, chunks: QuintetChunk[]): void {
    this.#withdrawals = run.withdrawals;
    const differs = this.#emitted.findIndex(({ part, chars }, i) => !continues(run.parts[i], part, chars));
    if (differs < 0) return;
    if (differs >= this.#step) {
      chunks.push({ type: 'reset-step' });
      for (const { part } of this.#emitted.splice(this.#step)) if (part.type === 'call') this.#open.delete(part.call_id);
      this.#text = null;
      this.#status = null; // `data-run` was in the step too
      return;
    }
    this.#close(chunks);
    this.stale = true;
    this.#emitted = this.#emitted.filter(({ part }) => run.parts.some((held) => continues(held, part, Infinity)));
    this.#step = this.#emitted.length;
  }

  /** Emits the results of calls that were emitted as open. */
  #results(run: Run, chunks: QuintetChunk[]): void {
    if (this.#open.size === 0) return;
    for (const part of run.parts) {
      if (part.type !== 'call' || part.status === 'open' || !this.#open.delete(part.call_id)) continue;
      this.#close(chunks);
      chunks.push(...resultOf(run, part, this.#options));
      this.#boundary(run, part, chunks);
    }
  }

  #parts(run: Run, chunks: QuintetChunk[]): void {
    for (let i = Math.max(0, this.#emitted.length - 1); i < run.parts.length; i += 1) {
      const part = run.parts[i] as Part;
      const emitted = this.#emitted[i];
      if (part.type === 'text') this.#emitText(run, i, part, emitted, chunks);
      else if (!emitted) this.#emitCall(run, part, chunks);
    }
  }

  #emitText(run: Run, index: number, part: Extract<Part, { type: 'text' }>, emitted: Emitted | undefined, chunks: QuintetChunk[]): void {
    const delta = part.text.slice(emitted?.chars ?? 0);
    if (emitted) Object.assign(emitted, { part, chars: part.text.length });
    else this.#emitted.push({ part, chars: part.text.length });
    if (delta === '') return;
    const id = `${run.run_id}:${index}`;
    if (part.kind === 'progress') {
      this.#close(chunks);
      if (this.#options.dataParts) chunks.push({ type: 'data-progress', id, data: { text: part.text } });
      return;
    }
    const kind = part.kind === 'answer' ? 'text' : 'reasoning';
    if (this.#text?.index !== index) {
      this.#close(chunks);
      this.#text = { index, kind };
      chunks.push({ type: `${kind}-start`, id });
    }
    chunks.push({ type: `${kind}-delta`, id, delta });
    this.#textId = id;
  }

  #textId = '';

  #emitCall(run: Run, call: Call, chunks: QuintetChunk[]): void {
    this.#close(chunks);
    this.#emitted.push({ part: call, chars: 0 });
    const toolCallId = toolCallIdOf(run, call);
    const approval = call.by === 'client' && this.#options.isApproval(call);
    chunks.push({
      type: 'tool-input-available',
      toolCallId,
      toolName: call.tool_name,
      input: call.parameters,
      dynamic: true,
      ...(call.by === 'agent' ? { providerExecuted: true } : {}),
    });
    if (approval) chunks.push({ type: 'tool-approval-request', toolCallId, approvalId: toolCallId });
    if (call.status === 'open') {
      this.#open.add(call.call_id);
      return;
    }
    if (approval && (call.status === 'ok' || call.status === 'declined')) {
      const reason = call.error === null ? {} : { reason: call.error };
      chunks.push({ type: 'tool-approval-response', approvalId: toolCallId, approved: call.status === 'ok', ...reason });
    }
    chunks.push(...resultOf(run, call, this.#options));
    this.#boundary(run, call, chunks);
  }

  /** Begins a step when no question is open: what follows is not an unanswered tool call of the front end. */
  #boundary(run: Run, call: Call, chunks: QuintetChunk[]): void {
    if (call.by !== 'client') return;
    const waits = run.parts.some((part) => part.type === 'call' && part.by === 'client' && this.#open.has(part.call_id));
    if (waits) return;
    chunks.push({ type: 'finish-step' }, { type: 'start-step' });
    this.#step = this.#emitted.length;
  }

  #close(chunks: QuintetChunk[]): void {
    if (this.#text) chunks.push({ type: `${this.#text.kind}-end`, id: this.#textId });
    this.#text = null;
  }

  #end(run: Run, chunks: QuintetChunk[], finishReason: 'stop' | 'tool-calls' | 'other'): { chunks: QuintetChunk[]; ends: boolean } {
    this.#close(chunks);
    const messageMetadata = metadataOf(run, this.place);
    if (run.error && finishReason !== 'tool-calls') {
      chunks.push({ type: 'message-metadata', messageMetadata }, { type: 'error', errorText: run.error.message });
    } else {
      chunks.push({ type: 'finish-step' }, { type: 'finish', finishReason, messageMetadata });
    }
    return { chunks, ends: true };
  }

  /** The place up to which the run was emitted. */
  get place(): Place {
    const { length } = this.#emitted;
    return { parts: length, chars: this.#emitted.at(-1)?.chars ?? 0, withdrawals: this.#withdrawals, open: [...this.#open] };
  }
}

/** Returns the metadata of a run's message. */
export function metadataOf(run: Run, place: Place): { quintet: QuintetMetadata } {
  const { run_id, status, agent_name, usage, merged_into } = run;
  return { quintet: { run_id, status, agent_name, usage, merged_into, place } };
}

/** Returns the tool call id of a call. A `call_id` is unique within its run alone, and a chat has many runs. */
export function toolCallIdOf(run: Run, call: Call): string {
  return `${run.run_id}:${call.call_id}`;
}

function resultOf(run: Run, call: Call, options: ChunkOptions): QuintetChunk[] {
  const toolCallId = toolCallIdOf(run, call);
  if (call.status === 'ok') return [{ type: 'tool-output-available', toolCallId, output: call.results }];
  if (call.status === 'declined' && call.by === 'client' && options.isApproval(call)) return [{ type: 'tool-output-denied', toolCallId }];
  return [{ type: 'tool-output-error', toolCallId, errorText: call.error ?? call.status }];
}

function continues(now: Part | undefined, before: Part, chars: number): boolean {
  if (now === before) return true;
  if (now?.type === 'call') return before.type === 'call' && now.call_id === before.call_id;
  return before.type === 'text' && now?.kind === before.kind && now.text.startsWith(before.text.slice(0, chars));
}
