// The client against a service in memory: close codes, credentials, resume, gaps, storage.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerOf, Quintet, QuintetError, reactionTo, type Entry, type ServerFrame } from 'quintet';
import { memoryStorage } from 'quintet/testing';
import { pair, takeUntil, when } from './harness.js';

const code = (expected: string) => (error: unknown) => error instanceof QuintetError && error.code === expected;

test('connects, sends, receives the five events, and folds them', async () => {
  const { client, server } = pair({
    agent: async (run) => {
      run.think('Looking it up.');
      await run.tool('weather', { city: 'Oslo' }, () => ({ celsius: 7 }));
      run.answer('Rain, ');
      run.answer('7 °C.');
    },
  });
  client.connect();
  const accepted = await client.send({ thread_id: 't', text: 'Weather?' });
  assert.equal(accepted.duplicate, false);
  const { conversations } = await when(client, ({ conversations }) => conversations.threads.get('t')?.runs[0]?.status === 'succeeded');
  const run = conversations.threads.get('t')!.runs[0]!;
  assert.equal(answerOf(run), 'Rain, 7 °C.');
  assert.deepEqual(run.parts.map((part) => (part.type === 'text' ? part.kind : part.status)), ['reasoning', 'ok', 'answer']);
  assert.equal(conversations.offset, server.log('ann').length);
  client.close();
});

test('the states: connecting, handshaking, replaying, live, waiting, closed', async () => {
  const { client, server, timers } = pair();
  const phases: string[] = [];
  client.subscribe(() => void (phases.at(-1) !== client.state.phase && phases.push(client.state.phase)));
  client.connect();
  await client.caughtUp();
  await when(client, ({ connection }) => connection.phase === 'live');
  server.close(1006);
  await when(client, ({ connection }) => connection.phase === 'waiting');
  await timers.advance(250);
  await client.caughtUp();
  client.close();
  assert.deepEqual(phases, ['connecting', 'handshaking', 'replaying', 'live', 'waiting', 'connecting', 'handshaking', 'replaying', 'live', 'closed']);
});

for (const [codes, reaction] of [
  [[1005, 1006, 1011, 1012, 4408], 'retry'],
  [[1013, 4429], 'later'],
  [[4401], 'credential'],
  [[1000, 1002, 1007, 1009, 4400, 4403, 4999], 'final'],
] as const) {
  test(`conn_3: close codes ${codes.join(', ')} are answered with: ${reaction}`, async () => {
    for (const closed of codes) {
      assert.equal(reactionTo(closed), reaction);
      const reasons: string[] = [];
      const { client, server, timers } = pair({}, { credential: ({ reason }) => (reasons.push(reason), { token: 'ann' }) });
      client.connect();
      await client.caughtUp();
      server.close(closed);
      await when(client, ({ connection }) => connection.phase === (reaction === 'final' ? 'closed' : 'waiting'));
      if (client.state.phase === 'waiting') {
        // Full jitter with a dice of one half: half of the ceiling.
        assert.equal(client.state.retry_in_ms, reaction === 'later' ? 2_000 : 250);
        await timers.advance(client.state.retry_in_ms);
        await client.caughtUp();
      }
      const again = reaction === 'final' ? [] : [reaction === 'credential' ? 'refused' : 'connect'];
      assert.deepEqual(reasons, ['connect', ...again]);
      client.close();
    }
  });
}

test('back-off doubles up to its limit, and begins again after a stable connection', async () => {
  const { client, server, timers } = pair();
  client.connect();
  await client.caughtUp();
  const delays: number[] = [];
  client.subscribe(() => {
    if (client.state.phase === 'waiting' && delays.at(-1) !== client.state.retry_in_ms) delays.push(client.state.retry_in_ms);
  });
  server.stop();
  for (let i = 0; i < 8; i += 1) await timers.advance(15_000);
  assert.deepEqual(delays, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000]);
  server.start();
  await timers.advance(15_000);
  await client.caughtUp();
  await timers.advance(5_000);
  server.close();
  await when(client, ({ connection }) => connection.phase === 'waiting');
  assert.equal(delays.at(-1), 250);
  client.close();
});

test('auth: refused credentials end the client after three new ones, and pending commands fail', async () => {
  const { client, timers } = pair({}, { credential: () => ({ token: '' }) });
  client.connect();
  const sent = client.send({ thread_id: 't', text: 'x' });
  const failed = assert.rejects(sent, code('unauthenticated'));
  for (let i = 0; i < 6; i += 1) await timers.advance(30_000);
  assert.equal(client.state.phase, 'closed');
  assert.equal(client.state.phase === 'closed' && client.state.reason, 'refused');
  await failed;
});

test('auth: an error of the credential callback is retried, a final one is not', async () => {
  let fails = 2;
  const { client, timers } = pair({}, {
    credential: () => {
      fails -= 1;
      if (fails >= 0) throw new Error('offline');
      return { token: 'ann' };
    },
  });
  client.connect();
  await timers.advance(5_000);
  await client.caughtUp();
  client.close();
  const { client: refused } = pair({}, { credential: () => Promise.reject(new QuintetError('forbidden', 'no', { final: true })) });
  refused.connect();
  await when(refused, ({ connection }) => connection.phase === 'closed');
});

test('auth_3: a credential is renewed before it expires', async () => {
  let issued = 0;
  const { client, server, timers } = pair({}, { credential: () => ({ token: 'ann', expires_at: ++issued === 1 ? 60_000 : 1_000_000 }) });
  client.connect();
  await client.caughtUp();
  await timers.advance(30_000);
  assert.equal(server.received.filter(({ type }) => type === 'renew').length, 1);
  assert.equal(server.opened, 1);
  client.close();
});

test('auth_3: a renewal that is refused is tried again, and the connection lives', async () => {
  const { client, server, timers, errors } = pair({}, { credential: () => ({ token: 'ann', expires_at: 60_000 }) });
  server.options.incoming = ({ type }) => type === 'renew' && 'unauthenticated';
  client.connect();
  await client.caughtUp();
  await timers.advance(30_000);
  assert.equal(errors.length, 1);
  delete server.options.incoming;
  await timers.advance(5_000);
  assert.equal(server.received.filter(({ type }) => type === 'renew').length, 2);
  assert.equal(server.opened, 1);
  client.close();
});

test('a class of sockets that throws is a lost connection', async () => {
  const { client, server, open, timers } = pair();
  let blocked = true;
  const Blocked = class extends server.WebSocket {
    constructor(url: string, protocol: string) {
      if (blocked) throw new DOMException('blocked by a policy', 'SecurityError');
      super(url, protocol);
    }
  };
  const other = open({ WebSocket: Blocked });
  other.connect();
  const { connection } = await when(other, (snapshot) => snapshot.connection.phase === 'waiting');
  assert.match('message' in connection ? connection.message : '', /policy/);
  blocked = false;
  await timers.advance(1_000);
  await other.caughtUp();
  other.close();
  client.close();
});

test('without a class of sockets, the constructor throws', () => {
  if ('WebSocket' in globalThis) return;
  assert.throws(() => new Quintet({ url: 'http://fake', credential: () => ({ token: 'ann' }) }), /WebSocket/);
});

test('a token that is a JWT is renewed by its exp', async () => {
  const jwt = `x.${btoa(JSON.stringify({ exp: 60 }))}.x`;
  const { client, server, timers } = pair({}, { credential: () => ({ token: jwt }) });
  client.connect();
  await client.caughtUp();
  await timers.advance(31_000);
  assert.ok(server.received.some(({ type }) => type === 'renew'));
  client.close();
});

test('conn_5: a service that does not answer a ping is replaced', async () => {
  const { client, server, timers } = pair({ incoming: ({ type }) => type === 'ping' });
  client.connect();
  await client.caughtUp();
  await timers.advance(25_000 + 10_000);
  await timers.advance(500);
  await client.caughtUp();
  assert.equal(server.opened, 2);
  client.close();
});

test('a service that accepts and stays silent is given up in time', async () => {
  const { client, server, timers } = pair({ incoming: ({ type }) => type === 'hello' });
  client.connect();
  await timers.advance(16_000);
  assert.equal(server.opened, 2);
  client.close();
});

test('conn_6: a drain is announced; the client waits for reconnect_after_ms and resumes', async () => {
  const { client, server, timers } = pair();
  client.connect();
  await client.caughtUp();
  server.drain(3_000);
  await when(client, ({ connection }) => connection.phase === 'waiting');
  assert.equal(client.state.phase === 'waiting' && client.state.retry_in_ms, 3_250);
  await timers.advance(3_250);
  await client.caughtUp();
  client.close();
});

test('del_3: a connection that is lost anywhere in the log resumes after the last applied entry, each entry once', async () => {
  const { server, timers, open } = pair({ agent: (run) => void Array.from({ length: 20 }, (_, i) => run.answer(String(i))) });
  const first = open();
  first.connect();
  await first.send({ thread_id: 't', text: 'go' });
  await when(first, ({ conversations }) => conversations.threads.get('t')?.runs[0]?.status === 'succeeded');
  first.close();
  const log = server.log('ann');
  for (let cut = 0; cut <= log.length; cut += 1) {
    const client = open();
    const seen: number[] = [];
    server.options.outgoing = (frame: ServerFrame) => {
      if (!('offset' in frame) || frame.offset <= cut) return [frame];
      server.options.outgoing = (sent) => [sent];
      queueMicrotask(() => server.close());
      return [];
    };
    const entries = client.entries();
    const taken = takeUntil(entries, log.length);
    await timers.advance(1_000);
    for (const { offset } of await taken) seen.push(offset);
    assert.deepEqual(seen, log.map(({ offset }) => offset));
    assert.deepEqual(client.snapshot.conversations, first.snapshot.conversations);
    client.close();
  }
});

for (const [what, mutate] of [
  ['repeated', (frame: Entry) => [frame, frame]],
  ['missing', (frame: Entry) => (frame.offset === 3 ? [] : [frame])],
  ['of another user', (frame: Entry) => (frame.offset === 3 ? [{ ...frame, user_id: 'eve' } as Entry] : [frame])],
] as const) {
  test(`del_2, iso_1: an entry that is ${what} is never applied`, async () => {
    const { server, client, timers } = pair();
    let faulty = true;
    server.options.outgoing = (frame) => ('offset' in frame && faulty ? mutate(frame) : [frame]);
    const seen: Entry[] = [];
    const loop = takeUntil(client.entries(), 4).then((entries) => seen.push(...entries));
    await client.send({ thread_id: 't', text: 'hello' });
    await timers.advance(10);
    faulty = false;
    await timers.advance(2_000);
    await loop;
    assert.deepEqual(seen, server.log('ann').slice(0, 4));
    client.close();
  });
}

test('del_2: a caught_up before the last entry replaces the connection, and the entry is not lost', async () => {
  const { server, client, timers } = pair();
  for (let i = 0; i < 3; i += 1) server.append('ann', { type: 'thread_updated', thread_id: 't', title: String(i), archived: false });
  let faulty = true;
  server.options.outgoing = (frame) => (faulty && 'offset' in frame && frame.offset === 3 ? [] : [frame]);
  client.connect();
  await when(client, ({ connection }) => connection.phase === 'waiting');
  assert.equal(client.snapshot.caughtUp, false);
  faulty = false;
  await timers.advance(1_000);
  assert.equal((await client.caughtUp()).conversations.offset, 3);
  client.close();
});

test('del_3: trimmed entries are a gap, reported before the entries after it', async () => {
  const gaps: unknown[] = [];
  const { server, client, timers } = pair({}, { onGap: (gap) => gaps.push(gap) });
  client.connect();
  await client.send({ thread_id: 't', text: '1' });
  await client.caughtUp();
  const { offset } = client.snapshot.conversations;
  server.stop();
  await when(client, ({ connection }) => connection.phase === 'waiting');
  for (let i = 0; i < 5; i += 1) server.append('ann', { type: 'thread_updated', thread_id: 'x', title: null, archived: false });
  server.trim('ann', offset + 3);
  server.start();
  await timers.advance(1_000);
  await client.caughtUp();
  assert.deepEqual(gaps, [{ from: offset + 1, to: offset + 3 }]);
  assert.deepEqual(client.snapshot.gap, gaps[0]);
  assert.ok(client.snapshot.conversations.threads.has('t'));
  assert.equal(client.snapshot.resets, 0);
  client.close();
});

test('del_3: a restart has a new epoch and costs nothing', async () => {
  const { server, client, timers } = pair();
  client.connect();
  await client.send({ thread_id: 't', text: '1' });
  await when(client, ({ conversations }) => conversations.threads.get('t')?.runs[0]?.status === 'succeeded');
  const { conversations } = client.snapshot;
  server.stop();
  server.start();
  await timers.advance(1_000);
  const after = await client.caughtUp();
  assert.equal(after.resets, 0);
  assert.equal(after.conversations.threads, conversations.threads);
  const [, second] = server.received.filter((frame) => frame.type === 'hello');
  assert.deepEqual(second, { type: 'hello', token: 'ann', epoch: 'epoch-1', after: conversations.offset });
  client.close();
});

test('del_3: another history discards the state, and a loop throws', async () => {
  const { server, client, timers } = pair();
  const loop = takeUntil(client.entries(), 1_000);
  const thrown = assert.rejects(loop, code('reset'));
  await client.send({ thread_id: 'old', text: '1' });
  await when(client, ({ conversations }) => conversations.threads.get('old')?.runs[0]?.status === 'succeeded');
  server.stop();
  server.replace('ann');
  server.start();
  server.append('ann', { type: 'thread_updated', thread_id: 'new', title: null, archived: false });
  await timers.advance(1_000);
  const { conversations, resets } = await client.caughtUp();
  assert.deepEqual([...conversations.threads.keys()], ['new']);
  assert.equal(resets, 1);
  await thrown;
  client.close();
});

test('del_3: a log that ends before the cursor is read again from its beginning', async () => {
  const { server, timers, open } = pair();
  const storage = memoryStorage({ version: 1, cursor: { user_id: 'ann', epoch: 'epoch-1', offset: 99 }, threads: [], commands: [] });
  server.append('ann', { type: 'thread_updated', thread_id: 't', title: null, archived: false });
  const client = open({ storage });
  client.connect();
  await timers.advance(1_000);
  const { conversations, resets } = await client.caughtUp();
  assert.deepEqual([...conversations.threads.keys()], ['t']);
  assert.equal(resets, 1);
  client.close();
});

test('iso_1: a checkpoint of another user is discarded', async () => {
  const { server, timers, open } = pair();
  const storage = memoryStorage();
  const ann = open({ storage });
  ann.connect();
  await ann.send({ thread_id: 'secret', text: 'of ann' });
  await ann.caughtUp();
  ann.close();
  for (let i = 0; i < 9; i += 1) server.append('bob', { type: 'thread_updated', thread_id: 'bobs', title: null, archived: false });
  const bob = open({ storage, credential: () => ({ token: 'bob' }) });
  bob.connect();
  await timers.advance(1_000);
  const { conversations, user_id } = await bob.caughtUp();
  assert.equal(user_id, 'bob');
  assert.deepEqual([...conversations.threads.keys()], ['bobs']);
  assert.equal(conversations.offset, 9);
  bob.close();
});

test('start: head begins with what is new', async () => {
  const { server, open } = pair();
  for (let i = 0; i < 5; i += 1) server.append('ann', { type: 'thread_updated', thread_id: 'old', title: null, archived: false });
  const client = open({ start: 'head' });
  client.connect();
  await client.caughtUp();
  assert.equal(client.snapshot.conversations.threads.size, 0);
  await client.send({ thread_id: 'new', text: 'x' });
  await when(client, ({ conversations }) => conversations.threads.get('new')?.runs[0]?.status === 'succeeded');
  assert.equal(client.snapshot.gap, null);
  client.close();
});

test('storage: a reload resumes after the checkpoint, with the same state and the unsent message', async () => {
  const { server, open, timers } = pair();
  const storage = memoryStorage();
  const first = open({ storage });
  first.connect();
  await first.send({ thread_id: 't', text: '1' });
  await when(first, ({ conversations }) => conversations.threads.get('t')?.runs[0]?.status === 'succeeded');
  await timers.advance(1_000);
  server.stop();
  await when(first, ({ connection }) => connection.phase === 'waiting');
  const lost = assert.rejects(first.send({ thread_id: 't', message_id: 'm-unsent', text: '2' }), code('closed'));
  await timers.advance(10);
  const record = await storage.load();
  first.close();
  await lost;
  server.start();
  const second = open({ storage: memoryStorage(record) });
  second.connect();
  await when(second, ({ conversations }) => conversations.threads.get('t')?.runs[1]?.status === 'succeeded');
  const hello = server.received.findLast((frame) => frame.type === 'hello');
  assert.equal(hello?.type === 'hello' && hello.after, first.snapshot.conversations.offset);
  assert.deepEqual(second.snapshot.conversations.threads.get('t')!.runs[0], first.snapshot.conversations.threads.get('t')!.runs[0]);
  second.close();
});

test('storage: a broken record or a failing storage is reported, and the log is read from the start', async () => {
  for (const [failing, storage] of [
    [false, { load: () => ({ version: 7 }) as never, save: () => undefined }],
    [true, { load: () => Promise.reject(new Error('broken')), save: () => Promise.reject(new Error('full')) }],
  ] as const) {
    const { open, errors, timers } = pair();
    const client = open({ storage });
    client.connect();
    await client.caughtUp();
    await client.send({ thread_id: 't', text: 'x' });
    await timers.advance(2_000);
    assert.equal(errors.length > 0, failing);
    client.close();
  }
});

