// A faulty intermediary between the service and a client: it changes the events of a response. The service never sends
// what a client gets here, so each case pins what the client makes of it, and shows that connecting corrects it.
import { quiet } from "./agents.mjs";

// Returns a fetch whose event streams pass through `fault(frames)`, a generator over the frames of one response.
export function faulty(fault) {
  return async (...request) => {
    const response = await quiet(...request);
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
    const changed = ReadableStream.from(fault(frames(response.body)));
    return new Response(changed.pipeThrough(new TextEncoderStream()), response);
  };
}

// Yields the frames of an event stream, each with its empty line.
async function* frames(body) {
  let text = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const parts = (text + chunk).split("\n\n");
    text = parts.pop();
    for (const part of parts) yield `${part}\n\n`;
  }
}

const has = (frame, ...kinds) => kinds.some((kind) => frame.includes(`"type":"${kind}"`));

// Sends every delta of a text twice.
export async function* repeated(frames) {
  for await (const frame of frames) {
    yield frame;
    if (has(frame, "TEXT_MESSAGE_CONTENT")) yield frame;
  }
}

// Exchanges the first frame of one of these types with the frame after it.
export const exchanged = (...kinds) =>
  async function* (frames) {
    let kept;
    let isDone = false;
    for await (const frame of frames) {
      if (!isDone && kept === undefined && has(frame, ...kinds)) {
        kept = frame;
        continue;
      }
      yield frame;
      if (kept === undefined || isDone) continue;
      yield kept;
      isDone = true;
    }
  };

// Ends the response in order after the third delta of a text, as a proxy with a time limit does.
export async function* cut(frames) {
  let deltas = 0;
  for await (const frame of frames) {
    yield frame;
    if (has(frame, "TEXT_MESSAGE_CONTENT") && ++deltas === 3) return;
  }
}
