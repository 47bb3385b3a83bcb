// Consent is given by the button alone, and no answer is sent by accident (RUN-11).

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { logIn, runAt, runIs, script, send, someone } from './browser.js';
import { tabsOfEachTest } from './suite.js';

const ask = (tool_name, parameters = {}) => script({ think: 'x' }, { ask: { call_id: 'q1', tool_name, parameters } }, { answer: 'ok' });
const answers = (tab) => tab.sent.filter((frame) => frame.type === 'complete_call');
const focused = ({ page }) => page.evaluate(() => document.activeElement.textContent);

describe('consent', { timeout: 600_000 }, () => {
  const open = tabsOfEachTest();
  const asked = async (text) => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    await send(tab, text, 'rehearsal');
    await runIs(tab, 0, 'waiting');
    return { tab, form: runAt(tab, 0).getByRole('form') };
  };

  test('run_11: Enter in the reason of a refusal gives no consent', async () => {
    const { tab, form } = await asked(ask('approve', { tool_name: 'files/delete', parameters: { path: '/' } }));
    await form.getByText('Advanced').click();
    await form.getByLabel('Reason').fill('never');
    await tab.page.keyboard.press('Enter');
    assert.equal(await focused(tab), 'Decline');
    assert.deepEqual(answers(tab), []);
    // Neither does the JSON that stands there before anything is written.
    await form.getByRole('button', { name: 'Send this JSON' }).click();
    await form.getByText('A reason belongs to').waitFor();
    assert.deepEqual(answers(tab), []);
    await form.getByLabel('Reason').press('Enter');
    await tab.page.keyboard.press('Enter');
    await runIs(tab, 0, 'succeeded');
    assert.deepEqual(answers(tab).map(({ status, error }) => [status, error]), [['declined', 'never']]);
  });

  test('run_11: Enter in a further field of an approval gives no consent', async () => {
    const schema = { type: 'object', properties: { approved: { type: 'boolean' }, limit: { type: 'integer', title: 'Limit' } } };
    const { tab, form } = await asked(ask('approve', { tool_name: 'pay', response_schema: schema }));
    await form.getByLabel('Limit').fill('3');
    await tab.page.keyboard.press('Enter');
    assert.equal(await focused(tab), 'Approve');
    assert.deepEqual(answers(tab), []);
    await tab.page.keyboard.press('Enter');
    await runIs(tab, 0, 'succeeded');
    assert.deepEqual(answers(tab).map(({ results }) => results), [{ limit: 3, approved: true }]);
  });

  test('a question is not answered with nothing', async () => {
    const { tab, form } = await asked(ask('answer', { question: 'Which day?' }));
    await form.getByLabel('Your answer').press('Enter');
    await form.getByText('Write an answer, or decline.').waitFor();
    assert.deepEqual(answers(tab), []);
    await form.getByLabel('Your answer').fill('Friday');
    await tab.page.keyboard.press('Enter');
    await runIs(tab, 0, 'succeeded');
    assert.deepEqual(answers(tab).map(({ results }) => results), [{ text: 'Friday' }]);
  });
});
