// An agent that plays the course which the message names, with the types and the encoder of the installed generation of
// AG-UI. It refuses a request that the generation's own schema refuses, and sends no event that it refuses.
//   node peer.mjs [signing key]
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { EventType } from "@ag-ui/core";
import { EventEncoder } from "@ag-ui/encoder";

const schemas = await import("@ag-ui/core/schemas").catch(() => import("@ag-ui/core"));
const [key] = process.argv.slice(2);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function* run(input, user) {
  const last = input.messages.at(-1);
  const asked = input.messages.findLast((message) => message.role === "user").content;
  const is = (word) => asked.startsWith(word);
  if (is("who")) yield* say("who", user ?? "unknown");
  if (is("history")) yield* say("history", input.messages.map((message) => message.role).join(" "));
  if (is("think")) {
    // Each generation has its own events for this.
    if (EventType.THINKING_START) {
      yield { type: EventType.THINKING_START };
      yield { type: EventType.THINKING_TEXT_MESSAGE_START };
      yield { type: EventType.THINKING_TEXT_MESSAGE_CONTENT, delta: "hm" };
      yield { type: EventType.THINKING_TEXT_MESSAGE_END };
      yield { type: EventType.THINKING_END };
    }
    yield { type: EventType.REASONING_START, messageId: "r" };
    yield { type: EventType.REASONING_MESSAGE_START, messageId: "r", role: "reasoning" };
    yield { type: EventType.REASONING_MESSAGE_CONTENT, messageId: "r", delta: "so" };
    yield { type: EventType.REASONING_MESSAGE_END, messageId: "r" };
    yield { type: EventType.REASONING_END, messageId: "r" };
    yield { type: EventType.STATE_SNAPSHOT, snapshot: { thought: true } };
    yield { type: EventType.CUSTOM, name: "anything", value: 1 };
    yield* say("a", "thought");
  }
  if (is("chunks")) {
    yield { type: EventType.TEXT_MESSAGE_CHUNK, messageId: "a", role: "assistant", delta: "one " };
    yield { type: EventType.TEXT_MESSAGE_CHUNK, delta: "two" };
    yield { type: EventType.TOOL_CALL_CHUNK, toolCallId: "c", toolCallName: "look_up", delta: '{"a":' };
    yield { type: EventType.TOOL_CALL_CHUNK, delta: "1}" };
    yield { type: EventType.TOOL_CALL_RESULT, messageId: "c-r", toolCallId: "c", content: "done", role: "tool" };
  }
  if (is("parallel") && last.role === "user") {
    for (const id of ["a", "b", "c"]) yield { type: EventType.TOOL_CALL_START, toolCallId: id, toolCallName: `tool_${id}` };
    for (const id of ["b", "a", "c"]) yield { type: EventType.TOOL_CALL_ARGS, toolCallId: id, delta: `{"id":"${id}"}` };
    for (const id of ["c", "a", "b"]) yield { type: EventType.TOOL_CALL_END, toolCallId: id };
    for (const id of ["b", "c", "a"]) {
      yield { type: EventType.TOOL_CALL_RESULT, messageId: `${id}-r`, toolCallId: id, content: `"${id}"`, role: "tool" };
    }
    yield* say("t", "all three");
  }
  if (is("choose")) {
    if (last.role !== "tool") {
      yield* call("ask", "choose", { of: ["red", "blue"] });
      return;
    }
    yield* say("t", last.error ? `no choice (${last.error})` : `chosen: ${last.content}`);
  }
  if (is("approve")) {
    if (!input.resume) {
      yield* call("mail", "send_mail", { to: "bob" });
      return {
        type: "interrupt",
        interrupts: [
          {
            id: "int-mail",
            reason: "tool_call",
            toolCallId: "mail",
            message: "Send the mail?",
            responseSchema: { type: "object", properties: { approved: { type: "boolean" } }, required: ["approved"] },
          },
          { id: "int-form", reason: "input_required", message: "Which subject?" },
        ],
      };
    }
    const of = (id) => input.resume.find((entry) => entry.interruptId === id);
    const { approved } = of("int-mail").payload;
    const content = approved ? "sent" : "not sent";
    yield { type: EventType.TOOL_CALL_RESULT, messageId: "mail-r", toolCallId: "mail", content, role: "tool" };
    yield* say("t", `${content}: ${JSON.stringify(of("int-form").payload ?? of("int-form").status)}`);
  }
  if (is("stall")) {
    if (is("stall in a tool")) yield* call("slow", "slow_tool", {});
    else yield* say("t", "half ");
    await later(60_000);
  }
  if (is("end")) process.exit(0);
  if (is("fail")) throw new Error("no model today");
}

function* say(messageId, text) {
  yield { type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" };
  for (const delta of text) yield { type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta };
  yield { type: EventType.TEXT_MESSAGE_END, messageId };
}

function* call(toolCallId, toolCallName, parameters) {
  yield { type: EventType.TOOL_CALL_START, toolCallId, toolCallName };
  for (const delta of JSON.stringify(parameters)) yield { type: EventType.TOOL_CALL_ARGS, toolCallId, delta };
  yield { type: EventType.TOOL_CALL_END, toolCallId };
}

// Returns the user of a signed request, as the documentation of the service describes.
function verify({ method, url, headers }, body) {
  const { "quintet-user": user, "quintet-time": time, "quintet-signature": signature } = headers;
  if (!user || Math.abs(Date.now() / 1000 - Number(time)) > 300) return undefined;
  const digest = createHash("sha256").update(body).digest("hex");
  const lines = ["v1", method, url, time, digest, user].join("\n");
  const expected = `v1=${createHmac("sha256", key).update(lines).digest("hex")}`;
  if (signature?.length !== expected.length || !timingSafeEqual(Buffer.from(signature), Buffer.from(expected))) return undefined;
  return Buffer.from(user, "base64url").toString();
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const user = key && verify(request, body);
  if (key && !user) return response.writeHead(401).end();
  const parsed = schemas.RunAgentInputSchema.safeParse(JSON.parse(body));
  if (!parsed.success) return response.writeHead(422).end(parsed.error.message);
  const { threadId, runId } = parsed.data;
  const encoder = new EventEncoder();
  response.writeHead(200, { "content-type": encoder.getContentType() });
  const send = (event) => response.write(encoder.encode(schemas.EventSchemas.parse(event)));
  send({ type: EventType.RUN_STARTED, threadId, runId });
  try {
    const events = run(parsed.data, user);
    let next;
    while (!(next = await events.next()).done) send(next.value);
    send({ type: EventType.RUN_FINISHED, threadId, runId, ...(next.value && { outcome: next.value }) });
  } catch (error) {
    send({ type: EventType.RUN_ERROR, message: error.message, code: "broken" });
  }
  response.end();
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/run?a=b`));
