// One conversation from two sides at once: a message that joins in, two tabs that edit one message, and an erasure in another tab.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { isLive, logIn, openThread, runAt, runIs, script, send, someone } from './browser.js';
import { tabsOfEachTest } from './suite.js';

const THINK = { think: 'a thought' };
const HANG = { hang: true };
const texts = ({ page }) => page.locator('#turns .message-text').allTextContents();
const turn = ({ page }, index) => page.locator('.turn').nth(index);

describe('together', { timeout: 600_000 }, () => {
  const open = tabsOfEachTest();
  const two = async (thread) => {
    const user_id = someone('ada');
    const tabs = [await open(), await open()];
    for (const tab of tabs) {
      await logIn(tab, user_id);
      await openThread(tab, thread);
    }
    return tabs;
  };
  const edit = async (tab, index, text) => {
    await turn(tab, index).hover();
    await turn(tab, index).getByRole('button', { name: 'Edit message' }).click();
    await tab.page.getByText('Edits an earlier message').waitFor();
    await tab.page.getByLabel('Message', { exact: true }).fill(text);
  };
  const erase = async ({ page }) => {
    await page.locator('#title-menu').click();
    await page.locator('#thread-menu').getByRole('button', { name: 'Erase' }).click();
    await page.locator('#erase').getByRole('button', { name: 'Erase', exact: true }).click();
  };

  test('run_12: a message joins in: the running answer takes it up, and its own run ends as merged', async () => {
    const [tab, other] = await two('joined');
    const ask = { ask: { call_id: 'q1', tool_name: 'approve', parameters: { question: 'Go on?' } } };
    await send(tab, script(THINK, ask, { answer: 'You added: ' }, { take: true }), 'rehearsal');
    await runIs(tab, 0, 'waiting');
    await tab.page.getByLabel('If busy').selectOption('steer');
    await send(tab, 'and a coat', 'rehearsal');
    await runIs(tab, 1, 'queued');
    await tab.page.getByRole('button', { name: 'Approve' }).click();
    for (const one of [tab, other]) {
      await runIs(one, 1, 'merged');
      await runIs(one, 0, 'succeeded');
      await turn(one, 1).getByText('This message was taken up by the answer that was running.').waitFor();
      assert.equal((await runAt(one, 0).locator('.answer-text').innerText()).trim(), 'You added: and a coat');
      for (const part of ['.run-head', '.run-foot']) assert.equal(await runAt(one, 1).locator(part).isVisible(), false, 'it has no answer of its own');
      assert.equal(await one.page.locator('#stop').isVisible(), false);
    }
    const [first, second] = tab.frames.filter((frame) => frame.type === 'agent_completed').map(({ run_id, status, merged_into }) => ({ run_id, status, merged_into }));
    assert.deepEqual([first.status, first.merged_into, second.status], ['merged', second.run_id, 'succeeded']);
    // The folded form shows the same, and the conversation goes on after it.
    await tab.page.reload();
    await isLive(tab);
    await runIs(tab, 1, 'merged');
    assert.match((await texts(tab))[1], /and a coat/);
    await send(tab, script(THINK, { answer: 'next' }), 'rehearsal');
    await runIs(tab, 2, 'succeeded');
    assert.equal((await texts(tab)).length, 3);
  });

  test('two tabs edit one message: both versions stand beside the first, in both tabs', async () => {
    const [one, other] = await two('edited');
    await send(one, 'What is 1 + 1?');
    await runIs(one, 0, 'succeeded');
    await runIs(other, 0, 'succeeded');
    await edit(one, 0, 'What is 2 + 2?');
    await edit(other, 0, 'What is 3 + 3?');
    await one.page.keyboard.press('Enter');
    await turn(one, 0).getByText('2 of 2').waitFor();
    assert.equal(await other.page.getByLabel('Message', { exact: true }).inputValue(), 'What is 3 + 3?', 'the edit of the other tab goes on');
    await other.page.keyboard.press('Enter');
    for (const tab of [one, other]) {
      await turn(tab, 0).getByText('3 of 3').waitFor();
      await runIs(tab, 0, 'succeeded');
      assert.deepEqual(await texts(tab), ['What is 3 + 3?']);
      for (const text of ['What is 2 + 2?', 'What is 1 + 1?']) {
        await turn(tab, 0).getByRole('button', { name: 'Previous version' }).click();
        assert.deepEqual(await texts(tab), [text]);
      }
    }
  });

  test('del_8: an edit of a message that another tab erases with its thread is sent as an ordinary message', async () => {
    const [one, other] = await two('erased');
    await send(one, 'What is 1 + 1?');
    await runIs(one, 0, 'succeeded');
    await send(one, 'What is 2 + 2?');
    await runIs(one, 1, 'succeeded');
    await send(one, script(THINK, HANG), 'rehearsal');
    await runIs(other, 2, 'thinking');
    await edit(other, 1, 'What is 3 + 3?');
    await openThread(other, 'elsewhere');
    await openThread(other, 'erased');
    await erase(one);
    await other.page.locator('#welcome').waitFor();
    assert.equal(await other.page.getByText('Edits an earlier message').isVisible(), false);
    assert.equal(await other.page.getByLabel('Message', { exact: true }).inputValue(), 'What is 3 + 3?', 'what was written is kept');
    await other.page.getByLabel('Message', { exact: true }).press('Enter');
    for (const tab of [one, other]) {
      await runIs(tab, 0, 'succeeded');
      assert.deepEqual(await texts(tab), ['What is 3 + 3?']);
    }
    assert.equal(await other.page.locator('.unsent').count(), 0);
  });

  test('del_8: an edit that is sent before the erasure is known is offered as an ordinary message', async () => {
    const [one, other] = await two('late');
    await send(one, 'What is 1 + 1?');
    await runIs(one, 0, 'succeeded');
    await send(one, 'What is 2 + 2?');
    await runIs(other, 1, 'succeeded');
    await edit(other, 1, 'What is 3 + 3?');
    // Without a connection the tab does not learn of the erasure.
    await other.page.getByRole('button', { name: 'Developer' }).click();
    await other.page.locator('#drop').click();
    await other.page.getByLabel('Message', { exact: true }).press('Enter');
    await other.page.locator('.unsent[data-state="waiting"]').waitFor();
    await erase(one);
    await one.page.locator('#welcome').waitFor();
    await other.page.getByRole('button', { name: 'Connect now' }).click();
    const refused = other.page.locator('.unsent[data-state="refused"]');
    await refused.getByText('This does not exist any more.').waitFor();
    assert.equal(await refused.getByRole('button', { name: 'Try again' }).isVisible(), false);
    await refused.getByRole('button', { name: 'Edit' }).click();
    assert.equal(await other.page.getByText('Edits an earlier message').isVisible(), false);
    await other.page.getByLabel('Message', { exact: true }).press('Enter');
    await runIs(other, 0, 'succeeded');
    assert.deepEqual(await texts(other), ['What is 3 + 3?']);
  });
});
