// A turn: the user's message, and the run that answers it.

import { answerOf, hasEnded, placeOf } from './quintet.js';
import { openCalls, stateOf } from './run.js';
import { clip } from './json.js';
import { copyButton, el, icon, isBusy, keepingFocus, reconcile, setBusy, setText, showFilled, span } from './dom.js';
import { MarkdownView } from './markdown-view.js';
import { progressOf } from './activity.js';
import { scriptName, timeOfDay } from './threads.js';
import { STATES, endWords, mayRetry, refusalWords } from './words.js';
import { makeActivity, updateActivity } from './view-activity.js';
import { makeQuestion, updateQuestion } from './view-question.js';

/** The Markdown view of each run's article. */
const answers = new WeakMap();


export function makeTurn(run, act) {
  const { message } = run;
  return el(
    'li',
    { class: 'turn', data: { offset: placeOf(run) } },
    el('p', { class: 'day muted small', hidden: true }),
    message === null
      ? el('p', { class: 'muted small' }, 'The message of this run is no longer kept.')
      : el('div', { class: 'message-row' }, messageActions(run, act), makeMessage(message.text, { offset: message.offset, message: message.message_id })),
    makeVersions(run, act),
    el('article', { class: 'run' }),
  );
}

/** Updates a turn. Does nothing if neither the run, its pending intents nor the way of drawing have changed. */
export function updateTurn(element, { run, versions, day }, { act, trace }) {
  element.firstElementChild.hidden = day === null;
  if (day !== null) setText(element.firstElementChild, day);
  updateVersions(element.querySelector('.versions'), placeOf(run), versions);
  const article = element.lastElementChild;
  const version = `${trace?.version} ${act.pendingOf(run.run_id)} ${article.dataset.touched}`;
  const held = drawn.get(article);
  drawn.set(article, { run, version });
  if (held?.run === run && held.version === version) return;
  if (!article.firstChild) build(article, run, act);
  updateRun(article, run, act, trace);
}

/** The run that each article shows, and all else that it shows. */
const drawn = new WeakMap();

/** The buttons beside a message. Further actions on a message belong here. */
function messageActions(run, act) {
  return el('div', { class: 'actions' },
    copyButton('Copy message', () => run.message.text),
    actionButton('Edit message', 'edit', () => act.editTurn(run)));
}

/** The buttons below an answer. Further actions on an answer belong here. */
function answerActions(article, run, act) {
  const again = run.message === null ? null : actionButton('Answer again', 'again', () => act.again(drawn.get(article).run));
  return el('span', { class: 'actions' }, copyButton('Copy answer', () => answerOf(drawn.get(article).run)), again);
}

function actionButton(label, name, onclick) {
  return el('button', { type: 'button', class: 'quiet copy', 'aria-label': label, title: label, onclick }, icon(name));
}

/** The versions of a message, made by editing it or by asking again: `‹ 2 of 3 ›`. */
function makeVersions(run, act) {
  const move = (step) => () => {
    const { offsets } = versionsOf.get(versions);
    const offset = offsets[offsets.indexOf(placeOf(run)) + step];
    if (offset !== undefined) act.branch(offset);
  };
  const versions = el('div', { class: 'versions', role: 'group', 'aria-label': 'Versions of this message', hidden: true },
    actionButton('Previous version', 'back', move(-1)), el('span', { class: 'muted small' }), actionButton('Next version', 'forth', move(1)));
  return versions;
}

function updateVersions(element, own, offsets) {
  if (versionsOf.get(element)?.offsets.length === offsets.length) return;
  versionsOf.set(element, { offsets });
  const place = offsets.indexOf(own);
  element.hidden = offsets.length < 2;
  setText(element.querySelector('span'), `${place + 1} of ${offsets.length}`);
  element.firstElementChild.disabled = place === 0;
  element.lastElementChild.disabled = place === offsets.length - 1;
}

/** The offsets that each group of versions shows. */
const versionsOf = new WeakMap();

function makeMessage(text, data) {
  const name = scriptName(text);
  const shown = clip(text, TEXT_CHARS_MAX);
  return el('div', { class: 'message', data },
    el('span', { class: 'hidden-visually' }, 'You: '),
    name === null
      ? el('span', { class: 'message-text', dir: 'auto' }, shown)
      : el('details', { class: 'script' },
          el('summary', {}, `Script: ${name}`),
          el('code', { class: 'message-text script-text', dir: 'ltr' }, shown)));
}

function build(article, run, act) {
  article.dataset.run = run.run_id;
  article.setAttribute('aria-label', `Answer of ${run.agent_name}`);
  const answer = el('div', { class: 'answer-text', hidden: true });
  answers.set(article, new MarkdownView(answer));
  article.append(
    el('header', { class: 'run-head' },
      el('h2', { class: 'agent-name' }),
      el('span', { class: 'state' }),
      el('button', { type: 'button', class: 'cancel', onclick: ({ target }) => isBusy(target) || act.cancel(run.run_id) }, 'Cancel')),
    makeActivity((isOpen) => {
      article.dataset.touched = Number(article.dataset.touched ?? 0) + 1;
      act.redraw(drawn.get(article).run, isOpen);
    }),
    answer,
    el('div', { class: 'questions', hidden: true }),
    el('div', { class: 'run-note', hidden: true }, el('p'), el('p', { class: 'run-error' })),
    el('footer', { class: 'run-foot' }, el('span', { class: 'run-facts muted' }), answerActions(article, run, act)),
    el('ul', { class: 'faults', 'aria-label': 'Broken rules', hidden: true }),
  );
}

function updateRun(article, run, act, trace) {
  const isOver = hasEnded(run);
  const part = (selector) => article.querySelector(selector);
  const state = stateOf(run);
  article.dataset.state = state;
  setText(part('.agent-name'), run.agent_name);
  setText(part('.state'), isOver ? '' : (progressOf(run) ?? STATES[state]));
  const cancel = part('.cancel');
  if (isOver || state !== 'queued') keepingFocus(article, () => cancel?.remove());
  else setBusy(cancel, act.cancelling(run.run_id), act.cancelling(run.run_id) ? 'Cancelling' : 'Cancel');

  updateActivity(part('.activity'), run, trace);

  const text = clip(answerOf(run) ?? '', TEXT_CHARS_MAX);
  part('.answer-text').hidden = text === '';
  answers.get(article).update(text, !isOver);

  const questions = part('.questions');
  keepingFocus(article, () => reconcile(questions, isOver ? [] : openCalls(run).filter((call) => call.by === 'client'), {
    key: (call) => call.call_id,
    make: (call) => makeQuestion({ ...call, run_id: run.run_id }, act),
    update: (form, call) => updateQuestion(form, { ...call, run_id: run.run_id }, act),
  }));
  showFilled(questions);

  updateEnd(article, run, text);
  const faults = trace?.faults ?? [];
  reconcile(part('.faults'), faults, {
    key: (fault) => faults.indexOf(fault),
    make: (fault) => el('li', {}, `${fault.rule}: ${fault.text}`),
    update: () => {},
  });
  showFilled(part('.faults'));
}

function updateEnd(article, run, text) {
  const isOver = hasEnded(run);
  const words = isOver ? endWords(run) : null;
  const note = article.querySelector('.run-note');
  note.hidden = words === null;
  if (words) {
    note.dataset.failure = words.isFailure;
    setText(note.firstElementChild, words.text);
    setText(note.lastElementChild, words.detail);
    note.lastElementChild.hidden = words.detail === '';
  }
  const foot = article.querySelector('.run-foot');
  foot.hidden = !isOver;
  if (!isOver) return;
  foot.querySelector('.actions .copy').hidden = text === '';
  foot.querySelector('.actions').hidden = run.status === 'merged';
  const facts = foot.querySelector('.run-facts');
  const { usage, duration_ms } = run;
  const tokens = usage ? `${(usage.input_tokens + usage.output_tokens).toLocaleString()} tokens` : '';
  setText(facts, [timeOfDay(run.last_at), duration_ms === null ? '' : span(duration_ms), tokens].filter(Boolean).join(' · '));
  facts.title = usage ? `${usage.input_tokens} tokens read, ${usage.output_tokens} tokens written` : '';
}

/** Draws a message that the log does not show yet. */
export function makeUnsent(intent, act) {
  const { frame } = intent;
  const button = (text, name, action) => el('button', { type: 'button', class: 'quiet', data: { action: name }, onclick: () => action(intent.key) }, text);
  return el('li', { class: 'turn unsent' },
    el('div', { class: 'message-row' }, makeMessage(frame.text, { message: frame.message_id })),
    el('p', { class: 'unsent-row' }, el('span', { class: 'unsent-state' }),
      button('Try again', 'retry', act.retry), button('Edit', 'edit', act.edit), button('Discard', 'discard', act.discard)));
}

export function updateUnsent(element, intent) {
  element.dataset.state = intent.state;
  setText(element.querySelector('.unsent-state'), UNSENT[intent.state](intent.error));
  for (const button of element.querySelectorAll('button')) {
    button.hidden = intent.state !== 'refused' || (button.dataset.action === 'retry' && !mayRetry(intent.error?.code));
  }
}

const UNSENT = {
  waiting: () => 'Waiting for the connection',
  sent: () => 'Sending',
  accepted: () => 'Accepted',
  held: (error) => `Trying again. ${refusalWords(error)}`,
  refused: (error) => `Not sent. ${refusalWords(error)}`,
};

const TEXT_CHARS_MAX = 200_000;
