// `@ag-ui/client` of both generations against the real service.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { GENERATIONS, agent, outcome, pinned, received, say, shown, types } from "./agents.mjs";
import { Service, cleanUp, completed, script } from "./service.mjs";
import { cut, exchanged, faulty, repeated } from "./wire.mjs";

// The clients log each error that they also throw.
console.error = () => {};

const slow = script({ think: "so " }, { think: "piece ", kind: "answer", repeat: 12, interval_ms: 60 });
const SLOW_ANSWER = "piece ".repeat(12);
let wires = 0;

for (const [generation, client] of Object.entries(GENERATIONS)) {
  const isV1 = generation === "1.0.0";
  describe(`@ag-ui/client ${generation}`, { concurrency: 4 }, () => {
    let service;
    before(async () => void (service = await Service.start()));
    after(() => service.signal("SIGKILL"));
    const open = (user, options) => agent(client, service, user, options);

    it("runs with reasoning, tools and text, and connects to what it has shown", async () => {
      const ann = await open("ann");
      say(ann, script(
        { think: "I look it up.", kind: "reasoning" },
        { tools: [{ call_id: "c1", tool_name: "fast", takes_ms: 10, results: { n: 1 } }, { call_id: "c2", tool_name: "slow", takes_ms: 90, error: "not today" }] },
        { answer: "Here " }, { answer: "it is." },
      ));
      const { newMessages } = await ann.runAgent();
      assert.equal(newMessages.length, 6);
      const expected = [
        "reasoning I look it up.",
        "call fast {}", 'result {"n":1}',
        "call slow {}", 'result {"error":"not today","status":"error"}',
        "assistant Here it is.",
      ];
      assert.deepEqual(shown(ann).slice(1), expected);
      // The next message follows in the same conversation.
      say(ann, script({ answer: "again" }));
      await ann.runAgent();
      assert.equal(shown(ann).at(-1), "assistant again");
      const reloaded = await open("ann");
      await reloaded.connectAgent();
      assert.deepEqual(shown(reloaded), shown(ann));
      assert.deepEqual(types(reloaded), ["RUN_STARTED", "MESSAGES_SNAPSHOT", "RUN_FINISHED"]);
      // Connecting again to what is shown changes nothing.
      await ann.connectAgent();
      assert.deepEqual(shown(ann), shown(reloaded));
      const started = ann.seen[0];
      assert.equal(started.protocolVersion, isV1 ? "1.0" : undefined);
      const last = ann.seen.findLast((event) => event.metadata?.quintet?.cursor);
      assert.match(last.metadata.quintet.cursor, /^[0-9a-f-]{36}:\d+$/);
    });

    it("run_6: reports a failed run as an error", async () => {
      const ann = await open("fay");
      say(ann, script({ think: "hm" }, { fail: "no luck" }));
      // Both generations resolve after RUN_ERROR: only the event tells.
      await ann.runAgent();
      const { message, code } = ann.seen.at(-1);
      assert.deepEqual([types(ann).at(-1), message, code], ["RUN_ERROR", "no luck", "agent_error"]);
      const reloaded = await open("fay");
      await reloaded.connectAgent();
      assert.deepEqual(types(reloaded), ["RUN_STARTED", "MESSAGES_SNAPSHOT", "RUN_ERROR"]);
    });

    it("run_11: an interrupt is answered by resume, and no is no", async () => {
      const ann = await open("ida");
      const ask = (id) => script(
        { think: "may I" }, { ask: { call_id: id, tool_name: "approve", parameters: { tool_name: "send_mail" } } }, { answer: "done" },
      );
      for (const [id, resume, status] of [
        ["q1", { status: "resolved", payload: { approved: true } }, "ok"],
        ["q2", { status: "resolved", payload: { approved: false, reason: "too late" } }, "declined"],
        ["q3", { status: "cancelled" }, "declined"],
      ]) {
        say(ann, ask(id));
        await ann.runAgent();
        const [interrupt] = outcome(ann).interrupts;
        assert.equal(interrupt.message, "Allow the call of send_mail?");
        assert.deepEqual(interrupt.responseSchema.required, ["approved"]);
        assert.deepEqual(ann.pendingInterrupts.map(({ id }) => id), [interrupt.id]);
        // A reloaded page finds the question.
        const reloaded = await open("ida");
        await reloaded.connectAgent();
        assert.deepEqual(outcome(reloaded).interrupts, [interrupt]);
        // Without an answer the client refuses to run.
        await assert.rejects(ann.runAgent(), /pending interrupt/);
        const answer = [{ interruptId: interrupt.id, ...resume }];
        await ann.runAgent({ resume: answer });
        assert.equal(shown(ann).at(-1), "assistant done");
        assert.deepEqual(ann.pendingInterrupts, []);
        // RUN-11: repeating the request changes nothing, and shows the same.
        const before = shown(ann);
        await ann.runAgent({ resume: [{ interruptId: interrupt.id, status: "resolved", payload: { approved: true } }] });
        assert.deepEqual(shown(ann), before);
        const result = (await service.log("ida")).findLast((entry) => entry.type === "tool_completed");
        assert.equal(result.status, status);
        if (id === "q2") assert.equal(result.error, "too late");
      }
      assert.equal((await service.log("ida")).filter(completed).length, 3);
    });

    it("run_11: several questions are one interrupt, also with a new message", async () => {
      const ann = await open("sue");
      say(ann, script({ think: "a" }, { ask: { call_id: "q1", tool_name: "color", parameters: { message: "Which?" } } }, { answer: "ok" }));
      await ann.runAgent();
      const [{ id, message }] = outcome(ann).interrupts;
      assert.equal(message, "Which?");
      // The user cancels the question by writing something else.
      say(ann, script({ answer: "new" }));
      await ann.runAgent({ resume: [{ interruptId: id, status: "cancelled" }] });
      assert.equal(shown(ann).at(-1), "assistant new");
    });

    it("run_11: a tool of the front end is called, and its result goes back in a message", async () => {
      const ann = await open("tom");
      const tools = [{ name: "choose", description: "Asks the user.", parameters: { type: "object", properties: {} } }];
      say(ann, script({ think: "a" }, { ask: { call_id: "q1", tool_name: "choose", parameters: { of: ["red", "blue"] } } }, { answer: "ok" }));
      await ann.runAgent({ tools });
      assert.deepEqual(ann.pendingInterrupts, []);
      const call = ann.messages.at(-1).toolCalls[0];
      assert.equal(call.function.name, "choose");
      assert.deepEqual(outcome(ann)?.pendingToolCallIds, isV1 ? [call.id] : undefined);
      assert.deepEqual(ann.seen[0].metadata.quintet.ignored, ["tools"]);
      ann.addMessage({ id: "result-1", role: "tool", toolCallId: call.id, content: "blue" });
      await ann.runAgent({ tools });
      assert.deepEqual(shown(ann).slice(-2), ["result blue", "assistant ok"]);
      const result = (await service.log("tom")).find((entry) => entry.type === "tool_completed");
      assert.deepEqual([result.status, result.results], ["ok", "blue"]);
    });

    it("del_6: the same message is one run, however often it is sent", async () => {
      const ann = await open("dee");
      const id = say(ann, slow);
      const twin = await open("dee");
      say(twin, slow, id);
      const late = received(ann, "TEXT_MESSAGE_CONTENT", 3).then(async () => {
        const third = await open("dee");
        say(third, slow, id);
        await third.runAgent();
        return third;
      });
      await Promise.all([ann.runAgent(), twin.runAgent()]);
      for (const one of [ann, twin, await late]) assert.deepEqual(shown(one).slice(1), ["reasoning so ", `assistant ${SLOW_ANSWER}`]);
      await ann.runAgent();
      assert.equal(shown(ann).length, 3);
      assert.equal((await service.log("dee")).filter((entry) => entry.type === "user_message").length, 1);
      // Other content under the same id is another message, which is refused.
      const other = await open("dee");
      say(other, "something else", id);
      await assert.rejects(other.runAgent(), /HTTP 409.*message_id_reused/);
    });

    it("del_3: a client connects in the middle of a run, with half of it or nothing", async () => {
      const ann = await open("mia");
      say(ann, slow);
      const first = ann.runAgent();
      await received(ann, "TEXT_MESSAGE_CONTENT", 4);
      const fresh = await open("mia");
      const half = await open("mia", { initialMessages: structuredClone(ann.messages) });
      await Promise.all([fresh.connectAgent(), half.connectAgent(), first]);
      for (const one of [ann, fresh, half]) assert.deepEqual(shown(one).slice(1), ["reasoning so ", `assistant ${SLOW_ANSWER}`]);
    });

    it("run_8: connecting shows the runs that wait as well, one after another", async () => {
      const ann = await open("joy");
      say(ann, slow);
      const first = ann.runAgent();
      await received(ann, "TEXT_MESSAGE_CONTENT", 2);
      const other = await open("joy");
      say(other, script({ answer: "second" }));
      const second = other.runAgent();
      await received(other, "RUN_STARTED");
      const late = await open("joy");
      await Promise.all([late.connectAgent(), first, second]);
      assert.deepEqual(shown(late).filter((line) => line.startsWith("assistant")), [`assistant ${SLOW_ANSWER}`, "assistant second"]);
      const ends = types(late).filter((type) => /^RUN_|SNAPSHOT/.test(type));
      assert.deepEqual(ends, ["RUN_STARTED", "MESSAGES_SNAPSHOT", "RUN_FINISHED", "RUN_STARTED", "MESSAGES_SNAPSHOT", "RUN_FINISHED"]);
    });

    it("run_6: a client that goes away cancels nothing", async () => {
      const ann = await open("eve");
      say(ann, slow);
      const run = ann.runAgent().catch(() => {});
      await received(ann, "TEXT_MESSAGE_CONTENT", 2);
      ann.abortRun();
      await run;
      const end = await service.entry("eve", completed);
      assert.deepEqual([end.status, end.final_response], ["succeeded", SLOW_ANSWER]);
    });

    it("run_7: stop cancels the run of a request, or of the thread", async () => {
      const headers = await service.headers("kim");
      for (const narrow of [true, false]) {
        const ann = await open("kim");
        say(ann, script({ think: "a", kind: "answer" }, { hang: true }));
        const run = ann.runAgent({ runId: `request-${narrow}` });
        await received(ann, "TEXT_MESSAGE_CONTENT");
        const stop = (body) => service.json("/agui/agent/rehearsal/stop/t", { body, headers });
        assert.equal((await stop({ runId: "another" })).stopped, false);
        assert.equal((await stop(narrow ? { runId: "request-true" } : {})).stopped, true);
        await run;
        assert.deepEqual(outcome(ann), isV1 ? { type: "cancelled" } : undefined);
        assert.equal((await stop({})).stopped, false);
      }
    });

    it("iso_3: a thread of another user looks like a new one", async () => {
      const ann = await open("own");
      say(ann, script({ think: "secret" }, { ask: { call_id: "q1", tool_name: "approve" } }));
      await ann.runAgent();
      const [interrupt] = outcome(ann).interrupts;
      const [thread, missing] = [await open("ben"), await open("ben", { threadId: "unused" })];
      await thread.connectAgent();
      await missing.connectAgent();
      const plain = (agent) => agent.seen.map(({ type, outcome }) => ({ type, outcome }));
      assert.deepEqual(plain(thread), plain(missing));
      assert.deepEqual(shown(thread), []);
      const headers = await service.headers("ben");
      assert.equal((await service.json("/agui/agent/rehearsal/stop/t", { body: {}, headers })).stopped, false);
      const answer = [{ interruptId: interrupt.id, status: "resolved", payload: { approved: true } }];
      await assert.rejects(thread.runAgent({ resume: answer }), /HTTP 404/);
      say(thread, script({ answer: "mine" }), ann.messages[0].id);
      await thread.runAgent();
      assert.deepEqual(shown(thread).slice(1), ["assistant mine"]);
      assert.equal((await service.log("own")).some((entry) => entry.type === "tool_completed"), false);
    });

    // Neither generation has a rule against a repeated or exchanged delta; the service sends none, and a snapshot replaces
    // what an intermediary did to the text.
    for (const [what, fault, check] of [
      ["pinned: deltas that an intermediary repeats are shown twice", repeated, async (ann, run) => {
        await run;
        assert.equal(shown(ann).at(-1), "assistant onceonce twice twice thrice thrice");
      }],
      ["pinned: deltas that an intermediary exchanges are shown in that order", exchanged("TEXT_MESSAGE_CONTENT"), async (ann, run) => {
        await run;
        assert.equal(shown(ann).at(-1), "assistant  twiceonce thrice");
      }],
      ["the verifier rejects a delta before its message", exchanged("TEXT_MESSAGE_START"), async (_, run) => {
        await assert.rejects(run, /TEXT_MESSAGE_CONTENT/);
      }],
      ["the verifier rejects an end of a run before that of its text", exchanged("TEXT_MESSAGE_END"), async (_, run) => {
        await assert.rejects(run, /RUN_FINISHED/);
      }],
      ["pinned: a stream that an intermediary ends early resolves as if the run had ended", cut, async (ann, run) => {
        await run;
        assert.equal(types(ann).includes("RUN_FINISHED"), false);
      }],
    ]) {
      it(`del_2: ${what}; connecting shows the truth`, async () => {
        const user = `wire-${++wires}`;
        const ann = await open(user, { fetch: faulty(fault) });
        say(ann, script({ answer: "once" }, { answer: " twice" }, { answer: " thrice" }));
        await check(ann, ann.runAgent());
        await service.entry(user, completed);
        const half = await open(user, { initialMessages: structuredClone(ann.messages) });
        await half.connectAgent();
        assert.equal(shown(half).at(-1), "assistant once twice thrice");
        assert.equal(shown(half).length, 2);
      });
    }

    it("del_6: a request that is sent again after its response was lost starts nothing", async () => {
      const user = `lost-${generation}`;
      const ann = await open(user, { fetch: faulty(async function* () {}) });
      const id = say(ann, slow);
      await ann.runAgent();
      assert.deepEqual(shown(ann).length, 1, "pinned: an empty response resolves");
      const again = await open(user);
      say(again, slow, id);
      await again.runAgent();
      assert.equal(shown(again).at(-1), `assistant ${SLOW_ANSWER}`);
      assert.equal((await service.log(user)).filter((entry) => entry.type === "user_message").length, 1);
    });

    it("del_8: a thread that is erased is shown to no front end, and begins anew", async () => {
      const user = `erased-${generation}`;
      const headers = await service.headers(user);
      const erase = async () => {
        const response = await fetch(`${service.url}/v1/threads/t`, { method: "DELETE", headers });
        assert.equal(response.status, 202);
        // 202 promises the erasure; the entry reports that it is done.
        await service.entry(user, (entry) => entry.type === "thread_erased");
      };
      const ann = await open(user);
      say(ann, script({ answer: "the secret" }));
      await ann.runAgent();
      const first = ann.messages[0].content;
      // A second message runs while the thread is erased: its stream ends, and never as a success.
      say(ann, script({ think: "secret too", kind: "answer" }, { hang: true }));
      const run = ann.runAgent().then(() => "resolved", () => "rejected");
      await received(ann, "TEXT_MESSAGE_CONTENT", 2);
      ann.seen.length = 0;
      const watching = await open(user);
      const watch = watching.connectAgent().then(() => "resolved", () => "rejected");
      await received(watching, "MESSAGES_SNAPSHOT");
      await erase();
      for (const [one, ended] of [[ann, run], [watching, watch]]) {
        if ((await ended) === "rejected") continue;
        const last = one.seen.at(-1);
        assert.equal(last.type, "RUN_FINISHED");
        if (isV1) assert.deepEqual(last.outcome, { type: "cancelled" });
        else assert.ok(one.seen.some((event) => event.name === "quintet.cancelled"));
      }
      // A front end that connects now sees an empty thread, and the stream ends in order.
      const late = await open(user);
      await late.connectAgent();
      assert.deepEqual(shown(late), []);
      assert.equal(types(late).at(-1), "RUN_FINISHED");
      assert.doesNotMatch(JSON.stringify(late.seen), /secret/);
      // One that still holds the text sends it as history with a new message: no agent and no log gets it.
      const held = await open(user, { initialMessages: structuredClone(ann.messages) });
      say(held, script({ answer: "fresh" }));
      await held.runAgent();
      assert.equal(shown(held).at(-1), "assistant fresh");
      assert.doesNotMatch(JSON.stringify(await service.log(user)), /secret/);
      // DEL-6: the message of the erased run is not run again.
      const again = await open(user);
      say(again, first, ann.messages[0].id);
      await again.runAgent().catch(() => {});
      assert.doesNotMatch(JSON.stringify([again.seen, await service.log(user)]), /the secret/);
      assert.equal((await service.log(user)).filter((entry) => entry.type === "user_message").length, 1);
    });

    it("auth_5: nothing is answered without a credential", async () => {
      const ann = await open("ann", { headers: {} });
      say(ann, "x");
      await assert.rejects(ann.runAgent(), /HTTP 401/);
      await assert.rejects(ann.connectAgent(), /HTTP 401/);
      for (const [path, body] of [["/agui/info"], ["/agui", { method: "info" }], ["/agui/agent/rehearsal/stop/t", {}]]) {
        assert.equal((await service.json(path, { body })).status, 401);
      }
    });

    it("del_7: a killed service is an error, and connecting shows the truth", async () => {
      const mortal = await Service.start();
      const ann = await agent(client, mortal, "ann");
      say(ann, slow);
      const run = assert.rejects(ann.runAgent());
      await received(ann, "TEXT_MESSAGE_CONTENT", 3);
      const { unhandled } = pinned;
      await mortal.signal("SIGKILL");
      await run;
      assert.ok(pinned.unhandled > unhandled);
      const again = await mortal.restart();
      const reloaded = await agent(client, again, "ann");
      const half = await agent(client, again, "ann", { initialMessages: structuredClone(ann.messages) });
      await Promise.all([reloaded.connectAgent(), half.connectAgent()]);
      const end = await again.entry("ann", completed);
      assert.equal(end.status, "succeeded");
      for (const one of [reloaded, half]) assert.equal(shown(one).at(-1), `assistant ${end.final_response}`);
      // The request that failed may be sent again.
      const retry = await agent(client, again, "ann", { initialMessages: ann.messages.slice(0, 1) });
      await retry.runAgent();
      assert.deepEqual(shown(retry), shown(reloaded));
    });

    it("conn_6: a service that drains never ends a stream as if the run had ended", async () => {
      const mortal = await Service.start({ flags: ["--set", "drain_timeout_ms=100"] });
      const ann = await agent(client, mortal, "ann");
      say(ann, script({ think: "a", kind: "answer" }, { wait_ms: 30000 }, { answer: "b" }));
      const run = assert.rejects(ann.runAgent());
      await received(ann, "TEXT_MESSAGE_CONTENT");
      await mortal.signal("SIGTERM");
      await run;
      assert.equal(types(ann).includes("RUN_FINISHED"), false);
    });
  });
}

after(cleanUp);
