// The page as a whole: draws the log, outbox and connection. Keeps no state besides the DOM.

import { activeRun } from './log.js';
import { stateOf } from './run.js';
import { byId, el, reconcile, setText } from './dom.js';
import { QUESTIONS, REHEARSALS } from './scripts.js';
import { looksLikeScript, makeTurn, makeUnsent, updateTurn, updateUnsent } from './view-run.js';
import { drawFacts, phaseText } from './view-wire.js';

/** Draws everything. `app` is only read; `act` has the actions of the elements. */
export function draw(app, act) {
  byId('login').hidden = app.session !== null;
  byId('app').hidden = app.session === null;
  if (app.session === null) return;
  setText(byId('user'), app.session.user_id);
  setTitle(app);
  drawConnection(app);
  drawThreads(app, act);
  drawConversation(app, act);
  if (!byId('wire').hidden) {
    drawFacts({ ...app, state: app.connection.state, expires_at: app.session.expires_at });
    app.frames.draw();
  }
}

function setTitle(app) {
  const title = `${app.session.user_id} · Quintet`;
  if (document.title !== title) document.title = title;
}

function drawConnection({ connection, log }) {
  const { state } = connection;
  const pill = byId('connection');
  pill.dataset.phase = state.phase;
  setText(pill, phaseText(state, log));
  const dropped = state.phase === 'disconnected';
  setEnabled(byId('drop'), !dropped, byId('resume'));
  setEnabled(byId('resume'), dropped || state.phase === 'waiting', byId('drop'));
}

/** Moves the focus from a button that gets disabled to its counterpart. */
function setEnabled(button, enabled, counterpart) {
  if (button.disabled === !enabled) return;
  const focused = document.activeElement === button;
  button.disabled = !enabled;
  if (focused && !enabled) {
    counterpart.disabled = false;
    counterpart.focus();
  }
}

function drawThreads(app, act) {
  const threads = [...app.log.threads.values()].sort((a, b) => b.first_offset - a.first_offset);
  if (!app.log.threads.has(app.thread_id)) threads.unshift({ thread_id: app.thread_id, title: null });
  reconcile(byId('thread-list'), threads, {
    key: (thread) => thread.thread_id,
    make: ({ thread_id }) =>
      el('li', {}, el('button', { type: 'button', class: 'thread', data: { thread: thread_id }, onclick: () => act.open(thread_id) },
        el('span', { class: 'thread-name' }), el('span', { class: 'thread-id' }, thread_id))),
    update: (item, thread) => {
      const button = item.firstChild;
      const run = activeRun(app.log, thread.thread_id);
      button.dataset.state = run ? stateOf(run) : 'idle';
      if (thread.thread_id === app.thread_id) button.setAttribute('aria-current', 'true');
      else button.removeAttribute('aria-current');
      setText(button.firstChild, titleOf(thread));
    },
  });
}

function titleOf({ title, turns }) {
  if (!title) return turns ? 'Earlier conversation' : 'New conversation';
  if (!looksLikeScript(title)) return title.slice(0, TITLE_CHARS_MAX);
  return REHEARSALS.find((script) => script.text === title)?.name ?? 'Rehearsal';
}

function drawConversation(app, act) {
  const { log, outbox, thread_id } = app;
  const scroll = byId('scroll');
  const turnsElement = byId('turns');
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_PX;
  const changed = turnsElement.dataset.thread !== thread_id;
  if (changed) {
    turnsElement.replaceChildren();
    turnsElement.dataset.thread = thread_id;
  }
  const thread = log.threads.get(thread_id);
  setText(byId('thread-title'), thread_id);
  const turns = thread?.turns ?? [];
  const hidden = Math.max(0, turns.length - app.turns_shown);
  const earlier = byId('earlier');
  earlier.hidden = hidden === 0;
  setText(earlier, `Show earlier messages (${hidden})`);
  reconcile(turnsElement, turns.slice(hidden), {
    key: (turn) => turn.offset,
    make: makeTurn,
    update: (element, turn) => updateTurn(element, log.runs.get(turn.run_id), act),
  });
  const unsent = [...outbox.values()].filter(
    ({ frame }) => frame.type === 'send_message' && frame.thread_id === thread_id && !log.messages.has(frame.message_id),
  );
  reconcile(byId('unsent'), unsent, {
    key: (intent) => intent.key,
    make: (intent) => makeUnsent(intent, act),
    update: updateUnsent,
  });
  byId('welcome').hidden = turns.length > 0 || unsent.length > 0 || !log.caught_up;
  if (changed || atEnd) scroll.scrollTop = scroll.scrollHeight;
}

/** Fills static content: the list of scripts and the suggestions of an empty thread. */
export function prepare(act) {
  const group = (label, entries, offset) =>
    el('optgroup', { label }, ...entries.map((entry, index) => el('option', { value: String(offset + index) }, entry.name)));
  byId('script').append(
    el('option', { value: '' }, 'choose …'),
    group('Questions for the assistant', QUESTIONS, 0),
    group('Rehearsals', REHEARSALS, QUESTIONS.length),
  );
  byId('suggestions').append(
    ...[...QUESTIONS.slice(0, 2), ...REHEARSALS.slice(0, 1), REHEARSALS[3], REHEARSALS[4]].map((entry) =>
      el('button', { type: 'button', class: 'suggestion', onclick: () => act.send(entry) },
        el('span', {}, entry.name), el('span', { class: 'muted small' }, entry.agent_name))),
  );
}

/** Fills the list of agents, the default one first. */
export function showAgents(agents) {
  const select = byId('agent');
  const chosen = select.value;
  const sorted = agents.toSorted((a, b) => Number(b.default) - Number(a.default));
  select.replaceChildren(
    ...sorted.map(({ agent_name, description }) => el('option', { value: agent_name, title: description }, agent_name)),
  );
  if (sorted.some(({ agent_name }) => agent_name === chosen)) select.value = chosen;
}

/** Announces text to screen readers. */
export function announce(text) {
  setText(byId('announcer'), text);
}

/** Shows a problem that concerns no single element; empty text hides it. */
export function notice(text) {
  const element = byId('notice');
  element.hidden = text === '';
  setText(element, text);
}

const TITLE_CHARS_MAX = 80;
/** Distance from the end, in pixels, within which the view scrolls along with new content. */
const NEAR_PX = 80;
