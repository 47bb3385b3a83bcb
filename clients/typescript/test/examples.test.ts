// The examples: type-checked, and driven in a real Chromium against the real service.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { chromium, type Browser, type Page } from 'playwright-core';
import type { AgentCompleted, UserMessage } from 'quintet';
import { BINARY, cleanUp, script, Service } from './service.js';

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
    page.on('pageerror', (error) => faults.push(error.message));
    await page.goto(`${origin}/${path}?service=${encodeURIComponent(service.url)}&user=${user}${more}`);
    return page;
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

/** Serves the examples: the pages with a build step as esbuild bundles them, the plain one with this package's files. */
async function serve(): Promise<Server> {
  const built = new Map<string, string>();
  for (const name of ['react', 'use-chat', 'assistant-ui']) {
    const result = await build({
      entryPoints: [`${ROOT}/examples/${name}/main.tsx`],
      bundle: true, write: false, format: 'esm', jsx: 'automatic', logLevel: 'silent', define: { 'process.env.NODE_ENV': '"production"' },
      alias: Object.fromEntries(['quintet/react', 'quintet/http', 'quintet/ai-sdk'].map((path) => [path, `${ROOT}/dist/${path.slice(8)}/index.js`]).concat([['quintet', `${ROOT}/dist/index.js`]])),
    });
    built.set(`/${name}/main.tsx`, result.outputFiles[0]!.text);
  }
  const server = createServer(({ url }, response) => {
    const { pathname } = new URL(url!, 'http://x');
    const js = { 'content-type': 'text/javascript' };
    const bundle = built.get(pathname);
    if (bundle) return void response.writeHead(200, js).end(bundle);
    if (/^\/dist\/[\w/-]+\.js$/.test(pathname)) return void response.writeHead(200, js).end(readFileSync(ROOT + pathname));
    const file = { '/plain.html': 'plain.html', '/react/': 'react/index.html', '/use-chat/': 'use-chat/index.html', '/assistant-ui/': 'assistant-ui/index.html' }[pathname];
    if (!file) return void response.writeHead(404).end();
    const html = readFileSync(`${ROOT}/examples/${file}`, 'utf8').replaceAll(/https:\/\/unpkg\.com\/quintet@[\d.]+/g, '');
    response.writeHead(200, { 'content-type': 'text/html' }).end(html);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
