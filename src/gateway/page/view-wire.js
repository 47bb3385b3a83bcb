// The wire panel: connection details, rule violations, and raw frames in both directions.

import { reactionTo } from './quintet.js';
import { byId, clockTime, el, reconcile, setText, showFilled, span } from './dom.js';
import { closeWords } from './words.js';

let drawn = -1;

/** Draws the latest frames, unless the reader holds the list. */
export function drawFrames({ frames, count }) {
  const list = byId('frames');
  const version = frames.length === 0 ? 0 : count;
  if (byId('frames-hold').checked || drawn === version) return;
  drawn = version;
  reconcile(list, frames.toReversed(), {
    key: (frame) => frame.number,
    make: (frame) => el('li', { class: 'frame', data: { direction: frame.direction } },
      el('span', { class: 'frame-head' },
        el('span', { class: 'arrow' }, ARROWS[frame.direction]), clockTime(frame.at), el('b', {}, frame.type)),
      el('code', {}, frame.text)),
    update: () => {},
  });
  showFilled(list);
}

/** Returns the phase of the connection for the style: `disconnected` if it stays so until the user acts. */
export function phaseOf({ phase }) {
  return phase === 'closed' || phase === 'idle' ? 'disconnected' : phase;
}

/** Describes the state of the connection in the terms of the protocol. */
function phaseText(state) {
  switch (state.phase) {
    case 'closed':
      return CLOSED[state.reason];
    case 'live':
      return state.draining === null ? 'live' : 'live, draining';
    case 'waiting':
      return `reconnecting in ${span(state.retry_in_ms)}`;
    default:
      return state.phase;
  }
}

/** Describes the state of the connection for users. */
export function connectionWords({ phase, draining }) {
  if (phase === 'live') return draining === null ? 'Connected' : 'Server is restarting';
  return CONNECTION[phase] ?? 'Connecting';
}

export function drawFacts({ wire, state, resets, expires_at }) {
  const progress = byId('progress');
  progress.max = Math.max(1, wire.head);
  progress.value = wire.offset;
  const rows = [
    ['state', phaseText(state)],
    ['reason', state.message ?? ''],
    ['offset', String(wire.offset)],
    ['head', String(wire.head)],
    ['caught up', wire.isCaughtUp ? 'yes' : 'no'],
    ['resumed after', String(wire.resumed_after)],
    ['gap', wire.gap ? `${wire.gap.from} to ${wire.gap.to}` : 'none'],
    ['epoch', wire.epoch ?? ''],
    ['connection', state.connection_id ?? ''],
    ['applied', String(wire.counts.applied)],
    ['repeated', String(wire.counts.repeated)],
    ['holes', String(wire.counts.holes)],
    ['foreign', String(wire.counts.foreign)],
    ['begun anew', resets === 0 ? '' : String(resets)],
    ['connections', String(wire.connections)],
    ['last close', wire.closing === null ? '' : closeText(wire.closing)],
    ['credential until', expires_at ? new Date(expires_at).toLocaleString() : ''],
  ].filter(([, value]) => value !== '');
  reconcile(byId('facts'), rows, {
    key: ([name]) => name,
    make: ([name]) => el('div', { title: HINTS[name], data: { fact: name.replaceAll(' ', '_') } }, el('dt', {}, name), el('dd')),
    update: (row, [, value]) => setText(row.lastElementChild, value),
  });
  reconcile(byId('faults'), wire.faults.slice(-FAULTS_MAX), {
    key: ({ number }) => number,
    make: ({ rule, text }) => el('li', {}, `${rule}: ${text}`),
    update: () => {},
  });
  showFilled(byId('faults'));
}

export function closeText({ code, reason }) {
  return `${code} ${closeWords(code)}${reason ? ` (${reason})` : ''}; ${THEN[reactionTo(code)]}`;
}

const CONNECTION = { closed: 'Not connected', waiting: 'Reconnecting', replaying: 'Catching up' };

/** What the facts mean, shown on hover. */
const HINTS = {
  state: 'Of the connection: live once everything before it was read.',
  offset: 'The last entry that this page has applied; a new connection continues after it.',
  head: 'The last entry that the server has.',
  reason: 'Why the page has no live connection at present.',
  'caught up': 'Whether every entry that was there at the start of the connection has been applied.',
  'resumed after': 'The entry after which this connection continued.',
  gap: 'Entries that the server no longer keeps.',
  epoch: 'The name of the journal; offsets of another epoch mean other entries.',
  connection: 'The id of this connection, as in the log of the server.',
  applied: 'Entries that this page has taken over since it was loaded.',
  repeated: 'Entries that came twice and were ignored.',
  holes: 'Entries that were missing; the page then connects again.',
  foreign: 'Entries of another user, which are refused.',
  'begun anew': 'How often the log was read again from its start.',
  connections: 'How often this page has connected since it was loaded.',
  'last close': 'The close code of the connection before this one, and what it asks a client to do.',
  'credential until': 'When the login ends; the page renews it before.',
};

const CLOSED = { client: 'dropped', final: 'closed', refused: 'refused' };

const THEN = {
  final: 'final',
  retry: 'retry',
  later: 'retry later',
  credential: 'new credential',
};

const ARROWS = { in: '↓', out: '↑', close: '✕' };
const FAULTS_MAX = 10;
