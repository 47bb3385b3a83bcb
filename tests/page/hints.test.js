// Hints for each term and each button without words, and the page at a zoom of 200 %.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { developer, logIn, openThread, runAt, runIs, script, send, someone } from './browser.js';
import { tabsOfEachTest } from './suite.js';

const TOOL = { tool: { call_id: 'c1', tool_name: 'lookup', parameters: { word: 'quintet' }, takes_ms: 1, results: { players: 5 }, error: null } };
const SCHEMA = { type: 'object', required: ['city'], properties: { city: { type: 'string' }, class: { enum: ['first', 'second'] }, quiet: { type: 'boolean' } } };
const WIDE = '| a column | another column | a third column | a fourth |\n|--|--|--|--|\n| 1 | 2 | 3 | 4 |\n\n```js\nconst line = "a line that is longer than the window is wide, so that it scrolls in a box of its own";\n```';

describe('hints and zoom', { timeout: 300_000 }, () => {
  const open = tabsOfEachTest();

  /** Returns the visible buttons that have neither words nor a hint. */
  const unexplained = ({ page }) =>
    page.evaluate(() => [...document.querySelectorAll('button')]
      .filter((button) => button.checkVisibility() && button.innerText.trim() === '' && button.title === '')
      .map((button) => button.id || button.className));

  test('each button without words has a hint, each term of the developer’s tools an explanation', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    assert.deepEqual(await unexplained(tab), []);
    await send(tab, script({ think: 'x' }, TOOL, { answer: WIDE }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    await runAt(tab, 0).hover();
    await tab.page.getByRole('button', { name: 'Answer again' }).click();
    await tab.page.getByText('2 of 2').waitFor();
    await runIs(tab, 0, 'succeeded');
    assert.deepEqual(await unexplained(tab), []);

    await tab.page.getByRole('button', { name: 'Developer' }).click();
    const items = await tab.page.locator('#developer .item').evaluateAll((all) => all.map((item) => item.querySelector('.small')?.textContent.length ?? 0));
    assert.ok(items.length === 4 && items.every((length) => length > 20), String(items));
    await tab.page.keyboard.press('Escape');
    await send(tab, script({ think: 'x' }, { hang: true }), 'rehearsal');
    await runIs(tab, 1, 'thinking');
    const busy = tab.page.getByLabel('If busy');
    assert.ok((await busy.getAttribute('title')).length > 20);
    assert.deepEqual(await busy.locator('option').allTextContents(), ['wait in line', 'join in if the agent can', 'stop it and go first', 'do not send']);
    await tab.page.keyboard.press('Escape');
    await runIs(tab, 1, 'cancelled');

    await developer(tab, 'Wire log');
    await tab.page.routeWebSocket('**/v1/ws', (socket) => socket.close({ code: 1012 }));
    await developer(tab, 'Drop the connection');
    await tab.page.getByRole('button', { name: 'Connect now' }).click();
    await tab.page.locator('[data-fact="last_close"]').waitFor();
    const without = await tab.page.locator('#facts > div').evaluateAll((rows) => rows.filter((row) => row.title === '').map((row) => row.dataset.fact));
    assert.deepEqual(without, []);
    for (const control of ['label:has(#frames-hold)', '#frames-clear']) assert.ok((await tab.page.locator(control).getAttribute('title')).length > 20);
  });

  test('at a zoom of 200 % nothing overflows, and the controls keep their words', async () => {
    const tab = await open({ viewport: { width: 640, height: 430 }, deviceScaleFactor: 2 });
    const fits = async (state) => assert.equal(await tab.page.evaluate(() => document.documentElement.scrollWidth), 640, state);
    await fits('login');
    await logIn(tab, someone('ada'));
    await fits('empty');
    await send(tab, script({ think: 'x' }, TOOL, { answer: WIDE }, { ask: { call_id: 'q1', tool_name: 'elicit', parameters: { schema: SCHEMA } } }, { hang: true }), 'rehearsal');
    await runIs(tab, 0, 'waiting');
    await fits('a form');
    await runAt(tab, 0).getByRole('form').scrollIntoViewIfNeeded();
    await openThread(tab, 'two');
    await send(tab, script({ think: 'x' }, { hang: true }), 'rehearsal');
    await runIs(tab, 0, 'thinking');
    await fits('a run');
    for (const control of ['#stop', '#on-busy', '#agent', '#text']) {
      const box = await tab.page.locator(control).boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= 640 && box.y + box.height <= 430, `${control} ${JSON.stringify(box)}`);
    }
    await tab.page.locator('#waiting-toggle').click();
    await fits('what waits');
    await tab.page.keyboard.press('Escape');
    await developer(tab, 'Scripts');
    await fits('scripts');
    await tab.page.keyboard.press('Escape');
    await developer(tab, 'Wire log');
    await tab.page.locator('.frame').first().waitFor();
    await fits('wire');
    await tab.page.locator('#wire-close').click();
    await tab.page.getByRole('button', { name: 'Stop' }).click();
    await runIs(tab, 0, 'cancelled');
  });

  test('at 320 px what a run needs is in one row, each part 44 px high, and the title is legible', async () => {
    const tab = await open({ viewport: { width: 320, height: 568 }, hasTouch: true, isMobile: true });
    await logIn(tab, someone('ada'));
    await send(tab, script({ think: 'x' }, { ask: { call_id: 'q1', tool_name: 'approve', parameters: {} } }, { answer: 'ok' }), 'rehearsal');
    await runIs(tab, 0, 'waiting');
    await tab.page.getByLabel('Message', { exact: true }).fill('and a coat');
    const boxes = await Promise.all(['#agent', '#on-busy', '#stop', '#send'].map((control) => tab.page.locator(control).boundingBox()));
    for (const { x, y, width, height } of boxes) {
      assert.ok(x >= 0 && x + width <= 320 && width >= 44 && height >= 44, JSON.stringify(boxes));
      assert.ok(Math.abs(y + height / 2 - boxes[0].y - boxes[0].height / 2) < 4, `in one row: ${JSON.stringify(boxes)}`);
    }
    assert.ok((await tab.page.locator('#thread-title').boundingBox()).width >= 64);
    await tab.page.getByRole('button', { name: '1 waiting for you' }).waitFor();
    await tab.page.getByRole('button', { name: 'Stop', exact: true }).tap();
    await runIs(tab, 0, 'cancelled');
  });
});
