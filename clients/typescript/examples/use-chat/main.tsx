// useChat of the AI SDK over Quintet: streaming, stop, resume after a reload, approvals.

import { useEffect, useState, type FormEvent } from 'react';
import { createRoot } from 'react-dom/client';
import { Chat, useChat } from '@ai-sdk/react';
import { lastAssistantMessageIsCompleteWithApprovalResponses } from 'ai';
import { Quintet } from 'quintet';
import { QuintetChatTransport } from 'quintet/ai-sdk';
import { devLogin } from 'quintet/http';

const query = new URLSearchParams(location.search);
const url = query.get('service') ?? 'http://127.0.0.1:8080';
const client = new Quintet({ url, credential: devLogin(url, query.get('user') ?? 'ann') });
const transport = new QuintetChatTransport({ client });

// A chat of its own, and not one that useChat makes: it survives an unmount, and only the user's stop cancels a run.
const chat = new Chat({
  id: query.get('thread') ?? 'first',
  transport,
  sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
});

function App() {
  const { messages, sendMessage, stop, status, error, addToolApprovalResponse, resumeStream, setMessages } = useChat({ chat });
  const [text, setText] = useState('');
  // History at the start, and what other tabs do.
  useEffect(
    () =>
      transport.watch(chat.id, (history) => {
        setMessages(history);
        void resumeStream();
      }),
    [setMessages, resumeStream],
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void sendMessage({ text }, text.startsWith('{') ? { body: { agent_name: 'rehearsal' } } : {});
    setText('');
  };
  return (
    <main>
      {messages.map(({ id, role, parts }) => (
        <article key={id} data-role={role}>
          {parts.map((part, i) => {
            if (part.type === 'text') return <p key={i}>{part.text}</p>;
            if (part.type !== 'dynamic-tool') return null;
            if (part.state !== 'approval-requested') return <code key={i}>{`${part.toolName}: ${part.state}`}</code>;
            const { id } = part.approval;
            return (
              <p key={i} className="question">
                {part.toolName} {JSON.stringify(part.input)}
                <button onClick={() => addToolApprovalResponse({ id, approved: true })}>Yes</button>
                <button onClick={() => addToolApprovalResponse({ id, approved: false, reason: 'The user said no.' })}>No</button>
              </p>
            );
          })}
        </article>
      ))}
      {error && <p role="alert">{error.message}</p>}
      <form onSubmit={submit}>
        <input value={text} onChange={(event) => setText(event.target.value)} placeholder="12*(3+4)" />
        {status === 'streaming' || status === 'submitted' ? <button type="button" onClick={() => stop()}>Stop</button> : <button>Send</button>}
      </form>
      <output id="phase">{status}</output>
    </main>
  );
}

client.connect();
createRoot(document.getElementById('root')!).render(<App />);
