// The entry point: connects the session, log, outbox, connection and view.

import { agents, login } from './api.js';
import { TURNS_STEP, createActions } from './actions.js';
import { BROKEN, createLog, isEntry, reduce } from './log.js';
import { add, createOutbox, lost, prune, release, settle, take } from './outbox.js';
import { isOpen } from './connection.js';
import { Connection } from './socket.js';
import { Composer } from './composer.js';
import { isId, linkOf, threadOfLink } from './links.js';
import { readHistory } from './history.js';
import { hasOpenMenu, isPanelOpen, listenMenus, togglePanel } from './panels.js';
import { freshTicket, renewInMs } from './session.js';
import { restore, store } from './storage.js';
import { announce, draw, listenScroll, notice } from './view.js';
import { prepareScripts } from './view-scripts.js';
import { Frames, closeText } from './view-wire.js';
import { questionOf } from './questions.js';
import { endWords, refusalWords } from './words.js';
import { byId, isBusy } from './dom.js';

/** The initial thread. All users can have the same name for it, since thread ids are per user (ISO-2). */
const FIRST_THREAD = 'main';

const app = {
  session: restore('session', null),
  thread_id: threadOfLink(location.hash) ?? restore('thread', FIRST_THREAD),
  /** Whether a link, the reader or an earlier visit chose the thread. */
  thread_chosen: threadOfLink(location.hash) !== null || restore('thread', null) !== null,
  turns_shown: TURNS_STEP,
  /** The message of each thread whose branch the reader chose; without one, the branch of the newest message. */
  branches: new Map(),
  threads_all: false,
  /** Whether every event of a run is shown, for developers. */
  events: restore('events', false),
  /** Whether the log has been read once, so that the conversation may be shown. */
  shown: false,
  /** Calls that wait for the user, over all threads. */
  waiting: 0,
  log: createLog(),
  outbox: createOutbox(restore('outbox', [])),
  frames: new Frames(),
  closing: null,
  reconnects: 0,
  refusals: new Map(),
  connection: null,
  composer: null,
  /** The cursor of this tab before it was reloaded. */
  seen: restore('cursor', null),
};

app.connection = new Connection({
  ticket: () => freshTicket(app.session, isOpen(app.connection.state)),
  cursor: () => (app.log.epoch === null ? { after: 0 } : { epoch: app.log.epoch, after: app.log.offset }),
  renewInMs: (expires_at = app.session.expires_at) => renewInMs(expires_at),
  onFrame,
  onRaw,
  onState,
  onFlush: flush,
});

const act = createActions(app, { intend, flush, show, schedule, drawNow, storeOutbox });

function show(thread_id) {
  app.thread_id = thread_id;
  app.thread_chosen = true;
  app.turns_shown = TURNS_STEP;
  app.composer.open(thread_id);
  remember('thread', thread_id);
  panel('threads', false);
  notice('');
  schedule();
}

/** Records an intent of the user and sends it now or once connected. */
function intend(frame) {
  add(app.outbox, frame);
  storeOutbox();
  if (app.connection.state.phase === 'live') flush();
  schedule();
}

function flush() {
  if (!isOpen(app.connection.state)) return;
  for (const frame of take(app.outbox)) app.connection.send(frame);
  storeOutbox();
}

/** Applies a server frame. Returns false if the connection must be replaced. */
function onFrame(frame) {
  const { verdict, run_id } = reduce(app.log, frame);
  if (verdict === 'ready' || verdict === 'restarted') app.reconnects += 1;
  if (verdict === 'caught_up') {
    prune(app.outbox, app.log);
    compareWithSeen();
    if (!app.shown && !app.thread_chosen) openLatest();
    app.shown = true;
  }
  if (verdict === 'applied' && run_id !== undefined) {
    if (app.outbox.size > 0) prune(app.outbox, app.log);
    if (app.log.caught_up) tell(frame, app.log.runs.get(run_id));
  }
  if (!isEntry(frame)) answerIntents(frame);
  schedule();
  return !BROKEN.includes(verdict);
}

/** On a first visit, shows the thread of the latest entry. */
function openLatest() {
  const latest = [...app.log.threads.values()].reduce((a, b) => (a && a.last_offset > b.last_offset ? a : b), null);
  if (latest === null || latest.thread_id === app.thread_id) return;
  app.thread_id = latest.thread_id;
  history.replaceState(null, '', linkOf(latest.thread_id));
  app.composer.open(latest.thread_id);
}

/** Checks that the entries read before a reload still exist. */
function compareWithSeen() {
  const { seen, log } = app;
  app.seen = null;
  if (seen?.epoch === log.epoch && seen.offset > log.offset) {
    notice(`The log ends at ${log.offset}, but this tab had read up to ${seen.offset}.`);
  }
}

function answerIntents(frame) {
  const { intents, retry_after_ms } = settle(app.outbox, frame);
  if (frame.type === 'error') {
    if (intents.length === 0) notice(refusalWords(frame));
    for (const intent of intents) {
      if (intent.state !== 'refused' || intent.frame.type === 'send_message') continue;
      if (app.refusals.size >= REFUSALS_MAX) app.refusals.clear();
      app.refusals.set(intent.key, intent.error);
      if (intent.frame.type === 'cancel_run') notice(refusalWords(frame));
    }
  }
  if (retry_after_ms !== null) {
    const keys = intents.map(({ key }) => key);
    setTimeout(() => {
      release(app.outbox, keys);
      flush();
      schedule();
    }, retry_after_ms);
  }
  if (intents.length > 0) storeOutbox();
}

/** Announces important live entries to screen readers. */
function tell(entry, run) {
  if (entry.type === 'agent_completed') {
    const words = endWords(entry);
    announce(`${run.agent_name}: ${words === null ? entry.final_response : `${words.text} ${words.detail}`}`.slice(0, SAID_CHARS_MAX));
  } else if (entry.type === 'tool_executing' && entry.by === 'client') {
    announce(`${run.agent_name} waits for you: ${questionOf(run.calls.get(entry.call_id)).title}`.slice(0, SAID_CHARS_MAX));
  }
}

function onRaw(direction, text) {
  app.frames.add(direction, text);
  if (direction === 'close') {
    const [code, ...reason] = text.split(' ');
    app.closing = { code: Number(code), reason: reason.join(' ') };
  }
}

function onState(state) {
  if (!isOpen(state)) lost(app.outbox);
  if (state.phase === 'disconnected' && state.why === 'refused') notice(`Not connected: ${state.reason ?? ''}`);
  if (state.phase === 'disconnected' && state.why === 'closed') notice(`Closed: ${closeText(app.closing)}`);
  if (state.phase === 'live') {
    notice('');
    nameAgents();
  }
  schedule();
}

async function start() {
  draw(app, act);
  if (app.session === null) {
    byId('login-user').focus();
    return;
  }
  history.replaceState(null, '', linkOf(app.thread_id));
  app.composer.open(app.thread_id);
  app.composer.focus();
  const log = await readHistory(app.session, (log) => {
    byId('loading-progress').max = Math.max(1, log.head);
    byId('loading-progress').value = log.offset;
  });
  if (log !== null) app.log = log;
  app.connection.connect();
}

/** Updates the list of agents after each connection, since another server may have different ones. */
async function nameAgents() {
  try {
    app.composer.showAgents(await agents(app.session.token));
  } catch (error) {
    notice(`The agents are not known: ${error.message}`);
  }
}

const drawing = { scheduled: false, took_ms: 0, ended_at: 0 };

/**
 * Draws at most once per animation frame, however many frames of the server have come. A slow drawing, such as that of a
 * very long paragraph that grows, is followed by a rest of twice its time, in which the page answers to the user.
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
  if (app.log.caught_up) store('cursor', { epoch: app.log.epoch, offset: app.log.offset });
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
    app.connection.drop();
    app.log = createLog();
    sessionStorage.clear();
    history.replaceState(null, '', '/');
    location.reload();
  });
  byId('drop').addEventListener('click', () => {
    byId('developer').hidePopover();
    app.connection.drop();
  });
  byId('resume').addEventListener('click', () => app.connection.connect());
  window.addEventListener('online', () => app.connection.state.phase === 'waiting' && app.connection.connect());
  window.addEventListener('hashchange', () => {
    const thread_id = threadOfLink(location.hash);
    if (thread_id !== null && thread_id !== app.thread_id) show(thread_id);
  });
  listenThreads();
  listenDeveloper();
  document.addEventListener('keydown', escape);
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
    schedule();
  });
  search.addEventListener('input', schedule);
  byId('threads-toggle').addEventListener('click', () => panel('threads', !isPanelOpen('threads')));
  byId('threads-close').addEventListener('click', () => panel('threads', false));
}

function listenDeveloper() {
  const events = byId('events');
  events.checked = app.events;
  events.addEventListener('change', () => {
    app.events = events.checked;
    remember('events', app.events);
    schedule();
  });
  byId('wire-toggle').addEventListener('click', () => {
    byId('developer').hidePopover();
    panel('wire', !isPanelOpen('wire'));
  });
  byId('wire-close').addEventListener('click', () => panel('wire', false));
  byId('frames-clear').addEventListener('click', () => {
    app.frames.clear();
    byId('frames').replaceChildren();
  });
  byId('frames-hold').addEventListener('change', schedule);
}

/** Escape closes what is open, otherwise it stops the answer; not while an input method composes or a form is filled in. */
function escape(event) {
  if (event.key !== 'Escape' || event.isComposing || event.defaultPrevented || hasOpenMenu()) return;
  const closed = panel('threads', false) || panel('wire', false);
  const { activeElement } = document;
  const elsewhere = activeElement !== byId('text') && activeElement.matches('input, select, textarea');
  if (!closed && !elsewhere && app.session !== null && !isBusy(byId('stop'))) act.stop();
}

function panel(name, open) {
  const changed = togglePanel(name, open, byId(name === 'wire' ? 'developer-toggle' : 'threads-toggle'));
  if (changed) schedule();
  return changed;
}

function remember(name, value) {
  if (!store(name, value)) notice('The browser does not let this page store anything: a reload will ask to log in again.');
}

function storeOutbox() {
  remember('outbox', [...app.outbox.values()]);
}

const HIDDEN_MS = 250;
const FRAME_MS = 16;
const REST_MS_MAX = 1_000;
const REFUSALS_MAX = 100;
const SAID_CHARS_MAX = 500;

app.composer = new Composer(act);
listenMenus();
listenScroll(act);
prepareScripts(act);
listen();
start();
