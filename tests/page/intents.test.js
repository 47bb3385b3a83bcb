// What the user asked for: under way, accepted, refused; kept across a reload.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Intents } from '../../src/gateway/page/intents.js';

const MESSAGE = { type: 'send_message', message_id: 'm1', thread_id: 'main', text: 'hello', on_busy: 'enqueue' };
const ANSWER = { type: 'complete_call', run_id: 'r1', call_id: 'c1', status: 'ok', results: {} };
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A client whose commands are settled by the test. */
function fixture() {
  const calls = [];
  const method = (name) => (...args) => new Promise((resolve, reject) => calls.push({ name, args, resolve, reject }));
  const client = { snapshot: { pending: [] } };
  for (const name of ['send', 'cancel', 'answer', 'decline', 'fail', 'updateThread', 'eraseThread']) client[name] = method(name);
  const hooks = { stored: [], refusals: [], store: (items) => (hooks.stored = items), changed: () => {}, refused: (frame, error) => hooks.refusals.push([frame.type, error.code]) };
  return { calls, client, hooks, intents: new Intents(client, hooks) };
}
const states = (intents) => intents.all().map(({ state }) => state);
const refusal = (code) => Object.assign(new Error('no'), { code });

test('a message is shown until its entry is in the log', async () => {
  const { calls, client, intents } = fixture();
  intents.add(MESSAGE);
  client.snapshot = { pending: [{ command: MESSAGE, state: 'waiting' }] };
  assert.deepEqual(states(intents), ['waiting']);
  client.snapshot = { pending: [] };
  assert.deepEqual(states(intents), ['sent']);
  calls[0].resolve({ duplicate: false });
  await settled();
  assert.deepEqual(states(intents), ['accepted']);
  intents.onEntry({ type: 'user_message', message_id: 'other' });
  intents.onEntry({ type: 'user_message', message_id: 'm1' });
  assert.equal(intents.size, 0);
});

test('del_6: a message that an earlier tab had sent is in the log already', async () => {
  const { calls, intents } = fixture();
  intents.add(MESSAGE);
  calls[0].resolve({ duplicate: true });
  await settled();
  assert.equal(intents.size, 0);
});

test('del_8: an accepted message that is erased before it is shown is not waited for', async () => {
  const { calls, intents } = fixture();
  for (const [index, thread_id] of ['main', 'main', 'other'].entries()) {
    intents.add({ ...MESSAGE, message_id: `m${index}`, thread_id });
    calls[index].resolve({ duplicate: false, message_offset: 5 + index });
  }
  await settled();
  intents.onEntry({ type: 'thread_erased', thread_id: 'main', erased_through: 5 });
  assert.deepEqual(intents.all().map(({ frame }) => frame.message_id), ['m1', 'm2'], 'the second was accepted after the erasure');
  intents.onEntry({ type: 'log_erased', erased_through: 9 });
  assert.equal(intents.size, 0);
});

test('a refused message stays for the user to decide; a refused answer does not', async () => {
  const { calls, hooks, intents } = fixture();
  intents.add(MESSAGE);
  intents.add(ANSWER);
  calls[0].reject(refusal('thread_busy'));
  calls[1].reject(refusal('call_closed'));
  await settled();
  assert.deepEqual(states(intents), ['refused']);
  assert.deepEqual(hooks.refusals, [['complete_call', 'call_closed']]);
  assert.deepEqual(intents.get('message:m1').error, { code: 'thread_busy', message: 'no' });
  intents.retry('message:m1');
  assert.deepEqual(calls[2].args, [{ message_id: 'm1', thread_id: 'main', text: 'hello', on_busy: 'enqueue' }]);
  assert.deepEqual(states(intents), ['sent']);
});

test('after a reload what was not answered goes out again, and what was refused is shown', async () => {
  const { calls, hooks, intents } = fixture();
  intents.add(MESSAGE);
  intents.add({ ...MESSAGE, message_id: 'm2' });
  calls[1].reject(refusal('too_large'));
  await settled();
  const again = fixture();
  again.intents.restore(JSON.parse(JSON.stringify(hooks.stored)));
  assert.deepEqual(states(again.intents), ['sent', 'refused']);
  assert.deepEqual(again.calls.map(({ name }) => name), ['send']);
});

test('run_11: each answer, and each change of a thread, is the command of its kind', () => {
  const { calls, intents } = fixture();
  intents.add(ANSWER);
  intents.add({ ...ANSWER, call_id: 'c2', status: 'declined', results: null, error: 'not now' });
  intents.add({ ...ANSWER, call_id: 'c3', status: 'error', error: 'broken' });
  intents.add({ type: 'cancel_run', run_id: 'r1' });
  intents.add({ type: 'update_thread', thread_id: 't', title: null });
  intents.add({ type: 'erase_thread', thread_id: 't' });
  assert.deepEqual(calls.map(({ name, args }) => [name, ...args]), [
    ['answer', 'r1', 'c1', {}],
    ['decline', 'r1', 'c2', 'not now'],
    ['fail', 'r1', 'c3', 'broken'],
    ['cancel', 'r1'],
    ['updateThread', 't', { title: null }],
    ['eraseThread', 't'],
  ]);
});
