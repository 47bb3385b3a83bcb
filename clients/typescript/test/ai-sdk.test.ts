// The transport under the real `Chat` of @ai-sdk/react and the real stream reader of `ai`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chat } from '@ai-sdk/react';
import {
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
  readUIMessageStream,
  type ChatInit,
  type ChatTransport,
  type UIMessage,
} from 'ai';
import fc from 'fast-check';
import type { Quintet } from 'quintet';
import {
  QuintetChatTransport,
  type ProgressData,
  type QuintetChatTransportOptions,
  type QuintetMessage,
  type QuintetMetadata,
  type RunData,
} from 'quintet/ai-sdk';
import type { FakeAgent, FakeRun } from 'quintet/testing';
import { gate, pair, until, when } from './harness.js';
import { anyWord, logOf } from './words.js';

type Part = UIMessage['parts'][number];

function chatOf(client: Quintet, init: Partial<ChatInit<UIMessage>> = {}, options: Partial<QuintetChatTransportOptions> = {}) {
  const transport = new QuintetChatTransport({ client, ...options });
  return { transport, chat: new Chat<UIMessage>({ id: 't', transport, ...init }) };
}

const textOf = (message: UIMessage | undefined) => message?.parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
const toolsOf = (message: UIMessage | undefined) => (message?.parts ?? []).filter((part) => part.type === 'dynamic-tool');

test('send: text, reasoning, tools and progress become the parts of one message, and its id is the run', async () => {
  const { client } = pair({
    agent: async (run) => {
      run.think('Hm.');
      run.think('reading', 'progress');
      await run.tool('weather', { city: 'Oslo' }, () => ({ celsius: 7 }));
      run.answer('Rain, ');
      run.answer('7 °C.');
    },
  });
  const { chat, transport } = chatOf(client);
  await chat.sendMessage({ text: 'Weather?' });
  assert.equal(chat.status, 'ready');
  const [question, answer] = chat.messages;
  const run = client.snapshot.conversations.threads.get('t')!.runs[0]!;
  assert.equal(question?.id, run.message?.message_id);
  assert.equal(answer?.id, run.run_id);
  assert.equal(textOf(answer), 'Rain, 7 °C.');
  assert.deepEqual(answer?.parts.map(({ type }: Part) => type), ['step-start', 'data-run', 'reasoning', 'data-progress', 'dynamic-tool', 'text']);
  const [tool] = toolsOf(answer);
  assert.equal(tool?.state === 'output-available' && JSON.stringify(tool.output), '{"celsius":7}');
  const { quintet } = answer?.metadata as { quintet: QuintetMetadata };
  assert.equal(quintet.status, 'succeeded');
  assert.deepEqual(plain(transport.messages('t')), plain(chat.messages));
  client.close();
});

test('the types: a chat of the messages of this package, of messages of its own, or of any', async () => {
  type Mine = UIMessage<{ quintet?: QuintetMetadata }, { run: RunData; progress: ProgressData }>;
  const { client } = pair();
  const transport = new QuintetChatTransport({ client });
  const any: ChatTransport<UIMessage> = transport;
  const chat = new Chat<QuintetMessage>({ id: 't', transport, messages: transport.messages('t') });
  await chat.sendMessage({ text: 'x' });
  const [part] = chat.messages.at(-1)!.parts.filter(({ type }) => type === 'data-run');
  assert.equal(part?.type === 'data-run' && part.data.status, 'succeeded');
  const own = new QuintetChatTransport<Mine>({ client });
  assert.equal(new Chat<Mine>({ id: 't', transport: own, messages: own.messages('t') }).messages[1]?.metadata?.quintet?.status, 'succeeded');
  assert.equal(any.resumeStreamIsReplay, true);
  client.close();
});

test('a lost connection in mid-stream is not seen: the stream goes on, each delta once', async () => {
  const { open, opened } = gate();
  const { client, server, timers } = pair({
    agent: async (run) => {
      run.answer('half');
      await opened;
      run.answer('-rest');
    },
  });
  const { chat } = chatOf(client);
  const sent = chat.sendMessage({ text: 'x' });
  await until(() => textOf(chat.messages.at(-1)) === 'half');
  server.stop();
  open();
  await timers.advance(1_000);
  server.start();
  await timers.advance(2_000);
  await sent;
  assert.equal(textOf(chat.messages.at(-1)), 'half-rest');
  assert.equal(chat.error, undefined);
  client.close();
});

test('pain 21: stop cancels the run, also before it is accepted, and after a resume', async () => {
  const { client, server, timers, open } = pair({ agent: (run) => new Promise(() => run.answer('endless')) });
  const { chat } = chatOf(client);
  void chat.sendMessage({ text: 'a' });
  await until(() => textOf(chat.messages.at(-1)) === 'endless');
  await chat.stop();
  await when(client, ({ conversations }) => conversations.threads.get('t')!.runs[0]!.status === 'cancelled');

  server.options.incoming = ({ type }) => type === 'send_message';
  void chat.sendMessage({ text: 'b' });
  await until(() => chat.status === 'submitted' && client.snapshot.pending.length === 1);
  await chat.stop();
  delete server.options.incoming;
  server.close();
  await timers.advance(1_000);
  await when(client, ({ conversations }) => conversations.threads.get('t')?.runs[1]?.status === 'cancelled');

  void chat.sendMessage({ text: 'c' });
  await until(() => server.log('ann').filter(({ type }) => type === 'agent_thinking').length >= 2);
  const reloaded = open();
  const { chat: second } = chatOf(reloaded);
  void second.resumeStream();
  await until(() => textOf(second.messages.at(-1)) === 'endless');
  await second.stop();
  await when(reloaded, ({ conversations }) => conversations.threads.get('t')!.runs[2]!.status === 'cancelled');
  client.close();
  reloaded.close();
});

test('cancelOnAbort: false: an abort leaves the run alone, and stop() of the transport ends it', async () => {
  const { client } = pair({ agent: (run) => new Promise(() => run.answer('endless')) });
  const { chat, transport } = chatOf(client, {}, { cancelOnAbort: false });
  void chat.sendMessage({ text: 'a' });
  await until(() => textOf(chat.messages.at(-1)) === 'endless');
  await chat.stop();
  assert.equal(client.snapshot.conversations.threads.get('t')!.runs[0]!.status, 'active');
  await transport.stop('t');
  assert.equal(client.snapshot.conversations.threads.get('t')!.runs[0]!.status, 'cancelled');
  client.close();
});

test('pain 9, 11, 13: a reload before the first token, in the middle and after the end resumes without loss or repeat', async () => {
  const gates = [gate(), gate()];
  const { client, open } = pair({
    agent: async (run) => {
      await gates[0]!.opened;
      run.answer('one ');
      await gates[1]!.opened;
      run.answer('two');
    },
  });
  client.connect();
  await client.send({ thread_id: 't', message_id: 'm', text: 'x' });
  const clients = [0, 1].map(() => open());
  const chats = clients.map((each) => chatOf(each).chat);
  const first = chats[0]!.resumeStream();
  await until(() => chats[0]!.messages.length === 1); // no token yet, and the run is there
  gates[0]!.open();
  await until(() => textOf(chats[0]!.messages[0]) === 'one ');
  // A chat that holds the half of the message already.
  const { transport } = chatOf(clients[1]!);
  clients[1]!.connect();
  await clients[1]!.caughtUp();
  chats[1]!.messages = transport.messages('t');
  assert.equal(textOf(chats[1]!.messages.at(-1)), 'one ');
  const second = chats[1]!.resumeStream();
  gates[1]!.open();
  await Promise.all([first, second]);
  for (const chat of chats) assert.equal(textOf(chat.messages.at(-1)), 'one two');
  assert.deepEqual(chats[1]!.messages.map(({ role }) => role), ['user', 'assistant']);
  await chats[1]!.resumeStream(); // nothing runs: nothing changes
  assert.equal(textOf(chats[1]!.messages.at(-1)), 'one two');
  for (const each of [client, ...clients]) each.close();
});

test('a resume that is aborted before its stream begins is no stop: the run goes on', async () => {
  const { client, open, timers } = pair({ agent: (run) => new Promise(() => run.answer('endless')) });
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  const reloaded = open();
  const { transport } = chatOf(reloaded);
  const abort = new AbortController();
  const resumed = transport.reconnectToStream({ chatId: 't', abortSignal: abort.signal });
  abort.abort();
  assert.equal(await resumed, null);
  await timers.advance(1_000);
  assert.equal(client.snapshot.conversations.threads.get('t')!.runs[0]!.status, 'active');
  client.close();
  reloaded.close();
});

test('a withdrawal (reset) removes what was shown of the answer, and not the tools', async () => {
  const { open, opened } = gate();
  const { client } = pair({
    agent: async (run) => {
      await run.tool('weather', {}, () => 1);
      run.answer('wrong ');
      await opened;
      run.answer('right', { reset: true });
      run.answer(' answer');
    },
  });
  const { chat } = chatOf(client);
  const sent = chat.sendMessage({ text: 'x' });
  await until(() => textOf(chat.messages.at(-1)) === 'wrong ');
  open();
  await sent;
  assert.equal(textOf(chat.messages.at(-1)), 'right answer');
  assert.equal(toolsOf(chat.messages.at(-1)).length, 1);
  client.close();
});

const approves: FakeAgent = async (run: FakeRun) => {
  run.think('May I?');
  const { status, error } = await run.ask('approve', { question: 'Go on?' });
  run.answer(status === 'ok' ? 'done' : `not done: ${error}`);
};

for (const approved of [true, false]) {
  test(`run_11: a question is a tool approval; ${approved ? 'approved' : 'declined'} continues the same message`, async () => {
    const { client } = pair({ agent: approves });
    const { chat, transport } = chatOf(client, { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
    await chat.sendMessage({ text: 'x' });
    assert.equal(chat.status, 'ready');
    const [tool] = toolsOf(chat.messages.at(-1));
    assert.equal(tool?.state, 'approval-requested');
    await chat.addToolApprovalResponse({ id: tool!.toolCallId, approved, ...(approved ? {} : { reason: 'too late' }) });
    await until(() => textOf(chat.messages.at(-1)) !== '');
    await until(() => chat.status === 'ready');
    assert.equal(chat.messages.length, 2);
    assert.equal(textOf(chat.messages.at(-1)), approved ? 'done' : 'not done: too late');
    assert.equal(toolsOf(chat.messages.at(-1))[0]?.state, approved ? 'output-available' : 'output-denied');
    assert.deepEqual(plain(transport.messages('t')), plain(chat.messages));
    client.close();
  });
}

test('run_11: a question answered after a reload, with the history as the initial messages', async () => {
  const { client, open } = pair({ agent: approves });
  client.connect();
  await client.send({ thread_id: 't', text: 'x' });
  await when(client, ({ conversations }) => conversations.threads.get('t')?.runs[0]?.parts.length === 2);
  client.close();
  const reloaded = open();
  reloaded.connect();
  await reloaded.caughtUp();
  const { transport } = chatOf(reloaded);
  const { chat } = chatOf(reloaded, { messages: transport.messages('t'), sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
  await chat.resumeStream();
  const [tool] = toolsOf(chat.messages.at(-1));
  assert.equal(tool?.state, 'approval-requested');
  await chat.addToolApprovalResponse({ id: tool!.toolCallId, approved: true });
  await until(() => textOf(chat.messages.at(-1)) === 'done' && chat.status === 'ready');
  assert.equal(chat.messages.length, 2);
  assert.equal(chat.messages.at(-1)!.parts.filter(({ type }) => type === 'reasoning').length, 1);
  reloaded.close();
});

test('a tool of the front end: its output is the answer, and two at once are sent together', async () => {
  const { client } = pair({
    agent: async (run) => {
      run.think('Where?');
      const [a, b] = await Promise.all([run.ask('locate', {}), run.ask('locate', {})]);
      run.answer(`${JSON.stringify(a.results)} ${b.error}`);
    },
  });
  const { chat } = chatOf(client, { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls });
  await chat.sendMessage({ text: 'x' });
  await until(() => toolsOf(chat.messages.at(-1)).length === 2 && chat.status === 'ready');
  const [a, b] = toolsOf(chat.messages.at(-1));
  assert.equal(a?.state, 'input-available');
  await chat.addToolOutput({ tool: 'locate' as never, toolCallId: a!.toolCallId, output: { lat: 1 } as never });
  await chat.addToolOutput({ state: 'output-error', tool: 'locate' as never, toolCallId: b!.toolCallId, errorText: 'no sensor' });
  await until(() => textOf(chat.messages.at(-1)) !== '' && chat.status === 'ready');
  assert.equal(textOf(chat.messages.at(-1)), '{"lat":1} no sensor');
  client.close();
});

test('a failed run is an error of the chat, with what had arrived', async () => {
  const { client } = pair({
    agent: (run) => {
      run.answer('so far');
      throw new Error('upstream is gone');
    },
  });
  const { chat } = chatOf(client);
  await chat.sendMessage({ text: 'x' });
  assert.equal(chat.status, 'error');
  assert.match(chat.error!.message, /upstream is gone/);
  assert.equal(textOf(chat.messages.at(-1)), 'so far');
  await chat.sendMessage({ text: 'y' });
  client.close();
});

test('regenerate and edit send new messages beside the old ones, with the same parent', async () => {
  let runs = 0;
  const { client, server } = pair({ agent: (run) => run.answer(`${run.message.text} ${++runs}`) });
  const { chat, transport } = chatOf(client);
  await chat.sendMessage({ text: 'a' });
  await chat.sendMessage({ text: 'b' }, { body: { agent_name: 'other' } });
  await chat.regenerate();
  assert.deepEqual(chat.messages.map(textOf), ['a', 'a 1', 'b', 'b 3']);
  await chat.sendMessage({ text: 'B', messageId: chat.messages[2]!.id });
  assert.deepEqual(chat.messages.map(textOf), ['a', 'a 1', 'B', 'B 4']);
  const sent = server.received.filter((frame) => frame.type === 'send_message');
  assert.deepEqual(sent.map((frame) => 'parent' in frame && frame.parent), [false, false, 1, 1]);
  assert.deepEqual(sent.map((frame) => 'agent_name' in frame && frame.agent_name), [false, 'other', 'other', 'other']);
  assert.deepEqual(transport.messages('t').map(textOf), ['a', 'a 1', 'B', 'B 4']);
  client.close();
});

test('attachments are refused', async () => {
  const { client } = pair();
  const { chat } = chatOf(client);
  await chat.sendMessage({ parts: [{ type: 'file', mediaType: 'text/plain', url: 'data:,x' }] });
  assert.match(chat.error!.message, /attachments/);
  client.close();
});

test('two tabs: watch reports what happens elsewhere, and the chat catches up', async () => {
  const { open } = pair({ agent: approves });
  const [one, two] = [open(), open()] as const;
  const tabs = [one, two].map((client) => {
    client.connect();
    return chatOf(client);
  });
  const [a, b] = tabs as [(typeof tabs)[0], (typeof tabs)[0]];
  for (const { chat, transport } of tabs) {
    transport.watch('t', (messages) => {
      chat.messages = messages;
      void chat.resumeStream();
    });
  }
  await Promise.all([one.caughtUp(), two.caughtUp()]);
  void a.chat.sendMessage({ text: 'x' });
  await until(() => toolsOf(b.chat.messages.at(-1))[0]?.state === 'approval-requested');
  await until(() => b.chat.status === 'ready');
  const { run_id, parts } = two.snapshot.conversations.threads.get('t')!.runs[0]!;
  const call = parts.find((part) => part.type === 'call')!;
  await two.answer(run_id, call.call_id, { approved: true });
  for (const { chat } of tabs) {
    await until(() => textOf(chat.messages.at(-1)) === 'done' && chat.status === 'ready');
    assert.equal(chat.messages.length, 2);
  }
  one.close();
  two.close();
});

test('pain 25: a stream that nobody reads holds nothing', async () => {
  const { open, opened } = gate();
  const { client } = pair({
    agent: async (run) => {
      for (let i = 0; i < 1_000; i += 1) run.answer('x');
      await opened;
    },
  });
  const { transport } = chatOf(client);
  const stream = await transport.sendMessages({
    trigger: 'submit-message', chatId: 't', messageId: undefined, abortSignal: undefined,
    messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'x' }] }],
  });
  await when(client, ({ conversations }) => (conversations.threads.get('t')?.runs[0]?.parts.length ?? 0) > 0);
  open();
  await when(client, ({ conversations }) => conversations.threads.get('t')!.runs[0]!.status === 'succeeded');
  let deltas = 0;
  for await (const chunk of stream as unknown as AsyncIterable<{ type: string }>) deltas += Number(chunk.type === 'text-delta');
  assert.equal(deltas, 1); // folded, and not queued
  client.close();
});

test('every legal word: the streamed message is the message of the history, and its text the answer', async () => {
  const { applyEntries, answerOf, NO_CONVERSATIONS } = await import('quintet');
  await fc.assert(
    fc.asyncProperty(anyWord, async (word) => {
      const log = logOf([{ thread_id: 't', word }], Array.from({ length: word.length + 1 }, () => 0));
      if (word.at(-1)?.type !== 'agent_completed') return;
      let state = NO_CONVERSATIONS;
      const listeners = new Set<() => void>();
      const snapshot = () => ({ connection: { phase: 'live' }, caughtUp: true, conversations: state });
      const client = {
        get snapshot() { return snapshot(); },
        connect: () => undefined,
        caughtUp: () => Promise.resolve(snapshot()),
        subscribe: (listener: () => void) => (listeners.add(listener), () => listeners.delete(listener)),
      } as unknown as Quintet;
      state = applyEntries(state, log.slice(0, 2));
      const transport = new QuintetChatTransport({ client });
      let message: UIMessage | undefined;
      let resume = true;
      let reading: Promise<void> | null = null;
      transport.watch('t', (messages) => {
        message = messages.at(-1);
        resume = true;
      });
      // As a chat does: a first stream or a resume begins a message, an answer to a question continues it.
      const read = async () => {
        const held = resume ? undefined : message;
        const stream = held
          ? await transport.sendMessages({ trigger: 'submit-message', chatId: 't', messageId: undefined, messages: [held], abortSignal: undefined })
          : await transport.reconnectToStream({ chatId: 't' });
        resume = false;
        if (!stream) return;
        for await (const next of readUIMessageStream({ stream, ...(held ? { message: held } : {}), terminateOnError: false })) message = next;
      };
      const tick = () => new Promise((resolve) => setImmediate(resolve));
      for (let at = 2; at <= log.length; at += 1) {
        reading ??= read().finally(() => (reading = null));
        await tick();
        state = applyEntries(state, log.slice(at, at + 1));
        for (const listener of [...listeners]) listener();
        await tick();
      }
      while (reading) await reading;
      for (const listener of [...listeners]) listener();
      assert.equal(textOf(message), answerOf({ ...state.threads.get('t')!.runs[0]!, final_response: null }));
    }),
    { numRuns: 400 },
  );
});

/** Drops what differs by nature: undefined fields and the order of data parts. */
function plain(messages: UIMessage[]): unknown {
  return JSON.parse(
    JSON.stringify(
      messages.map(({ id, role, parts }) => ({
        id,
        role,
        parts: parts.filter(({ type }) => type === 'text' || type === 'reasoning' || type === 'dynamic-tool' || type === 'step-start'),
      })),
    ),
  );
}
