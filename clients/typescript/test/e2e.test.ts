// The client against the real service: kill, drain, slow reader, duplicates, two tabs, questions.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Chat } from '@ai-sdk/react';
import { lastAssistantMessageIsCompleteWithApprovalResponses } from 'ai';
import { answerOf, applyEntries, NO_CONVERSATIONS, openQuestions, QuintetError, type Entry, type Quintet } from 'quintet';
import { branch, siblings } from 'quintet/history';
import { memoryStorage } from 'quintet/testing';
import { QuintetChatTransport } from 'quintet/ai-sdk';
import { request } from 'quintet/http';
import { when } from './harness.js';
import { BINARY, cleanUp, script, Service } from './service.js';

const code = (expected: string) => (error: unknown) => error instanceof QuintetError && error.code === expected;
const runOf = (client: Quintet, index = 0) => client.snapshot.conversations.threads.get('t')?.runs[index];
const ended = (client: Quintet, index = 0) => when(client, () => !['waiting', 'active', undefined].includes(runOf(client, index)?.status));
const rehearse = (client: Quintet, ...steps: object[]) => client.send({ thread_id: 't', agent_name: 'rehearsal', text: script(...steps) });
let users = 0;
const someone = () => `user-${++users}`;

describe('against the real service', { skip: !BINARY && !process.env['CI'] && 'needs the binary', timeout: 120_000 }, () => {
  let service: Service;
  const folders: string[] = [];
  before(async () => {
    service = await Service.start();
    folders.push(service.folder);
  });
  after(() => cleanUp(folders));

  async function sameAsLog(user: string, client: Quintet): Promise<Entry[]> {
    const log = await service.log(user);
    assert.deepEqual(client.snapshot.conversations, applyEntries(NO_CONVERSATIONS, log));
    return log;
  }

  test('a run of the assistant, with its tools', async () => {
    const user = someone();
    const client = service.client(user);
    client.connect();
    await client.send({ thread_id: 't', text: '12*(3+4)' });
    await ended(client);
    assert.equal(runOf(client)?.status, 'succeeded');
    assert.match(answerOf(runOf(client)!), /84/);
    await sameAsLog(user, client);
    client.close();
  });

  test('pain 18: kill -9 in mid-run: the client resumes by itself, the run ends, every entry came once', async () => {
    const user = someone();
    const storage = memoryStorage();
    const client = service.client(user, { storage });
    const seen: Entry[] = [];
    const loop = (async () => {
      for await (const entry of client.entries()) {
        seen.push(entry);
        if (entry.type === 'agent_completed') return;
      }
    })();
    await rehearse(client, { think: 'step ', repeat: 200, interval_ms: 5 }, { answer: 'done' });
    await when(client, () => (runOf(client)?.seq ?? 0) > 20);
    assert.equal(await service.stop('SIGKILL'), 'SIGKILL');
    await when(client, ({ connection }) => connection.phase === 'waiting');
    // Written without a service: sent when there is one.
    const later = client.send({ thread_id: 't', text: '1+1' });
    service = await service.restart();
    await ended(client);
    await later;
    await ended(client, 1);
    await loop;
    assert.equal(answerOf(runOf(client)!), 'done');
    assert.equal(client.snapshot.resets, 0);
    const log = await sameAsLog(user, client);
    assert.deepEqual(seen, log.slice(0, seen.length));
    client.close();
  });

  test('drain: announced, closed with 1012, resumed after a restart; an open question outlives it', async () => {
    const user = someone();
    const client = service.client(user);
    client.connect();
    await rehearse(client, { think: 'hm' }, { ask: { call_id: 'q1', tool_name: 'approve', parameters: {} } }, { answer: 'done' });
    await when(client, ({ conversations }) => openQuestions(conversations).length === 1);
    const waiting = when(client, ({ connection }) => connection.phase === 'waiting');
    assert.equal(await service.stop('SIGTERM'), 0);
    const { connection } = await waiting;
    assert.equal('code' in connection && connection.code, 1012);
    service = await service.restart();
    await client.answer(runOf(client)!.run_id, 'q1', { approved: true });
    await ended(client);
    assert.equal(answerOf(runOf(client)!), 'done');
    await sameAsLog(user, client);
    client.close();
  });

  test('a slow reader stops reading, holds a bounded number of entries, and gets every one; commands go on', async () => {
    const user = someone();
    const fast = service.client(user);
    fast.connect();
    const { run_id } = await rehearse(fast, { think: 'x', repeat: 3_000 }, { ask: { call_id: 'q', tool_name: 'approve', parameters: {} } }, { answer: 'end' });
    await when(fast, ({ conversations }) => openQuestions(conversations).length === 1);
    const client = service.client(user, { bufferEntriesMax: 256, conversations: false });
    const phases = new Set<string>();
    client.subscribe(() => phases.add(client.state.phase));
    let next = 1;
    let answered: Promise<void> | null = null;
    for await (const entry of client.entries()) {
      assert.equal(entry.offset, next);
      next += 1;
      if (next % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      if (next === 1_000) {
        await when(client, ({ connection }) => connection.phase === 'paused' || connection.phase === 'live');
        await client.send({ thread_id: 'other', text: '1+1' }); // while the loop is behind
        answered = client.answer(run_id, 'q');
      }
      if (entry.type === 'agent_completed' && entry.run_id === run_id) break;
    }
    await answered;
    assert.ok(phases.has('paused'), [...phases].join());
    assert.ok(next > 3_000);
    client.close();
    fast.close();
  });

  test('start: head begins behind the history, which is read backwards; the two parts meet', async () => {
    const user = someone();
    const writer = service.client(user);
    writer.connect();
    await rehearse(writer, { think: 'x', repeat: 40 }, { answer: 'before' });
    await ended(writer);
    const client = service.client(user, { start: 'head' });
    const entries = client.entries();
    await client.caughtUp();
    assert.equal(client.snapshot.conversations.threads.size, 0);
    const before = await service.before(user, client.snapshot.conversations.offset + 1);
    await client.send({ thread_id: 'new', text: '1+1' });
    const { value } = await entries.next();
    assert.equal(value!.type, 'user_message');
    assert.equal(before.at(-1)!.offset + 1, value!.offset);
    const log = await service.log(user);
    assert.deepEqual(before, log.slice(0, before.length));
    client.close();
    writer.close();
  });

  test('duplicate sends on two connections are one message and one run; other content is refused', async () => {
    const user = someone();
    const clients = [service.client(user), service.client(user)];
    const message = { thread_id: 't', message_id: 'm-1', text: '2+2' };
    for (const client of clients) client.connect();
    const accepted = await Promise.all(clients.flatMap((client) => [client.send(message), client.send(message)]));
    assert.equal(new Set(accepted.map(({ run_id }) => run_id)).size, 1);
    await assert.rejects(clients[0]!.send({ ...message, text: 'other' }), code('message_id_reused'));
    await Promise.all(clients.map((client) => ended(client)));
    assert.equal((await service.log(user)).filter(({ type }) => type === 'user_message').length, 1);
    for (const client of clients) client.close();
  });

  test('two tabs: the same state; an answer in one closes the question in both; a second answer is refused', async () => {
    const user = someone();
    const [one, two] = [service.client(user), service.client(user)];
    one.connect();
    two.connect();
    await rehearse(one, { think: 'hm' }, { ask: { call_id: 'q1', tool_name: 'approve', parameters: {} } }, { answer: 'done' });
    await when(two, ({ conversations }) => openQuestions(conversations).length === 1);
    const { run, call } = openQuestions(two.snapshot.conversations)[0]!;
    const outcomes = await Promise.allSettled([one.answer(run.run_id, call.call_id, 1), two.decline(run.run_id, call.call_id, 'no')]);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    await Promise.all([ended(one), ended(two)]);
    await sameAsLog(user, one);
    await sameAsLog(user, two);
    one.close();
    two.close();
  });

  for (const declined of [false, true]) {
    test(`run_11: a question that is ${declined ? 'declined' : 'answered'}, through useChat's Chat`, async () => {
      const user = someone();
      const client = service.client(user);
      const chat = new Chat({
        id: 't',
        transport: new QuintetChatTransport({ client, agent_name: 'rehearsal' }),
        sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
      });
      await chat.sendMessage({ text: script({ think: 'hm' }, { ask: { call_id: 'q1', tool_name: 'approve', parameters: {} } }, { answer: 'done' }) });
      const tool = chat.messages.at(-1)?.parts.find((part) => part.type === 'dynamic-tool');
      assert.equal(tool?.type === 'dynamic-tool' && tool.state, 'approval-requested');
      await chat.addToolApprovalResponse({ id: (tool as { toolCallId: string }).toolCallId, approved: !declined });
      await ended(client);
      const call = runOf(client)!.parts.find((part) => part.type === 'call');
      assert.equal(call?.type === 'call' && call.status, declined ? 'declined' : 'ok');
      assert.equal(answerOf(runOf(client)!), 'done');
      while (chat.status !== 'ready') await new Promise((resolve) => setImmediate(resolve));
      assert.equal(chat.messages.length, 2);
      client.close();
    });
  }

  test('pain 1: a thread of another user can be neither read, changed nor erased; without a credential, nothing can', async () => {
    const [owner, other] = [someone(), someone()];
    const client = service.client(owner);
    client.connect();
    const { run_id } = await client.send({ thread_id: 't', text: '1+1' });
    await ended(client);
    const log = await service.log(owner);
    const { token } = await request<{ token: string }>(new URL('/dev/login', service.url), { method: 'POST', body: { user_id: other } });
    for (const [credential, status] of [[token, 404], [undefined, 401]] as const) {
      for (const [method, path] of [['GET', '/v1/threads/t/runs'], ['GET', `/v1/runs/${run_id}`], ['POST', `/v1/runs/${run_id}/cancel`], ['DELETE', '/v1/threads/t']] as const) {
        const response = await fetch(service.url + path, { method, ...(credential && { headers: { authorization: `Bearer ${credential}` } }) });
        assert.equal(response.status, status, `${method} ${path}`);
      }
    }
    const stranger = service.client(other);
    stranger.connect();
    await assert.rejects(stranger.cancel(run_id), code('not_found'));
    await stranger.eraseThread('t'); // There is none of this user: what is absent is erased.
    assert.equal(stranger.snapshot.conversations.threads.size, 0);
    assert.deepEqual(await service.log(owner), log);
    stranger.close();
    client.close();
  });

  test('cancel ends a run that hangs', async () => {
    const client = service.client(someone());
    client.connect();
    const { run_id } = await rehearse(client, { think: 'hm' }, { hang: true });
    await client.cancel(run_id);
    assert.equal(runOf(client)?.status, 'cancelled');
    await client.cancel(run_id);
    await assert.rejects(client.cancel('01a1ee56-5e01-7c3d-8e4f-0123456789ab'), code('not_found'));
    client.close();
  });

  test('refusals: a busy thread, an unknown agent, a text that is too large; the connection lives', async () => {
    const client = service.client(someone());
    client.connect();
    await rehearse(client, { think: 'hm' }, { hang: true });
    await assert.rejects(client.send({ thread_id: 't', text: 'x', on_busy: 'reject' }), code('thread_busy'));
    await assert.rejects(client.send({ thread_id: 'u', text: 'x', agent_name: 'absent' }), code('unknown_agent'));
    await assert.rejects(client.send({ thread_id: 'u', text: 'ä'.repeat(40_000) }), code('too_large'));
    await assert.rejects(client.send({ thread_id: 'u', text: '\udc00' }), code('invalid_field'));
    await client.send({ thread_id: 't', text: '1+1', on_busy: 'interrupt' });
    await ended(client, 1);
    assert.deepEqual([runOf(client, 0)?.status, runOf(client, 1)?.status], ['cancelled', 'succeeded']);
    assert.equal(client.state.phase, 'live');
    client.close();
  });

  test('a refused credential is requested again, and then the client ends', async () => {
    const reasons: string[] = [];
    const client = service.client('x', { random: () => 0, credential: ({ reason }) => (reasons.push(reason), { token: 'no.such.token' }) });
    client.connect();
    await assert.rejects(client.caughtUp(), code('closed'));
    assert.deepEqual(reasons, ['connect', 'refused', 'refused', 'refused']);
    assert.equal(client.state.phase === 'closed' && client.state.code, 4401);
  });

  test('a ticket opens one connection, and each connection gets its own', async () => {
    const { ticketsFor } = await import('quintet/http');
    const user = someone();
    const { token } = await request<{ token: string }>(new URL('/dev/login', service.url), { method: 'POST', body: { user_id: user } });
    const client = service.client(user, { credential: ticketsFor(service.url, () => token) });
    client.connect();
    const { user_id } = await client.caughtUp();
    assert.equal(user_id, user);
    client.close();
    client.connect();
    await client.caughtUp();
    client.close();
  });

  test('edit and regenerate: branches of a tree, in the log of the service and in the state', async () => {
    const user = someone();
    const client = service.client(user);
    const transport = new QuintetChatTransport({ client });
    const chat = new Chat({ id: 't', transport });
    await chat.sendMessage({ text: '1+1' });
    await chat.sendMessage({ text: '2+2' });
    await chat.regenerate();
    await chat.sendMessage({ text: '3+3', messageId: chat.messages[2]!.id });
    const thread = client.snapshot.conversations.threads.get('t')!;
    const [first, second] = thread.runs;
    assert.deepEqual(thread.runs.map(({ message }) => message?.parent), [0, first?.message?.offset, first?.message?.offset, first?.message?.offset]);
    assert.deepEqual(branch(thread).map(({ message }) => message?.text), ['1+1', '3+3']);
    assert.equal(siblings(thread, second!).length, 3);
    await assert.rejects(client.send({ thread_id: 't', text: 'x', parent: 999 }), code('not_found'));
    await sameAsLog(user, client);
    client.close();
  });

  test('run_12: a message that steers and is not taken runs in its turn', async () => {
    const user = someone();
    const client = service.client(user);
    client.connect();
    const { run_id } = await rehearse(client, { think: 'hm' }, { ask: { call_id: 'q', tool_name: 'approve', parameters: {} } }, { answer: 'first' });
    await client.steer({ thread_id: 't', text: '1+1' });
    await when(client, ({ conversations }) => openQuestions(conversations).length === 1);
    await client.answer(run_id, 'q');
    await ended(client, 1);
    assert.deepEqual([runOf(client)?.status, runOf(client, 1)?.status], ['succeeded', 'succeeded']);
    await sameAsLog(user, client);
    client.close();
  });

  test('drift: the types are those of the schemas that the service publishes', async () => {
    const { generate } = (await import(new URL('../scripts/generate.mjs', import.meta.url).href)) as { generate(client: unknown, server: unknown): string };
    const [client, server] = await Promise.all(['client', 'server'].map((name) => request(new URL(`/schema/${name}.json`, service.url))));
    assert.equal(generate(client, server), readFileSync(new URL('../src/protocol.ts', import.meta.url), 'utf8'));
  });
});
