// The clients of both generations of AG-UI, with their verifiers on.
import * as v0 from "ag-ui-client-0";
import * as v1 from "ag-ui-client-1";

export const GENERATIONS = { "0.0.59": v0, "1.0.0": v1 };

// Creates an agent of the client package. Its `connect` is the one that a front end has to add: the packages have none.
export async function agent(client, service, user, { name = "rehearsal", threadId = "t", ...config } = {}) {
  class Agent extends client.HttpAgent {
    connect(input) {
      const url = this.url.replace(/run$/, "connect");
      return client.transformHttpEventStream(client.runHttpRequest(() => this.fetch(url, this.requestInit(input))));
    }
  }
  const made = new Agent({
    url: `${service.url}/agui/agent/${name}/run`,
    headers: await service.headers(user),
    threadId,
    fetch: quiet,
    ...config,
  });
  return watched(made);
}

// Pinned: when a response breaks off, both generations cancel its reader and leave the rejection of that unhandled, which
// ends a Node.js process. The run itself is rejected as it should be.
export const pinned = { unhandled: 0 };

export async function quiet(...request) {
  const response = await fetch(...request);
  const getReader = response.body.getReader.bind(response.body);
  response.body.getReader = () => {
    const reader = getReader();
    const cancel = reader.cancel.bind(reader);
    reader.cancel = async (reason) => {
      try {
        await cancel(reason);
      } catch (error) {
        if (error.name !== "AbortError") pinned.unhandled += 1;
      }
    };
    return reader;
  };
  return response;
}

let messages = 0;

// Adds a message of the user.
export function say(agent, content, id = `m-${process.pid}-${++messages}`) {
  agent.addMessage({ id, role: "user", content });
  return id;
}

// Returns what a front end shows: one line for each message.
export function shown(agent) {
  return agent.messages.map((message) => {
    if (message.role === "tool") return `result ${message.content}`;
    const calls = (message.toolCalls ?? []).map((call) => `call ${call.function.name} ${call.function.arguments}`);
    return calls.length > 0 ? calls.join(" ") : `${message.role} ${message.content}`;
  });
}

// Keeps the events of an agent in `seen`. A run asks the subscribers that were there at its start only.
export function watched(agent) {
  agent.seen = [];
  agent.waits = new Set();
  agent.subscribe({
    onEvent({ event }) {
      agent.seen.push(event);
      for (const wait of agent.waits) wait();
    },
  });
  return agent;
}

// Resolves when the agent has received `count` events of this type.
export function received(agent, type, count = 1) {
  return new Promise((resolve) => {
    const wait = () => {
      if (agent.seen.filter((event) => event.type === type).length < count) return;
      agent.waits.delete(wait);
      resolve();
    };
    agent.waits.add(wait);
    wait();
  });
}

export const outcome = (agent) => agent.seen.findLast((event) => event.type === "RUN_FINISHED")?.outcome;

export const types = (agent) => agent.seen.map((event) => event.type);
