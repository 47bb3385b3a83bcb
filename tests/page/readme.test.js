// The README's client, word for word, in a browser against the real server.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { BASE, launch, openTab } from './browser.js';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

test('the client in the README receives the five events of its message', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const [, example] = readme.match(/```js\n([\s\S]*?)```/);
  const tab = await openTab(browser);
  await tab.page.goto(BASE);
  const said = [];
  const done = new Promise((resolve) => {
    tab.page.on('console', (message) => {
      const [, type, ...text] = message.text().split(' ');
      said.push(type);
      if (type === 'agent_completed') resolve(text.join(' '));
    });
  });
  const here = example.replace('127.0.0.1:8080', new URL(BASE).host);
  assert.notEqual(here, example);
  await tab.page.evaluate(`(async () => {${here}})()`);
  assert.match(await done, /42/);
  for (const type of ['user_message', 'agent_started', 'agent_thinking', 'tool_executing', 'tool_completed']) {
    assert.ok(said.includes(type), `${type} is missing in ${said}`);
  }
  await tab.close();
});
