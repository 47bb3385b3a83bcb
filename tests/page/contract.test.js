// The published contract, read by the official tools.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Parser } from '@asyncapi/parser';

const BASE = process.env.PAGE_TEST_URL;

async function errors(text) {
  const { document, diagnostics } = await new Parser().parse(text);
  const found = diagnostics.filter(({ severity }) => severity === 0).map(({ message, path }) => `${path.join('.')}: ${message}`);
  return document ? found : [...found, 'no document'];
}

test('asyncapi.json is valid for the official parser', async () => {
  const text = await (await fetch(`${BASE}/asyncapi.json`)).text();
  assert.deepEqual(await errors(text), []);
});

test('a message without a summary is an error for the parser', async () => {
  const document = await (await fetch(`${BASE}/asyncapi.json`)).json();
  document.components.messages.pong.summary = null;
  assert.notDeepEqual(await errors(JSON.stringify(document)), []);
});
