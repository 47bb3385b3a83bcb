// Commands of the client against a service in memory: sends, cancels, answers, refusals, aborts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerOf, openQuestions, QuintetError, type ServerFrame } from 'quintet';
import { memoryStorage, type FakeRun } from 'quintet/testing';
import { pair, takeUntil, when } from './harness.js';

/** The id of no run. */
const NO_RUN = '01a1ee56-5e01-7c3d-8e4f-0123456789ab';
const code = (expected: string) => (error: unknown) => error instanceof QuintetError && error.code === expected;

test('del_6: a message whose answer is lost is sent again under its id, and there is one run', async () => {
  const { client, server, timers } = pair();
  client.connect();
  await client.caughtUp();
  server.options.outgoing = (frame) => (frame.type === 'accepted' || 'offset' in frame ? (queueMicrotask(() => server.close()), []) : [frame]);
  const sent = client.send({ thread_id: 't', text: 'once' });
  await timers.advance(100);
  server.options.outgoing = (frame) => [frame];
  await timers.advance(1_000);
  const accepted = await sent;
  assert.equal(server.log('ann').filter(({ type }) => type === 'user_message').length, 1);
  assert.equal(accepted.message_offset, 1);
  assert.deepEqual(client.snapshot.pending, []);
  client.close();
});

test('del_7: the reply to one message is never taken for that of another with the same id', async () => {
  const { client, server } = pair();
  client.connect();
  await client.caughtUp();
  // The entries come first, the reply later: as on a busy service.
  const late: ServerFrame[] = [];
  server.options.outgoing = (frame) => (frame.type === 'accepted' ? (late.push(frame), []) : [frame]);
  const abort = new AbortController();
  const first = client.send({ thread_id: 't', message_id: 'm', text: 'a' }, { signal: abort.signal });
  await when(client, ({ conversations }) => conversations.threads.get('t')?.runs[0]?.status === 'succeeded');
  assert.deepEqual(client.snapshot.pending, []); // it is in the log: no view shows it as unsent beside its run
  abort.abort();
  await assert.rejects(first, code('aborted'));
  await assert.rejects(client.send({ thread_id: 't', message_id: 'm', text: 'b' }), code('message_id_reused'));
  const again = client.send({ thread_id: 't', message_id: 'm', text: 'a' });
  server.options.outgoing = (frame) => [...late.splice(0), frame];
  server.append('ann', { type: 'thread_updated', thread_id: 't', title: null, archived: false });
  assert.equal((await again).message_offset, 1);
  assert.deepEqual(client.snapshot.pending, []);
  client.close();
});

test('del_7: what was sent and aborted is not sent again after a loss', async () => {
  const { client, server, timers } = pair({ incoming: ({ type }) => type === 'send_message' });
  client.connect();
  await client.caughtUp();
  const abort = new AbortController();
  const sent = assert.rejects(client.send({ thread_id: 't', text: 'a' }, { signal: abort.signal }), code('aborted'));
  abort.abort();
  await sent;
  server.close();
  await timers.advance(1_000);
  await client.caughtUp();
  assert.equal(server.received.filter(({ type }) => type === 'send_message').length, 1);
  client.close();
});

test('del_6: the same id with other content is refused', async () => {
  const { client } = pair();
  client.connect();
  await client.send({ thread_id: 't', message_id: 'm', text: 'a' });
  await assert.rejects(client.send({ thread_id: 't', message_id: 'm', text: 'b' }), code('message_id_reused'));
  assert.equal((await client.send({ thread_id: 't', message_id: 'm', text: 'a' })).duplicate, true);
  client.close();
});

for (const again of ['rate_limited', 'unavailable', 'draining'] as const) {
  test(`del_7: ${again} is repeated after its delay, in order, and not reported as success or failure`, async () => {
    const { client, server, timers } = pair();
    client.connect();
    await client.caughtUp();
    server.options.incoming = (frame) => 'message_id' in frame && frame.message_id === '1' && again;
    const settled: string[] = [];
    const sent = ['1', '2'].map((text) => client.send({ thread_id: 't', message_id: text, text }).then(() => settled.push(text)));
    await timers.advance(500);
    assert.deepEqual(client.snapshot.pending.map(({ state }) => state), ['held', 'waiting']);
    assert.deepEqual(settled, []);
    delete server.options.incoming;
    await timers.advance(500);
    await Promise.all(sent);
    assert.deepEqual(settled, ['1', '2']);
    assert.deepEqual(server.log('ann').filter(({ type }) => type === 'user_message').map((entry) => entry.type === 'user_message' && entry.text), ['1', '2']);
    client.close();
  });
}

test('a frame over the limit, and ids that cannot be, are refused before they are sent', async () => {
  const { client, server } = pair({ limits: { frame_bytes_max: 1_000 } });
  client.connect();
  await client.caughtUp();
  await assert.rejects(client.answer(NO_RUN, 'c', 'x'.repeat(2_000)), code('too_large'));
  await assert.rejects(client.send({ thread_id: 'with space', text: 'x' }), code('invalid_field'));
  await assert.rejects(client.send({ thread_id: 't', text: '' }), code('invalid_field'));
  for (const run_id of ['nothing', NO_RUN.toUpperCase(), undefined as never]) await assert.rejects(client.cancel(run_id), code('invalid_field'));
  await assert.rejects(client.send({ thread_id: 't', text: 'a\ud800' }), code('invalid_field'));
  assert.deepEqual(server.received.map(({ type }) => type), ['hello']);
  await client.send({ thread_id: 't', text: '\\ud800 😀' }); // a backslash in a text is no surrogate
  client.close();
});

test('a command connects an idle client', async () => {
  const { client } = pair();
  const { duplicate } = await client.send({ thread_id: 't', text: 'x' });
  assert.deepEqual([duplicate, client.state.phase], [false, 'live']);
  client.disconnect();
  void client.send({ thread_id: 't', text: 'y' }).catch(() => undefined);
  assert.equal(client.state.phase, 'closed', 'a command does not undo a disconnect');
  client.close();
});

test('ask: the run, when it has ended, also one that failed', async () => {
  const { client } = pair({
    agent: async (run) => {
      if (run.message.text === 'fail') throw new Error('no luck');
      run.answer(run.message.text);
      await new Promise((resolve) => setImmediate(resolve));
      run.answer('!');
    },
  });
  const runs = await Promise.all(['a', 'fail', 'b'].map((text) => client.ask({ thread_id: 't', text })));
  assert.deepEqual(runs.map((run) => [run.status, answerOf(run)]), [['succeeded', 'a!'], ['failed', ''], ['succeeded', 'b!']]);
  await assert.rejects(client.ask({ thread_id: 'a b', text: 'x' }), code('invalid_field'));
  client.close();
});

test('until: what is found, an abort, an error of the search, and the end of the client', async () => {
  const { client } = pair({ agent: async (run) => void (await run.ask('approve')) });
  await client.send({ thread_id: 't', text: 'x' });
  const { call } = await client.until(({ conversations }) => openQuestions(conversations)[0]);
  assert.equal(call.tool_name, 'approve');
  const abort = new AbortController();
  const never = client.until(() => false, { signal: abort.signal });
  abort.abort();
  await assert.rejects(never, code('aborted'));
  let calls = 0;
  const fails = client.until(() => {
    if ((calls += 1) > 1) throw new Error('of the search');
    return null;
  });
  void client.send({ thread_id: 'u', text: 'y' });
  await assert.rejects(fails, /of the search/);
  const asked = client.ask({ thread_id: 'u', text: 'z' });
  client.close();
  await assert.rejects(asked, code('closed'));
  await assert.rejects(client.until(() => undefined), code('closed'));
});

test('settings that cannot work are an error at once', () => {
  const { open } = pair();
  for (const url of ['localhost:8080', 'service', undefined as never]) assert.throws(() => open({ url }), TypeError);
  const { WebSocket } = globalThis as { WebSocket?: unknown };
  if (!WebSocket) assert.throws(() => open({ WebSocket: undefined as never }), /that of ws/);
});

test('the outbox is bounded', async () => {
  const { client } = pair({}, { outboxMax: 2 });
  const pending = [1, 2].map((n) => client.send({ thread_id: 't', text: String(n) }));
  await assert.rejects(client.send({ thread_id: 't', text: '3' }), code('outbox_full'));
  client.connect();
  await Promise.all(pending);
  client.close();
});

test('cancel: the run ends, its open calls first; again, also on another client, it is done', async () => {
  const asks = async (run: FakeRun) => void (await run.ask('approve'));
  const { client, open, server } = pair({ agent: asks });
  client.connect();
  const { run_id } = await client.send({ thread_id: 't', text: 'x' });
  await client.cancel(run_id);
  await client.cancel(run_id);
  const other = open();
  other.connect();
  await other.cancel(run_id);
  await assert.rejects(other.cancel(NO_RUN), code('not_found'));
  assert.deepEqual(server.log('ann').slice(-2).map(({ type }) => type), ['tool_completed', 'agent_completed']);
  client.close();
  other.close();
});

test('run_11: answered, declined, failed; a late answer is refused and changes nothing', async () => {
  const answers: unknown[] = [];
  const { client } = pair({ agent: async (run) => void answers.push(await run.ask('approve')) });
  client.connect();
  for (const [i, act] of [
    (run: string, call: string) => client.answer(run, call, { yes: true }),
    (run: string, call: string) => client.decline(run, call, 'not now'),
    (run: string, call: string) => client.fail(run, call, 'broken'),
  ].entries()) {
    await client.send({ thread_id: 't', text: 'x' });
    await when(client, ({ conversations }) => openQuestions(conversations).length === 1);
    const { run, call } = openQuestions(client.snapshot.conversations)[0]!;
    await act(run.run_id, call.call_id);
    await when(client, ({ conversations }) => conversations.threads.get('t')!.runs[i]!.status === 'succeeded');
    await assert.rejects(client.answer(run.run_id, call.call_id, 'late'), (error) => code('call_closed')(error) || code('not_found')(error));
  }
  assert.deepEqual(answers, [
    { status: 'ok', results: { yes: true }, error: null },
    { status: 'declined', results: null, error: 'not now' },
    { status: 'error', results: null, error: 'broken' },
  ]);
  client.close();
});

test('two tabs: both see everything; the second answer to one question is refused', async () => {
  const { client, open } = pair({ agent: async (run) => run.answer(String((await run.ask('approve')).status)) });
  const other = open();
  client.connect();
  other.connect();
  await client.send({ thread_id: 't', text: 'x' });
  await when(other, ({ conversations }) => openQuestions(conversations).length === 1);
  const { run, call } = openQuestions(other.snapshot.conversations)[0]!;
  const results = await Promise.allSettled([client.decline(run.run_id, call.call_id, 'no'), other.answer(run.run_id, call.call_id)]);
  assert.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected']);
  await when(other, ({ conversations }) => conversations.threads.get('t')!.runs[0]!.status === 'succeeded');
  await when(client, ({ conversations }) => conversations.threads.get('t')!.runs[0]!.status === 'succeeded');
  assert.deepEqual(client.snapshot.conversations, other.snapshot.conversations);
  assert.equal(answerOf(client.snapshot.conversations.threads.get('t')!.runs[0]!), 'declined');
  client.close();
  other.close();
});

test('an aborted command stops waiting; an aborted loop ends', async () => {
  const { client } = pair();
  const abort = new AbortController();
  const sent = client.send({ thread_id: 't', text: 'x' }, { signal: abort.signal });
  const loop = takeUntil(client.entries({ signal: abort.signal }), 99);
  abort.abort(new Error('enough'));
  await assert.rejects(sent, code('aborted'));
  await assert.rejects(loop, code('aborted'));
  assert.deepEqual(client.snapshot.pending, []);
  await assert.rejects(client.caughtUp({ signal: abort.signal }), code('aborted'));
  client.close();
});

test('run_12: a message that the active run takes is merged into it; one that it does not take runs in its turn', async () => {
  const { client } = pair({
    agent: async (run) => {
      if (run.message.text !== 'long') return run.answer(run.message.text);
      run.think('hm');
      await run.ask('continue');
      run.answer(`long and ${run.takeMessages().map(({ text }) => text).join()}`);
      await run.ask('continue');
    },
  });
  client.connect();
  const { run_id } = await client.send({ thread_id: 't', text: 'long' });
  const runs = () => client.snapshot.conversations.threads.get('t')!.runs;
  await client.steer({ thread_id: 't', text: 'this' });
  await client.answer(run_id, 'call-1');
  await when(client, () => runs()[1]?.status === 'merged');
  assert.equal(runs()[1]?.merged_into, run_id);
  await client.steer({ thread_id: 't', text: 'too late' });
  await client.answer(run_id, 'call-2');
  await when(client, () => runs()[2]?.status === 'succeeded');
  assert.deepEqual(runs().map(answerOf), ['long and this', '', 'too late']);
  client.close();
});

test('storage: a loop without conversations resumes after the last entry that it is done with', async () => {
  const { server, open } = pair();
  for (let i = 0; i < 10; i += 1) server.append('ann', { type: 'thread_updated', thread_id: 't', title: String(i), archived: false });
  const storage = memoryStorage();
  const seen: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    const client = open({ storage, conversations: false });
    let taken = 0;
    for await (const { offset } of client.entries()) {
      if ((taken += 1) > 3) {
        client.close(); // in the middle of this entry: it is not done
        break;
      }
      seen.push(offset);
      if (offset === 10) {
        client.close();
        break;
      }
    }
    assert.equal((await storage.load())?.threads, null);
  }
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('the browser is online again: the client retries at once', async () => {
  const target = new EventTarget();
  const { addEventListener, removeEventListener } = globalThis;
  Object.assign(globalThis, { addEventListener: target.addEventListener.bind(target), removeEventListener: target.removeEventListener.bind(target) });
  try {
    const { client, server } = pair();
    client.connect();
    await client.caughtUp();
    server.close();
    await when(client, ({ connection }) => connection.phase === 'waiting');
    target.dispatchEvent(new Event('online'));
    await client.caughtUp();
    client.close();
    assert.equal(server.opened, 2);
  } finally {
    Object.assign(globalThis, { addEventListener, removeEventListener });
  }
});

test('titles, archives and erasure arrive as entries', async () => {
  const { client } = pair();
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  await client.updateThread('t', { title: 'A title' });
  assert.equal(client.snapshot.conversations.threads.get('t')!.title, 'A title');
  await client.eraseThread('t');
  assert.equal(client.snapshot.conversations.threads.has('t'), false);
  client.close();
});

test('a frame before ready, or one that is not JSON, replaces the connection', async () => {
  const { client, server, timers } = pair();
  server.options.outgoing = (frame) => (frame.type === 'ready' ? [{ type: 'thread_updated', offset: 1, user_id: 'ann', thread_id: 't', timestamp: 0, title: null, archived: false }] : []);
  client.connect();
  await when(client, ({ connection }) => connection.phase === 'waiting');
  assert.equal(client.snapshot.conversations.threads.size, 0);
  server.options.outgoing = (frame) => (frame.type === 'ready' ? ['no object' as never] : []);
  await timers.advance(300);
  await when(client, ({ connection }) => connection.phase === 'waiting');
  server.options.outgoing = (frame) => [frame];
  await timers.advance(2_000);
  await client.caughtUp();
  client.close();
});

test('a listener that throws is reported and stops no other listener', async () => {
  const { client, errors } = pair();
  client.subscribe(() => {
    throw new Error('view');
  });
  client.connect();
  await client.caughtUp();
  assert.ok(errors.length > 0);
  client.close();
});
