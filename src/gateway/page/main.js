// The entry point: connects the session, log, outbox, connection and view.

import { agents, login, ticket } from './api.js';
import { BROKEN, createLog, isEntry, reduce } from './log.js';
import { openCalls } from './run.js';
import { add, createOutbox, lost, prune, release, settle, take } from './outbox.js';
import { isOpen } from './connection.js';
import { Connection } from './socket.js';
import { QUESTIONS, REHEARSALS } from './scripts.js';
import { announce, draw, notice, prepare, showAgents } from './view.js';
import { Frames, closeText, phaseText } from './view-wire.js';
import { byId } from './dom.js';

/** The initial thread. All users can have the same name for it, since thread ids are per user (ISO-2). */
const FIRST_THREAD = 'main';
/** Turns drawn initially, and added each time. */
const TURNS_STEP = 50;

const app = {
  session: restore('session', null),
  thread_id: restore('thread', FIRST_THREAD),
  turns_shown: TURNS_STEP,
  log: createLog(),
  outbox: createOutbox(restore('outbox', [])),
  frames: new Frames(),
  closing: null,
  reconnects: 0,
  refusals: new Map(),
  connection: null,
  /** The cursor of this tab before it was reloaded. */
  seen: restore('cursor', null),
};

app.connection = new Connection({
  ticket: freshTicket,
  cursor: () => (app.log.epoch === null ? { after: 0 } : { epoch: app.log.epoch, after: app.log.offset }),
  renewInMs,
  onFrame,
  onRaw,
  onState,
  onFlush: flush,
});

const act = {
  open(thread_id) {
    app.thread_id = thread_id;
    app.turns_shown = TURNS_STEP;
    store('thread', thread_id);
    togglePanel('threads', false);
    notice('');
    schedule();
    byId('text').focus();
  },
  send({ text, agent_name }) {
    const frame = { type: 'send_message', message_id: crypto.randomUUID(), thread_id: app.thread_id, text };
    if (agent_name) frame.agent_name = agent_name;
    frame.on_busy = byId('on-busy').value;
    intend(frame);
    byId('scroll').scrollTop = byId('scroll').scrollHeight;
  },
  cancel: (run_id) => intend({ type: 'cancel_run', run_id }),
  cancelling: (run_id) => app.outbox.has(`cancel:${run_id}`),
  answer(frame) {
    app.refusals.delete(`answer:${frame.run_id}:${frame.call_id}`);
    intend(frame);
  },
  answering: (run_id, call_id) => app.outbox.get(`answer:${run_id}:${call_id}`),
  refusal: (run_id, call_id) => app.refusals.get(`answer:${run_id}:${call_id}`),
  /** Summarises the pending intents of a run as one comparable value. */
  pendingOf(run_id) {
    const under = [...app.outbox.values()].filter(({ frame }) => frame.run_id === run_id);
    const refused = [...app.refusals.keys()].filter((key) => key.includes(run_id)).length;
    return `${under.map(({ key, state }) => `${key}=${state}`).join()} ${refused}`;
  },
  retry(key) {
    release(app.outbox, [key]);
    flush();
    schedule();
  },
  discard(key) {
    app.outbox.delete(key);
    storeOutbox();
    schedule();
  },
};

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
  }
  if (verdict === 'applied') {
    if (app.outbox.size > 0) prune(app.outbox, app.log);
    if (app.log.caught_up) tell(frame, app.log.runs.get(run_id));
  }
  if (!isEntry(frame)) answerIntents(frame);
  schedule();
  return !BROKEN.includes(verdict);
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
    if (intents.length === 0) notice(`${frame.code}: ${frame.message}`);
    for (const intent of intents) {
      if (intent.state !== 'refused' || intent.frame.type === 'send_message') continue;
      if (app.refusals.size >= REFUSALS_MAX) app.refusals.clear();
      app.refusals.set(intent.key, intent.error);
      if (intent.frame.type === 'cancel_run') notice(`${frame.code}: ${frame.message}`);
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
    announce(`${run.agent_name}: ${entry.status}. ${entry.final_response ?? entry.error?.message ?? ''}`.slice(0, 500));
  } else if (entry.type === 'tool_executing' && openCalls(run).some((call) => call.by === 'client')) {
    announce(`${run.agent_name} waits for your answer: ${entry.tool_name}`);
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
  if (['live', 'waiting', 'disconnected'].includes(state.phase)) announce(`Connection: ${phaseText(state, app.log)}`);
  schedule();
}

/** Fetches a ticket. If the token has expired under `quintet dev`, logs in again automatically. */
async function freshTicket() {
  const { session } = app;
  const renewing = isOpen(app.connection.state);
  if (renewing || Date.now() > session.expires_at) await renewSession(session);
  try {
    return await ticket(session.token);
  } catch (error) {
    if (error.status !== 401) throw error;
    await renewSession(session);
    return ticket(session.token);
  }
}

async function renewSession(session) {
  const { token, expires_at } = await login(session.user_id);
  Object.assign(session, { token, expires_at });
  if (app.session === session) store('session', session);
}

/** Returns the time until the connection's credential should be renewed. */
function renewInMs(expires_at = app.session.expires_at) {
  const left_ms = expires_at - Date.now();
  return Math.max(RENEW_MS_MIN, left_ms - Math.min(RENEW_MARGIN_MS, left_ms / 4));
}

function start() {
  draw(app, act);
  if (app.session === null) {
    byId('login-user').focus();
    return;
  }
  app.connection.connect();
  byId('text').focus();
}

/** Updates the list of agents after each connection, since another server may have different ones. */
async function nameAgents() {
  try {
    showAgents(await agents(app.session.token));
  } catch (error) {
    notice(`The agents are not known: ${error.message}`);
  }
}

let scheduled = false;

/** Draws at most once per animation frame. */
function schedule() {
  if (scheduled) return;
  scheduled = true;
  const run = () => {
    scheduled = false;
    if (app.log.caught_up) store('cursor', { epoch: app.log.epoch, offset: app.log.offset });
    draw(app, act);
  };
  if (document.hidden) setTimeout(run, HIDDEN_MS);
  else requestAnimationFrame(run);
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
    store('session', app.session);
    start();
  });
  byId('logout').addEventListener('click', () => {
    app.connection.drop();
    app.log = createLog();
    sessionStorage.clear();
    location.reload();
  });
  byId('drop').addEventListener('click', () => app.connection.drop());
  byId('resume').addEventListener('click', () => app.connection.connect());
  window.addEventListener('online', () => app.connection.state.phase === 'waiting' && app.connection.connect());

  byId('thread-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const input = byId('thread-id');
    act.open(input.value || `thread-${crypto.randomUUID().slice(0, 8)}`);
    input.value = '';
  });
  byId('earlier').addEventListener('click', () => {
    app.turns_shown += TURNS_STEP;
    schedule();
  });
  listenComposer();
  byId('threads-toggle').addEventListener('click', () => togglePanel('threads'));
  byId('wire-toggle').addEventListener('click', () => togglePanel('wire'));
  byId('threads-close').addEventListener('click', () => togglePanel('threads', false));
  byId('wire-close').addEventListener('click', () => togglePanel('wire', false));
  byId('frames-clear').addEventListener('click', () => {
    app.frames.clear();
    byId('frames').replaceChildren();
  });
  byId('frames-hold').addEventListener('change', schedule);
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    togglePanel('threads', false);
    togglePanel('wire', false);
  });
}

function listenComposer() {
  const text = byId('text');
  const fit = () => {
    text.rows = Math.min(10, Math.max(1, text.value.split('\n').length));
  };
  text.addEventListener('input', fit);
  text.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId('composer').requestSubmit();
  });
  // Arrow keys move through the scripts and keep the focus; Tab moves on to Send.
  byId('script').addEventListener('change', ({ target }) => {
    const entry = [...QUESTIONS, ...REHEARSALS][Number(target.value || NaN)];
    text.value = entry?.text ?? '';
    if (entry) byId('agent').value = entry.agent_name;
    fit();
  });
  byId('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    if (text.value.trim() === '') return;
    notice('');
    act.send({ text: text.value, agent_name: byId('agent').value });
    text.value = '';
    byId('script').value = '';
    fit();
    text.focus();
  });
}

/** Shows or hides a side panel. Moves the focus to it, and back to the button that opened it. */
function togglePanel(name, open = byId('app').dataset[name] !== 'open') {
  const toggle = byId(`${name}-toggle`);
  const panel = byId(name);
  if ((byId('app').dataset[name] === 'open') === open) return;
  const hadFocus = panel.contains(document.activeElement);
  byId('app').dataset[name] = open ? 'open' : 'closed';
  toggle.setAttribute('aria-expanded', String(open));
  if (name === 'wire') panel.hidden = !open;
  if (open) byId(`${name}-close`).focus();
  else if (hadFocus) toggle.focus();
  schedule();
}

function restore(name, otherwise) {
  try {
    return JSON.parse(sessionStorage.getItem(`quintet.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function store(name, value) {
  try {
    sessionStorage.setItem(`quintet.${name}`, JSON.stringify(value));
  } catch {
    notice('The browser does not let this page store anything: a reload will ask to log in again.');
  }
}

function storeOutbox() {
  store('outbox', [...app.outbox.values()]);
}

const RENEW_MARGIN_MS = 60_000;
const RENEW_MS_MIN = 5_000;
const HIDDEN_MS = 250;
const REFUSALS_MAX = 100;

prepare(act);
listen();
start();
