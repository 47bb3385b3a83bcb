// The client classes of CopilotKit against the real service: its core, the agent that it makes for each agent of a runtime,
// and the GraphQL client of its first generation. They use the generation 0.0.59.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { outcome, quiet, received, say, shown, types, watched } from "./agents.mjs";
import { Service, cleanUp, completed, script } from "./service.mjs";
import { cut, exchanged, faulty, repeated } from "./wire.mjs";

// The core connects in a browser only.
globalThis.window = Object.assign(new EventTarget(), { location: new URL("http://localhost/") });
const { CopilotKitCore, ProxiedCopilotRuntimeAgent } = await import("@copilotkit/core");
const { CopilotRuntimeClient, CopilotRequestType } = await import("@copilotkit/runtime-client-gql");

console.error = () => {};
console.warn = () => {};

const slow = script({ think: "piece ", kind: "answer", repeat: 12, interval_ms: 60 });
let wires = 0;
const SLOW_ANSWER = `assistant ${"piece ".repeat(12)}`;

// Connects a core, as a page does, and returns it with an agent.
async function page(service, user, transport, { tools, thread = "t", headers } = {}) {
  const core = new CopilotKitCore({
    runtimeUrl: `${service.url}/agui`,
    runtimeTransport: transport,
    headers: headers ?? (await service.headers(user)),
    tools,
    deferInitialConnection: true,
  });
  await new Promise((resolve) => {
    core.subscribe({
      onRuntimeConnectionStatusChanged: ({ status }) => void (["connected", "error"].includes(status) && resolve()),
    });
    core.connect();
  });
  const agent = core.getAgent("rehearsal");
  if (agent) {
    watched(agent);
    agent.fetch = quiet;
    agent.threadId = thread;
  }
  return { core, agent };
}

for (const transport of ["rest", "single", "auto"]) {
  describe(`CopilotKit, transport ${transport}`, () => {
    let service;
    before(async () => void (service = await Service.start()));
    after(() => service.signal("SIGKILL"));
    const open = (user, options) => page(service, user, transport, options);

    it("lists the agents, the default one also as `default`", async () => {
      const { core } = await open("ann");
      assert.equal(core.runtimeConnectionStatus, "connected");
      const { assistant, default: unnamed, rehearsal } = core.agents;
      assert.equal(unnamed.description, assistant.description);
      assert.notEqual(rehearsal.description, assistant.description);
      unnamed.threadId = "sums";
      say(unnamed, "1 + 1");
      await core.runAgent({ agent: unnamed });
      assert.match(unnamed.messages.at(-1).content, /2/);
    });

    it("auth_5: a runtime without a credential is an error", async () => {
      const { core, agent } = await open("ann", { headers: {} });
      assert.deepEqual([core.runtimeConnectionStatus, agent], ["error", undefined]);
    });

    it("runs with reasoning and tools, and a reloaded page shows the same", async () => {
      const { core, agent } = await open("bea");
      say(agent, script({ think: "hm" }, { tool: { call_id: "c", tool_name: "look_up", results: "found" } }, { answer: "done" }));
      await core.runAgent({ agent });
      assert.deepEqual(shown(agent).slice(1), ["reasoning hm", "call look_up {}", "result found", "assistant done"]);
      const reloaded = await open("bea");
      await reloaded.core.connectAgent({ agent: reloaded.agent });
      assert.deepEqual(shown(reloaded.agent), shown(agent));
      assert.equal((await service.log("bea")).filter(completed).length, 1, "connecting starts nothing");
    });

    it("run_11: a tool of the page runs, and its result goes back by itself", async () => {
      const asked = [];
      const choose = { name: "choose", description: "Asks.", handler: async (parameters) => (asked.push(parameters), "blue") };
      const { core, agent } = await open("cil", { tools: [choose] });
      say(agent, script({ think: "a" }, { ask: { call_id: "q", tool_name: "choose", parameters: { of: ["red"] } } }, { answer: "ok" }));
      await core.runAgent({ agent });
      assert.deepEqual(asked, [{ of: ["red"] }]);
      assert.deepEqual(shown(agent).slice(-2), ["result blue", "assistant ok"]);
      const result = (await service.log("cil")).find((entry) => entry.type === "tool_completed");
      assert.deepEqual([result.status, result.results], ["ok", "blue"]);
    });

    it("run_11: an interrupt is answered by resume, and no is no", async () => {
      const { core, agent } = await open("dot");
      say(agent, script({ think: "a" }, { ask: { call_id: "q", tool_name: "approve" } }, { answer: "done" }));
      await core.runAgent({ agent });
      const [{ id }] = outcome(agent).interrupts;
      // What CopilotKit's interrupt state makes of a cancelled interrupt.
      agent.addMessage({ id: "cancelled", role: "tool", toolCallId: id, content: '{"status":"cancelled"}' });
      await core.runAgent({ agent, resume: [{ interruptId: id, status: "cancelled" }] });
      assert.equal(shown(agent).at(-1), "assistant done");
      const result = (await service.log("dot")).find((entry) => entry.type === "tool_completed");
      assert.equal(result.status, "declined");
    });

    it("run_7: stop cancels the run", async () => {
      const { core, agent } = await open("eli");
      say(agent, script({ think: "a", kind: "answer" }, { hang: true }));
      const run = core.runAgent({ agent });
      await received(agent, "TEXT_MESSAGE_CONTENT");
      core.stopAgent({ agent });
      await run;
      assert.equal(types(agent).at(-1), "RUN_FINISHED");
      assert.equal((await service.log("eli")).at(-1).status, "cancelled");
    });

    it("del_3: a page connects in the middle of a run", async () => {
      const first = await open("fox");
      say(first.agent, slow);
      const run = first.core.runAgent({ agent: first.agent });
      await received(first.agent, "TEXT_MESSAGE_CONTENT", 4);
      const second = await open("fox");
      await second.core.connectAgent({ agent: second.agent });
      await run;
      for (const { agent } of [first, second]) assert.equal(shown(agent).at(-1), SLOW_ANSWER);
      // Connecting again, as a page does that is rendered twice.
      await second.core.connectAgent({ agent: second.agent });
      assert.equal(shown(second.agent).length, 2);
    });

    it("del_7: a killed service is an error, and connecting shows the truth", async () => {
      const mortal = await Service.start();
      const { core, agent } = await page(mortal, "ann", transport);
      const failed = new Promise((resolve) => core.subscribe({ onError: resolve }));
      say(agent, slow);
      const run = core.runAgent({ agent });
      await received(agent, "TEXT_MESSAGE_CONTENT", 3);
      await mortal.signal("SIGKILL");
      // Pinned: the core resolves a run that broke off, and reports it by `onError` only.
      await run;
      assert.match((await failed).code, /^agent_run_failed/);
      assert.equal(types(agent).includes("RUN_FINISHED"), false);
      const again = await mortal.restart();
      const reloaded = await page(again, "ann", transport);
      await reloaded.core.connectAgent({ agent: reloaded.agent });
      const end = await again.entry("ann", completed);
      assert.equal(shown(reloaded.agent).at(-1), `assistant ${end.final_response}`);
    });

    it("del_6: a message that two pages send, and one sends again, is one run", async () => {
      const [one, two] = [await open("ira"), await open("ira")];
      const id = say(one.agent, slow);
      say(two.agent, slow, id);
      await Promise.all([one, two].map(({ core, agent }) => core.runAgent({ agent })));
      for (const { agent } of [one, two]) assert.equal(shown(agent).at(-1), SLOW_ANSWER);
      const again = await open("ira");
      say(again.agent, slow, id);
      await again.core.runAgent({ agent: again.agent });
      assert.deepEqual(shown(again.agent).slice(1), [SLOW_ANSWER]);
      assert.equal((await service.log("ira")).filter((entry) => entry.type === "user_message").length, 1);
    });

    for (const [what, fault, sees] of [
      ["pinned: deltas that an intermediary repeats are shown twice", repeated, ["assistant onceonce twice twice"]],
      ["pinned: deltas that an intermediary exchanges are shown in that order", exchanged("TEXT_MESSAGE_CONTENT"), ["assistant  twiceonce"]],
      ["pinned: a delta before its message is an error, which `onError` reports", exchanged("TEXT_MESSAGE_START"), []],
      ["pinned: a stream that ends early is shown as it is, without an error", cut, ["assistant once twice"]],
    ]) {
      it(`del_2: ${what}; connecting shows the truth`, async () => {
        const user = `wire-${++wires}`;
        const { core, agent } = await open(user);
        const errors = [];
        core.subscribe({ onError: ({ code }) => errors.push(code) });
        agent.fetch = faulty(fault);
        say(agent, script({ answer: "once" }, { answer: " twice" }));
        await core.runAgent({ agent });
        assert.deepEqual(shown(agent).slice(1), sees);
        assert.equal(errors.length > 0, sees.length === 0);
        await service.entry(user, completed);
        agent.fetch = quiet;
        await core.connectAgent({ agent });
        assert.deepEqual(shown(agent).slice(1), ["assistant once twice"]);
      });
    }

    it("the agent of a runtime works without the core: run, stop, connect, clone", async () => {
      const make = async () => {
        const made = new ProxiedCopilotRuntimeAgent({
          runtimeUrl: `${service.url}/agui`, agentId: "rehearsal", transport, headers: await service.headers("joe"), threadId: "t",
        });
        return Object.assign(watched(made), { fetch: quiet });
      };
      const agent = await make();
      assert.ok((await open("joe")).agent instanceof ProxiedCopilotRuntimeAgent, "the class that the core makes");
      say(agent, script({ think: "a", kind: "answer" }, { hang: true }));
      const run = agent.runAgent();
      await received(agent, "TEXT_MESSAGE_CONTENT");
      agent.abortRun();
      await run;
      assert.equal((await service.entry("joe", completed)).status, "cancelled");
      const copy = watched(agent.clone());
      say(copy, script({ answer: "of the clone" }));
      await copy.runAgent();
      const reloaded = await make();
      await reloaded.connectAgent();
      assert.equal(shown(reloaded).at(-1), "assistant of the clone");
    });

    // The service advertises no stateless suggestions, so the core asks an agent in a thread of its own. The agents of this
    // service know no tool `copilotkitSuggest`. `docs/protocol.md` recommends suggestions that the page lists itself.
    it("pinned: suggestions of an agent stay empty, and cost a run in a thread of their own", async () => {
      const { core, agent } = await open("kit");
      say(agent, script({ answer: "hello" }));
      await core.runAgent({ agent });
      core.addSuggestionsConfig({ available: "always", suggestions: [{ title: "Sum", message: "1+1" }] });
      core.reloadSuggestions("rehearsal");
      assert.equal((await service.log("kit")).filter(completed).length, 1, "listed ones cost nothing");
      core.addSuggestionsConfig({ instructions: "Suggest two questions.", available: "always", providerAgentId: "rehearsal" });
      const done = new Promise((resolve) => core.subscribe({ onSuggestionsFinishedLoading: resolve }));
      core.reloadSuggestions("rehearsal");
      await done;
      assert.deepEqual(core.getSuggestions("rehearsal").suggestions.map(({ title }) => title), ["Sum"]);
      const log = await service.log("kit");
      assert.equal(log.filter(completed).length, 2);
      assert.equal(new Set(log.map((entry) => entry.thread_id)).size, 2);
    });

    // `useThreads` shows an error if `threadEndpoints.list` is false, and `useMemories` has this store. Of memories, CopilotKit
    // asks by itself only where a runtime names its platform.
    it("pinned: threads and memories are absent: no request is sent, the list is empty, and a change is an error", async () => {
      const { core } = await open("lea");
      const { fetch } = globalThis;
      const sent = [];
      globalThis.fetch = (...request) => (sent.push(String(request[0])), fetch(...request));
      try {
        assert.deepEqual([core.threadEndpoints.list, core.threadEndpoints.mutations], [false, false]);
        const memories = core.getMemoryStore();
        await assert.rejects(memories.addMemory({ content: "x", kind: "topical" }), /not configured/);
        memories.refresh();
        assert.deepEqual(memories.getState().memories, []);
        assert.deepEqual(sent, []);
      } finally {
        globalThis.fetch = fetch;
      }
    });

    it("iso_3: the thread of another user is an empty one", async () => {
      const own = await open("gus");
      say(own.agent, script({ answer: "secret" }));
      await own.core.runAgent({ agent: own.agent });
      const other = await open("hal");
      await other.core.connectAgent({ agent: other.agent });
      assert.deepEqual([shown(other.agent), types(other.agent)], [[], ["RUN_STARTED", "RUN_FINISHED"]]);
    });
  });
}

// `CopilotRuntimeClient` speaks the GraphQL of CopilotKit's first generation, in whose place its runtime now serves the routes
// above. Here it is refused like any body that is no request: an error, and no run.
describe("CopilotKit's GraphQL client", () => {
  let service;
  let statuses;
  const fetch = globalThis.fetch;
  before(async () => {
    service = await Service.start();
    // The client reports the status in words only.
    globalThis.fetch = async (...request) => {
      const response = await fetch(...request);
      if (String(request[0]).endsWith("/agui")) statuses.push(response.status);
      return response;
    };
  });
  after(() => {
    globalThis.fetch = fetch;
    return service.signal("SIGKILL");
  });

  for (const [what, user, status] of [["with a credential", "gil", 400], ["auth_5: without one", undefined, 401]]) {
    it(`pinned: ${what}, each of its requests is an error, and starts nothing`, async () => {
      statuses = [];
      const errors = [];
      const headers = user && (await service.headers(user));
      const client = new CopilotRuntimeClient({ url: `${service.url}/agui`, headers, handleGQLErrors: (error) => errors.push(error) });
      const listed = await client.availableAgents().toPromise();
      const state = await client.loadAgentState({ threadId: "t", agentName: "rehearsal" }).toPromise();
      for (const { data, error } of [listed, state]) assert.deepEqual([data, error.name], [undefined, "CombinedError"]);
      const data = {
        messages: [], frontend: { actions: [] }, threadId: "t", metadata: { requestType: CopilotRequestType.Chat }, agentStates: [], forwardedParameters: {},
      };
      const stream = client.asStream(client.generateCopilotResponse({ data, properties: {} }));
      await assert.rejects(stream.getReader().read(), /Network/);
      assert.equal(errors.length, 2);
      assert.deepEqual(statuses, [status, status, status]);
      if (user) assert.deepEqual(await service.log(user), []);
    });
  }
});

after(cleanUp);
