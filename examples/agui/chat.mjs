// A chat in the terminal over AG-UI, with `@ag-ui/client`: npm install @ag-ui/client
//   quintet dev                                    (in another terminal)
//   node examples/agui/chat.mjs [user] [thread] [agent]
// A second terminal with the same user and thread continues the conversation, also in the middle of an answer.
import { createInterface } from "node:readline/promises";
import { HttpAgent, runHttpRequest, transformHttpEventStream } from "@ag-ui/client";

const service = process.env.QUINTET_URL ?? "http://127.0.0.1:8080";
const [user = "ann", threadId = "agui", name = "default"] = process.argv.slice(2);

// A development service logs in any user. In production, the token comes from your identity provider.
const login = await fetch(`${service}/dev/login`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ user_id: user }),
});
const { token } = await login.json();

// `HttpAgent` cannot reconnect by itself: the route `connect` sends what the conversation has, then what follows.
class Agent extends HttpAgent {
  connect(input) {
    const url = this.url.replace(/run$/, "connect");
    return transformHttpEventStream(runHttpRequest(() => fetch(url, this.requestInit(input))));
  }
}

const agent = new Agent({
  url: `${service}/agui/agent/${name}/run`,
  headers: { authorization: `Bearer ${token}` },
  threadId,
});
agent.subscribe({
  onMessagesSnapshotEvent({ event }) {
    for (const { role, content } of event.messages) if (content && role !== "reasoning") console.log(`${role}: ${content}`);
  },
  onToolCallEndEvent: ({ toolCallName, toolCallArgs }) => console.log(`(${toolCallName} ${JSON.stringify(toolCallArgs)})`),
  onTextMessageContentEvent: ({ event }) => void process.stdout.write(event.delta),
  onTextMessageEndEvent: () => console.log(),
  onRunErrorEvent: ({ event }) => console.log(`The run failed: ${event.message}`),
});

await agent.connectAgent();
const terminal = createInterface({ input: process.stdin, output: process.stdout });
terminal.setPrompt("> ");
terminal.prompt();
for await (const line of terminal) {
  if (agent.pendingInterrupts.length > 0) {
    // A question of the agent: "no" is a refusal, anything else the answer.
    const payload = line === "yes" ? { approved: true } : line === "no" ? { approved: false } : line;
    await agent.runAgent({ resume: agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status: "resolved", payload })) });
  } else if (line) {
    // The id makes a repeated request the same message.
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content: line });
    await agent.runAgent();
  }
  for (const { message } of agent.pendingInterrupts) console.log(message ?? "The agent asks for an answer.");
  terminal.prompt();
}
