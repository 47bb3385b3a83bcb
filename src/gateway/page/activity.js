// What a run did, in one line.
//
// Pure: reads a run, returns text.

import { openCalls } from './run.js';

/** Whether the run did anything besides answering. */
export function hasActivity(run) {
  return run.calls.size > 0 || run.steps.some((step) => step.type === 'thinking' && step.kind !== 'answer');
}

/** Whether the run is busy with anything other than its answer: the line is open then. */
export function isWorking(run) {
  if (run.end) return false;
  const last = run.steps.at(-1);
  return openCalls(run).some((call) => call.by === 'agent') || (last?.type === 'thinking' && last.kind !== 'answer');
}

const isReasoning = (run) => !run.end && run.steps.at(-1)?.kind === 'reasoning';

/** Returns the line: `Reasoned · used calculate, current_time · asked you`. */
export function activityLine(run) {
  const calls = [...run.calls.values()];
  const tools = calls.filter((call) => call.by === 'agent');
  const parts = [
    run.steps.some((step) => step.type === 'thinking' && step.kind === 'reasoning') && (isReasoning(run) ? 'reasoning' : 'reasoned'),
    used(tools.filter((call) => !call.open), 'used'),
    used(tools.filter((call) => call.open), 'using'),
    asked(calls.filter((call) => call.by === 'client').length),
    failed(tools.filter((call) => call.result && FAILURES.includes(call.result.status)).length),
  ];
  const line = parts.filter(Boolean).join(' · ') || 'worked';
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
  const last = run.steps.findLast((step) => step.type !== 'tool' || step.open);
  return !run.end && last?.type === 'thinking' && last.kind === 'progress' && !last.withdrawn ? last.text.trim().split('\n').at(-1) : null;
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
