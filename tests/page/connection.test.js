// The connection machine: every phase with every input, and the main courses.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CLOSE_CODES, INITIAL, backoff, isOpen, meaning, step } from '../../src/gateway/page/connection.js';

const READY = { type: 'ready', frame: { connection_id: 'c', heartbeat_ms: 25_000 }, renew_in_ms: 60_000 };
const COURSE = [{ type: 'connect' }, { type: 'ticketed', ticket: 't' }, { type: 'opened' }, READY, { type: 'caught_up' }];

const run = (inputs, state = INITIAL) => inputs.reduce((at, input) => step(at, input)[0], state);
const effects = (state, input) => step(state, input)[1];
const kinds = (list) => list.filter(({ type }) => type !== 'disarm').map(({ type, timer }) => (timer ? `${type} ${timer}` : type));
const closed = (code, dice = 0.5) => ({ type: 'closed', code, reason: '', dice });

const PHASES = {
  disconnected: INITIAL,
  connecting: run(COURSE.slice(0, 2)),
  handshaking: run(COURSE.slice(0, 3)),
  replaying: run(COURSE.slice(0, 4)),
  live: run(COURSE),
  waiting: run([...COURSE, closed(1006)]),
};

test('the regular course goes through every phase', () => {
  const phases = COURSE.map((_, index) => run(COURSE.slice(0, index + 1)).phase);
  assert.deepEqual(phases, ['connecting', 'connecting', 'handshaking', 'replaying', 'live']);
  assert.deepEqual(COURSE.map((input, index) => kinds(effects(run(COURSE.slice(0, index)), input))), [
    ['arm deadline', 'fetch_ticket'],
    ['open'],
    ['hello', 'arm deadline'],
    ['arm beat', 'arm renew'],
    ['flush'],
  ]);
});

test('the whole table: the next phase for each input in each phase', () => {
  const inputs = {
    connect: { type: 'connect' },
    drop: { type: 'drop' },
    ticketed: { type: 'ticketed', ticket: 't' },
    'ticket_failed, final': { type: 'ticket_failed', final: true, reason: '', dice: 0 },
    'ticket_failed, not final': { type: 'ticket_failed', final: false, reason: '', dice: 0 },
    opened: { type: 'opened' },
    ready: READY,
    caught_up: { type: 'caught_up' },
    'closed 1000': closed(1000),
    'closed 1006': closed(1006),
    'closed 4400': closed(4400),
    'closed 4401': closed(4401),
    distrust: { type: 'distrust', reason: '', dice: 0 },
    draining: { type: 'draining', reconnect_after_ms: 5 },
    'elapsed retry': { type: 'elapsed', timer: 'retry', dice: 0 },
    'elapsed deadline': { type: 'elapsed', timer: 'deadline', dice: 0 },
    'elapsed beat': { type: 'elapsed', timer: 'beat', dice: 0 },
    'elapsed pong': { type: 'elapsed', timer: 'pong', dice: 0 },
    'elapsed renew': { type: 'elapsed', timer: 'renew', dice: 0 },
  };
  const short = { disconnected: 'off', connecting: 'con', handshaking: 'hand', replaying: 'repl', live: 'live', waiting: 'wait' };
  const table = Object.entries(inputs).map(([name, input]) => {
    const row = Object.entries(PHASES).map(([phase, state]) => {
      const next = step(state, input)[0].phase;
      return next === phase ? '·' : short[next];
    });
    return `${name}: ${row.join(' ')}`;
  });
  assert.deepEqual(table, [
    // from: off con hand repl live wait
    'connect: con · · · · con',
    'drop: · off off off off off',
    'ticketed: · · · · · ·',
    'ticket_failed, final: · off · · · ·',
    'ticket_failed, not final: · wait · · · ·',
    'opened: · hand · · · ·',
    'ready: · · repl · · ·',
    'caught_up: · · · live · ·',
    'closed 1000: · off off off off ·',
    'closed 1006: · wait wait wait wait ·',
    'closed 4400: · off off off off ·',
    'closed 4401: · wait wait wait wait ·',
    'distrust: · wait wait wait wait ·',
    'draining: · · · · · ·',
    'elapsed retry: · · · · · con',
    'elapsed deadline: · wait wait · · ·',
    'elapsed beat: · · · · · ·',
    'elapsed pong: · · · wait wait ·',
    'elapsed renew: · · · · · ·',
  ]);
});

test('an input that changes nothing has no effect while no socket is open', () => {
  for (const phase of ['disconnected', 'waiting']) {
    for (const input of [closed(1006), { type: 'distrust', dice: 0 }, READY, { type: 'opened' }, { type: 'heard' }]) {
      assert.deepEqual(step(PHASES[phase], input), [PHASES[phase], []], `${phase} ${input.type}`);
    }
  }
});

test('every close code of the contract means retry, later, credential or final', () => {
  const expected = { 1000: 'stop', 1007: 'final', 1009: 'final', 1011: 'retry', 1012: 'retry', 1013: 'later', 4400: 'final', 4401: 'credential', 4403: 'final', 4408: 'retry', 4429: 'later' };
  for (const [code, then] of Object.entries(expected)) assert.equal(CLOSE_CODES[code].then, then, code);
  assert.equal(meaning(4499).then, 'final');
  assert.equal(meaning(1014).then, 'retry');
});

test('the delay grows to a ceiling, with full jitter', () => {
  assert.equal(backoff(0, 'retry', 1), 500);
  assert.equal(backoff(3, 'retry', 1), 4_000);
  assert.equal(backoff(50, 'retry', 1), 30_000);
  assert.equal(backoff(3, 'retry', 0), 0);
  assert.equal(backoff(3, 'retry', 0.5), 2_000);
  assert.ok(backoff(0, 'later', 1) > backoff(0, 'retry', 1));
});

test('repeated failures wait longer; reaching live resets them', () => {
  let state = PHASES.live;
  const waits = [];
  for (let round = 0; round < 4; round += 1) {
    state = step(state, closed(1006, 1))[0];
    waits.push(state.ms);
    state = run([{ type: 'elapsed', timer: 'retry', dice: 0 }, { type: 'ticketed', ticket: 't' }], state);
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000]);
  state = run([{ type: 'opened' }, READY, { type: 'caught_up' }, closed(1006, 1)], state);
  assert.equal(state.ms, 500);
});

test('conn_6: the page reconnects after the delay that the drain states', () => {
  const draining = step(PHASES.live, { type: 'draining', reconnect_after_ms: 7_000 })[0];
  assert.ok(isOpen(draining));
  assert.equal(step(draining, closed(1012, 0))[0].ms, 7_000);
});

test('a temporarily refused ticket waits at least its retry time', () => {
  const state = step(PHASES.connecting, { type: 'ticket_failed', final: false, reason: '', dice: 0, retry_after_ms: 900 })[0];
  assert.equal(state.ms, 900);
});

test('repeatedly refused credentials end in a login prompt', () => {
  let state = PHASES.live;
  for (let round = 0; round < 3; round += 1) {
    state = run([closed(4401), { type: 'elapsed', timer: 'retry', dice: 0 }, { type: 'ticketed', ticket: 't' }, { type: 'opened' }], state);
    assert.equal(state.phase, 'handshaking', `round ${round}`);
  }
  const last = step(state, closed(4401))[0];
  assert.deepEqual([last.phase, last.why], ['disconnected', 'refused']);
});

test('auth_3: the credential is renewed before it expires, repeatedly', () => {
  assert.deepEqual(kinds(effects(PHASES.live, { type: 'elapsed', timer: 'renew', dice: 0 })), ['fetch_ticket']);
  assert.deepEqual(effects(PHASES.live, { type: 'ticketed', ticket: 'n' }), [{ type: 'renew', ticket: 'n' }]);
  assert.deepEqual(effects(PHASES.live, { type: 'renewed', renew_in_ms: 9 }), [{ type: 'arm', timer: 'renew', ms: 9 }]);
  assert.deepEqual(kinds(effects(PHASES.live, { type: 'ticket_failed', final: true, dice: 0 })), ['arm renew']);
});

test('a connection without an answer to a ping is replaced', () => {
  assert.deepEqual(kinds(effects(PHASES.live, { type: 'elapsed', timer: 'beat', dice: 0 })), ['ping', 'arm pong', 'arm beat']);
  assert.deepEqual(effects(PHASES.live, { type: 'heard' }), [{ type: 'disarm', timer: 'pong' }]);
  const [state, done] = step(PHASES.live, { type: 'elapsed', timer: 'pong', dice: 0 });
  assert.equal(state.phase, 'waiting');
  assert.equal(done[0].type, 'abort');
});

test('leaving a phase disarms its timers', () => {
  for (const [phase, state] of Object.entries(PHASES)) {
    if (phase === 'disconnected') continue;
    const disarmed = effects(state, { type: 'drop' }).filter(({ type }) => type === 'disarm').map(({ timer }) => timer);
    assert.deepEqual(disarmed.sort(), ['beat', 'deadline', 'pong', 'renew', 'retry'], phase);
  }
});
