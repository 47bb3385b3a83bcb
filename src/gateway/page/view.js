// The page as a whole: draws the log, the outbox and the connection. The only state besides the DOM is what the reader
// looks at: whether the view follows the end of the conversation.

import { byId, reconcile, setText, showFilled } from './dom.js';
import { pathOf } from './branches.js';
import { dayOf, titleOf } from './threads.js';
import { makeTurn, makeUnsent, updateTurn, updateUnsent } from './view-run.js';
import { drawThreads } from './view-threads.js';
import { connectionWords, drawFacts } from './view-wire.js';

/** Draws everything. `app` is only read; `act` has the actions of the elements. */
export function draw(app, act) {
  byId('login').hidden = app.session !== null;
  byId('app').hidden = app.session === null;
  if (app.session === null) return;
  const { user_id } = app.session;
  setText(byId('user'), user_id);
  setText(byId('user-mark'), [...user_id][0].toUpperCase());
  drawConnection(app);
  byId('app').dataset.events = app.events ? 'on' : 'off';
  // While a first log is read, its runs would flash by as queued.
  byId('loading').hidden = app.shown;
  byId('loading-progress').max = Math.max(1, app.log.head);
  byId('loading-progress').value = app.log.offset;
  if (app.shown) {
    drawThreads(app, act);
    drawConversation(app, act);
    app.composer.draw(app);
  }
  const title = `${app.waiting > 0 ? `(${app.waiting}) ` : ''}${byId('thread-title').textContent} · ${user_id} · Quintet`;
  if (document.title !== title) document.title = title;
  if (!byId('wire').hidden) {
    drawFacts({ ...app, state: app.connection.state, expires_at: app.session.expires_at });
    app.frames.draw();
  }
}

function drawConnection({ connection }) {
  const { state } = connection;
  const pill = byId('connection');
  pill.dataset.phase = state.phase;
  setText(pill, connectionWords(state));
  byId('drop').disabled = state.phase === 'disconnected';
  const resume = byId('resume');
  const offered = (state.phase === 'disconnected' && state.why !== 'start') || state.phase === 'waiting';
  if (!offered && document.activeElement === resume) byId('text').focus();
  resume.hidden = !offered;
}

function drawConversation(app, act) {
  const { log, outbox, thread_id } = app;
  const scroll = byId('scroll');
  const turnsElement = byId('turns');
  const changed = turnsElement.dataset.thread !== thread_id;
  if (changed) {
    turnsElement.replaceChildren();
    turnsElement.dataset.thread = thread_id;
    view.follows = true;
  }
  const thread = log.threads.get(thread_id);
  const path = pathOf(thread, app.branches.get(thread_id));
  setText(byId('thread-title'), titleOf(thread ?? { title: null }));
  setText(byId('thread-id'), thread_id);
  const hidden = Math.max(0, path.length - app.turns_shown);
  const earlier = byId('earlier');
  earlier.hidden = hidden === 0;
  if (hidden > 0) setText(earlier, `Show earlier messages (${hidden})`);
  reconcile(turnsElement, path.slice(hidden), {
    key: ({ turn }) => turn.offset,
    make: (step) => makeTurn(step.turn, dayBefore(path, step), act),
    update: (element, step) => updateTurn(element, step, log.runs.get(step.turn.run_id), { act, events: app.events }),
  });
  showFilled(turnsElement);
  const unsent = [...outbox.values()].filter(
    ({ frame }) => frame.type === 'send_message' && frame.thread_id === thread_id && !log.messages.has(frame.message_id),
  );
  reconcile(byId('unsent'), unsent, {
    key: (intent) => intent.key,
    make: (intent) => makeUnsent(intent, act),
    update: updateUnsent,
  });
  showFilled(byId('unsent'));
  byId('welcome').hidden = path.length > 0 || unsent.length > 0;
  if (view.follows) scroll.scrollTop = scroll.scrollHeight;
  drawLatest();
}

/** Returns the day of a turn if it differs from that of the turn before; today's first turn needs none. */
function dayBefore(path, step) {
  const now = Date.now();
  const before = path[path.indexOf(step) - 1];
  const day = dayOf(step.turn.at, now);
  return day === (before ? dayOf(before.turn.at, now) : 'Today') ? null : day;
}

/** Whether the view follows the end of the conversation: yes, until the reader scrolls up. */
const view = { follows: true };

/** Scrolls to the end, and follows it from now on. */
export function follow() {
  view.follows = true;
  const scroll = byId('scroll');
  scroll.scrollTop = scroll.scrollHeight;
  drawLatest();
}

/** Leaves the view where it is when content is added below. */
export function stay() {
  view.follows = false;
}

const fromEnd = (scroll) => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight;

function drawLatest() {
  byId('latest').hidden = view.follows || fromEnd(byId('scroll')) < LATEST_PX;
}

/** Shows more turns above, with the view kept where it is. */
export function growUpwards(change) {
  const scroll = byId('scroll');
  const below = scroll.scrollHeight - scroll.scrollTop;
  stay();
  scroll.style.overflowAnchor = 'none';
  change();
  scroll.scrollTop = scroll.scrollHeight - below;
  scroll.style.overflowAnchor = '';
}

/** `act.earlier()` shows more turns. */
export function listenScroll(act) {
  const scroll = byId('scroll');
  scroll.addEventListener('scroll', () => {
    view.follows = fromEnd(scroll) < NEAR_PX;
    drawLatest();
  });
  new ResizeObserver(() => view.follows && follow()).observe(scroll);
  byId('latest').addEventListener('click', () => {
    follow();
    byId('text').focus();
  });
  byId('earlier').addEventListener('click', act.earlier);
  new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && act.earlier(), { root: scroll }).observe(byId('earlier'));
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

/** Distance from the end, in pixels, within which the view follows new content. */
const NEAR_PX = 24;
const LATEST_PX = 160;
