// The entry point: connects the session, the client, its history and the view.

import { createActions } from './actions.js';
import { Composer } from './composer.js';
import { Intents, answerKey } from './intents.js';
import { hasOpenMenu, isPanelOpen, listenMenus, place, togglePanel } from './panels.js';
import { isId, linkOf, threadOfLink } from './links.js';
import { byActivity } from './quintet.js';
import { connectAs, login } from './session.js';
import { restore, store } from './storage.js';
import { Traces } from './traces.js';
import { prepareThreadMenu } from './thread-menu.js';
import { announce, draw, listenScroll, notice } from './view.js';
import { prepareScripts } from './view-scripts.js';
import { closeText } from './view-wire.js';
import { Wire } from './wire.js';
import { questionOf } from './questions.js';
import { endWords, refusalWords } from './words.js';
import { byId, isBusy } from './dom.js';

/** The initial thread. All users can have the same name for it, since thread ids are per user (ISO-2). */
const FIRST_THREAD = 'main';

const linked = threadOfLink(location);

const app = {
  session: restore('session', null),
  thread_id: linked ?? restore('thread', FIRST_THREAD),
  /** Whether a link, the reader or an earlier visit chose the thread. */
  thread_chosen: linked !== null || restore('thread', null) !== null,
  /** The message of each thread whose branch the reader chose; without one, the branch of the newest message. */
  branches: new Map(),
  threads_all: false,
  /** Whether the archived threads are listed instead of the others. */
  archived: false,
  /** The call to which the view moves once its thread is drawn, or null. */
  sought: null,
  refusals: new Map(),
  wire: new Wire(),
  client: null,
  history: null,
  http: null,
  intents: null,
  composer: null,
  traces: new Traces(restore('events', false), {
    entriesOf: (thread_id, run_id) => app.history.entriesOf(thread_id, run_id),
    changed: schedule,
  }),
};

const act = createActions(app, { show, schedule, drawNow });

function show(thread_id) {
  app.thread_id = thread_id;
  app.thread_chosen = true;
  app.sought = null;
  app.history?.open(thread_id);
  app.composer.open(thread_id);
  remember('thread', thread_id);
  panel('threads', false);
  notice('');
  schedule();
}

/** Starts the client of the session, at the head of the log. */
function start() {
  draw(app, act);
  if (app.session === null) return byId('login-user').focus();
  const { client, history, http } = connectAs(app.session, { wire: app.wire, onEntry, onError: (error) => notice(refusalWords(error)) });
  Object.assign(app, { client, history, http });
  app.intents = new Intents(client, { store: (items) => remember('outbox', items), changed: schedule, refused });
  app.intents.restore(restore('outbox', []).filter(({ frame }) => frame.type === 'send_message'));
  window.history.replaceState(null, '', linkOf(app.thread_id));
  app.composer.open(app.thread_id);
  app.composer.focus();
  let { state } = client;
  client.subscribe(() => {
    const before = state;
    ({ state } = client);
    if (state !== before) connectionChanged();
    schedule();
  });
  history.subscribe(historyChanged);
  if (app.thread_chosen) history.open(app.thread_id);
  history.start();
}

function historyChanged() {
  const { state } = app.history;
  // On a first visit, the thread with the latest entry.
  if (!app.thread_chosen && state.isLoaded) {
    app.thread_chosen = true;
    app.thread_id = byActivity(state.threads).find(({ archived }) => !archived)?.thread_id ?? app.thread_id;
    window.history.replaceState(null, '', linkOf(app.thread_id));
    app.composer.open(app.thread_id);
    app.history.open(app.thread_id);
  }
  if (state.error !== null) notice(`The threads could not be loaded: ${state.error.message}`);
  schedule();
}

function connectionChanged() {
  const { state } = app.client;
  if (state.phase === 'live') {
    notice('');
    nameAgents();
  }
  if (state.phase !== 'closed' || state.reason === 'client') return;
  notice(state.reason === 'refused' ? `Not connected: ${state.message}` : `Closed: ${closeText(app.wire.closing)}`);
}

/** Shows why the service refused a cancel, an answer or a change of a thread. */
function refused(frame, error) {
  if (frame.type !== 'complete_call') return notice(refusalWords(error));
  if (app.refusals.size >= REFUSALS_MAX) app.refusals.clear();
  app.refusals.set(answerKey(frame.run_id, frame.call_id), error);
}

function onEntry(entry) {
  app.intents.onEntry(entry);
  app.traces.onEntry(entry);
  if (entry.type === 'thread_erased' || entry.type === 'log_erased') app.composer.erased(entry);
  if (app.client.snapshot.caughtUp) announceEntry(entry);
}

/** Announces important live entries to screen readers. */
function announceEntry(entry) {
  if (entry.type === 'agent_completed') {
    const words = endWords(entry);
    announce(`${entry.agent_name}: ${words === null ? entry.final_response : `${words.text} ${words.detail}`}`.slice(0, SAID_CHARS_MAX));
  } else if (entry.type === 'tool_executing' && entry.by === 'client') {
    announce(`${entry.agent_name} waits for you: ${questionOf(entry).title}`.slice(0, SAID_CHARS_MAX));
  } else if (entry.type === 'thread_erased') {
    announce('The thread has been erased.');
  }
}

/** Updates the list of agents after each connection, since another server may have different ones. */
async function nameAgents() {
  try {
    app.composer.showAgents(await app.http.agents());
  } catch (error) {
    notice(`The agents are not known: ${error.message}`);
  }
}

const drawing = { scheduled: false, took_ms: 0, ended_at: 0 };

/**
 * Draws at most once per animation frame, however many entries have come. A slow drawing, such as that of a very long
 * paragraph that grows, is followed by a rest of twice its time, in which the page answers to the user.
 */
function schedule() {
  if (drawing.scheduled) return;
  drawing.scheduled = true;
  const rest_ms = Math.min(REST_MS_MAX, 2 * drawing.took_ms) - (performance.now() - drawing.ended_at);
  if (document.hidden) setTimeout(drawNow, HIDDEN_MS);
  else if (rest_ms > FRAME_MS) setTimeout(() => requestAnimationFrame(drawNow), rest_ms);
  else requestAnimationFrame(drawNow);
}

function drawNow() {
  const from = performance.now();
  drawing.scheduled = false;
  draw(app, act);
  drawing.ended_at = performance.now();
  drawing.took_ms = drawing.ended_at - from;
}

function listen() {
  byId('login-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const problem = byId('login-error');
    try {
      app.session = await login(byId('login-user').value);
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      return;
    }
    problem.hidden = true;
    remember('session', app.session);
    start();
  });
  byId('logout').addEventListener('click', () => {
    app.client.close();
    sessionStorage.clear();
    location.assign('/');
  });
  byId('drop').addEventListener('click', () => {
    byId('developer').hidePopover();
    app.client.disconnect();
  });
  byId('resume').addEventListener('click', () => app.client.connect());
  window.addEventListener('popstate', followLink);
  window.addEventListener('hashchange', followLink);
  listenThreads();
  listenDeveloper();
  document.addEventListener('keydown', escape);
}

/** Shows the thread of the address. A link of the form `#/t/…` is forwarded to its path. */
function followLink() {
  if (app.session === null) return;
  const fragment = threadOfLink({ pathname: '/', hash: location.hash });
  const thread_id = fragment ?? threadOfLink(location);
  if (thread_id === null) return;
  if (fragment !== null) window.history.replaceState(null, '', linkOf(fragment));
  if (thread_id !== app.thread_id) show(thread_id);
}

function listenThreads() {
  const search = byId('thread-search');
  byId('thread-new').addEventListener('click', () => act.open(`thread-${crypto.randomUUID().slice(0, 8)}`));
  byId('thread-create').addEventListener('click', () => {
    const id = search.value.trim();
    search.value = '';
    if (isId(id)) act.open(id);
  });
  byId('thread-more').addEventListener('click', () => {
    app.threads_all = true;
    app.history.moreThreads();
    schedule();
  });
  byId('thread-archived').addEventListener('click', () => {
    app.archived = !app.archived;
    readAllThreads();
    schedule();
  });
  search.addEventListener('input', () => {
    if (search.value.trim() !== '') readAllThreads();
    schedule();
  });
  byId('threads-toggle').addEventListener('click', () => panel('threads', !isPanelOpen('threads')));
  byId('threads-close').addEventListener('click', () => panel('threads', false));
  const menu = prepareThreadMenu((thread_id) => app.history.state.threads.get(thread_id), { ...act, placeMenu: place });
  act.menu = menu;
  byId('title-menu').addEventListener('click', ({ currentTarget }) => menu(app.thread_id, currentTarget));
}

/** Reads the rest of the list, so that a search finds every thread. */
async function readAllThreads() {
  for (let page = 0; page < THREAD_PAGES_MAX && app.history.state.next_before !== null; page += 1) await app.history.moreThreads();
}

function listenDeveloper() {
  const events = byId('events');
  events.checked = app.traces.isOn;
  events.addEventListener('change', () => {
    app.traces.turn(events.checked);
    remember('events', events.checked);
    schedule();
  });
  byId('wire-toggle').addEventListener('click', () => {
    byId('developer').hidePopover();
    panel('wire', !isPanelOpen('wire'));
  });
  byId('wire-close').addEventListener('click', () => panel('wire', false));
  byId('frames-clear').addEventListener('click', () => {
    app.wire.clear();
    byId('frames').replaceChildren();
    schedule();
  });
  byId('frames-hold').addEventListener('change', schedule);
}

/** Escape closes what is open, otherwise it stops the answer; not while an input method composes or a form is filled in. */
function escape(event) {
  if (event.key !== 'Escape' || event.isComposing || event.defaultPrevented || hasOpenMenu()) return;
  const closed = panel('threads', false) || panel('wire', false);
  const { activeElement } = document;
  const elsewhere = activeElement !== byId('text') && activeElement.matches('input, select, textarea');
  if (!closed && !elsewhere && app.client !== null && !isBusy(byId('stop'))) act.stop();
}

function panel(name, open) {
  const changed = togglePanel(name, open, byId(name === 'wire' ? 'developer-toggle' : 'threads-toggle'));
  if (changed) schedule();
  return changed;
}

function remember(name, value) {
  if (!store(name, value)) notice('The browser does not let this page store anything: a reload will ask to log in again.');
}

const HIDDEN_MS = 250;
const FRAME_MS = 16;
const REST_MS_MAX = 1_000;
const REFUSALS_MAX = 100;
const SAID_CHARS_MAX = 500;
const THREAD_PAGES_MAX = 50;

app.composer = new Composer(act);
listenMenus();
listenScroll(act);
prepareScripts(act);
listen();
start();
