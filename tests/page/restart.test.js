// The page during a restart of its server: killed at once, or drained.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';

import { conversation, isLive, launch, logIn, openTab, runIs, script, send, someone } from './browser.js';

const servers = [];
const binary = process.env.PAGE_TEST_BINARY;

/** Starts a server; `stop` sends a signal and waits for the end. */
async function serve(folder, listen = '127.0.0.1:0') {
  const flags = ['dev', '--listen', listen, '--admin-listen', '127.0.0.1:0', '--data-dir', folder];
  const child = spawn(binary, flags, { stdio: ['ignore', 'pipe', 'ignore'] });
  servers.push(child);
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const line = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    ended.then((code) => reject(new Error(`the server ended: ${code}`)));
  });
  const stop = (signal) => {
    child.kill(signal);
    return ended;
  };
  return { listen: JSON.parse(line).listen, stop };
}

describe('the page and a server that restarts', { timeout: 300_000, skip: !binary && 'needs the binary' }, () => {
  let browser;
  let folder;
  before(async () => {
    browser = await launch();
    folder = await mkdtemp(join(tmpdir(), 'quintet-page-'));
  });
  after(async () => {
    await browser.close();
    for (const child of servers) child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  for (const [what, signal, code] of [
    ['killed', 'SIGKILL', 'SIGKILL'],
    ['drained', 'SIGTERM', 0],
  ]) {
    test(`del_5: ${what} while a call waits, the conversation is resumed by itself and the call can be answered`, async () => {
      let server = await serve(folder);
      const tab = await openTab(browser, { events: true }, `http://${server.listen}`);
      await logIn(tab, someone('ada'));
      await send(tab, script({ think: 'a thought', repeat: 20 }, { answer: 'first' }), 'rehearsal');
      await runIs(tab, 0, 'succeeded');
      await send(
        tab,
        script({ think: 'a thought' }, { ask: { call_id: 'q1', tool_name: 'approve', parameters: {} } }, { answer: 'done' }),
        'rehearsal',
      );
      await runIs(tab, 1, 'waiting');
      const before = await conversation(tab);

      assert.equal(await server.stop(signal), code);
      await tab.page.locator('#connection:not([data-phase="live"])').waitFor();
      // Written without a server: sent when there is one.
      await send(tab, script({ think: 'later' }, { answer: 'late' }), 'rehearsal');
      await tab.page.locator('.unsent').waitFor();
      server = await serve(folder, server.listen);
      await isLive(tab);
      await runIs(tab, 2, 'queued');
      assert.deepEqual((await conversation(tab)).slice(0, 2), before);

      await tab.page.getByRole('button', { name: 'Approve' }).click();
      await runIs(tab, 1, 'succeeded');
      await runIs(tab, 2, 'succeeded');
      assert.deepEqual((await conversation(tab)).map(({ answer }) => answer), ['first', 'done', 'late']);
      assert.equal(await tab.page.locator('.faults li').count(), 0);
      await tab.close();
      await server.stop('SIGKILL');
    });
  }
});
