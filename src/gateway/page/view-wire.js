// The wire panel: connection details, rule violations, and raw frames in both directions.

import { meaning } from './connection.js';
import { clip } from './json.js';
import { byId, clockTime, el, reconcile, setText, showFilled, span } from './dom.js';

/** The latest `FRAMES_MAX` frames, each truncated to `FRAME_CHARS_MAX`. */
export class Frames {
  #frames = [];
  #count = 0;
  #drawn = -1;

  add(direction, text) {
    this.#count += 1;
    const type = direction === 'close' ? 'close' : (/"type":"(\w+)"/.exec(text)?.[1] ?? '');
    this.#frames.push({ number: this.#count, at: Date.now(), direction, type, text: clip(text, FRAME_CHARS_MAX) });
    if (this.#frames.length > FRAMES_MAX) this.#frames.shift();
  }

  clear() {
    this.#frames = [];
    this.#drawn = -1;
  }

  draw() {
    const list = byId('frames');
    if (byId('frames-hold').checked || this.#drawn === this.#count) return;
    this.#drawn = this.#count;
    reconcile(list, this.#frames.toReversed(), {
      key: (frame) => frame.number,
      make: (frame) => el('li', { class: 'frame', data: { direction: frame.direction } },
        el('span', { class: 'frame-head' },
          el('span', { class: 'arrow' }, ARROWS[frame.direction]), clockTime(frame.at), el('b', {}, frame.type)),
        el('code', {}, frame.text)),
      update: () => {},
    });
    showFilled(list);
  }
}

/** Describes the state of the connection in the terms of the protocol. */
function phaseText(state) {
  switch (state.phase) {
    case 'disconnected':
      return DISCONNECTED[state.why];
    case 'live':
      return state.drain ? 'live, draining' : 'live';
    case 'waiting':
      return `reconnecting in ${span(state.ms)}`;
    default:
      return state.phase;
  }
}

/** Describes the state of the connection for users. */
export function connectionWords({ phase, why, drain }) {
  if (why === 'start') return 'Connecting';
  if (phase === 'live') return drain ? 'Server is restarting' : 'Connected';
  return CONNECTION[phase] ?? 'Connecting';
}

export function drawFacts({ state, log, closing, reconnects, expires_at }) {
  const progress = byId('progress');
  progress.max = Math.max(1, log.head);
  progress.value = log.offset;
  const rows = [
    ['state', phaseText(state)],
    ['reason', state.reason ?? ''],
    ['offset', String(log.offset)],
    ['head', String(log.head)],
    ['caught up', log.caught_up ? 'yes' : 'no'],
    ['resumed after', String(log.resumed_after)],
    ['gap', log.gap ? `${log.gap.from} to ${log.gap.to}` : 'none'],
    ['epoch', log.epoch ?? ''],
    ['connection', state.connection_id ?? ''],
    ['applied', String(log.counts.applied)],
    ['repeated', String(log.counts.repeated)],
    ['holes', String(log.counts.holes)],
    ['foreign', String(log.counts.foreign)],
    ['begun anew', log.restarts === 0 ? '' : String(log.restarts)],
    ['connections', String(reconnects)],
    ['last close', closing === null ? '' : closeText(closing)],
    ['credential until', expires_at ? new Date(expires_at).toLocaleString() : ''],
  ].filter(([, value]) => value !== '');
  reconcile(byId('facts'), rows, {
    key: ([name]) => name,
    make: ([name]) => el('div', { title: HINTS[name], data: { fact: name.replaceAll(' ', '_') } }, el('dt', {}, name), el('dd')),
    update: (row, [, value]) => setText(row.lastElementChild, value),
  });
  reconcile(byId('faults'), log.faults.slice(-FAULTS_MAX), {
    key: (fault) => `${log.faults.indexOf(fault)} ${fault.text}`,
    make: (fault) => el('li', {}, `${fault.rule}: ${fault.text}`),
    update: () => {},
  });
  showFilled(byId('faults'));
}

export function closeText({ code, reason }) {
  const { text, then } = meaning(code);
  return `${code} ${text}${reason ? ` (${reason})` : ''}; ${THEN[then]}`;
}

const CONNECTION = { disconnected: 'Not connected', waiting: 'Reconnecting', replaying: 'Catching up' };

/** What the facts mean, shown on hover. */
const HINTS = {
  offset: 'The last entry that this page has applied; a new connection continues after it.',
  head: 'The last entry that the server has.',
  'resumed after': 'The entry after which this connection continued.',
  gap: 'Entries that the server no longer keeps.',
  epoch: 'The name of the journal; offsets of another epoch mean other entries.',
  repeated: 'Entries that came twice and were ignored.',
  holes: 'Entries that were missing; the page then connects again.',
  foreign: 'Entries of another user, which are refused.',
  'begun anew': 'How often the log was read again from its start.',
  'credential until': 'When the login ends; the page renews it before.',
};

const DISCONNECTED = {
  start: 'not connected',
  dropped: 'dropped',
  closed: 'closed',
  refused: 'refused',
};

const THEN = {
  stop: 'nothing to do',
  final: 'final',
  retry: 'retry',
  later: 'retry later',
  credential: 'new credential',
};

const ARROWS = { in: '↓', out: '↑', close: '✕' };
const FRAMES_MAX = 300;
const FRAME_CHARS_MAX = 4_000;
const FAULTS_MAX = 10;
