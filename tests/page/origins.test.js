// A front end on another port of this machine, as the development server of a bundler: it speaks to `quintet dev` at once.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { BASE, launch, someone } from './browser.js';

let browser;
let server;
let own;
before(async () => {
  browser = await launch();
  server = createServer((_request, response) => response.setHeader('content-type', 'text/html').end('<!doctype html><title>front end</title>'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  own = `http://localhost:${server.address().port}`;
});
after(async () => {
  await browser.close();
  server.close();
});

test('auth_4: a page of another loopback port logs in, reads, changes and connects; one of another host does not', async () => {
  const page = await browser.newPage();
  await page.goto(own);
  const done = await page.evaluate(async ([base, user_id]) => {
    const call = (method, path, token, body) => fetch(`${base}${path}`, { method, headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }, body: body && JSON.stringify(body) });
    const { token } = await (await call('POST', '/dev/login', null, { user_id })).json();
    const { ticket } = await (await call('POST', '/v1/tickets', token, {})).json();
    const socket = new WebSocket(`${base.replace('http', 'ws')}/v1/ws?ticket=${ticket}`, 'quintet.v1');
    socket.onopen = () => socket.send(JSON.stringify({ type: 'hello' }));
    const answer = await new Promise((resolve, reject) => {
      socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
      socket.onmessage = ({ data }) => {
        const frame = JSON.parse(data);
        if (frame.type === 'caught_up') socket.send(JSON.stringify({ type: 'send_message', message_id: crypto.randomUUID(), thread_id: 't', text: 'what is 6 * 7?' }));
        if (frame.type === 'agent_completed') resolve(frame.final_response);
      };
    });
    const renamed = await call('PATCH', '/v1/threads/t', token, { title: 'Sums' });
    const { threads } = await (await call('GET', '/v1/threads', token)).json();
    const erased = await call('DELETE', '/v1/threads/t', token);
    return { answer, renamed: renamed.ok, titles: threads.map(({ title }) => title), erased: erased.status };
  }, [BASE, someone('ada')]);
  assert.match(done.answer, /42/);
  assert.deepEqual([done.renamed, done.titles, done.erased], [true, ['Sums'], 202]);
  await page.close();

  const foreign = await browser.newPage();
  await foreign.route('http://front.example/**', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>foreign</title>' }));
  await foreign.goto('http://front.example/');
  const refused = await foreign.evaluate((base) => fetch(`${base}/v1/agents`).then((response) => response.status, String), BASE);
  assert.match(String(refused), /TypeError/);
  await foreign.close();
});
