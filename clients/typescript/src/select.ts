// Selectors: the values that views derive from the state. Pure.

import type { Conversations, Thread } from './conversation.js';
import { hasEnded, type Call, type Run, type TextPart } from './run.js';

/** Returns the final response, or the part of the answer that has arrived. */
export function answerOf(run: Run): string {
  return run.final_response ?? textOf(run, 'answer');
}

/** Returns all text of one kind. */
export function textOf(run: Run, kind: TextPart['kind']): string {
  return run.parts.map((part) => (part.type === 'text' && part.kind === kind ? part.text : '')).join('');
}

/** Returns the calls of a run, oldest first. */
export function callsOf(run: Run): Call[] {
  return run.parts.filter((part) => part.type === 'call');
}

/** Returns the active run of a thread, or the first that waits; null if all have ended (RUN-8). */
export function openRun(thread: Thread): Run | null {
  return thread.runs.find((run) => run.status === 'active') ?? thread.runs.find((run) => !hasEnded(run)) ?? null;
}

/** A call that waits for the user's answer (RUN-11). */
export interface Question {
  /** The run that waits. */
  readonly run: Run;
  /** The open call. */
  readonly call: Call;
}

/** Returns the calls that wait for an answer of the user, of one thread or of all. */
export function openQuestions(of: Conversations | Thread): Question[] {
  if ('threads' in of) return [...of.threads.values()].flatMap(openQuestions);
  return of.runs
    .filter((run) => run.status === 'active')
    .flatMap((run) =>
      callsOf(run)
        .filter((call) => call.by === 'client' && call.status === 'open')
        .map((call) => ({ run, call })),
    );
}
