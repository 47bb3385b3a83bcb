// An agent in JavaScript or TypeScript, over AG-UI:
//   npm install @ag-ui/core @ag-ui/encoder
//   node agent.mjs 8000
//
// It counts the words of the message. For a message with "delete" it asks the user first, with the tool `confirm`, which
// the service has to offer (`client_tools`).
import { createServer } from "node:http";
import { EventType } from "@ag-ui/core";
import { EventEncoder } from "@ag-ui/encoder";

// The events of a run, between its start and its end.
async function* run({ messages, runId }) {
  const last = messages.at(-1);
  if (last.role === "tool") {
    yield* say(runId, last.error ? `Kept: ${last.error}` : "Deleted.");
    return;
  }
  if (last.content.includes("delete")) {
    yield* call(`${runId}-confirm`, "confirm", { question: last.content });
    return; // The answer comes in the next request.
  }
  const id = `${runId}-count`;
  yield* call(id, "count_words", { text: last.content });
  const count = last.content.split(/\s+/).filter(Boolean).length;
  yield { type: EventType.TOOL_CALL_RESULT, messageId: `${id}-result`, toolCallId: id, content: String(count) };
  yield* say(runId, `The message has ${count} words.`);
}

function* say(runId, text) {
  const messageId = `${runId}-text`;
  yield { type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" };
  for (const delta of text.split(/(?<= )/)) yield { type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta };
  yield { type: EventType.TEXT_MESSAGE_END, messageId };
}

function* call(toolCallId, toolCallName, parameters) {
  yield { type: EventType.TOOL_CALL_START, toolCallId, toolCallName };
  yield { type: EventType.TOOL_CALL_ARGS, toolCallId, delta: JSON.stringify(parameters) };
  yield { type: EventType.TOOL_CALL_END, toolCallId };
}

const server = createServer(async (request, response) => {
  const body = [];
  for await (const chunk of request) body.push(chunk);
  const input = JSON.parse(Buffer.concat(body));
  const { threadId, runId } = input;
  const encoder = new EventEncoder();
  response.writeHead(200, { "content-type": encoder.getContentType() });
  response.write(encoder.encode({ type: EventType.RUN_STARTED, threadId, runId }));
  try {
    for await (const event of run(input)) response.write(encoder.encode(event));
    response.end(encoder.encode({ type: EventType.RUN_FINISHED, threadId, runId }));
  } catch (error) {
    response.end(encoder.encode({ type: EventType.RUN_ERROR, message: error.message }));
  }
});
server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
