// An agent in TypeScript, a class of `@ag-ui/client`, over AG-UI:
//   npm install @ag-ui/client @ag-ui/encoder rxjs typescript @types/node
//   npx tsc --module nodenext --target es2022 client_agent.mts && node client_agent.mjs 8000
//
// It counts the words of the message. For a message with "delete" it asks the user first, with the tool `confirm`, which
// the service has to offer (`client_tools`).
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AbstractAgent, type BaseEvent, EventType, type RunAgentInput, verifyEvents } from "@ag-ui/client";
import { EventEncoder } from "@ag-ui/encoder";
import { Observable, concat, concatMap, delay, from, of } from "rxjs";

class Counter extends AbstractAgent {
  run(input: RunAgentInput): Observable<BaseEvent> {
    const { threadId, runId } = input;
    const started = { type: EventType.RUN_STARTED, threadId, runId };
    const finished = { type: EventType.RUN_FINISHED, threadId, runId };
    // Each event on its own, as they come from a model.
    const events = from(this.events(input)).pipe(concatMap((event) => of(event).pipe(delay(1))));
    return concat(of(started), events, of(finished));
  }

  private *events({ messages, runId }: RunAgentInput): Generator<BaseEvent> {
    const last = messages.at(-1);
    if (last?.role === "tool") {
      yield* say(runId, last.error ? `Kept: ${last.error}` : "Deleted.");
      return;
    }
    const text = typeof last?.content === "string" ? last.content : "";
    if (text.includes("delete")) {
      yield* call(`${runId}-confirm`, "confirm", { question: text });
      return; // The answer comes in the next request.
    }
    const id = `${runId}-count`;
    yield* call(id, "count_words", { text });
    const count = text.split(/\s+/).filter(Boolean).length;
    yield { type: EventType.TOOL_CALL_RESULT, messageId: `${id}-result`, toolCallId: id, content: String(count) } as BaseEvent;
    yield* say(runId, `The message has ${count} words.`);
  }
}

function* say(runId: string, text: string): Generator<BaseEvent> {
  const messageId = `${runId}-text`;
  yield { type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" } as BaseEvent;
  for (const delta of text.split(/(?<= )/)) yield { type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta } as BaseEvent;
  yield { type: EventType.TEXT_MESSAGE_END, messageId } as BaseEvent;
}

function* call(toolCallId: string, toolCallName: string, parameters: object): Generator<BaseEvent> {
  yield { type: EventType.TOOL_CALL_START, toolCallId, toolCallName } as BaseEvent;
  yield { type: EventType.TOOL_CALL_ARGS, toolCallId, delta: JSON.stringify(parameters) } as BaseEvent;
  yield { type: EventType.TOOL_CALL_END, toolCallId } as BaseEvent;
}

const server = createServer(async (request, response) => {
  const body: Buffer[] = [];
  for await (const chunk of request) body.push(chunk);
  const input = JSON.parse(Buffer.concat(body).toString()) as RunAgentInput;
  const encoder = new EventEncoder();
  response.writeHead(200, { "content-type": encoder.getContentType() });
  const subscription = new Counter().run(input).pipe(verifyEvents(false)).subscribe({
    next: (event) => response.write(encoder.encode(event as never)),
    error: (error: Error) => response.end(encoder.encode({ type: EventType.RUN_ERROR, message: error.message })),
    complete: () => response.end(),
  });
  // A cancel of the service closes the request.
  response.on("close", () => subscription.unsubscribe());
});
server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
