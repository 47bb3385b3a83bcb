// The package as its users get it, in each runtime that the readme names, against the real service: Node.js and its workers,
// Deno, Bun, a page of Chromium and its workers.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker as Thread } from 'node:worker_threads';
import { chromium } from 'playwright-core';
import { BINARY, cleanUp, Service } from './service.js';
import { install } from './site.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CHROMIUM = process.env['CHROMIUM'];
const MODULES = `import * as core from 'quintet';\nimport * as http from 'quintet/http';\nimport { smoke } from './smoke.mjs';\n`;

interface Smoke {
  offsets: number[];
  runs: [status: string, answer: string][];
}

describe('the package in each runtime', { skip: !BINARY && !process.env['CI'] && 'needs the binary', timeout: 120_000 }, () => {
  let service: Service;
  let folder: string;
  before(async () => {
    [service, folder] = await Promise.all([Service.start(), install()]);
    copyFileSync(`${ROOT}/test/smoke.mjs`, `${folder}/smoke.mjs`);
    writeFileSync(`${folder}/own.mjs`, `${MODULES}const [url, user] = process.argv.slice(2);\nconsole.log(JSON.stringify(await smoke(core, http, { url, user })));\n`);
    writeFileSync(
      `${folder}/thread.mjs`,
      `${MODULES}import { parentPort, workerData } from 'node:worker_threads';\nimport { WebSocket } from 'ws';\nparentPort.postMessage(await smoke(core, http, { ...workerData, WebSocket }));\n`,
    );
  });
  after(async () => {
    rmSync(folder, { recursive: true, force: true });
    await cleanUp([service.folder]);
  });

  /** Compares with the log: every entry once, in order, through the loss of a connection. */
  async function check(user: string, { offsets, runs }: Smoke): Promise<void> {
    assert.deepEqual(offsets, (await service.log(user)).map(({ offset }) => offset));
    assert.deepEqual(runs.map(([status]) => status), ['succeeded', 'succeeded']);
    assert.match(runs[0]![1], /84/);
    assert.match(runs[1]![1], /2/);
  }
  /** Runs `own.mjs` with a program. */
  async function play(user: string, program: string, ...options: string[]): Promise<void> {
    const { stdout } = await promisify(execFile)(program, [...options, `${folder}/own.mjs`, service.url, user], { cwd: folder });
    await check(user, JSON.parse(stdout) as Smoke);
  }

  test('a worker thread of Node.js', async () => {
    const worker = new Thread(`${folder}/thread.mjs`, { workerData: { url: service.url, user: 'thread' } });
    const [result] = (await Promise.race([
      new Promise((resolve) => worker.once('message', (message) => resolve([message]))),
      new Promise((_, reject) => worker.once('error', reject)),
    ])) as [Smoke];
    await check('thread', result);
    await worker.terminate();
  });

  test('Deno, with no more rights than the network', async () => {
    const name = readdirSync(`${ROOT}/node_modules/@deno`)[0]!;
    await play('deno', `${ROOT}/node_modules/@deno/${name}/deno`, 'run', '--no-prompt', '--no-config', '--node-modules-dir=manual', '--allow-net=127.0.0.1', '--allow-read=.');
  });

  test('Bun', async () => {
    const name = readdirSync(`${ROOT}/node_modules/@oven`)[0]!;
    await play('bun', `${ROOT}/node_modules/@oven/${name}/bin/bun`, 'run');
  });

  test('a page of Chromium, its worker and its shared worker', { skip: !CHROMIUM && !process.env['CI'] && 'needs Chromium' }, async () => {
    const site = await serve(folder);
    const browser = await chromium.launch({ executablePath: CHROMIUM!, args: ['--no-sandbox'] });
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
    for (const kind of ['page', 'worker', 'shared'] as const) {
      const result = await page.evaluate(
        async ({ kind, url }) => {
          const options = { url, user: kind };
          if (kind === 'page') {
            const [core, http, { smoke }] = await Promise.all(['/dist/index.js', '/dist/http/index.js', '/smoke.mjs'].map((path) => import(path)));
            return (await smoke(core, http, options)) as Smoke;
          }
          const worker = kind === 'worker' ? new Worker('/worker.mjs', { type: 'module' }) : new SharedWorker('/worker.mjs', { type: 'module' });
          const port = 'port' in worker ? worker.port : worker;
          return new Promise<Smoke>((resolve, reject) => {
            worker.onerror = () => reject(new Error('the worker failed'));
            port.onmessage = ({ data }: { data: Smoke }) => resolve(data);
            port.postMessage(options);
          });
        },
        { kind, url: service.url },
      );
      await check(kind, result);
    }
    await browser.close();
    site.close();
  });
});

/** Serves a page, the package, and a worker that plays with each port that it gets. */
async function serve(folder: string): Promise<Server> {
  const worker = `import * as core from '/dist/index.js';
import * as http from '/dist/http/index.js';
import { smoke } from '/smoke.mjs';
const play = (port) => { port.onmessage = async ({ data }) => port.postMessage(await smoke(core, http, data)); };
if ('onconnect' in self) self.onconnect = ({ ports: [port] }) => play(port);
else play(self);
`;
  const server = createServer(({ url }, response) => {
    const { pathname } = new URL(url!, 'http://x');
    if (pathname === '/') return void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');
    const file = pathname === '/smoke.mjs' ? `${folder}/smoke.mjs` : `${folder}/node_modules/quintet${pathname}`;
    const text = pathname === '/worker.mjs' ? worker : /^\/(smoke\.mjs|dist\/[\w/-]+\.js)$/.test(pathname) && readFileSync(file);
    response.writeHead(text ? 200 : 404, { 'content-type': 'text/javascript' }).end(text || '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
