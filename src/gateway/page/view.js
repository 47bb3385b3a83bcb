// The page as a whole: draws the history, the intents and the connection. The only state besides the DOM is what the
// reader looks at: whether the view follows the end of the conversation.

import { pathOf, placeOf } from './quintet.js';
import { byId, reconcile, setText, showFilled } from './dom.js';
import { dayOf, titleOf } from './threads.js';
import { makeTurn, makeUnsent, updateTurn, updateUnsent } from './view-run.js';
import { drawThreads } from './view-threads.js';
import { connectionWords, drawFacts, drawFrames, phaseOf } from './view-wire.js';

/** Draws everything. `app` is only read; `act` has the actions of the elements. */
export function draw(app, act) {
  byId('login').hidden = app.session !== null;
  byId('app').hidden = app.session === null;
  if (app.session === null || app.client === null) return;
  const { user_id } = app.session;
  setText(byId('user'), user_id);
  setText(byId('user-mark'), [...user_id][0].toUpperCase());
  drawConnection(app);
  byId('app').dataset.events = app.traces.isOn ? 'on' : 'off';
  drawThreads(app, act);
  drawConversation(app, act);
  app.composer.draw(app, act.openRun());
  drawTitle(app);
  if (!byId('wire').hidden) {
    drawFacts({ wire: app.wire, state: app.client.state, resets: app.client.snapshot.resets, expires_at: app.session.expires_at });
    drawFrames(app.wire);
  }
  if (app.sought !== null && isLoaded(app)) act.seek();
}

const isLoaded = ({ history, thread_id }) => history.state.opened.get(thread_id)?.isLoaded === true;

function drawTitle({ history, session }) {
  const { size } = history.state.waiting;
  const title = `${size > 0 ? `(${size}) ` : ''}${byId('thread-title').textContent} · ${session.user_id} · Quintet`;
  if (document.title !== title) document.title = title;
}

function drawConnection({ client }) {
  const { state } = client;
  const phase = phaseOf(state);
  const pill = byId('connection');
  pill.dataset.phase = phase;
  setText(pill, connectionWords(state));
  byId('drop').disabled = phase === 'disconnected';
  const resume = byId('resume');
  const offered = state.phase === 'closed' || state.phase === 'waiting';
  if (!offered && document.activeElement === resume) byId('text').focus();
  resume.hidden = !offered;
}

function drawConversation(app, act) {
  const { history, thread_id } = app;
  const summary = history.state.threads.get(thread_id);
  const opened = history.state.opened.get(thread_id);
  setText(byId('thread-title'), titleOf(summary));
  setText(byId('thread-id'), thread_id);
  byId('title-menu').hidden = summary === undefined;
  // Until the last page is there, its runs would flash by, and what is sent would stand at the top.
  const isReady = opened?.isLoaded === true;
  byId('loading').hidden = isReady || Boolean(opened?.error);
  const scroll = byId('scroll');
  const turns = byId('turns');
  if (turns.dataset.thread !== thread_id) {
    turns.replaceChildren();
    turns.dataset.thread = thread_id;
    view.follows = true;
  }
  const runs = isReady ? (opened.thread?.runs ?? []) : [];
  const path = pathOf(runs, app.branches.get(thread_id) ?? null, opened?.next_before === null);
  drawEarlier(opened, isReady);
  const steps = withDays(path.steps);
  keepPlace(turns, steps, () =>
    reconcile(turns, steps, {
      key: ({ run }) => placeOf(run),
      make: ({ run }) => makeTurn(run, act),
      update: (element, step) => updateTurn(element, step, { act, trace: app.traces.of(step.run) }),
    }),
  );
  showFilled(turns);
  const unsent = isReady ? app.intents.all().filter(({ frame }) => frame.type === 'send_message' && frame.thread_id === thread_id) : [];
  reconcile(byId('unsent'), unsent, {
    key: (intent) => intent.key,
    make: (intent) => makeUnsent(intent, act),
    update: updateUnsent,
  });
  showFilled(byId('unsent'));
  byId('welcome').hidden = !isReady || path.steps.length > 0 || unsent.length > 0;
  if (view.follows) scroll.scrollTop = scroll.scrollHeight;
  drawLatest();
}

/** The button above the messages: it loads older ones by itself when it is seen, and again after an error. */
function drawEarlier(opened, isReady) {
  const earlier = byId('earlier');
  earlier.hidden = !opened?.error && (!isReady || opened.next_before === null);
  if (earlier.hidden) return;
  const text = opened.isLoading ? 'Loading earlier messages' : 'Show earlier messages';
  setText(earlier, opened.error ? `Messages could not be loaded (${opened.error.message}). Try again` : text);
}

/** Adds the day to each step whose day differs from that of the step before; today's first one needs none. */
function withDays(steps) {
  const now = Date.now();
  let before = 'Today';
  return steps.map((step) => {
    const day = dayOf(step.run.accepted_at, now);
    const own = day === before ? null : day;
    before = day;
    return { ...step, day: own };
  });
}

/** Changes the turns; if older ones appear above, the reader's place is kept. */
function keepPlace(turns, steps, change) {
  const first = turns.firstElementChild;
  const isGrowing = first !== null && steps.length > 0 && String(placeOf(steps[0].run)) !== first.dataset.key && steps.some(({ run }) => String(placeOf(run)) === first.dataset.key);
  if (!isGrowing) return change();
  const scroll = byId('scroll');
  stay();
  scroll.style.overflowAnchor = 'none';
  const y = first.getBoundingClientRect().top;
  change();
  scroll.scrollTop += first.getBoundingClientRect().top - y;
  scroll.style.overflowAnchor = '';
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

/** `act.earlier()` loads older turns. */
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
  new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && act.earlier(), { root: scroll, rootMargin: AHEAD }).observe(byId('earlier'));
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
/** Distance from the top within which older messages are loaded. */
const AHEAD = '400px 0px 0px 0px';
