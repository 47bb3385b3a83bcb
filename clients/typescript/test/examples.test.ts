// The examples: type-checked, built with Vite, and driven in a real Chromium against the real service.

import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium, type Browser, type Page } from 'playwright-core';
import type { AgentCompleted, UserMessage } from 'quintet';
import { BINARY, cleanUp, script, Service } from './service.js';
import { serve } from './site.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CHROMIUM = process.env['CHROMIUM'];

test('the examples are type-checked', () => {
  execFileSync(process.execPath, [`${ROOT}/node_modules/typescript/bin/tsc`, '-p', `${ROOT}/tsconfig.examples.json`], { encoding: 'utf8' });
});

test('the React chat has at most 60 lines', () => {
  assert.ok(readFileSync(`${ROOT}/examples/react/main.tsx`, 'utf8').trimEnd().split('\n').length <= 60);
});

describe('the examples in a browser', { skip: (!BINARY || !CHROMIUM) && !process.env['CI'] && 'needs the binary and Chromium', timeout: 120_000 }, () => {
  let service: Service;
  let browser: Browser;
  let site: Server;
  let origin: string;
  let users = 0;
  const faults: string[] = [];

  before(async () => {
    [service, browser, site] = await Promise.all([Service.start(), chromium.launch({ executablePath: CHROMIUM!, args: ['--no-sandbox'] }), serve()]);
    origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  });
  after(async () => {
    await browser.close();
    site.close();
    await cleanUp([service.folder]);
  });

  async function open(path: string, user = `browser-${++users}`, more = ''): Promise<Page> {
    const page = await browser.newPage();
    await enter(page, path, user, more);
    return page;
  }
  async function enter(page: Page, path: string, user: string, more: string): Promise<void> {
    page.on('pageerror', (error) => faults.push(error.message));
    await page.goto(`${origin}/${path}?service=${encodeURIComponent(service.url)}&user=${user}${more}`);
  }
  const send = async (page: Page, text: string) => {
    await page.locator('input').fill(text);
    await page.getByRole('button', { name: 'Send' }).click();
  };

  test('plain HTML', async () => {
    const page = await open('plain.html');
    await send(page, '12*(3+4)');
    await page.getByText(/84.*succeeded/).waitFor();
    await page.close();
  });

  test('React: answers, a question, a reload in mid-run, a kill of the service, a stop', async () => {
    const page = await open('react/');
    await page.locator('#phase', { hasText: 'live' }).waitFor();
    await send(page, script({ think: 'hm' }, { ask: { call_id: 'q', tool_name: 'approve', parameters: {} } }, { answer: 'first done' }));
    await page.locator('.question').waitFor();
    await page.reload();
    await page.getByRole('button', { name: 'Yes' }).click();
    await page.getByText('first done', { exact: true }).waitFor();
    await send(page, script({ think: 'x', repeat: 100, interval_ms: 10 }, { answer: 'second done' }));
    await page.locator('article[data-status=active]').waitFor();
    await service.stop('SIGKILL');
    await page.locator('#phase', { hasNotText: 'live' }).waitFor();
    service = await service.restart();
    await page.locator('article').nth(1).getByText('second done', { exact: true }).waitFor();
    await send(page, script({ think: 'x' }, { hang: true }));
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.locator('article[data-status=cancelled]').waitFor();
    assert.equal(await page.locator('article').count(), 3);
    await page.close();
  });

  test('useChat: streams, resumes after a reload, asks for an approval, and two tabs agree', async () => {
    const [page, other] = [await open('use-chat/', 'tabs'), await open('use-chat/', 'tabs')];
    await send(page, '12*(3+4)');
    for (const tab of [page, other]) await tab.getByText('84').first().waitFor();
    await send(page, script({ think: 'hm' }, { ask: { call_id: 'q', tool_name: 'approve', parameters: {} } }, { answer: 'was declined' }));
    await other.locator('.question').waitFor();
    await page.reload();
    await page.getByRole('button', { name: 'No' }).click();
    for (const tab of [page, other]) {
      await tab.getByText('was declined', { exact: true }).waitFor();
      await tab.getByText('approve: output-denied').waitFor();
      assert.equal(await tab.locator('article').count(), 4);
    }
    await Promise.all([page.close(), other.close()]);
  });

  test('assistant-ui: streams, declines, survives a kill of the service and a reload, stops, regenerates', async () => {
    const page = await open('assistant-ui/', 'aui', '&agent=rehearsal');
    const ask = async (text: string) => {
      await page.getByRole('textbox').fill(text);
      await page.getByRole('button', { name: 'Send' }).click();
    };
    const answers = page.locator('[data-role=assistant]');
    await ask(script({ think: 'hm' }, { ask: { call_id: 'q', tool_name: 'approve', parameters: { what: 'deploy' } } }, { answer: 'was declined' }));
    await page.locator('.question').waitFor();
    await page.reload();
    await page.getByRole('button', { name: 'No' }).click();
    await answers.getByText('was declined', { exact: true }).waitFor();
    await page.getByText('approve: declined').waitFor();

    await ask(script({ think: 'x', repeat: 100, interval_ms: 10 }, { answer: 'second done' }));
    await page.getByRole('button', { name: 'Stop' }).waitFor();
    await service.stop('SIGKILL');
    service = await service.restart();
    await answers.getByText('second done', { exact: true }).waitFor();
    assert.equal(await answers.getByText('second done').count(), 1);

    await ask(script({ think: 'x' }, { hang: true }));
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('button', { name: 'Send' }).waitFor();
    const { status } = (await service.log('aui')).findLast(({ type }) => type === 'agent_completed') as AgentCompleted;
    assert.equal(status, 'cancelled');

    const runs = async () => (await service.log('aui')).filter(({ type }) => type === 'user_message') as UserMessage[];
    const before = await runs();
    await page.getByRole('button', { name: 'Regenerate' }).nth(1).click();
    await page.getByText('2 / 2').waitFor();
    const after = await runs();
    assert.equal(after.length, before.length + 1);
    assert.deepEqual([after.at(-1)!.parent, after.at(-1)!.text], [before[1]!.parent, before[1]!.text]);
    await page.close();
  });

  test('useChat: survives a kill of the service, stops, and a resumed run is shown once', async () => {
    const page = await open('use-chat/', 'crash');
    await send(page, script({ think: 'so ', kind: 'answer', repeat: 60, interval_ms: 20 }, { answer: 'far' }));
    await page.getByText('so so').waitFor();
    await service.stop('SIGKILL');
    service = await service.restart();
    const answer = page.locator('[data-role=assistant]');
    await answer.getByText(/far$/).waitFor();
    assert.equal((await answer.allTextContents()).length, 1);
    const { final_response } = (await service.log('crash')).findLast(({ type }) => type === 'agent_completed') as AgentCompleted;
    assert.equal(await answer.locator('p').last().textContent(), final_response);
    await page.locator('#phase', { hasText: 'ready' }).waitFor();
    await send(page, script({ think: 'going on', kind: 'answer' }, { hang: true }));
    await page.getByText('going on', { exact: true }).waitFor();
    await page.reload();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.locator('#phase', { hasText: 'ready' }).waitFor();
    await page.getByRole('button', { name: 'Send' }).waitFor();
    const { status } = (await service.log('crash')).findLast(({ type }) => type === 'agent_completed') as AgentCompleted;
    assert.equal(status, 'cancelled');
    await page.close();
  });

  // An intermediary breaks the stream in the middle of an answer. The client ignores a repeated entry; otherwise it replaces
  // the connection and resumes after the last entry that it applied. Each page shows the answers of the log.
  for (const path of ['react/', 'use-chat/', 'assistant-ui/']) {
    test(`del_2, del_3: ${path}: an intermediary repeats, exchanges and loses entries and closes the connection`, async () => {
      const user = `wire-${++users}`;
      const page = await browser.newPage();
      const wire = await intermediary(page);
      await enter(page, path, user, '&agent=rehearsal');
      const answers = path === 'react/' ? page.locator('article p') : page.locator('[data-role=assistant]').getByText(/^a/);
      const field = path === 'assistant-ui/' ? page.getByRole('textbox') : page.locator('input');
      for (const [turn, [fault, opened]] of ([['repeat', 1], ['exchange', 2], ['lose', 3], ['close', 4]] as const).entries()) {
        wire.next(fault);
        await field.fill(script({ think: 'a', kind: 'answer' }, ...[...'bcdefghij'].map((answer) => ({ answer })), { answer: `${turn}.` }));
        await page.getByRole('button', { name: 'Send' }).click();
        await page.getByText(`abcdefghij${turn}.`, { exact: true }).waitFor();
        assert.deepEqual([wire.fault, wire.opened], [null, opened], fault);
        await page.getByRole('button', { name: 'Send' }).waitFor();
      }
      assert.deepEqual(await answers.allTextContents(), [0, 1, 2, 3].map((turn) => `abcdefghij${turn}.`));
      assert.equal((await service.log(user)).filter(({ type }) => type === 'user_message').length, 4);
      await page.close();
    });
  }

  test('the first program of the readme', async () => {
    const [, program] = /```js\n([^]*?)```/.exec(readFileSync(`${ROOT}/README.md`, 'utf8'))!;
    assert.match(program!, /127\.0\.0\.1:8080/);
    const file = `${ROOT}/.test/readme.mjs`;
    const socket = `import { WebSocket } from 'ws';\nglobalThis.WebSocket ??= WebSocket;\n`;
    writeFileSync(file, socket + program!.replace('http://127.0.0.1:8080', service.url));
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 30_000 });
    let shown = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      shown += chunk;
      if (/^succeeded .*84/m.test(shown)) child.kill();
    }
    assert.match(shown, /^succeeded .*84/m);
  });

  test('Node.js', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [`${ROOT}/examples/node.mjs`, '12*(3+4)', service.url]);
    assert.match(stdout, /84[^]*\(succeeded\)/);
  });

  test('curl: a message, and its run as server-sent events', async () => {
    const { stdout } = await promisify(execFile)(`${ROOT}/../../examples/chat.sh`, ['say "12*(3+4)" \\ twice', service.url]);
    const types = stdout.trim().split('\n').map((line) => (JSON.parse(line) as { type: string; text?: string }).type);
    assert.equal(types[0], 'user_message');
    assert.equal(types[1], 'agent_started');
    assert.equal(types.at(-1), 'agent_completed');
    assert.equal((JSON.parse(stdout.slice(0, stdout.indexOf('\n'))) as { text: string }).text, 'say "12*(3+4)" \\ twice');
  });

  test('no page had an error', () => assert.deepEqual(faults, []));
});

type Fault = 'repeat' | 'exchange' | 'lose' | 'close';

/** Puts an intermediary before the service. `next` plants one fault behind the second of the following deltas of an answer. */
async function intermediary(page: Page) {
  const wire = {
    opened: 0,
    deltas: 0,
    fault: null as Fault | null,
    next(fault: Fault) {
      Object.assign(wire, { fault, deltas: 0 });
    },
  };
  await page.routeWebSocket(/\/v1\/ws/, (client) => {
    wire.opened += 1;
    let kept: string | Buffer | null = null;
    client.connectToServer().onMessage((frame) => {
      if (kept !== null) {
        for (const late of [frame, kept]) client.send(late);
        kept = null;
      } else if (wire.fault === null || !String(frame).includes('"kind":"answer"') || ++wire.deltas !== 2) {
        client.send(frame);
      } else {
        if (wire.fault === 'repeat') for (const copy of [frame, frame]) client.send(copy);
        if (wire.fault === 'exchange') kept = frame;
        if (wire.fault === 'close') void client.close({ code: 1011, reason: 'planted' });
        wire.fault = null;
      }
    });
  });
  return wire;
}
