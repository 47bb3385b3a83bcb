// Accessibility: axe-core over the states of the page, live regions, and lists that are never empty.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';

import { developer, launch, logIn, openTab, runIs, script, send, someone } from './browser.js';

const ANSWER = '# Title\n\ntext with [a link](https://example.org/) and `code`\n\n- [x] done\n- [ ] open\n\n1. one\n2. two\n\n> quote\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n```js\nlet a = 1;\n```\n\n---\n\nend';
const FORM = {
  type: 'object',
  required: ['city'],
  properties: {
    city: { type: 'string', description: 'Where you start' },
    seats: { type: 'integer' },
    class: { enum: ['first', 'second'] },
    quiet: { type: 'boolean' },
    extras: { type: 'array', items: { enum: ['bike', 'dog'] } },
    more: { type: 'object', properties: { note: { type: 'string', maxLength: 500 } } },
  },
};

describe('accessibility', { timeout: 600_000 }, () => {
  let browser;
  let axe;
  before(async () => {
    browser = await launch();
    axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  });
  after(() => browser.close());

  /** Returns the rules that the page breaks now: WCAG 2.2 A and AA, and axe's best practices. */
  async function broken({ page }) {
    if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axe);
    return page.evaluate(async () => {
      const runOnly = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
      const { violations } = await globalThis.axe.run(document, { runOnly });
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join(' | ')}`);
    });
  }

  /** Returns the lists that a screen reader would announce as empty. */
  const emptyLists = ({ page }) =>
    page.evaluate(() => [...document.querySelectorAll('ul, ol, dl')].filter((list) => list.checkVisibility() && list.childElementCount === 0).map((list) => list.id || list.className));

  async function isClean(tab, state) {
    assert.deepEqual(await broken(tab), [], state);
    assert.deepEqual(await emptyLists(tab), [], state);
  }

  for (const [name, options] of [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['phone', { colorScheme: 'dark', viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }],
  ]) {
    test(`axe finds nothing: ${name}`, async () => {
      const tab = await openTab(browser, options);
      await isClean(tab, 'login');
      await logIn(tab, someone('ada'));
      await isClean(tab, 'empty');
      const tool = { call_id: 'c1', tool_name: 'lookup', parameters: { word: 'x' }, takes_ms: 1, results: null, error: 'not found' };
      await send(tab, script({ think: 'a thought' }, { tool }, { answer: ANSWER }), 'rehearsal');
      await runIs(tab, 0, 'succeeded');
      await send(tab, script({ think: 'x' }, { fail: 'no luck' }), 'rehearsal');
      await runIs(tab, 1, 'failed');
      await tab.page.getByRole('button', { name: 'Answer again' }).first().click();
      await tab.page.getByText('2 of 2').waitFor();
      await runIs(tab, 0, 'succeeded');
      await tab.page.getByRole('button', { name: 'Previous version' }).click();
      await runIs(tab, 1, 'failed');
      await tab.page.locator('.activity summary').first().click();
      await tab.page.locator('.tool summary').first().click();
      await isClean(tab, 'answers');
      const asks = [['q1', 'approve', { tool_name: 'write', parameters: { path: '/x', options: { a: 1 } } }], ['q2', 'answer', { question: 'Why?' }], ['q3', 'elicit', { schema: FORM }]];
      await send(tab, script({ think: 'x' }, ...asks.map(([call_id, tool_name, parameters]) => ({ ask: { call_id, tool_name, parameters } })), { hang: true }), 'rehearsal');
      for (const [call_id] of asks) {
        const form = tab.page.locator(`form[data-call="${call_id}"]`);
        await form.getByText('Advanced').click();
        await isClean(tab, `question ${call_id}`);
        await form.getByRole('button', { name: 'Decline' }).click();
        await form.waitFor({ state: 'detached' });
      }
      for (const menu of ['developer-toggle', 'account-toggle', 'agent']) {
        await tab.page.locator(`#${menu}`).click();
        await isClean(tab, menu);
        await tab.page.keyboard.press('Escape');
      }
      for (const [item, dialog] of [['Rename', 'rename'], ['Erase', 'erase']]) {
        if (name === 'phone') await tab.page.getByRole('button', { name: 'Threads', exact: true }).click();
        await tab.page.locator(name === 'phone' ? '.thread-menu >> nth=0' : '#title-menu').click();
        await isClean(tab, 'thread menu');
        await tab.page.locator('#thread-menu').getByRole('button', { name: item, exact: true }).click();
        await tab.page.locator(`#${dialog}`).waitFor();
        await isClean(tab, dialog);
        await tab.page.keyboard.press('Escape');
        if (name === 'phone') await tab.page.locator('#threads-close').click();
      }
      await developer(tab, 'Scripts');
      await isClean(tab, 'scripts');
      await tab.page.keyboard.press('Escape');
      await developer(tab, 'Show every event');
      await tab.page.keyboard.press('Escape');
      await developer(tab, 'Wire log');
      await tab.page.locator('.frame').first().waitFor();
      await isClean(tab, 'events and wire');
      await tab.page.locator('#wire-close').click();
      await developer(tab, 'Drop the connection');
      await tab.page.getByRole('button', { name: 'Connect now' }).waitFor();
      await isClean(tab, 'not connected');
      if (name === 'phone') {
        await tab.page.getByRole('button', { name: 'Threads' }).click();
        await isClean(tab, 'threads');
        await tab.page.getByRole('button', { name: 'Archived threads' }).click();
        await tab.page.getByText('Nothing is archived.').waitFor();
        await isClean(tab, 'archive');
      }
      await tab.close();
    });
  }

  test('the state of the connection, and what the agent asks and answers, are in live regions', async () => {
    const tab = await openTab(browser);
    await logIn(tab, someone('ada'));
    const state = tab.page.getByRole('status').and(tab.page.locator('#connection'));
    assert.equal(await state.textContent(), 'Connected');
    await tab.page.routeWebSocket('**/v1/ws', (socket) => socket.close({ code: 1012 }));
    await developer(tab, 'Drop the connection');
    await state.getByText('Not connected').waitFor();
    await tab.page.getByRole('button', { name: 'Connect now' }).click();
    await state.getByText('Reconnecting').waitFor();
    await tab.close();

    const other = await openTab(browser);
    await logIn(other, someone('ada'));
    const said = other.page.locator('#announcer');
    await send(other, script({ think: 'x' }, { ask: { call_id: 'q1', tool_name: 'answer', parameters: { question: 'Which day?' } } }, { answer: 'Thank you.' }), 'rehearsal');
    await said.getByText('rehearsal waits for you: Which day?').waitFor({ state: 'attached' });
    await other.page.getByLabel('Your answer').fill('Friday');
    await other.page.keyboard.press('Enter');
    await said.getByText('rehearsal: Thank you.').waitFor({ state: 'attached' });
    await other.close();
  });
});
