// A page with CopilotKit: npm install @copilotkit/react-core react react-dom
// The service takes the place of CopilotKit's runtime. `token` is the user's, of your identity provider.
import { CopilotChat, CopilotKitProvider } from "@copilotkit/react-core/v2";
import "@copilotkit/react-core/v2/styles.css";

export function Chat({ token, thread }: { token: string; thread: string }) {
  return (
    <CopilotKitProvider runtimeUrl="https://agents.example.com/agui" headers={{ authorization: `Bearer ${token}` }}>
      <CopilotChat agentId="default" threadId={thread} />
    </CopilotKitProvider>
  );
}
