// A chat with conversations that survive reloads, reconnects and restarts: `quintet dev`, then `npx vite` in this folder.

import { useState, type FormEvent } from 'react';
import { createRoot } from 'react-dom/client';
import { answerOf, Quintet, webStorage, type Run } from 'quintet';
import { devLogin } from 'quintet/http';
import { QuintetProvider, useQuintet, useThread } from 'quintet/react';

const query = new URLSearchParams(location.search);
const url = query.get('service') ?? 'http://127.0.0.1:8080';
const client = new Quintet({ url, credential: devLogin(url, query.get('user') ?? 'ann'), storage: webStorage(sessionStorage) });

function App() {
  const { connection, conversations } = useQuintet();
  const [thread_id, select] = useState('first');
  return (
    <main>
      <nav>
        {[...conversations.threads.keys()].map((id) => <button key={id} onClick={() => select(id)}>{id}</button>)}
        <button onClick={() => select(crypto.randomUUID())}>New</button>
        <output id="phase">{connection.phase}</output>
      </nav>
      <Chat key={thread_id} thread_id={thread_id} />
    </main>
  );
}

function Chat({ thread_id }: { thread_id: string }) {
  const { runs, unsent, running, questions, send, cancel, answer, decline } = useThread(thread_id);
  const [text, setText] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send({ text, ...(text.startsWith('{') ? { agent_name: 'rehearsal' } : {}) }).catch(alert);
    setText('');
  };
  return (
    <section>
      {runs.map((run) => <Turn key={run.run_id} run={run} />)}
      {unsent.map((waiting, i) => <p key={i} className="unsent">{waiting}</p>)}
      {questions.map((question) => (
        <p key={question.call.call_id} className="question">
          {question.call.tool_name} {JSON.stringify(question.call.parameters)}
          <button onClick={() => answer(question, { approved: true })}>Yes</button>
          <button onClick={() => decline(question, 'The user said no.')}>No</button>
        </p>
      ))}
      <form onSubmit={submit}>
        <input value={text} onChange={(event) => setText(event.target.value)} placeholder="12*(3+4)" />
        {running ? <button type="button" onClick={() => cancel()}>Stop</button> : <button>Send</button>}
      </form>
    </section>
  );
}

function Turn({ run }: { run: Run }) {
  return <article data-status={run.status}><b>{run.message?.text}</b><p>{answerOf(run)}</p><small>{run.error?.message}</small></article>;
}

createRoot(document.getElementById('root')!).render(<QuintetProvider client={client}><App /></QuintetProvider>);
