// assistant-ui over Quintet: its thread, composer, branches and approvals on the AI SDK transport.

import { useEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { Chat, useChat } from '@ai-sdk/react';
import { lastAssistantMessageIsCompleteWithApprovalResponses } from 'ai';
import {
  ActionBarPrimitive,
  AssistantRuntimeProvider,
  BranchPickerPrimitive,
  ComposerPrimitive,
  MessagePrimitive,
  ThreadPrimitive,
  type ToolCallMessagePartProps,
} from '@assistant-ui/react';
import { useAISDKRuntime } from '@assistant-ui/react-ai-sdk';
import { Quintet } from 'quintet';
import { QuintetChatTransport } from 'quintet/ai-sdk';
import { devLogin } from 'quintet/http';

const query = new URLSearchParams(location.search);
const url = query.get('service') ?? 'http://127.0.0.1:8080';
const client = new Quintet({ url, credential: devLogin(url, query.get('user') ?? 'ann') });
const agent_name = query.get('agent') ?? undefined;
const transport = new QuintetChatTransport({ client, ...(agent_name && { agent_name }) });

// A chat of its own, and not one that useChat makes: it survives an unmount, and only the user's stop cancels a run.
const chat = new Chat({
  id: query.get('thread') ?? 'first',
  transport,
  sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
});

function App() {
  const helpers = useChat({ chat });
  const { setMessages, resumeStream } = helpers;
  // History at the start, and what other tabs do.
  useEffect(
    () =>
      transport.watch(chat.id, (history) => {
        setMessages(history);
        void resumeStream();
      }),
    [setMessages, resumeStream],
  );
  const runtime = useAISDKRuntime(helpers);
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Viewport>
          <ThreadPrimitive.Messages components={{ UserMessage, AssistantMessage }} />
        </ThreadPrimitive.Viewport>
        {helpers.error && <p role="alert">{helpers.error.message}</p>}
        <ComposerPrimitive.Root>
          <ComposerPrimitive.Input placeholder="12*(3+4)" />
          <ThreadPrimitive.If running={false}>
            <ComposerPrimitive.Send>Send</ComposerPrimitive.Send>
          </ThreadPrimitive.If>
          <ThreadPrimitive.If running>
            <ComposerPrimitive.Cancel>Stop</ComposerPrimitive.Cancel>
          </ThreadPrimitive.If>
        </ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

function UserMessage() {
  return (
    <MessagePrimitive.Root data-role="user">
      <MessagePrimitive.Parts />
    </MessagePrimitive.Root>
  );
}

function AssistantMessage() {
  return (
    <MessagePrimitive.Root data-role="assistant">
      <MessagePrimitive.Parts components={{ tools: { Fallback: Tool } }} />
      <ActionBarPrimitive.Root>
        <ActionBarPrimitive.Reload>Regenerate</ActionBarPrimitive.Reload>
      </ActionBarPrimitive.Root>
      <BranchPickerPrimitive.Root hideWhenSingleBranch>
        <BranchPickerPrimitive.Number /> / <BranchPickerPrimitive.Count />
      </BranchPickerPrimitive.Root>
    </MessagePrimitive.Root>
  );
}

/** A tool of the agent, or a question to the user. */
function Tool({ toolName, argsText, status, approval, respondToApproval }: ToolCallMessagePartProps) {
  if (!approval || approval.approved !== undefined) return <code>{`${toolName}: ${approval?.approved === false ? 'declined' : status.type}`}</code>;
  return (
    <p className="question">
      {toolName} {argsText}
      <button onClick={() => void respondToApproval({ approved: true })}>Yes</button>
      <button onClick={() => void respondToApproval({ approved: false, reason: 'The user said no.' })}>No</button>
    </p>
  );
}

client.connect();
createRoot(document.getElementById('root')!).render(<App />);
