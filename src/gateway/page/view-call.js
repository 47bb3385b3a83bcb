// A tool call with its two events, and the form for a call that waits for the user (RUN-11).

import { clip, decode, pretty } from './json.js';
import { el, isBusy, keepingFocus, setBusy, setText, span } from './dom.js';

/** `act.answer(frame)` sends a `complete_call`; `act.answering(run_id, call_id)` returns it while pending. */
export function makeCall(call, origin_ms, act) {
  const opened = el(
    'div',
    { class: 'event', data: { event: 'tool_executing', seq: call.seq } },
    el('span', { class: 'seq' }, String(call.seq)),
    el(
      'div',
      { class: 'event-body' },
      el('span', { class: 'event-name' }, 'tool_executing'),
      ' ',
      el('b', { class: 'tool-name' }, call.tool_name),
      call.by === 'client' ? el('span', { class: 'tag' }, 'for you') : null,
      el('span', { class: 'call-id' }, call.call_id),
    ),
    el('span', { class: 'at' }, `+${span(Math.max(0, call.at - origin_ms))}`),
    el('pre', { class: 'json detail', 'aria-label': 'parameters' }, pretty(call.parameters)),
  );
  const step = el('li', { class: 'step call', data: { call: call.call_id, by: call.by } }, opened);
  if (call.by === 'client' && call.open) step.append(makeForm(call, act));
  return step;
}

export function updateCall(element, call, origin_ms, act) {
  element.dataset.state = call.open ? 'open' : call.result.status;
  if (call.open) {
    updateForm(element.querySelector('form'), call, act);
    return;
  }
  if (element.querySelector('[data-event="tool_completed"]')) return;
  keepingFocus(element, () => element.querySelector('form')?.remove());
  const { result } = call;
  element.append(
    el(
      'div',
      { class: 'event', data: { event: 'tool_completed', seq: result.seq } },
      el('span', { class: 'seq' }, String(result.seq)),
      el(
        'div',
        { class: 'event-body' },
        el('span', { class: 'event-name' }, 'tool_completed'),
        ' ',
        el('span', { class: 'status', data: { status: result.status } }, result.status),
        el('span', { class: 'took' }, `in ${span(result.duration_ms)}`),
      ),
      el('span', { class: 'at' }, `+${span(Math.max(0, result.at - origin_ms))}`),
      el(
        'div',
        { class: 'detail' },
        result.results === null ? null : el('pre', { class: 'json', 'aria-label': 'results' }, pretty(result.results)),
        result.error === null ? null : el('p', { class: 'error-text' }, clip(result.error, ERROR_CHARS_MAX)),
      ),
    ),
  );
}

function makeForm(call, act) {
  const id = `call-${call.run_id}-${call.call_id}`;
  const results = el('textarea', { id: `${id}-results`, rows: '2', spellcheck: 'false', name: 'results' });
  results.value = SUGGESTED[call.tool_name] ?? '{}';
  const error = el('input', { id: `${id}-error`, name: 'error', autocomplete: 'off' });
  const errorRow = el('div', { class: 'field', hidden: true }, el('label', { for: error.id }, 'Error'), error);
  const problem = el('p', { class: 'problem', role: 'alert', hidden: true });
  const choice = (value, label, checked) =>
    el('label', {}, el('input', { type: 'radio', name: 'status', value, checked }), ` ${label}`);

  const form = el(
    'form',
    { class: 'answer-form', 'aria-label': `Answer ${call.tool_name}`, data: { call: call.call_id } },
    el('fieldset', {}, el('legend', {}, 'Your answer'), choice('ok', 'ok', true), choice('declined', 'decline', false), choice('error', 'error', false)),
    el('div', { class: 'field' }, el('label', { for: results.id }, 'Results (JSON)'), results),
    errorRow,
    problem,
    el('button', { type: 'submit', class: 'primary' }, 'Send answer'),
  );
  const status = () => new FormData(form).get('status');
  form.addEventListener('change', () => {
    errorRow.hidden = status() === 'ok';
    setText(errorRow.querySelector('label'), status() === 'declined' ? 'Reason' : 'Error');
  });
  results.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (isBusy(form.querySelector('button'))) return;
    const frame = { type: 'complete_call', run_id: call.run_id, call_id: call.call_id, status: status() };
    try {
      // A refusal has a reason and no results.
      const text = frame.status === 'declined' ? '' : results.value.trim();
      frame.results = text === '' ? null : decode(text);
    } catch (cause) {
      showProblem(form, `The results are not JSON: ${cause.message}`);
      results.setAttribute('aria-invalid', 'true');
      results.focus();
      return;
    }
    results.removeAttribute('aria-invalid');
    if (frame.status === 'error') frame.error = error.value || 'the user reports an error';
    if (frame.status === 'declined' && error.value !== '') frame.error = error.value;
    showProblem(form, '');
    act.answer(frame);
  });
  return form;
}

function updateForm(form, call, act) {
  if (!form) return;
  const intent = act.answering(call.run_id, call.call_id);
  setBusy(form.querySelector('button'), Boolean(intent), intent ? LABELS[intent.state] : 'Send answer');
  const refusal = act.refusal(call.run_id, call.call_id);
  if (refusal && !intent) showProblem(form, `${refusal.code}: ${refusal.message}`);
}

function showProblem(form, text) {
  const problem = form.querySelector('.problem');
  problem.hidden = text === '';
  setText(problem, text);
}

const SUGGESTED = { approve: '{"approved": true}', answer: '{"text": ""}' };
const LABELS = { waiting: 'Waiting for the connection', sent: 'Sending', held: 'Trying again' };
const ERROR_CHARS_MAX = 10_000;
