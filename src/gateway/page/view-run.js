// A turn: the user's message and its run, with state, sequence and timing.

import { answerOf, openCalls, stateOf } from './run.js';
import { clip } from './json.js';
import { clockTime, el, growText, isBusy, keepingFocus, reconcile, setBusy, setText, span } from './dom.js';
import { makeCall, updateCall } from './view-call.js';

export function makeTurn(turn) {
  return el(
    'li',
    { class: 'turn', data: { offset: turn.offset } },
    turn.text === null
      ? el('p', { class: 'muted small' }, 'The message of this run is no longer kept.')
      : el('div', { class: 'message', data: { offset: turn.offset, message: turn.message_id } },
          el('span', { class: 'hidden-visually' }, 'You: '),
          messageText(turn.text)),
    el('article', { class: 'run' }),
  );
}

/** Updates a turn. Does nothing if neither the run nor its pending intents have changed. */
export function updateTurn(element, run, act) {
  const article = element.lastElementChild;
  const pending = act.pendingOf(run.run_id);
  const version = `${run.version} ${pending}`;
  if (article.dataset.version === version) return;
  article.dataset.version = version;
  if (!article.firstChild) build(article, run, act);
  updateRun(article, run, act);
}

/** Draws a message that the log does not show yet. */
export function makeUnsent(intent, act) {
  const { frame } = intent;
  const again = el('button', { type: 'button', class: 'quiet', onclick: () => act.retry(intent.key) }, 'Try again');
  const discard = el('button', { type: 'button', class: 'quiet', onclick: () => act.discard(intent.key) }, 'Discard');
  return el('li', { class: 'turn unsent' },
    el('div', { class: 'message', data: { message: frame.message_id } }, messageText(frame.text)),
    el('p', { class: 'unsent-row' }, el('span', { class: 'unsent-state' }), again, discard));
}

export function updateUnsent(element, intent) {
  element.dataset.state = intent.state;
  const error = intent.error ? `${intent.error.code}: ${intent.error.message}` : '';
  setText(element.querySelector('.unsent-state'), UNSENT[intent.state](error));
  for (const button of element.querySelectorAll('button')) button.hidden = intent.state !== 'refused';
}

function messageText(text) {
  const shown = el('span', { class: 'message-text' }, clip(text, TEXT_CHARS_MAX));
  if (looksLikeScript(text)) shown.classList.add('script-text');
  return shown;
}

/** Rehearsal scripts are displayed as code. */
export function looksLikeScript(text) {
  return /^\s*\{\s*"steps"/.test(text);
}

function build(article, run, act) {
  article.dataset.run = run.run_id;
  article.setAttribute('aria-label', `Run of ${run.agent_name}`);
  article.append(
    el('header', { class: 'run-head' },
      el('span', { class: 'state' }),
      el('b', { class: 'agent-name' }, run.agent_name),
      el('span', { class: 'run-facts muted' }),
      el('button', { type: 'button', class: 'cancel', onclick: ({ target }) => isBusy(target) || act.cancel(run.run_id) }, 'Cancel')),
    el('p', { class: 'skipped muted small', hidden: true }),
    el('ol', { class: 'steps', 'aria-label': 'Events' }),
    el('div', { class: 'answer-text', 'aria-label': 'Answer', hidden: true }),
    el('p', { class: 'problem run-error', hidden: true }),
    el('ul', { class: 'faults', 'aria-label': 'Broken rules' }),
  );
}

function updateRun(article, run, act) {
  const state = stateOf(run);
  article.dataset.state = state;
  const part = (selector) => article.querySelector(`:scope > ${selector}`);

  setText(article.querySelector('.state'), STATES[state] ?? state);
  setText(article.querySelector('.run-facts'), facts(run));
  const cancel = article.querySelector('.cancel');
  const cancelling = act.cancelling(run.run_id);
  if (run.end) keepingFocus(article, () => cancel?.remove());
  else setBusy(cancel, cancelling, cancelling ? 'Cancelling' : 'Cancel');

  const from = Math.max(0, run.steps.length - STEPS_MAX);
  const steps = run.steps.filter((step, index) => index >= from || (step.open && step.by === 'client'));
  const skipped = part('.skipped');
  skipped.hidden = steps.length === run.steps.length;
  setText(skipped, `${run.steps.length - steps.length} earlier steps are not drawn.`);
  const origin = run.started_at ?? run.accepted_at;
  reconcile(part('.steps'), steps, {
    key: (step) => step.index,
    make: (step) => (step.type === 'tool' ? makeCall(step, origin, act) : makeStep(step, origin)),
    update: (element, step) => {
      if (step.type === 'tool') updateCall(element, step, origin, act);
      else if (step.type === 'thinking') updateThinking(element, step);
    },
  });

  const answer = part('.answer-text');
  const text = answerOf(run) ?? '';
  answer.hidden = text === '';
  growText(answer, clip(text, TEXT_CHARS_MAX));
  const problem = part('.run-error');
  problem.hidden = !run.end?.error;
  if (run.end?.error) setText(problem, `${run.end.error.code}: ${run.end.error.message}`);
  reconcile(part('.faults'), run.faults, {
    key: (fault) => run.faults.indexOf(fault),
    make: (fault) => el('li', {}, `${fault.rule}: ${fault.text}`),
    update: () => {},
  });
}

function facts(run) {
  if (run.events === 0) return `accepted ${clockTime(run.accepted_at)}`;
  const events = `${run.events} ${run.events === 1 ? 'event' : 'events'}`;
  const open = openCalls(run).length;
  const parts = [clockTime(run.started_at ?? run.last_at), events];
  if (open > 0) parts.push(`${open} open ${open === 1 ? 'call' : 'calls'}`);
  if (run.end) parts.push(span(run.end.duration_ms));
  if (run.end?.usage) parts.push(`${run.end.usage.input_tokens} + ${run.end.usage.output_tokens} tokens`);
  return parts.join(' · ');
}

function makeStep(step, origin) {
  const after = `+${span(Math.max(0, step.at - origin))}`;
  const row = (name, seq, detail, ...body) =>
    el('div', { class: 'event', data: { event: name, seq } },
      el('span', { class: 'seq' }, String(seq)),
      el('div', { class: 'event-body' }, el('span', { class: 'event-name' }, name), ' ', ...body),
      el('span', { class: 'at' }, after),
      detail);
  switch (step.type) {
    case 'started':
      return el('li', { class: 'step started' }, row('agent_started', step.seq, ''));
    case 'thinking':
      return el('li', { class: `step thinking ${step.kind}` },
        row('agent_thinking', step.seq,
          step.kind === 'answer' ? '' : el('p', { class: 'thought detail' }),
          el('span', { class: 'kind' }, step.kind), el('span', { class: 'notes muted' })));
    default:
      return el('li', { class: 'step completed' },
        row('agent_completed', step.seq, '',
          el('span', { class: 'status', data: { status: step.status } }, step.status)));
  }
}

function updateThinking(element, step) {
  if (element.dataset.version === String(step.version)) return;
  element.dataset.version = step.version;
  element.dataset.withdrawn = step.withdrawn;
  const range = step.last_seq === step.seq ? String(step.seq) : `${step.seq}–${step.last_seq}`;
  setText(element.querySelector('.seq'), range);
  element.querySelector('.event').dataset.lastSeq = step.last_seq;
  const lasting = step.until > step.at ? `over ${span(step.until - step.at)}` : '';
  const notes = [lasting, step.restarted && 'starts over', step.withdrawn && 'withdrawn'].filter(Boolean);
  setText(element.querySelector('.notes'), notes.join(' · '));
  const thought = element.querySelector('.thought');
  if (thought) growText(thought, clip(step.text, THOUGHT_CHARS_MAX));
}

const STATES = {
  queued: 'queued',
  started: 'started',
  thinking: 'thinking',
  tools: 'tools running',
  waiting: 'waiting for you',
  succeeded: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
  timed_out: 'timed out',
  interrupted: 'interrupted',
  merged: 'read by the answer above',
};

const UNSENT = {
  waiting: () => 'Waiting for the connection',
  sent: () => 'Sending',
  accepted: () => 'Accepted',
  held: (error) => `Trying again (${error})`,
  refused: (error) => `Refused (${error})`,
};

/** Maximum number of steps drawn per run: the latest, plus every call that waits for the user. */
const STEPS_MAX = 200;
const THOUGHT_CHARS_MAX = 20_000;
const TEXT_CHARS_MAX = 200_000;
