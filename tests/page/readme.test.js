// The README's client, word for word, against the real server: in a browser, and in Node.js.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';

import { BASE, launch, openTab, someone } from './browser.js';

const EVENTS = ['user_message', 'agent_started', 'agent_thinking', 'tool_executing', 'tool_completed', 'agent_completed'];

/** Returns the client in the README, for the server of the tests and a user of its own. */
async function client() {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  let [, example] = readme.match(/```js\n([\s\S]*?)```/);
  for (const [old, own] of [['127.0.0.1:8080', new URL(BASE).host], ['"ann"', JSON.stringify(someone('ann'))]]) {
    assert.equal(example.split(old).length, 2, old);
    example = example.replace(old, own);
  }
  return example;
}

/** Checks that the lines are the entries of one answered message, and nothing that is not an entry. */
function assertEntries(lines) {
  const entries = lines.map((line) => line.split(' '));
  assert.deepEqual(entries.map(([offset]) => Number(offset)), lines.map((_, index) => index + 1));
  for (const type of EVENTS) assert.ok(entries.some((entry) => entry[1] === type), `${type} is missing in ${lines}`);
  assert.match(lines.at(-1), /42/);
}

describe('the client in the README receives the five events of its message', { timeout: 120_000 }, () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());

  test('in a browser', async () => {
    const tab = await openTab(browser);
    const lines = [];
    const done = new Promise((resolve) => {
      tab.page.on('console', (message) => {
        lines.push(message.text());
        if (message.text().includes(' agent_completed ')) resolve();
      });
    });
    await tab.page.evaluate(`(async () => {${await client()}})()`);
    await done;
    assertEntries(lines);
    await tab.close();
  });

  test('in Node.js', async () => {
    const file = new URL('readme.tmp.mjs', import.meta.url);
    await writeFile(file, await client());
    const node = spawn(process.execPath, [file.pathname], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const lines = [];
      for await (const line of createInterface(node.stdout)) {
        lines.push(line);
        if (line.includes(' agent_completed ')) break;
      }
      assertEntries(lines);
    } finally {
      node.kill();
      await rm(file);
    }
  });
});
