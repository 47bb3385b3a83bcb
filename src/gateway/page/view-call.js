// A tool call within a run's activity: one line, with parameters and results on demand.

import { parametersLine } from './activity.js';
import { answeredWords } from './questions.js';
import { clip, pretty } from './json.js';
import { el, icon, setText, span } from './dom.js';
import { eventRow } from './view-event.js';

export function makeCall(call, origin_ms) {
  return el(
    'li',
    { class: 'step call', data: { call: call.call_id, by: call.by } },
    eventRow('tool_executing', call.seq, call.at - origin_ms,
      el('b', { class: 'tool-name' }, call.tool_name), el('span', { class: 'call-id' }, call.call_id)),
    el('details', { class: 'tool' },
      el('summary', {},
        el('span', { class: 'tool-mark' }),
        el('span', { class: 'tool-line' },
          el('b', {}, call.tool_name), ' ',
          el('span', { class: 'muted', dir: 'auto' }, parametersLine(call.parameters))),
        el('span', { class: 'took' })),
      el('div', { class: 'tool-body' }, ...json('Parameters', call.parameters))),
  );
}

export function updateCall(element, call, origin_ms, isOpen) {
  const state = call.open ? 'open' : call.result.status;
  const details = element.querySelector('details');
  if (isOpen) details.open = true;
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.querySelector('.tool-mark').replaceChildren(icon(MARKS[state] ?? 'cross'));
  if (call.open) {
    setText(element.querySelector('.took'), call.by === 'client' ? 'waits for you' : 'running');
    return;
  }
  const { result } = call;
  const took = [call.by === 'client' ? answeredWords(call) : WORDS[state], span(result.duration_ms)].filter(Boolean).join(' · ');
  setText(element.querySelector('.took'), took);
  const body = details.lastElementChild;
  if (result.results !== null) body.append(...json('Results', result.results));
  if (result.error !== null) {
    body.append(el('p', { class: 'label' }, 'Error'), el('p', { class: 'error-text', dir: 'auto' }, clip(result.error, ERROR_CHARS_MAX)));
  }
  if (result.seq !== undefined) element.append(eventRow('tool_completed', result.seq, result.at - origin_ms,
    el('span', { class: 'status', data: { status: result.status } }, result.status)));
}

function json(label, value) {
  return [el('p', { class: 'label' }, label), el('pre', { class: 'json', tabindex: '0', role: 'group', 'aria-label': label, dir: 'ltr' }, pretty(value))];
}

const MARKS = { open: 'busy', ok: 'check' };
const WORDS = { error: 'failed', declined: 'declined', timed_out: 'took too long', cancelled: 'stopped', unknown: 'outcome unknown' };
const ERROR_CHARS_MAX = 10_000;
