// Threads with titles, an archive and erasure; links of their own; and conversations that open at their end.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { BASE, isLive, logIn, openThread, runAt, runIs, script, send, someone } from './browser.js';
import { tabsOfEachTest } from './suite.js';

const THINK = { think: 'a thought', kind: 'reasoning' };
const names = ({ page }) => page.locator('.thread-name').allTextContents();

/** Opens the menu of a listed thread and chooses an item. */
async function choose({ page }, thread_id, item) {
  const row = page.locator('.thread-list li').filter({ has: page.locator(`[data-thread="${thread_id}"]`) });
  await row.hover();
  await row.locator('.thread-menu').click();
  await page.locator('#thread-menu').getByRole('button', { name: item, exact: true }).click();
}

describe('conversations', { timeout: 900_000 }, () => {
  const open = tabsOfEachTest();
  const loggedIn = async (user_id = someone('ada'), options = {}) => {
    const tab = await open(options);
    tab.user_id = user_id;
    await logIn(tab, user_id);
    return tab;
  };
  const talk = async (tab, thread, text) => {
    await openThread(tab, thread);
    await send(tab, text);
    await runIs(tab, 0, 'succeeded');
  };

  test('a thread is renamed, in every tab and after a reload; without a title its first text stands there', async () => {
    const tab = await loggedIn();
    await talk(tab, 'one', 'What is 1 + 1?');
    const other = await loggedIn(tab.user_id);
    await other.page.locator('.thread-name').getByText('What is 1 + 1?').waitFor();
    await choose(tab, 'one', 'Rename');
    await tab.page.getByLabel('Title', { exact: true }).fill('  Sums  ');
    await tab.page.keyboard.press('Enter');
    for (const { page } of [tab, other]) await page.locator('.thread-name').getByText('Sums', { exact: true }).waitFor();
    assert.equal(await tab.page.locator('#thread-title').textContent(), 'Sums');
    assert.match(await tab.page.title(), /^Sums · /);
    await tab.page.reload();
    await tab.page.locator('#thread-title').getByText('Sums').waitFor();
    await tab.page.getByLabel('Search threads').fill('sum');
    assert.deepEqual(await names(tab), ['Sums']);
    await tab.page.getByLabel('Search threads').fill('');
    await tab.page.locator('#title-menu').click();
    await tab.page.locator('#thread-menu').getByRole('button', { name: 'Rename' }).click();
    await tab.page.getByLabel('Title', { exact: true }).fill('');
    await tab.page.locator('#rename').getByRole('button', { name: 'Rename', exact: true }).click();
    await tab.page.locator('#thread-title').getByText('What is 1 + 1?').waitFor();
    await other.page.locator('.thread-name').getByText('What is 1 + 1?').waitFor();
  });

  test('an archived thread leaves the list, can be found, and comes back', async () => {
    const tab = await loggedIn();
    await talk(tab, 'one', 'What is 1 + 1?');
    await talk(tab, 'two', 'What is 2 + 2?');
    await choose(tab, 'one', 'Archive');
    await tab.page.waitForFunction(() => document.querySelectorAll('.thread').length === 1);
    await tab.page.reload();
    await isLive(tab);
    await tab.page.locator('.thread').first().waitFor();
    assert.deepEqual(await names(tab), ['What is 2 + 2?']);
    await tab.page.getByRole('button', { name: 'Archived threads' }).click();
    await tab.page.locator('.thread[data-thread="one"]').waitFor();
    assert.deepEqual(await names(tab), ['What is 1 + 1?']);
    await choose(tab, 'one', 'Take out of the archive');
    await tab.page.getByText('Nothing is archived.').waitFor();
    await tab.page.getByRole('button', { name: 'Back to all threads' }).click();
    await tab.page.waitForFunction(() => document.querySelectorAll('.thread').length === 2);
    assert.deepEqual(await names(tab), ['What is 2 + 2?', 'What is 1 + 1?']);
  });

  test('del_8: a thread is erased after a confirmation, with what runs in it, in every tab', async () => {
    const tab = await loggedIn();
    await talk(tab, 'keep', 'What is 1 + 1?');
    await openThread(tab, 'gone');
    await send(tab, script({ think: 'a secret' }, { hang: true }), 'rehearsal');
    await runIs(tab, 0, 'thinking');
    const other = await loggedIn(tab.user_id);
    await openThread(other, 'gone');
    await runIs(other, 0, 'thinking');
    await choose(tab, 'gone', 'Erase');
    await tab.page.getByRole('button', { name: 'Keep it' }).click();
    await tab.page.locator('#erase').waitFor({ state: 'hidden' });
    assert.equal(tab.sent.filter(({ type }) => type === 'erase_thread').length, 0);
    await choose(tab, 'gone', 'Erase');
    await tab.page.locator('#erase').getByRole('button', { name: 'Erase', exact: true }).click();
    for (const { page } of [tab, other]) {
      await page.waitForFunction(() => document.querySelectorAll('.turn').length === 0);
      await page.locator('#welcome').waitFor();
    }
    assert.equal(await tab.page.evaluate(() => document.activeElement.id), 'text');
    await tab.page.reload();
    await isLive(tab);
    await tab.page.locator('#welcome').waitFor();
    assert.deepEqual(await names(tab), ['New conversation', 'What is 1 + 1?']);
    await send(tab, 'What is 2 + 2?');
    await runIs(tab, 0, 'succeeded');
  });

  test('with the keyboard alone a thread is renamed and erased, and the focus is never lost', async () => {
    const tab = await loggedIn();
    await talk(tab, 'one', 'What is 1 + 1?');
    const { keyboard } = tab.page;
    const focused = () => tab.page.evaluate(() => document.activeElement.id || document.activeElement.value);
    const tabTo = async (id) => {
      for (let presses = 0; presses < 60 && (await focused()) !== id; presses += 1) await keyboard.press('Tab');
      assert.equal(await focused(), id, 'reachable with Tab');
    };
    await tabTo('title-menu');
    await keyboard.press('Enter');
    assert.equal(await focused(), 'thread-rename');
    await keyboard.press('Enter');
    assert.equal(await tab.page.evaluate(() => document.activeElement.id), 'rename-title');
    await keyboard.type('Sums');
    await keyboard.press('Enter');
    await tab.page.locator('#thread-title').getByText('Sums').waitFor();
    assert.equal(await focused(), 'title-menu', 'back where it was');
    await keyboard.press('Enter');
    await tabTo('thread-erase');
    await keyboard.press('Enter');
    await tab.page.locator('#erase').waitFor();
    assert.equal(await focused(), 'keep', 'the safe button comes first');
    await tabTo('erase');
    await keyboard.press('Enter');
    await tab.page.locator('#welcome').waitFor();
    assert.equal(await focused(), 'text');
  });

  test('a thread has an address of its own: reload, Back, a link in the old form', async () => {
    const tab = await loggedIn();
    const { page } = tab;
    await talk(tab, 'a/b?c', 'What is 1 + 1?');
    assert.equal(page.url(), `${BASE}/t/a%2Fb%3Fc`);
    await page.locator('.thread-list .thread').first().click();
    await talk(tab, 'two', 'What is 2 + 2?');
    await page.locator('.thread[data-thread="a/b?c"]').click();
    await page.waitForURL(`${BASE}/t/a%2Fb%3Fc`);
    await page.reload();
    await page.locator('.message-text').getByText('What is 1 + 1?').waitFor();
    await page.goBack();
    await page.waitForURL(`${BASE}/t/two`);
    await page.locator('.message-text').getByText('What is 2 + 2?').waitFor();
    await page.goto(`${BASE}/#/t/a%2Fb%3Fc`);
    await page.waitForURL(`${BASE}/t/a%2Fb%3Fc`);
    await page.locator('.message-text').getByText('What is 1 + 1?').waitFor();
  });

  test('a run that was read from its folded form shows its steps when they are opened', async () => {
    const tab = await loggedIn();
    const tool = { call_id: 'c1', tool_name: 'lookup', parameters: { word: 'quintet' }, takes_ms: 1, results: { players: 5 }, error: null };
    await send(tab, script({ think: 'a long thought' }, { tool }, { answer: 'five' }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    await tab.page.reload();
    await runIs(tab, 0, 'succeeded');
    const activity = runAt(tab, 0).locator('.activity');
    assert.equal(await activity.locator('.activity-line').textContent(), 'Used lookup');
    await activity.locator('summary').first().click();
    await activity.getByText('a long thought').waitFor();
    assert.equal(await activity.locator('.activity-line').textContent(), 'Reasoned · used lookup');
    await activity.locator('[data-call="c1"] summary').click();
    await activity.getByText('{ "players": 5 }').waitFor();
  });

  test('a page that is loaded while a run streams shows each part once', async () => {
    const tab = await loggedIn();
    const steps = Array.from({ length: 120 }, (_, index) => [{ answer: `${index} ` }, { wait_ms: 5 }]).flat();
    await send(tab, script(THINK, ...steps), 'rehearsal');
    const whole = Array.from({ length: 120 }, (_, index) => index).join(' ');
    for (let round = 0; round < 4; round += 1) {
      await tab.page.reload();
      await isLive(tab);
      await runAt(tab, 0).waitFor();
    }
    await runIs(tab, 0, 'succeeded');
    assert.equal((await runAt(tab, 0).locator('.answer-text').innerText()).trim(), whole);
  });

  test('two thousand runs: the page is usable within a second, opens at the end, and reads no more than it shows', async () => {
    const tab = await loggedIn();
    const { token } = await tab.page.evaluate(() => JSON.parse(sessionStorage.getItem('quintet.session')));
    await seed(token, 2_000);
    await tab.page.addInitScript(() => {
      new MutationObserver(() => {
        if (document.querySelector('.run[data-state="queued"], .run[data-state="started"]')) globalThis.flashed = true;
        if (globalThis.shown_ms === undefined && document.querySelector('.run[data-state="succeeded"]')) globalThis.shown_ms = performance.now();
      }).observe(document, { subtree: true, childList: true, attributes: true });
    });
    tab.frames.length = 0;
    await tab.page.goto(`${BASE}/t/thread-0`);
    await isLive(tab);
    await runAt(tab, 0).waitFor();
    const { shown_ms, flashed, turns } = await tab.page.evaluate(() => ({ shown_ms: globalThis.shown_ms, flashed: globalThis.flashed, turns: document.querySelectorAll('.turn').length }));
    console.log(`    shown ${Math.round(shown_ms)} ms after the navigation began`);
    assert.equal(flashed, undefined);
    assert.ok(shown_ms < 1_000 * SLOW, `${shown_ms} ms`);
    assert.ok(turns < 80, `${turns} turns`);
    assert.equal(tab.frames.filter((frame) => frame.offset !== undefined).length, 0, 'nothing is replayed');
    await tab.page.locator('.message-text').getByText('What is 1999 + 1?').waitFor();
    const first = tab.page.locator('.turn').first();
    const text = await first.locator('.message-text').textContent();
    await tab.page.locator('#scroll').evaluate((scroll) => scroll.scrollTo(0, 0));
    await tab.page.waitForFunction((count) => document.querySelectorAll('.turn').length > count, turns);
    const y = (await tab.page.locator('.turn').filter({ hasText: text }).first().boundingBox()).y;
    assert.ok(y > -40 && y < 300, `the message that was at the top is at ${y} px`);
    await send(tab, 'What is 5 + 5?');
    await tab.page.locator('.message-text').getByText('What is 5 + 5?').waitFor();
  });
});

/** A machine that is shared makes everything slower. */
const SLOW = Number(process.env.PAGE_TEST_SLOW ?? 3);

/** Sends `count` questions over HTTP, to eight threads at once; the last one to `thread-0`. Waits until they are answered. */
async function seed(token, count) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const post = async (index, thread) => {
    const body = JSON.stringify({ message_id: `m-${index}`, thread_id: thread, text: `What is ${index} + 1?`, agent_name: 'assistant' });
    for (;;) {
      const response = await fetch(`${BASE}/v1/messages`, { method: 'POST', headers, body });
      if (response.status === 202) return (await response.json()).run_id;
      assert.ok(response.status === 429 || response.status === 503, `status ${response.status}`);
      // The queue of the thread is full.
      await response.arrayBuffer();
      await ended(thread);
    }
  };
  const ended = async (thread) => {
    for (;;) {
      const response = await fetch(`${BASE}/v1/threads/${thread}/runs?limit=1`, { headers });
      const page = await response.json();
      // The pages and requests of a user are limited, also for one that seeds.
      if (response.status === 429) continue;
      assert.equal(response.status, 200, JSON.stringify(page));
      if (page.runs.every(({ status }) => status !== null)) return;
    }
  };
  await Promise.all(Array.from({ length: 8 }, async (_, lane) => {
    for (let index = lane; index < count; index += 8) await post(index, `thread-${lane === 7 ? 0 : lane}`);
  }));
  for (let lane = 0; lane < 7; lane += 1) await ended(`thread-${lane}`);
}
