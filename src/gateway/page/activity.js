// What a run did, in one line.
//
// Pure: reads a run, returns text.

import { callsOf, hasEnded } from './quintet.js';
import { openCalls } from './run.js';

/** Whether the run did anything besides answering. */
export function hasActivity(run) {
  return run.parts.some((part) => part.type === 'call' || part.kind !== 'answer') || (run.folded === true && run.status !== 'merged');
}

/** Whether the run is busy with anything other than its answer: the line is open then. */
export function isWorking(run) {
  if (hasEnded(run)) return false;
  const last = run.parts.at(-1);
  return openCalls(run).some((call) => call.by === 'agent') || (last?.type === 'text' && last.kind !== 'answer');
}

const isReasoning = (run) => !hasEnded(run) && run.parts.at(-1)?.kind === 'reasoning';

/** Returns the line: `Reasoned · used calculate, current_time · asked you`. */
export function activityLine(run) {
  const calls = callsOf(run);
  const tools = calls.filter((call) => call.by === 'agent');
  const parts = [
    run.parts.some((part) => part.type === 'text' && part.kind === 'reasoning') && (isReasoning(run) ? 'reasoning' : 'reasoned'),
    used(tools.filter(({ status }) => status !== 'open'), 'used'),
    used(tools.filter(({ status }) => status === 'open'), 'using'),
    asked(calls.filter((call) => call.by === 'client').length),
    failed(tools.filter(({ status }) => FAILURES.includes(status)).length),
  ];
  const line = parts.filter(Boolean).join(' · ') || (run.folded ? 'steps' : 'worked');
  return line[0].toUpperCase() + line.slice(1);
}

function used(tools, verb) {
  const names = [...new Set(tools.map((call) => call.tool_name))];
  if (names.length === 0) return '';
  return names.length <= NAMES_MAX ? `${verb} ${names.join(', ')}` : `${verb} ${tools.length} tools`;
}

const asked = (count) => count > 0 && (count === 1 ? 'asked you' : `asked you ${count} questions`);
const failed = (count) => count > 0 && `${count} failed`;

/** Returns the latest report of progress since the run's last other step, or null. */
export function progressOf(run) {
  const last = run.parts.findLast((part) => part.type === 'text' || part.status === 'open');
  return !hasEnded(run) && last?.type === 'text' && last.kind === 'progress' ? last.text.trim().split('\n').at(-1) : null;
}

/** Returns the parameters of a call in a few words. */
export function parametersLine(parameters) {
  const words = Object.entries(parameters ?? {}).map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const line = words.join(', ').replaceAll(/\s+/g, ' ');
  return line.length > LINE_CHARS_MAX ? `${line.slice(0, LINE_CHARS_MAX)}…` : line;
}

const FAILURES = ['error', 'timed_out', 'unknown'];
const NAMES_MAX = 3;
const LINE_CHARS_MAX = 120;
