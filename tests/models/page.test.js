// A conversation with a small language model in the page, in a browser: the text of the answer streams.
//   tests/models/run.sh bash tests/page/run.sh path/to/quintet ../models/page.test.js

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';

import { conversation, launch, logIn, openTab, problems, runAt, runIs, send, someone } from '../page/browser.js';

const model = process.env.MODEL_SMALL;
if (!model && process.env.CI) throw new Error('MODEL_SMALL is not set: see tests/models/run.sh');

const config = `
[[agents]]
kind = "model"
name = "assistant"
api = "openai-chat"
url = "${model}/v1"
model = "SmolLM2-135M-Instruct"
instructions = "You are a helpful assistant. Answer in one short sentence."
temperature = 0.0
output_tokens_max = 200
`;

/** Starts a server with the model; resolves to its address and the process. */
async function serve(folder) {
  const file = join(folder, 'quintet.toml');
  await writeFile(file, config);
  const flags = ['dev', '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0', '--config', file];
  const child = spawn(process.env.PAGE_TEST_BINARY, [...flags, '--data-dir', join(folder, 'data')], { stdio: ['ignore', 'pipe', 'ignore'] });
  const line = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (code) => reject(new Error(`the server ended: ${code}`)));
  });
  return { base: `http://${JSON.parse(line).listen}`, child };
}

/** Records every length that the answer of a run has on the screen. */
async function watchAnswer(tab, index) {
  await runAt(tab, index).waitFor();
  await runAt(tab, index).evaluate((run) => {
    globalThis.lengths = [];
    const look = () => {
      const length = run.querySelector('.answer-text')?.textContent.trim().length ?? 0;
      if (length > 0 && length !== globalThis.lengths.at(-1)) globalThis.lengths.push(length);
    };
    new MutationObserver(look).observe(run, { childList: true, characterData: true, subtree: true });
  });
}

describe('a small language model in the page', { timeout: 300_000, skip: !model && 'needs MODEL_SMALL' }, () => {
  let browser;
  let folder;
  let server;
  before(async () => {
    browser = await launch();
    folder = await mkdtemp(join(tmpdir(), 'quintet-model-'));
    server = await serve(folder);
  });
  after(async () => {
    await browser?.close();
    server?.child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  test('a conversation streams, and its second answer knows the first', async () => {
    const tab = await openTab(browser, {}, server.base);
    await logIn(tab, someone('ada'));
    await send(tab, 'What is the capital of France?');
    await watchAnswer(tab, 0);
    await runIs(tab, 0, 'succeeded');
    const lengths = await tab.page.evaluate(() => globalThis.lengths);
    assert.ok(lengths.length > 2, `the answer had the lengths ${lengths}`);
    assert.deepEqual(lengths, lengths.toSorted((one, other) => one - other), 'the answer only grows');
    const [first] = await conversation(tab);
    assert.match(first.answer, /Paris/);

    await send(tab, 'Repeat the name of that city.');
    await runIs(tab, 1, 'succeeded');
    const [, second] = await conversation(tab);
    assert.match(second.answer, /Paris/);

    const ends = tab.frames.filter((frame) => frame.type === 'agent_completed');
    assert.deepEqual(ends.map((end) => end.final_response.trim()), [first.answer, second.answer]);
    assert.ok(ends.every((end) => end.usage.output_tokens > 0));
    assert.ok(ends[1].usage.input_tokens > ends[0].usage.input_tokens, 'the second request has the first answer');
    const deltas = tab.frames.filter((frame) => frame.kind === 'answer');
    assert.ok(deltas.length > 4, `${deltas.length} deltas`);
    assert.deepEqual(await problems(tab), []);
    await tab.close();
  });
});
