// The card of a call that waits for the user (RUN-11): Approve and Decline, a text field, or a form from a JSON Schema.

import { answerFrame, questionOf, readForm } from './questions.js';
import { decode, pretty } from './json.js';
import { el, isBusy, setBusy, setText } from './dom.js';
import { makeFields, rawOf, showProblems } from './view-fields.js';
import { wordsOf } from './schema.js';
import { refusalWords } from './words.js';

/** `act.answer(frame)` sends a `complete_call`; `act.answering(run_id, call_id)` returns it while pending. */
export function makeQuestion(call, act) {
  const question = questionOf(call);
  const id = `call-${call.run_id}-${call.call_id}`;
  const approves = question.kind === 'approve';
  const text = question.kind === 'text' ? el('textarea', { id: `${id}-text`, rows: '1', name: 'text', dir: 'auto', 'aria-label': 'Your answer' }) : null;
  const advanced = makeAdvanced(call, id, approves);
  const form = el(
    'form',
    { class: 'question', 'aria-label': `Answer ${call.tool_name}`, novalidate: true, data: { call: call.call_id, kind: question.kind } },
    el('p', { class: 'question-title', dir: 'auto' }, question.title),
    question.details.length === 0 ? null : el('dl', { class: 'question-details' }, ...question.details.map(makeDetail)),
    text,
    question.fields ? el('div', { class: 'fields' }, ...makeFields(question.fields, id)) : null,
    el('p', { class: 'problem', role: 'alert', hidden: true }),
    el('div', { class: 'question-buttons' },
      el('button', { type: 'submit', class: 'primary', data: { label: approves ? 'Approve' : 'Send answer' } }),
      el('button', { type: 'button', class: 'decline', data: { label: 'Decline' } })),
    advanced,
  );
  const answer = (content) => {
    showProblem(form, '');
    act.answer(answerFrame(call, content));
  };
  const reason = () => form.elements.error.value.trim();

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (isBusy(form.querySelector('.primary'))) return;
    if (advanced.open) answerJson(form, answer, reason());
    else if (text) answerText(form, answer, text);
    else {
      const { values, problems } = readForm(question.fields ?? [], rawOf(form, id));
      if (showProblems(form, id, problems)) answer(approves ? { approved: true, values } : { values });
    }
  });
  form.querySelector('.decline').addEventListener('click', ({ target }) => isBusy(target) || answer({ declined: reason() }));
  advanced.addEventListener('toggle', () => label(form));
  form.addEventListener('keydown', (event) => keepConsent(event, form, approves));
  text?.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  return form;
}

export function updateQuestion(form, call, act) {
  const intent = act.answering(call.run_id, call.call_id);
  form.dataset.pending = intent ? LABELS[intent.state] : '';
  label(form);
  const refusal = act.refusal(call.run_id, call.call_id);
  if (refusal && !intent) showProblem(form, refusalWords(refusal));
}

/** Labels the buttons: what they do, or that the answer is on its way. */
function label(form) {
  const { pending } = form.dataset;
  const isJson = form.querySelector('.advanced').open;
  const [send, decline] = form.querySelectorAll('.question-buttons button');
  setBusy(send, Boolean(pending), pending || (isJson ? 'Send this JSON' : send.dataset.label));
  setBusy(decline, Boolean(pending), decline.dataset.label);
}

function makeDetail([name, value]) {
  const isLine = value === null || typeof value !== 'object';
  return el('div', {}, el('dt', {}, wordsOf(name)),
    isLine ? el('dd', { dir: 'auto' }, String(value)) : el('dd', {}, el('pre', { class: 'json', tabindex: '0', role: 'group', 'aria-label': name, dir: 'ltr' }, pretty(value))));
}

/** The raw answer: a status, JSON, and a reason that *Decline* uses too. */
function makeAdvanced(call, id, approves) {
  const results = el('textarea', { id: `${id}-results`, name: 'results', rows: '2', spellcheck: 'false', dir: 'ltr' });
  results.value = approves ? '{"approved": true}' : '{}';
  const choice = (value, text, checked) => el('label', {}, el('input', { type: 'radio', name: 'status', value, checked }), ` ${text}`);
  return el('details', { class: 'advanced' },
    el('summary', {}, 'Advanced'),
    el('div', { class: 'field' }, el('label', { for: `${id}-error` }, 'Reason, if you decline or report an error'), el('input', { id: `${id}-error`, name: 'error', autocomplete: 'off', dir: 'auto' })),
    el('fieldset', {}, el('legend', {}, 'Status'), choice('ok', 'ok', true), choice('declined', 'declined', false), choice('error', 'error', false)),
    el('div', { class: 'field' }, el('label', { for: results.id }, 'Results (JSON)'), results));
}

/** Enter in a field never presses a button that gives consent (RUN-11): it leads to the button that the field belongs to. */
function keepConsent(event, form, approves) {
  if (event.key !== 'Enter' || event.isComposing || !event.target.matches('input')) return;
  const isReason = event.target === form.elements.error;
  if (!approves && !form.querySelector('.advanced').contains(event.target)) return;
  event.preventDefault();
  form.querySelector(isReason ? '.decline' : '.primary').focus();
}

function answerText(form, answer, text) {
  if (text.value.trim() !== '') return answer({ text: text.value });
  showProblem(form, 'Write an answer, or decline.');
  text.focus();
}

function answerJson(form, answer, error) {
  const { results } = form.elements;
  if (error !== '' && form.elements.status.value === 'ok') {
    showProblem(form, 'A reason belongs to “declined” or “error”.');
    return form.elements.error.focus();
  }
  try {
    const text = results.value.trim();
    answer({ status: form.elements.status.value, results: text === '' ? null : decode(text), error });
    results.removeAttribute('aria-invalid');
  } catch (cause) {
    showProblem(form, `The results are not JSON: ${cause.message}`);
    results.setAttribute('aria-invalid', 'true');
    results.focus();
  }
}

function showProblem(form, text) {
  const problem = form.querySelector(':scope > .problem');
  problem.hidden = text === '';
  setText(problem, text);
}

const LABELS = { waiting: 'Waiting for the connection', sent: 'Sending', held: 'Trying again' };
