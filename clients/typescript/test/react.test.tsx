// The hooks and the AI SDK's useChat in a document, with the real React.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { JSDOM } from 'jsdom';
import type { Quintet } from 'quintet';

const dom = new JSDOM('<!doctype html><body></body>');
Object.assign(globalThis, { window: dom.window, document: dom.window.document, navigator: dom.window.navigator, IS_REACT_ACT_ENVIRONMENT: true });
after(() => dom.window.close());

const React = await import('react');
const { act, StrictMode, useState } = React;
const { createRoot } = await import('react-dom/client');
const { renderToString } = await import('react-dom/server');
const { useChat, Chat } = await import('@ai-sdk/react');
const { QuintetProvider, useQuintet, useThread } = await import('quintet/react');
const { QuintetChatTransport } = await import('quintet/ai-sdk');
const { answerOf } = await import('quintet');
const { pair, when } = await import('./harness.js');

function mount(element: React.ReactNode) {
  const container = document.body.appendChild(document.createElement('div'));
  const root = createRoot(container);
  act(() => root.render(element));
  return {
    container,
    render: (next: React.ReactNode) => act(() => root.render(next)),
    unmount: () => act(() => root.unmount()),
  };
}

async function until(fits: () => boolean) {
  for (let i = 0; !fits(); i += 1) {
    assert.ok(i < 2_000, document.body.innerHTML);
    await act(() => new Promise((resolve) => setTimeout(resolve, 1)));
  }
}

let renders = 0;
function Conversation({ id }: { id: string }) {
  const { runs, running, questions, unsent, send, cancel, answer, decline } = useThread(id);
  renders += 1;
  return (
    <section>
      {runs.map((run) => <p key={run.run_id}>{`${run.message?.text}: ${answerOf(run)} (${run.status})`}</p>)}
      {unsent.map((text) => <em key={text}>{text}</em>)}
      {questions.map((question) => (
        <span key={question.call.call_id}>
          <button id="yes" onClick={() => void answer(question, { approved: true })} />
          <button id="no" onClick={() => void decline(question, 'no')} />
        </span>
      ))}
      <button id="send" onClick={() => void send('hello')} />
      {running && <button id="stop" onClick={() => void cancel()} />}
    </section>
  );
}

function Status() {
  const { connection, caughtUp } = useQuintet();
  return <footer>{`${connection.phase} ${caughtUp}`}</footer>;
}

const press = (id: string) => act(() => (document.querySelector(`#${id}`) as HTMLButtonElement).click());

test('useThread and useQuintet: send, stream, answer, in StrictMode with one connection', async () => {
  const { client, server } = pair({ agent: async (run) => run.answer((await run.ask('approve')).status) });
  const view = mount(
    <StrictMode>
      <QuintetProvider client={client}>
        <Conversation id="t" />
        <Status />
      </QuintetProvider>
    </StrictMode>,
  );
  await until(() => view.container.innerHTML.includes('live true'));
  assert.equal(server.opened, 1);
  press('send');
  await until(() => document.querySelector('#yes') !== null);
  press('yes');
  await until(() => view.container.innerHTML.includes('hello: ok (succeeded)'));
  press('send');
  await until(() => document.querySelector('#stop') !== null && document.querySelector('#no') !== null);
  press('stop');
  await until(() => view.container.innerHTML.includes('(cancelled)'));
  view.unmount();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(client.state.phase, 'closed');
});

test('useThread: edit sends another version of a message to the same agent, or the same text again', async () => {
  const { client, server } = pair();
  let edit!: ReturnType<typeof useThread>['edit'];
  const Grab = () => ((edit = useThread('t').edit), null);
  const view = mount(<QuintetProvider client={client}><Grab /></QuintetProvider>);
  for (const text of ['a', 'b']) await act(() => client.send({ thread_id: 't', text, agent_name: 'other' }));
  const run = client.snapshot.conversations.threads.get('t')!.runs[1]!;
  await act(() => edit(run, 'B'));
  await act(() => edit(run));
  const sent = server.log('ann').filter((entry) => entry.type === 'user_message');
  assert.deepEqual(sent.map(({ text, parent, agent_name }) => [text, parent, agent_name]), [['a', 0, 'other'], ['b', 1, 'other'], ['B', 1, 'other'], ['b', 1, 'other']]);
  view.unmount();
});

test('a thread renders again for its own entries alone', async () => {
  const { client } = pair();
  client.connect();
  const view = mount(<QuintetProvider client={client} connect={false}><Conversation id="mine" /></QuintetProvider>);
  await act(() => client.send({ thread_id: 'mine', text: 'x' }));
  await act(async () => void (await when(client, ({ conversations }) => conversations.threads.get('mine')?.runs[0]?.status === 'succeeded')));
  const before = renders;
  const pendingRenders = 4; // the outbox is shared: a message that waits and goes renders each thread
  await act(() => client.send({ thread_id: 'other', text: 'y' }));
  await act(async () => void (await when(client, ({ conversations }) => conversations.threads.get('other')?.runs[0]?.status === 'succeeded')));
  assert.ok(renders - before <= pendingRenders, `${renders - before}`);
  view.unmount();
  assert.equal(client.state.phase === 'closed', false);
  client.close();
});

test('no tearing: two components of one render show the same state', async () => {
  const { client } = pair({ agent: (run) => void Array.from({ length: 50 }, (_, i) => run.answer(String(i % 10))) });
  const seen: boolean[] = [];
  const lengths: number[] = [];
  const Half = ({ last }: { last?: boolean }) => {
    const { conversations } = useQuintet();
    lengths.push(conversations.offset);
    if (last) seen.push(lengths.splice(0).every((offset, _i, [first]) => offset === first));
    return null;
  };
  const view = mount(<QuintetProvider client={client}><Half /><Half /><Half last /></QuintetProvider>);
  await act(async () => void (await client.send({ thread_id: 't', text: 'x' })));
  await act(async () => void (await when(client, ({ conversations }) => conversations.threads.get('t')?.runs[0]?.status === 'succeeded')));
  assert.ok(seen.length > 1 && seen.every(Boolean));
  view.unmount();
});

test('SSR: renders on a server without a connection', () => {
  const { client, server } = pair();
  const html = renderToString(<QuintetProvider client={client}><Conversation id="t" /><Status /></QuintetProvider>);
  assert.match(html, /idle false/);
  assert.equal(server.opened, 0);
});

function ChatView({ client, chat }: { client: Quintet; chat?: InstanceType<typeof Chat> }) {
  const [transport] = useState(() => new QuintetChatTransport({ client }));
  const { messages, sendMessage, stop, status, addToolApprovalResponse } = useChat(chat ? { chat } : { id: 't', transport, resume: true });
  const question = messages.at(-1)?.parts.find((part) => part.type === 'dynamic-tool' && part.state === 'approval-requested');
  return (
    <section>
      {messages.map(({ id, role, parts }) => <p key={id}>{`${role}: ${parts.map((part) => (part.type === 'text' ? part.text : '')).join('')}`}</p>)}
      <i>{status}</i>
      <button id="send" onClick={() => void sendMessage({ text: 'hello' })} />
      <button id="stop" onClick={() => void stop()} />
      {question?.type === 'dynamic-tool' && <button id="yes" onClick={() => void addToolApprovalResponse({ id: question.toolCallId, approved: true })} />}
    </section>
  );
}

test('useChat: streams, and the user\'s stop cancels the run', async () => {
  const { client } = pair({ agent: (run) => new Promise(() => run.answer('endless')) });
  const view = mount(<ChatView client={client} />);
  await until(() => view.container.innerHTML.includes('ready'));
  press('send');
  await until(() => view.container.innerHTML.includes('assistant: endless'));
  press('stop');
  await until(() => client.snapshot.conversations.threads.get('t')?.runs[0]?.status === 'cancelled');
  view.unmount();
  client.close();
});

test('useChat with resume in StrictMode: the second mount neither cancels the run nor shows it twice', async () => {
  const { open } = pair({ agent: (run) => new Promise(() => run.answer('endless')) });
  const first = open();
  first.connect();
  await first.send({ thread_id: 't', text: 'x' });
  const client = open();
  const view = mount(<StrictMode><ChatView client={client} /></StrictMode>);
  await until(() => view.container.innerHTML.includes('assistant: endless'));
  assert.equal(view.container.querySelectorAll('p').length, 1);
  assert.equal(client.snapshot.conversations.threads.get('t')!.runs[0]!.status, 'active');
  first.close();
  client.close();
  view.unmount();
});

test('useChat with a chat of its own: an unmount leaves the run alone', async () => {
  const { client } = pair({ agent: (run) => new Promise(() => run.answer('endless')) });
  const chat = new Chat({ id: 't', transport: new QuintetChatTransport({ client }) });
  const view = mount(<ChatView client={client} chat={chat} />);
  press('send');
  await until(() => view.container.innerHTML.includes('assistant: endless'));
  view.unmount();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(client.snapshot.conversations.threads.get('t')!.runs[0]!.status, 'active');
  await chat.stop();
  await when(client, ({ conversations }) => conversations.threads.get('t')!.runs[0]!.status === 'cancelled');
  client.close();
});

test('pinned: a useChat that makes its own chat aborts on unmount, which a transport cannot distinguish from a stop', async () => {
  const { client } = pair({ agent: (run) => new Promise(() => run.answer('endless')) });
  const view = mount(<ChatView client={client} />);
  press('send');
  await until(() => view.container.innerHTML.includes('assistant: endless'));
  view.unmount();
  await when(client, ({ conversations }) => conversations.threads.get('t')!.runs[0]!.status === 'cancelled');
  client.close();
});
