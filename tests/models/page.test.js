// A conversation with a small language model in the page, in a browser: the text of the answer streams.
//   tests/models/run.sh bash tests/page/run.sh path/to/quintet ../models/page.test.js

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';

import { conversation, launch, logIn, openTab, problems, runAt, runIs, send, someone } from '../page/browser.js';

const model = process.env.MODEL_SMALL;
if (!model && process.env.CI) throw new Error('MODEL_SMALL is not set: see tests/models/run.sh');

const config = (url) => `
[[agents]]
kind = "model"
name = "assistant"
api = "openai-chat"
url = "${url}/v1"
model = "SmolLM2-135M-Instruct"
instructions = "You are a helpful assistant. Answer in one short sentence."
temperature = 0.0
output_tokens_max = 200
`;

/** How many events of the first answer pass before the test releases the others: one with the role, and a few words. */
const EVENTS_BEFORE_RELEASE = 4;

/** Starts a server that forwards requests to the model. The first answer stops in the middle until `release` is called. */
async function startForwarder() {
  let release;
  const released = new Promise((resolve) => { release = resolve; });
  const server = createServer(async (request, response) => {
    const headers = { 'content-type': request.headers['content-type'] };
    const answer = await fetch(model + request.url, { method: 'POST', headers, body: Readable.toWeb(request), duplex: 'half' });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') });
    let events = 0;
    for await (const line of createInterface({ input: Readable.fromWeb(answer.body) })) {
      response.write(`${line}\n`);
      if (line === '' && ++events === EVENTS_BEFORE_RELEASE) await released;
    }
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, release, server };
}

/** Starts a server with the model at this address; resolves to its address and the process. */
async function serve(folder, url) {
  const file = join(folder, 'quintet.toml');
  await writeFile(file, config(url));
  const flags = ['dev', '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0', '--config', file];
  const child = spawn(process.env.PAGE_TEST_BINARY, [...flags, '--data-dir', join(folder, 'data')], { stdio: ['ignore', 'pipe', 'ignore'] });
  const line = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (code) => reject(new Error(`the server ended: ${code}`)));
  });
  return { base: `http://${JSON.parse(line).listen}`, child };
}

/** Resolves to the text that the answer of a run has on the screen, once it has one. */
async function answerSoFar(tab, index) {
  const answer = runAt(tab, index).locator('.answer-text');
  await answer.filter({ hasText: /\S/ }).waitFor();
  return (await answer.textContent()).trim();
}

describe('a small language model in the page', { timeout: 300_000, skip: !model && 'needs MODEL_SMALL' }, () => {
  let browser;
  let folder;
  let forwarder;
  let server;
  before(async () => {
    browser = await launch();
    folder = await mkdtemp(join(tmpdir(), 'quintet-model-'));
    forwarder = await startForwarder();
    server = await serve(folder, forwarder.url);
  });
  after(async () => {
    await browser?.close();
    server?.child.kill('SIGKILL');
    forwarder?.server.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('a conversation streams, and its second answer knows the first', async () => {
    const tab = await openTab(browser, {}, server.base);
    await logIn(tab, someone('ada'));
    await send(tab, 'What is the capital of France?');
    const beginning = await answerSoFar(tab, 0);
    await runIs(tab, 0, 'thinking');
    forwarder.release();
    await runIs(tab, 0, 'succeeded');
    const [first] = await conversation(tab);
    assert.match(first.answer, /Paris/);
    assert.ok(first.answer.startsWith(beginning) && first.answer.length > beginning.length, `${beginning} … ${first.answer}`);

    await send(tab, 'Repeat the name of that city.');
    await runIs(tab, 1, 'succeeded');
    const [, second] = await conversation(tab);
    assert.match(second.answer, /Paris/);

    const ends = tab.frames.filter((frame) => frame.type === 'agent_completed');
    assert.deepEqual(ends.map((end) => end.final_response.trim()), [first.answer, second.answer]);
    assert.ok(ends.every((end) => end.usage.output_tokens > 0));
    assert.ok(ends[1].usage.input_tokens > ends[0].usage.input_tokens, 'the second request has the first answer');
    const deltas = tab.frames.filter((frame) => frame.kind === 'answer');
    assert.ok(deltas.length >= 3, `${deltas.length} deltas`);
    assert.deepEqual(await problems(tab), []);
    await tab.close();
  });
});
