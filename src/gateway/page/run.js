// What a view reads from a run of the package: its state, its open calls, its steps.
//
// Pure.

import { callsOf, hasEnded } from './quintet.js';

/** Returns `queued`, `started`, `thinking`, `tools`, `waiting` (for the user), or the final status. */
export function stateOf(run) {
  if (run.status === 'waiting') return 'queued';
  if (hasEnded(run)) return run.status;
  const open = openCalls(run);
  if (open.some(({ by }) => by === 'client')) return 'waiting';
  if (open.length > 0) return 'tools';
  return run.parts.length > 0 ? 'thinking' : 'started';
}

export function openCalls(run) {
  return callsOf(run).filter(({ status }) => status === 'open');
}

/** Returns what the run did besides answering, as steps without the numbers and times of their events. */
export function stepsOf(run) {
  return run.parts
    .map((part, index) => (part.type === 'call' ? callStep(part, index) : { type: 'thinking', index, kind: part.kind, text: part.text, version: part.text.length }))
    .filter((step) => step.type === 'tool' || step.kind !== 'answer');
}

function callStep(call, index) {
  const { status, results, error, duration_ms } = call;
  const open = status === 'open';
  return { ...call, type: 'tool', index, open, result: open ? null : { status, results, error, duration_ms } };
}
