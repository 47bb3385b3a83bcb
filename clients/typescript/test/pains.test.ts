// One test for each pain of users of comparable systems that a client can cause or cure. The numbers are those of the
// project's list. 1 and 18 need a service (`e2e.test.ts`), 21 needs a chat (`ai-sdk.test.ts`).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { answerOf, applyEntries, callsOf, hasEnded, NO_CONVERSATIONS, openQuestions, QuintetError, type Entry, type Quintet } from 'quintet';
import { memoryStorage, type FakeRun } from 'quintet/testing';
import { pair, takeUntil, when } from './harness.js';
import { logOf } from './words.js';

const firstRun = (client: Quintet) => client.snapshot.conversations.threads.get('t')?.runs[0];
const endOf = (client: Quintet) => when(client, () => firstRun(client) !== undefined && hasEnded(firstRun(client)!));
const held = () => {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
};

test('pain 2: an answer of another user on the same connection is never shown', async () => {
  const { client, server, timers } = pair();
  server.options.outgoing = (frame) => ('offset' in frame && frame.type === 'agent_thinking' ? [{ ...frame, user_id: 'eve', delta: 'secret' }] : [frame]);
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  await timers.advance(1_000);
  assert.doesNotMatch(JSON.stringify([...client.snapshot.conversations.threads.values()]), /secret/);
  client.close();
});

test('pain 3: what is stored for one user is not shown to the next one on the device', async () => {
  const { open, timers } = pair();
  const storage = memoryStorage();
  const ann = open({ storage });
  ann.connect();
  await ann.send({ thread_id: 't', text: 'of ann' });
  await endOf(ann);
  ann.close();
  const bob = open({ storage, credential: () => ({ token: 'bob' }) });
  bob.connect();
  await timers.advance(1_000);
  await bob.caughtUp();
  assert.equal(bob.snapshot.conversations.threads.size, 0);
  bob.close();
});

test('pain 4: a subscription that is lost and taken up again loses no event', async () => {
  const { open: go, opened } = held();
  const { client, server, timers } = pair({ agent: async (run) => (await opened, void Array.from({ length: 10 }, (_, i) => run.answer(String(i)))) });
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  server.stop();
  go();
  await timers.advance(100);
  server.start();
  await timers.advance(1_000);
  await endOf(client);
  assert.equal(answerOf(firstRun(client)!), '0123456789');
  client.close();
});

test('pain 5: the cursor is sent with every reconnect', async () => {
  const { client, server, timers } = pair();
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  await endOf(client);
  server.close();
  await timers.advance(1_000);
  await client.caughtUp();
  const hello = server.received.findLast(({ type }) => type === 'hello');
  assert.deepEqual(hello, { type: 'hello', token: 'ann', epoch: 'epoch-1', after: server.log('ann').length });
  client.close();
});

test('pain 6: a client that joins in mid-run sees every event of it, from every thread', async () => {
  const { open: go, opened } = held();
  const { client, open } = pair({ agent: async (run) => (run.answer('a'), await opened, run.answer('b')) });
  client.connect();
  await Promise.all(['t', 'u'].map((thread_id) => client.send({ thread_id, text: 'x' })));
  const joined = open();
  joined.connect();
  await joined.caughtUp();
  go();
  await when(joined, ({ conversations }) => [...conversations.threads.values()].every(({ runs }) => runs.every(hasEnded)));
  assert.deepEqual([...joined.snapshot.conversations.threads.values()].map(({ runs }) => answerOf(runs[0]!)), ['ab', 'ab']);
  client.close();
  joined.close();
});

test('pain 7: entries of one millisecond are distinguished by offset and not by time', () => {
  const log = logOf([{ thread_id: 't', word: [{ type: 'agent_started' }, { type: 'agent_thinking', kind: 'answer', delta: 'a' }, { type: 'agent_thinking', kind: 'answer', delta: 'b' }] }], [0, 0, 0, 0]);
  const state = applyEntries(NO_CONVERSATIONS, log.map((entry) => ({ ...entry, timestamp: 1 })));
  assert.equal(answerOf(state.threads.get('t')!.runs[0]!), 'ab');
});

test('pain 8: resuming works before anything was emitted, after a long time, and the second time', async () => {
  const { client, server, timers } = pair();
  client.connect();
  await client.caughtUp();
  for (let i = 0; i < 5; i += 1) {
    await timers.advance(3_600_000);
    server.close();
    await timers.advance(1_000);
    await client.caughtUp();
  }
  await client.send({ thread_id: 't', text: 'x' });
  await endOf(client);
  assert.equal(answerOf(firstRun(client)!), 'x');
  assert.equal(client.snapshot.gap, null);
  client.close();
});

test('pain 9: a reconnect before the first token sees the run', async () => {
  const { client, open } = pair({ agent: () => new Promise(() => undefined) });
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  const reloaded = open();
  reloaded.connect();
  await reloaded.caughtUp();
  assert.equal(firstRun(reloaded)?.status, 'active');
  client.close();
  reloaded.close();
});

test('pain 10: a stream that is cut does not look finished', async () => {
  const { client, server, timers } = pair({ agent: (run) => new Promise(() => run.answer('half')) });
  const loop = client.entries();
  let over = false;
  void takeUntil(loop, 1_000).then(() => (over = true));
  await client.send({ thread_id: 't', text: 'x' });
  await when(client, () => firstRun(client) !== undefined && answerOf(firstRun(client)!) === 'half');
  server.stop();
  await timers.advance(60_000);
  assert.equal(firstRun(client)!.status, 'active');
  assert.equal(over, false);
  client.close();
});

test('pain 11: two replays of the same run show its reply once', async () => {
  const { client, server, timers } = pair();
  server.options.outgoing = (frame) => ('offset' in frame ? [frame, frame] : [frame]);
  client.connect();
  await client.send({ thread_id: 't', text: 'hello' });
  await endOf(client);
  server.close();
  await timers.advance(1_000);
  await client.caughtUp();
  assert.equal(answerOf(firstRun(client)!), 'hello');
  assert.equal(applyEntries(client.snapshot.conversations, server.log('ann')), client.snapshot.conversations);
  client.close();
});

test('pain 12: with many reconnects, every entry reaches a loop and a listener once', async () => {
  const { open: go, opened } = held();
  const { client, server, timers } = pair({ agent: async (run) => (await opened, void Array.from({ length: 50 }, () => run.answer('.'))) });
  const seen: number[] = [];
  void (async () => {
    for await (const { offset } of client.entries()) seen.push(offset);
  })();
  await client.send({ thread_id: 't', text: 'x' });
  let sent = 0;
  server.options.outgoing = (frame) => {
    if ('offset' in frame && (sent += 1) % 7 === 0) queueMicrotask(() => server.close());
    return [frame];
  };
  go();
  for (let i = 0; i < 40; i += 1) await timers.advance(31_000);
  assert.deepEqual(seen, server.log('ann').map(({ offset }) => offset));
  assert.equal(answerOf(firstRun(client)!).length, 50);
  client.close();
});

test('pain 13: a suffix continues the saved state: its prefix is never missing', async () => {
  const { open: go, opened } = held();
  const { open } = pair({ agent: async (run) => (run.answer('pre'), await opened, run.answer('fix')) });
  const storage = memoryStorage();
  const first = open({ storage });
  first.connect();
  await first.send({ thread_id: 't', text: 'x' });
  await when(first, () => firstRun(first) !== undefined && answerOf(firstRun(first)!) === 'pre');
  first.close();
  go();
  const second = open({ storage });
  second.connect();
  await endOf(second);
  assert.equal(answerOf(firstRun(second)!), 'prefix');
  second.close();
});

test('pain 14: state of a log that was replaced is not kept', async () => {
  const { client, server, timers } = pair();
  client.connect();
  await client.send({ thread_id: 't', text: 'old' });
  await endOf(client);
  server.stop();
  server.replace('ann');
  server.start();
  await timers.advance(1_000);
  await client.caughtUp();
  assert.deepEqual(client.snapshot.conversations, { offset: 0, threads: new Map() });
  client.close();
});

test('pain 15: parallel calls close in any order, each with its own result', async () => {
  const { client } = pair({
    agent: async (run) => {
      run.think('both');
      const gates = [held(), held()];
      const calls = gates.map(({ opened }, i) => run.tool(`tool-${i}`, { i }, () => opened.then(() => i)));
      gates[1]!.open();
      await calls[1];
      gates[0]!.open();
      await calls[0];
    },
  });
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  await endOf(client);
  assert.deepEqual(callsOf(firstRun(client)!).map(({ tool_name, results, status }) => [tool_name, results, status]), [['tool-0', 0, 'ok'], ['tool-1', 1, 'ok']]);
  client.close();
});

test('pain 16: what comes after the end of a run does not open it again', () => {
  const log = logOf([{ thread_id: 't', word: [{ type: 'agent_started' }, { type: 'agent_completed', status: 'failed' }, { type: 'agent_thinking', kind: 'answer', delta: 'late' }, { type: 'agent_completed', status: 'succeeded' }] }], [0, 0, 0, 0, 0]);
  const run = applyEntries(NO_CONVERSATIONS, log).threads.get('t')!.runs[0]!;
  assert.equal(run.status, 'failed');
  assert.equal(answerOf(run), '');
});

test('pain 17: one rule combines deltas: concatenation since the last reset of a kind', () => {
  const word = [
    { type: 'agent_started' as const },
    ...[['answer', 'a'], ['reasoning', 'm'], ['answer', 'b'], ['answer', 'c', true], ['answer', 'd']].map(([kind, delta, reset]) => ({ type: 'agent_thinking' as const, kind: kind as 'answer', delta: delta as string, ...(reset ? { reset: true } : {}) })),
  ];
  const run = applyEntries(NO_CONVERSATIONS, logOf([{ thread_id: 't', word }], word.map(() => 0).concat(0))).threads.get('t')!.runs[0]!;
  assert.deepEqual(run.parts, [{ type: 'text', kind: 'reasoning', text: 'm' }, { type: 'text', kind: 'answer', text: 'cd' }]);
  assert.equal(run.withdrawals, 1);
});

test('pain 19: a cancel is done when the run has ended, and not when it was requested', async () => {
  const { client, server, timers } = pair({ agent: () => new Promise(() => undefined) });
  client.connect();
  const { run_id } = await client.send({ thread_id: 't', text: 'x' });
  server.options.incoming = ({ type }) => type === 'cancel_run';
  let done = false;
  const cancelled = client.cancel(run_id).then(() => (done = true));
  await timers.advance(1_000);
  assert.equal(done, false);
  delete server.options.incoming;
  server.close();
  await timers.advance(1_000);
  await cancelled;
  assert.equal(firstRun(client)!.status, 'cancelled');
  client.close();
});

test('pain 20: a view does not spin for ever on a run whose end lies in a gap', async () => {
  const { open: go, opened } = held();
  const { client, server, timers } = pair({ agent: async (run) => (run.answer('a'), await opened) });
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  await when(client, () => firstRun(client)?.status === 'active');
  server.stop();
  go();
  await timers.advance(10);
  server.trim('ann', server.log('ann').length);
  server.start();
  await timers.advance(1_000);
  await client.caughtUp();
  assert.equal(firstRun(client)!.status, 'unknown');
  assert.ok(hasEnded(firstRun(client)!));
  client.close();
});

test('pain 22: a thread with an active run takes messages by the policy of each', async () => {
  const { client } = pair({ agent: (run) => (run.message.text === 'long' ? new Promise(() => undefined) : run.answer('ok')) });
  client.connect();
  await client.send({ thread_id: 't', text: 'long' });
  await assert.rejects(client.send({ thread_id: 't', text: 'no', on_busy: 'reject' }), (error) => error instanceof QuintetError && error.code === 'thread_busy');
  await client.send({ thread_id: 't', text: 'queued' });
  await client.send({ thread_id: 't', text: 'now', on_busy: 'interrupt' });
  await when(client, ({ conversations }) => conversations.threads.get('t')!.runs[2]?.status === 'succeeded');
  assert.deepEqual(client.snapshot.conversations.threads.get('t')!.runs.map(({ status }) => status), ['cancelled', 'cancelled', 'succeeded']);
  client.close();
});

test('pain 23: a repeated send or answer acts once, and "no" is never taken for an error or consent', async () => {
  const outcomes: string[] = [];
  const { client, server, timers } = pair({ agent: async (run: FakeRun) => void outcomes.push((await run.ask('approve')).status) });
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  await when(client, ({ conversations }) => openQuestions(conversations).length === 1);
  const { run, call } = openQuestions(client.snapshot.conversations)[0]!;
  // The answer arrives, its entry does not: the connection is lost in between.
  server.options.outgoing = (frame) => ('offset' in frame ? (queueMicrotask(() => server.close()), []) : [frame]);
  const declined = client.decline(run.run_id, call.call_id, 'no');
  await timers.advance(10);
  server.options.outgoing = (frame) => [frame];
  await timers.advance(1_000);
  await declined;
  await endOf(client);
  assert.deepEqual(outcomes, ['declined']);
  assert.equal(callsOf(firstRun(client)!)[0]!.status, 'declined');
  client.close();
});

test('pain 24: a loop that is slow holds no more than its bound, and still gets every entry', async () => {
  const { open, server, timers } = pair({ agent: (run) => void Array.from({ length: 500 }, () => run.answer('.')) });
  const writer = open();
  writer.connect();
  await writer.send({ thread_id: 't', text: 'x' });
  await endOf(writer);
  const client = open({ bufferEntriesMax: 20, conversations: false });
  const loop = client.entries() as AsyncIterableIterator<Entry> & { length: number };
  let longest = 0;
  let expected = 1;
  const taken = (async () => {
    for await (const { offset } of loop) {
      assert.equal(offset, expected++);
      longest = Math.max(longest, loop.length);
      if (offset === server.log('ann').length) return;
      if (offset % 10 === 0) await timers.advance(100);
    }
  })();
  await timers.advance(5_000);
  await taken;
  assert.ok(longest <= 20, `${longest}`);
  assert.ok(server.opened > 5);
  client.close();
  writer.close();
});

test('pain 24: a command goes through while the loop that sends it is behind', async () => {
  const { open, server, timers } = pair({ agent: (run) => void Array.from({ length: 60 }, () => run.answer('.')) });
  const writer = open();
  writer.connect();
  await writer.send({ thread_id: 't', text: 'x' });
  await endOf(writer);
  const client = open({ bufferEntriesMax: 10 });
  let sent: Promise<unknown> | null = null;
  const head = server.log('ann').length;
  const seen: number[] = [];
  const taken = (async () => {
    for await (const { offset } of client.entries()) {
      seen.push(offset);
      if (sent === null) {
        await timers.advance(10);
        assert.equal(client.state.phase, 'paused');
        sent = client.send({ thread_id: 'u', text: 'from the loop' });
        void timers.advance(2_000);
        await sent; // would wait for ever if a paused client did not connect for it
      }
      if (offset === head) return;
      await timers.advance(10);
    }
  })();
  await taken;
  assert.deepEqual(seen, Array.from({ length: head }, (_, i) => i + 1));
  client.close();
  writer.close();
});

test('pain 25: a long log is applied in batches: a view renders a few times, and not for each entry', async () => {
  const { open } = pair({ agent: (run) => void Array.from({ length: 5_000 }, () => run.answer('.')) });
  const writer = open();
  writer.connect();
  await writer.send({ thread_id: 't', text: 'x' });
  await endOf(writer);
  const client = open();
  let renders = 0;
  client.subscribe(() => (renders += 1));
  client.connect();
  await client.caughtUp();
  assert.deepEqual(client.snapshot.conversations, writer.snapshot.conversations);
  assert.ok(renders < 60, `${renders}`);
  client.close();
  writer.close();
});

test('each of the 25 pains has its test', () => {
  const files = ['pains', 'e2e', 'ai-sdk'].map((name) => readFileSync(new URL(`../test/${name}.test.ts`, import.meta.url), 'utf8'));
  const named = files.flatMap((text) => [...text.matchAll(/test\(['`]pain ([\d, ]+)/g)].flatMap(([, numbers]) => numbers!.split(',').map(Number)));
  assert.deepEqual([...new Set(named)].sort((a, b) => a - b), Array.from({ length: 25 }, (_, i) => i + 1));
});
