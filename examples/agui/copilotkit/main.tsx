// A page with CopilotKit, in whose runtime's place the service stands: `quintet dev`, then `npm install && npx vite` in this folder.

import { createRoot } from 'react-dom/client';
import { CopilotChat, CopilotKitProvider, useInterrupt } from '@copilotkit/react-core/v2';
import '@copilotkit/react-core/v2/styles.css';

const query = new URLSearchParams(location.search);
const url = query.get('service') ?? 'http://127.0.0.1:8080';
const agent = query.get('agent') ?? 'default';

// A development service logs in any user. In production, the token comes from your identity provider.
const login = await fetch(`${url}/dev/login`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ user_id: query.get('user') ?? 'ann' }),
});
const { token } = await login.json();

function App() {
  return (
    <CopilotKitProvider runtimeUrl={`${url}/agui`} headers={{ authorization: `Bearer ${token}` }}>
      <Question />
      <CopilotChat agentId={agent} threadId={query.get('thread') ?? 'first'} />
    </CopilotKitProvider>
  );
}

/** A question of an agent: CopilotKit shows it in the chat, and sends the answer with the next request. */
function Question() {
  useInterrupt({
    agentId: agent,
    render: ({ event, resolve, cancel }) => (
      <p className="question">
        {event.value?.message ?? 'May the agent go on?'}
        <button onClick={() => resolve({ approved: true })}>Yes</button>
        <button onClick={() => cancel()}>No</button>
      </p>
    ),
  });
  return null;
}

createRoot(document.getElementById('root')!).render(<App />);
