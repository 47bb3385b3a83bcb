// The outbox: intents are sent until they are answered, under the same ids.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createLog, reduce } from '../../src/gateway/page/log.js';
import { add, createOutbox, lost, prune, release, settle, take } from '../../src/gateway/page/outbox.js';
import { pretty } from '../../src/gateway/page/json.js';
import { Journal } from './entries.js';

const MESSAGE = { type: 'send_message', message_id: 'm-r1', thread_id: 'main', text: 'hello' };
const CANCEL = { type: 'cancel_run', run_id: 'r1' };
const ANSWER = { type: 'complete_call', run_id: 'r1', call_id: 'c1', status: 'ok', results: {} };
const ACCEPTED = { type: 'accepted', message_id: 'm-r1', run_id: 'r1', message_offset: 1, duplicate: false };
const error = (code, more) => ({ type: 'error', code, message: 'no', fatal: false, ...more });

test('del_6: after every loss the same message goes out again, until it is accepted', () => {
  const outbox = createOutbox();
  add(outbox, MESSAGE);
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual(take(outbox), [MESSAGE], `round ${round}`);
    assert.deepEqual(take(outbox), [], 'once on a connection');
    lost(outbox);
  }
  take(outbox);
  settle(outbox, ACCEPTED);
  lost(outbox);
  assert.deepEqual(take(outbox), []);
});

test('intents that the log shows are removed', () => {
  const outbox = createOutbox();
  for (const frame of [MESSAGE, CANCEL, ANSWER]) add(outbox, frame);
  const log = createLog();
  prune(outbox, log);
  assert.equal(outbox.size, 3);
  const journal = new Journal();
  const left = [];
  for (const frame of [journal.ready(), ...journal.fiveEvents('main', 'r1')]) {
    reduce(log, frame);
    prune(outbox, log);
    left.push(outbox.size);
  }
  assert.deepEqual(left, [3, 2, 2, 2, 2, 1, 1, 0]);
});

test('a refused message stays for the user to decide, a refused answer or cancel does not', () => {
  const outbox = createOutbox();
  for (const frame of [MESSAGE, CANCEL, ANSWER]) add(outbox, frame);
  take(outbox);
  assert.equal(settle(outbox, error('thread_busy', { message_id: 'm-r1' })).intents.length, 1);
  const meant = (code) => settle(outbox, error(code, { run_id: 'r1' })).intents.map(({ frame }) => frame);
  assert.deepEqual(meant('call_closed'), [ANSWER]);
  assert.deepEqual(meant('run_ended'), [CANCEL]);
  add(outbox, ANSWER);
  take(outbox);
  assert.deepEqual(meant('run_ended'), []);
  assert.deepEqual(meant('not_found'), [ANSWER]);
  assert.deepEqual([...outbox.values()].map(({ state }) => state), ['refused']);
  assert.deepEqual(take(outbox), []);
  release(outbox, ['message:m-r1']);
  assert.deepEqual(take(outbox), [MESSAGE]);
});

test('a temporarily refused intent is retried after its retry time', () => {
  const outbox = createOutbox();
  add(outbox, MESSAGE);
  take(outbox);
  const { retry_after_ms } = settle(outbox, error('rate_limited', { message_id: 'm-r1', retry_after_ms: 250 }));
  assert.equal(retry_after_ms, 250);
  assert.deepEqual(take(outbox), []);
  release(outbox, ['message:m-r1']);
  assert.deepEqual(take(outbox), [MESSAGE]);
});

test('an error without ids concerns no intent', () => {
  const outbox = createOutbox();
  add(outbox, MESSAGE);
  take(outbox);
  assert.deepEqual(settle(outbox, error('malformed_frame')), { intents: [], retry_after_ms: null });
});

test('a stored outbox continues where it was', () => {
  const outbox = createOutbox();
  add(outbox, MESSAGE);
  take(outbox);
  const again = createOutbox(JSON.parse(JSON.stringify([...outbox.values()])));
  assert.deepEqual(take(again), [MESSAGE]);
});

test('displayed JSON is one short line, or indented', () => {
  assert.equal(pretty({ a: [1] }), '{ "a": [ 1 ] }');
  assert.equal(pretty(null), 'null');
  assert.ok(pretty({ a: 'x'.repeat(200) }).includes('\n'));
  assert.ok(pretty('x'.repeat(100), 20).endsWith('more characters'));
});
