// A small language model, SmolLM2-135M-Instruct, behind the protocol of OpenAI's chat completions.
//   node smollm.mjs FILE.gguf
// Prints {"listen":"http://127.0.0.1:PORT"} when it is ready. GET /stats returns the numbers of finished and of
// abandoned responses. Ends when its stdin is closed.
import { createServer } from "node:http";
import { getLlama, LlamaChatSession } from "node-llama-cpp";

const RESPONSES_MAX = 2;
const [file] = process.argv.slice(2);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({ contextSize: 2048, sequences: RESPONSES_MAX, threads: 2 });
const stats = { finished: 0, abandoned: 0 };

/** The turns before the last message, in the form of the library. */
function history(messages) {
  return messages.flatMap(({ role, content }) => {
    if (role === "system") return [{ type: "system", text: content }];
    if (role === "user") return [{ type: "user", text: content }];
    return role === "assistant" ? [{ type: "model", response: [content ?? ""] }] : [];
  });
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString("utf8"));
}

async function complete(request, response) {
  const wanted = await body(request);
  if (context.sequencesLeft === 0) {
    response.writeHead(503, { "content-type": "application/json", "retry-after": "1" });
    response.end(JSON.stringify({ error: { message: "all sequences are in use", type: "server_error" } }));
    return;
  }
  const sequence = context.getSequence();
  const abandoned = new AbortController();
  response.on("close", () => abandoned.abort());
  const chunk = (fields) =>
    response.write(`data: ${JSON.stringify({ object: "chat.completion.chunk", model: wanted.model, ...fields })}\n\n`);
  const delta = (delta, finish_reason = null) => chunk({ choices: [{ index: 0, delta, finish_reason }] });
  try {
    const session = new LlamaChatSession({ contextSequence: sequence, autoDisposeSequence: false });
    session.setChatHistory(history(wanted.messages.slice(0, -1)));
    response.writeHead(200, { "content-type": "text/event-stream" });
    delta({ role: "assistant", content: "" });
    const { responseText, stopReason } = await session.promptWithMeta(wanted.messages.at(-1).content, {
      maxTokens: wanted.max_tokens ?? 64,
      temperature: wanted.temperature ?? 0,
      signal: abandoned.signal,
      stopOnAbortSignal: true,
      onTextChunk: (text) => delta({ content: text }),
    });
    if (abandoned.signal.aborted) throw abandoned.signal.reason;
    delta({}, stopReason === "maxTokens" ? "length" : "stop");
    const tokens = (text) => model.tokenize(text).length;
    const prompt_tokens = wanted.messages.reduce((sum, message) => sum + tokens(message.content ?? ""), 0);
    chunk({ choices: [], usage: { prompt_tokens, completion_tokens: tokens(responseText) } });
    response.end("data: [DONE]\n\n");
    stats.finished += 1;
  } catch (error) {
    if (!abandoned.signal.aborted) throw error;
    stats.abandoned += 1;
  } finally {
    sequence.dispose();
  }
}

const server = createServer((request, response) => {
  if (request.url === "/stats") {
    response.end(JSON.stringify(stats));
  } else {
    complete(request, response).catch((error) => {
      console.error(error);
      response.destroy();
    });
  }
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ listen: `http://127.0.0.1:${server.address().port}` })));
process.stdin.on("end", () => process.exit(0)).resume();
