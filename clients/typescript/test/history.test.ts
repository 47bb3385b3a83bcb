// Conversations from their end: folded pages, lists, and the entries that arrive meanwhile, each applied once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { answerOf, applyEntries, NO_CONVERSATIONS, Quintet, type Entry, type Run } from 'quintet';
import { byActivity, History, parentAtEnd, parentOn, pathOf } from 'quintet/history';
import { QuintetHttp } from 'quintet/http';
import { FakeServer, type FakeAgent } from 'quintet/testing';
import { when } from './harness.js';

const URL_ = 'http://fake';
const TALK: FakeAgent = (run) => {
  run.think('hm');
  run.answer(run.message.text);
};

/** A client that begins at the head, with its history. `hold` delays answers until it is released. */
function reader(server: FakeServer, options: { pageRuns?: number; pageThreads?: number } = {}) {
  const gate = { hold: null as Promise<void> | null };
  const client = new Quintet({ url: URL_, credential: () => ({ token: 'ann' }), WebSocket: server.WebSocket, start: 'head', conversations: false });
  const fetch_ = async (input: unknown, init?: RequestInit) => {
    const response = await server.fetch(input, init);
    await gate.hold;
    return response;
  };
  const http = new QuintetHttp({ url: URL_, token: () => 'ann', fetch: fetch_ as typeof fetch });
  const history = new History({ client, http, ...options });
  history.start();
  return { client, history, gate };
}

async function writer(server: FakeServer) {
  const client = new Quintet({ url: URL_, credential: () => ({ token: 'ann' }), WebSocket: server.WebSocket });
  client.connect();
  await client.caughtUp();
  const send = async (thread_id: string, text: string, more: object = {}) => {
    const { run_id } = await client.send({ thread_id, text, ...more });
    return run_id;
  };
  const ended = (thread_id: string) => when(client, () => client.snapshot.conversations.threads.get(thread_id)?.runs.every((run) => run.status !== 'active' && run.status !== 'waiting') === true);
  return { client, send, ended };
}

const texts = (runs: readonly Run[] | undefined) => runs?.map((run) => run.message?.text);
const isLoaded = (history: History, thread_id: string) => when(history, () => history.state.isLoaded && history.state.opened.get(thread_id)?.isLoaded === true);

test('start head: a thread opens at its last page, and older ones follow', async () => {
  const server = new FakeServer({ agent: TALK });
  const { client, send, ended } = await writer(server);
  for (let n = 0; n < 7; n += 1) await send('t', `m${n}`);
  await ended('t');
  const { history, client: reading } = reader(server, { pageRuns: 3 });
  history.open('t');
  await isLoaded(history, 't');
  assert.deepEqual(server.received.filter(({ type }) => type === 'hello').at(-1), { type: 'hello', token: 'ann', start: 'head' });
  const opened = () => history.state.opened.get('t')!;
  assert.deepEqual(texts(opened().thread?.runs), ['m4', 'm5', 'm6']);
  await history.older('t');
  await history.older('t');
  assert.deepEqual(texts(opened().thread?.runs), ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6']);
  assert.equal(opened().next_before, null);
  assert.deepEqual(opened().thread?.runs.map(answerOf), ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6']);
  client.close();
  reading.close();
});

test('del_2: entries that arrive while a page is under way are applied once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(12), fc.nat(12), async (before, during) => {
      // One run: its steps are before, during and after the request.
      let step!: () => void;
      const steps = 14;
      const server = new FakeServer({
        agent: async (run) => {
          for (let n = 0; n < steps; n += 1) {
            await new Promise<void>((resolve) => (step = resolve));
            run.answer(`${n},`);
          }
        },
      });
      const { client, send } = await writer(server);
      await send('t', 'go');
      const go = async (count: number) => {
        for (let n = 0; n < count; n += 1) {
          step();
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      await go(Math.min(before, steps));
      const { history, client: reading, gate } = reader(server);
      let release!: () => void;
      gate.hold = new Promise((resolve) => (release = resolve));
      history.open('t');
      await reading.caughtUp();
      await go(Math.min(during, steps - before));
      release();
      gate.hold = null;
      await isLoaded(history, 't');
      await go(Math.max(0, steps - before - during));
      await when(history, () => history.state.opened.get('t')?.thread?.runs[0]?.status === 'succeeded');
      const whole = applyEntries(NO_CONVERSATIONS, server.log('ann')).threads.get('t')!.runs[0]!;
      const read = history.state.opened.get('t')!.thread!.runs;
      assert.equal(read.length, 1);
      assert.equal(answerOf(read[0]!), answerOf(whole));
      assert.equal(history.state.threads.get('t')?.open_runs, 0);
      client.close();
      reading.close();
    }),
    { numRuns: 25 },
  );
});

test('the list: titles, first texts, order of activity, archive, erasure; a page and entries after it', async () => {
  const server = new FakeServer({ agent: TALK });
  const { client, send, ended } = await writer(server);
  for (const thread of ['a', 'b', 'c']) await send(thread, `first of ${thread}`);
  for (const thread of ['a', 'b', 'c']) await ended(thread);
  await client.updateThread('a', { title: 'A title' });
  const { history, client: reading } = reader(server, { pageThreads: 2 });
  await when(history, () => history.state.isLoaded);
  const names = () => byActivity(history.state.threads).map(({ title, first_text }) => title ?? first_text);
  assert.deepEqual(names(), ['first of c', 'first of b']);
  await history.moreThreads();
  assert.deepEqual(names(), ['first of c', 'first of b', 'A title']);
  await client.updateThread('b', { title: 'B title', archived: true });
  await when(history, () => history.state.threads.get('b')?.archived === true);
  assert.deepEqual(names(), ['first of c', 'B title', 'A title']);
  await client.updateThread('b', { archived: false });
  await when(history, () => history.state.threads.get('b')?.archived === false);
  assert.equal(history.state.threads.get('b')?.title, 'B title');
  history.open('a');
  await isLoaded(history, 'a');
  await client.eraseThread('a');
  await when(history, () => !history.state.threads.has('a'));
  assert.equal(history.state.opened.get('a')?.thread, undefined);
  await send('a', 'after the erasure');
  await when(history, () => history.state.threads.get('a')?.first_text === 'after the erasure');
  server.append('ann', { type: 'log_erased', erased_through: server.log('ann').length, receipt: 'r' });
  await when(history, () => history.state.threads.size === 0);
  assert.equal(history.state.opened.get('a')?.thread, undefined);
  client.close();
  reading.close();
});

test('run_11: the calls that wait are known over all threads, also of threads that are not open', async () => {
  const server = new FakeServer({ agent: async (run) => void (await run.ask('approve', { what: run.message.text })) });
  const { client, send } = await writer(server);
  const one = await send('a', 'one');
  await when(client, () => client.snapshot.conversations.threads.get('a')?.runs[0]?.parts.length === 1);
  const { history, client: reading } = reader(server);
  await when(history, () => history.state.isLoaded && history.state.waiting.size === 1);
  await send('b', 'two');
  await when(history, () => history.state.waiting.size === 2);
  assert.deepEqual([...history.state.waiting.values()].map(({ thread_id, parameters }) => [thread_id, parameters]), [['a', { what: 'one' }], ['b', { what: 'two' }]]);
  const call_id = [...history.state.waiting.values()][0]!.call_id;
  await client.answer(one, call_id, null);
  await when(history, () => history.state.waiting.size === 1);
  client.close();
  reading.close();
});

test('del_3: a log that was replaced is read again', async () => {
  const server = new FakeServer({ agent: TALK });
  const { client, send, ended } = await writer(server);
  await send('t', 'old');
  await ended('t');
  client.close();
  const { history, client: reading } = reader(server);
  history.open('t');
  await isLoaded(history, 't');
  server.replace('ann');
  server.append('ann', { type: 'user_message', thread_id: 'u', run_id: 'r', message_id: 'm', text: 'new', agent_name: 'fake', parent: 0 });
  server.close(1012);
  reading.connect();
  await when(history, () => history.state.threads.has('u') && history.state.isLoaded);
  assert.deepEqual([...history.state.threads.keys()], ['u']);
  assert.equal(history.state.opened.get('t')?.thread, undefined);
  reading.close();
});

test('the entries of a run replace its folded form', async () => {
  const server = new FakeServer({ agent: TALK });
  const { client, send, ended } = await writer(server);
  const run_id = await send('t', 'x');
  await ended('t');
  const { history, client: reading } = reader(server);
  history.open('t');
  await isLoaded(history, 't');
  const run = () => history.state.opened.get('t')!.thread!.runs[0]!;
  assert.equal(run().folded, true);
  assert.deepEqual(run().parts.map((part) => part.type === 'text' && part.kind), ['answer']);
  const entries = await history.entriesOf('t', run_id);
  assert.equal(entries.length, 5);
  assert.equal(run().folded, undefined);
  assert.deepEqual(run().parts.map((part) => part.type === 'text' && part.kind), ['reasoning', 'answer']);
  client.close();
  reading.close();
});

test('parent: the path to a branch, its versions, and a parent that is not loaded', () => {
  const message = (offset: number, parent: number): Entry => ({
    type: 'user_message', offset, parent, user_id: 'ann', thread_id: 't', run_id: `r${offset}`, message_id: `m${offset}`, text: '', agent_name: 'a', timestamp: 0,
  });
  const { runs } = applyEntries(NO_CONVERSATIONS, [message(1, 0), message(2, 1), message(3, 1), message(4, 2), message(5, 3)]).threads.get('t')!;
  const shown = (...options: [(number | null)?, boolean?]) => pathOf(runs, ...options).steps.map(({ run, versions }) => [run.message!.offset, versions]);
  assert.deepEqual(shown(), [[1, [1]], [3, [2, 3]], [5, [5]]]);
  assert.deepEqual(shown(2), [[1, [1]], [2, [2, 3]], [4, [4]]]);
  assert.equal(parentAtEnd(runs, pathOf(runs)), undefined);
  assert.equal(parentAtEnd(runs, pathOf(runs, 2)), 4);
  assert.equal(parentOn(pathOf(runs), runs[2]!), 1);
  const rest = runs.slice(3);
  assert.deepEqual([pathOf(rest, null, false).isCut, pathOf(rest, null, false).steps.length], [true, 1]);
  assert.deepEqual([pathOf(rest, null, true).isCut, pathOf(rest, null, true).steps.length], [false, 2]);
  assert.deepEqual(pathOf([]), { steps: [], isCut: false });
});
