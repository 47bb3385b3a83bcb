// Reading and writing on the page: answers, activity, questions, threads, drafts, links, long logs.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { BASE, chooseAgent, developer, isLive, logIn, openThread, runAt, runIs, script, send, someone } from './browser.js';
import { tabsOfEachTest } from './suite.js';

const THINK = { think: 'a thought', kind: 'reasoning' };
const HANG = { hang: true };
const ask = (call_id, tool_name, parameters) => ({ ask: { call_id, tool_name, parameters } });
const tool = (call_id, more = {}) => ({ tool: { call_id, tool_name: 'lookup', parameters: { word: 'quintet' }, takes_ms: 1, results: { players: 5 }, error: null, ...more } });
const focusedId = ({ page }) => page.evaluate(() => document.activeElement.id);
const fromEnd = ({ page }) => page.evaluate(() => {
  const scroll = document.getElementById('scroll');
  return Math.round(scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight);
});

describe('reading and writing', { timeout: 900_000 }, () => {
  const open = tabsOfEachTest();
  const loggedIn = async (options, name = 'ada') => {
    const tab = await open(options);
    tab.user_id = someone(name);
    await logIn(tab, tab.user_id);
    return tab;
  };

  test('an answer is Markdown: headings, lists, a table, code with a copy button, links to elsewhere', async () => {
    const tab = await loggedIn();
    const answer = '# Title\n\n- [x] done\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n```js\nlet a = "<b>";\n```\n\n**bold** [site](https://example.org/) [bad](javascript:alert(1)) <u>x</u>';
    await send(tab, script(THINK, { answer }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    const shown = runAt(tab, 0).locator('.answer-text');
    assert.equal(await shown.getByRole('heading', { name: 'Title' }).count(), 1);
    assert.equal(await shown.getByRole('cell').count(), 2);
    assert.equal(await shown.locator('strong').textContent(), 'bold');
    const links = await shown.locator('a').evaluateAll((all) => all.map(({ href, rel, target }) => [href, rel, target]));
    assert.deepEqual(links, [['https://example.org/', 'noopener noreferrer', '_blank']]);
    assert.equal(await shown.locator('u').count(), 0);
    await shown.getByRole('button', { name: 'Copy code' }).click();
    assert.equal(await tab.page.evaluate(() => navigator.clipboard.readText()), 'let a = "<b>";');
    await runAt(tab, 0).getByRole('button', { name: 'Copy answer' }).click();
    assert.equal(await tab.page.evaluate(() => navigator.clipboard.readText()), answer);
  });

  test('reasoning and tools are one line: open while they run, closed afterwards, and as the reader wants', async () => {
    const tab = await loggedIn();
    await send(tab, script(THINK, tool('c1'), ask('q1', 'approve', {}), THINK, { answer: 'done' }), 'rehearsal');
    await runIs(tab, 0, 'waiting');
    const activity = runAt(tab, 0).locator('.activity');
    await tab.page.getByRole('button', { name: 'Approve' }).click();
    await runIs(tab, 0, 'succeeded');
    assert.equal(await activity.getAttribute('open'), null);
    assert.equal(await activity.locator('.activity-line').textContent(), 'Reasoned · used lookup · asked you');
    // Nothing of it is built while it is closed.
    await activity.locator('li').first().waitFor({ state: 'detached' });
    await activity.locator('summary').click();
    const line = activity.locator('[data-call="c1"] summary');
    await line.getByText('word: quintet').waitFor();
    await line.click();
    await activity.getByText('{ "players": 5 }').waitFor();
    await activity.getByText('You approved').waitFor();

    await send(tab, script({ think: 'on and on ', repeat: 3 }, HANG), 'rehearsal');
    await runIs(tab, 1, 'thinking');
    const running = runAt(tab, 1).locator('.activity');
    await running.getByText('on and on on and on on and on').waitFor();
    assert.notEqual(await running.getAttribute('open'), null, 'open while it runs');
    await running.locator('summary').click();
    await tab.page.getByRole('button', { name: 'Stop' }).click();
    await runIs(tab, 1, 'cancelled');
    assert.equal(await running.getAttribute('open'), null);
    assert.notEqual(await activity.getAttribute('open'), null, 'the reader opened it');
  });

  test('the end of a run in words: stopped, failed with its code, duration', async () => {
    const tab = await loggedIn();
    await send(tab, script(THINK, { fail: 'no luck' }), 'rehearsal');
    await runIs(tab, 0, 'failed');
    await runAt(tab, 0).getByText('The agent gave up.').waitFor();
    await runAt(tab, 0).getByText('agent_error: no luck').waitFor();
    assert.match(await runAt(tab, 0).locator('.run-facts').textContent(), / · \d+ ms$/);
    await send(tab, 'what is 2 + 2?', 'rehearsal');
    await runIs(tab, 1, 'failed');
    await runAt(tab, 1).getByText('Choose another agent for questions.').waitFor();
    await send(tab, script(THINK, HANG), 'rehearsal');
    await runIs(tab, 2, 'thinking');
    await tab.page.keyboard.press('Escape');
    await runIs(tab, 2, 'cancelled');
    await runAt(tab, 2).getByText('You stopped this answer.').waitFor();
    assert.equal(await tab.page.locator('#stop').isVisible(), false);
  });

  test('a script sets the agent of one message only', async () => {
    const tab = await loggedIn();
    await developer(tab, 'Scripts');
    await tab.page.getByRole('button', { name: 'Edit: The five events' }).click();
    await tab.page.getByText('This script goes to the agent rehearsal').waitFor();
    await tab.page.keyboard.press('Enter');
    await runIs(tab, 0, 'succeeded');
    assert.equal(await runAt(tab, 0).locator('.agent-name').textContent(), 'rehearsal');
    await tab.page.getByLabel('Message', { exact: true }).fill('what is 2 + 2?');
    await tab.page.keyboard.press('Enter');
    await runIs(tab, 1, 'succeeded');
    assert.equal(await runAt(tab, 1).locator('.agent-name').textContent(), 'assistant');
    await developer(tab, 'Scripts');
    await tab.page.getByRole('button', { name: 'Play: Parallel tools' }).click();
    await runIs(tab, 2, 'succeeded');
    assert.equal(await tab.page.locator('#agent').getAttribute('data-agent'), 'assistant');
    await tab.page.getByText('Script: Parallel tools').waitFor();
  });

  test('run_11: an approval shows what it is about; Approve and Decline are two buttons', async () => {
    const tab = await loggedIn();
    const approve = ask('q1', 'approve', { tool_name: 'files/write', parameters: { path: '/notes.md', options: { mode: 'append' } } });
    for (const [index, name] of ['Approve', 'Decline'].entries()) {
      await send(tab, script(THINK, approve, { answer: 'next' }), 'rehearsal');
      await runIs(tab, index, 'waiting');
      const form = runAt(tab, index).getByRole('form', { name: 'Answer approve' });
      await form.getByText('Allow the agent to use files/write?').waitFor();
      assert.deepEqual(await form.locator('dt').allTextContents(), ['Path', 'Options']);
      if (name === 'Decline') {
        await form.getByText('Advanced').click();
        await form.getByLabel('Reason').fill('not now');
      }
      await form.getByRole('button', { name }).click();
      await form.waitFor({ state: 'detached' });
    }
    const sent = tab.sent.filter((frame) => frame.type === 'complete_call').map(({ status, results, error }) => [status, results, error]);
    assert.deepEqual(sent, [['ok', { approved: true }, undefined], ['declined', undefined, 'not now']]);
  });

  test('run_11: a question has a text field, and one with a JSON Schema a form that checks its fields', async () => {
    const tab = await loggedIn();
    const schema = {
      type: 'object',
      required: ['city', 'seats'],
      properties: {
        city: { type: 'string', title: 'City', description: 'Where you start' },
        seats: { type: 'integer', minimum: 1, maximum: 9 },
        class: { type: 'string', enum: ['first', 'second'], default: 'second' },
        quiet: { type: 'boolean', title: 'Quiet carriage' },
        extras: { type: 'array', items: { type: 'string', enum: ['bike', 'dog'] } },
      },
    };
    await send(tab, script(THINK, ask('q1', 'answer', { question: 'Which day?' }), ask('q2', 'elicit', { message: 'Details, please.', requested_schema: schema }), { answer: 'ok' }), 'rehearsal');
    await runIs(tab, 0, 'waiting');
    await tab.page.getByRole('form').getByText('Which day?').waitFor();
    await tab.page.getByLabel('Your answer').fill('Friday');
    await tab.page.keyboard.press('Enter');
    const form = tab.page.getByRole('form', { name: 'Answer elicit' });
    await form.getByText('Details, please.').waitFor();
    await form.getByLabel('Seats').fill('12');
    await form.getByRole('button', { name: 'Send answer' }).click();
    await form.getByText('Needed.').waitFor();
    await form.getByText('At most 9.').waitFor();
    assert.match(await focusedId(tab), /city$/);
    await form.getByLabel('City').fill('Bergen');
    await form.getByLabel('Seats').fill('2');
    await form.getByLabel('Quiet carriage').check();
    await form.getByLabel('dog').check();
    await form.getByRole('button', { name: 'Send answer' }).click();
    await runIs(tab, 0, 'succeeded');
    const sent = tab.sent.filter((frame) => frame.type === 'complete_call').map(({ results }) => results);
    assert.deepEqual(sent, [{ text: 'Friday' }, { city: 'Bergen', seats: 2, class: 'second', quiet: true, extras: ['dog'] }]);
  });

  test('a message can be edited and an answer asked for again; the versions stay beside each other', async () => {
    const tab = await loggedIn();
    await send(tab, 'What is 1 + 1?');
    await runIs(tab, 0, 'succeeded');
    await send(tab, 'What is 2 + 2?');
    await runIs(tab, 1, 'succeeded');
    const texts = () => tab.page.locator('#turns .message-text').allTextContents();
    const turn = (index) => tab.page.locator('.turn').nth(index);

    await turn(0).hover();
    await turn(0).getByRole('button', { name: 'Edit message' }).click();
    await tab.page.getByText('Edits an earlier message').waitFor();
    await tab.page.getByLabel('Message', { exact: true }).fill('What is 3 + 3?');
    await tab.page.keyboard.press('Enter');
    await turn(0).getByText('2 of 2').waitFor();
    await runIs(tab, 0, 'succeeded');
    assert.deepEqual(await texts(), ['What is 3 + 3?']);

    await turn(0).getByRole('button', { name: 'Previous version' }).click();
    assert.deepEqual(await texts(), ['What is 1 + 1?', 'What is 2 + 2?']);
    assert.equal(await tab.page.evaluate(() => document.activeElement.ariaLabel), 'Next version');
    await send(tab, 'What is 4 + 4?');
    await runIs(tab, 2, 'succeeded');
    assert.deepEqual(await texts(), ['What is 1 + 1?', 'What is 2 + 2?', 'What is 4 + 4?']);

    await turn(2).getByRole('button', { name: 'Answer again' }).click();
    await turn(2).getByText('2 of 2').waitFor();
    await runIs(tab, 2, 'succeeded');
    const messages = tab.frames.filter((frame) => frame.type === 'user_message');
    const [first, second, , fourth] = messages.map(({ offset }) => offset);
    assert.deepEqual(messages.map(({ text, parent }) => [text, parent]), [
      ['What is 1 + 1?', 0], ['What is 2 + 2?', first], ['What is 3 + 3?', 0], ['What is 4 + 4?', second], ['What is 4 + 4?', second],
    ]);
    assert.notEqual(fourth, messages[4].offset);
    await tab.page.reload();
    await isLive(tab);
    await tab.page.locator('.turn').nth(2).waitFor();
    assert.deepEqual(await texts(), ['What is 1 + 1?', 'What is 2 + 2?', 'What is 4 + 4?']);
    await turn(0).getByText('1 of 2').waitFor();
  });

  test('Escape closes a menu or a dialog, and only without one it stops the answer', async () => {
    const tab = await loggedIn();
    await send(tab, script(THINK, HANG), 'rehearsal');
    await runIs(tab, 0, 'thinking');
    for (const [button, panel] of [['#agent', '#agents'], ['#developer-toggle', '#developer'], ['#account-toggle', '#account']]) {
      await tab.page.locator(button).click();
      await tab.page.locator(panel).waitFor();
      await tab.page.keyboard.press('Escape');
      await tab.page.locator(panel).waitFor({ state: 'hidden' });
    }
    await developer(tab, 'Scripts');
    await tab.page.locator('#scripts').waitFor();
    await tab.page.keyboard.press('Escape');
    await tab.page.locator('#scripts').waitFor({ state: 'hidden' });
    // A message that is answered after all of this shows that nothing was cancelled before it.
    await tab.page.getByLabel('If busy').selectOption('reject');
    await send(tab, script(THINK, { answer: 'x' }), 'rehearsal');
    await tab.page.locator('.unsent[data-state="refused"]').getByText('still working').waitFor();
    assert.equal(tab.sent.filter((frame) => frame.type === 'cancel_run').length, 0);
    await tab.page.keyboard.press('Escape');
    await runIs(tab, 0, 'cancelled');
  });

  test('run_12: while the agent works, a message may join in', async () => {
    const tab = await loggedIn();
    await send(tab, script(THINK, HANG), 'rehearsal');
    await runIs(tab, 0, 'thinking');
    await tab.page.getByLabel('If busy').selectOption('steer');
    await send(tab, script(THINK, { answer: 'in turn' }), 'rehearsal');
    await runIs(tab, 1, 'queued');
    assert.deepEqual(tab.sent.filter((frame) => frame.type === 'send_message').map(({ on_busy }) => on_busy), ['enqueue', 'steer']);
    await tab.page.getByRole('button', { name: 'Stop' }).click();
    await runIs(tab, 1, 'succeeded');
  });

  test('everything that waits for the user is in one list, over all threads', async () => {
    const tab = await loggedIn();
    for (const thread of ['one', 'two']) {
      await openThread(tab, thread);
      await send(tab, script(THINK, ask('q1', 'answer', { question: `Question of ${thread}?` }), { answer: 'ok' }), 'rehearsal');
      await runIs(tab, 0, 'waiting');
    }
    await openThread(tab, 'three');
    await tab.page.waitForFunction(() => document.title.startsWith('(2) '));
    await tab.page.getByRole('button', { name: '2 waiting for you' }).click();
    await tab.page.locator('#waiting').getByText('Question of one?').click();
    await tab.page.locator('.thread[data-thread="one"][aria-current="true"]').waitFor();
    assert.equal(await tab.page.evaluate(() => document.activeElement.name), 'text');
    await tab.page.keyboard.type('yes');
    await tab.page.keyboard.press('Enter');
    await runIs(tab, 0, 'succeeded');
    await tab.page.getByRole('button', { name: '1 waiting for you' }).waitFor();
  });

  test('the view follows the end, stays where the reader is, and jumps to the latest', async () => {
    const tab = await loggedIn({ viewport: { width: 900, height: 500 } });
    const lines = Array.from({ length: 60 }, (_, index) => `line ${index}\n\n`).join('');
    await send(tab, script(THINK, { answer: lines }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    assert.ok((await fromEnd(tab)) < 30);
    await send(tab, script({ think: 'wait' }, ask('q1', 'approve', {}), { answer: lines }, ask('q2', 'approve', {})), 'rehearsal');
    await runIs(tab, 1, 'waiting');
    assert.ok((await fromEnd(tab)) < 30);
    await tab.page.locator('#scroll').hover();
    await tab.page.mouse.wheel(0, -700);
    await tab.page.getByRole('button', { name: 'Jump to latest' }).waitFor();
    const place = () => tab.page.evaluate(() => document.getElementById('scroll').scrollTop);
    await tab.page.waitForFunction(() => document.getElementById('scroll').scrollTop < 1_900);
    const before = await place();
    // Answered without touching the view: more comes below.
    await tab.page.evaluate(() => document.querySelector('.question .primary').click());
    await tab.page.locator('form[data-call="q2"]').waitFor({ state: 'attached' });
    assert.equal(await place(), before);
    await tab.page.getByRole('button', { name: 'Jump to latest' }).click();
    assert.ok((await fromEnd(tab)) < 30);
    assert.equal(await tab.page.locator('#latest').isVisible(), false);
    assert.equal(await focusedId(tab), 'text');
    await tab.page.keyboard.press('Escape');
    await runIs(tab, 1, 'cancelled');
  });

  test('ten thousand deltas are drawn smoothly, with the page answering to keys', async () => {
    const tab = await loggedIn();
    await send(tab, script({ think: 'w ', repeat: 9_000 }, ...Array.from({ length: 100 }, (_, index) => ({ answer: `**part** ${index}\n\n` }))), 'rehearsal');
    await tab.page.evaluate(() => {
      globalThis.frames_ms = [];
      let last = performance.now();
      const tick = () => {
        const now = performance.now();
        globalThis.frames_ms.push(now - last);
        last = now;
        if (!document.querySelector('.run[data-state="succeeded"]')) requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    });
    await tab.page.locator('#text').pressSequentially('still here');
    await runIs(tab, 0, 'succeeded');
    assert.equal(await tab.page.locator('#text').inputValue(), 'still here');
    const frames = await tab.page.evaluate(() => globalThis.frames_ms.toSorted((a, b) => a - b));
    const median = frames[Math.floor(frames.length / 2)];
    assert.ok(median < 120, `half of the frames took less than ${median} ms`);
    assert.ok(frames.at(-1) < 2_000, `the longest frame took ${frames.at(-1)} ms`);
    assert.equal(await runAt(tab, 0).locator('.answer-text p').count(), 100);
  });

  test('threads: by last activity, with first text and time; search, a new one, one by its id', async () => {
    const tab = await loggedIn();
    for (const [thread, text] of [['one', 'What is 1 + 1?'], ['two', 'What is 2 + 2?']]) {
      await openThread(tab, thread);
      await send(tab, text);
      await runIs(tab, 0, 'succeeded');
    }
    const names = () => tab.page.locator('.thread-name').allTextContents();
    assert.deepEqual(await names(), ['What is 2 + 2?', 'What is 1 + 1?']);
    await openThread(tab, 'one');
    await send(tab, 'What is 3 + 3?');
    await runIs(tab, 1, 'succeeded');
    assert.deepEqual(await names(), ['What is 1 + 1?', 'What is 2 + 2?']);
    assert.match(await tab.page.locator('.thread-at').first().textContent(), /\d\d:\d\d/);
    await tab.page.getByLabel('Search threads').fill('2 + 2');
    await tab.page.waitForFunction(() => document.querySelectorAll('.thread').length === 1);
    await tab.page.getByLabel('Search threads').fill('nowhere');
    await tab.page.getByText('No thread matches.').waitFor();
    await tab.page.getByRole('button', { name: 'New thread with the id nowhere' }).click();
    await tab.page.waitForURL(/\/t\/nowhere$/);
    await tab.page.getByRole('button', { name: 'New thread', exact: true }).click();
    await tab.page.waitForURL(/\/t\/thread-[0-9a-f]{8}$/);
    assert.equal(await focusedId(tab), 'text');
  });

  test('links to threads work, Back returns, and drafts survive a reload', async () => {
    const tab = await loggedIn();
    const draft = tab.page.getByLabel('Message', { exact: true });
    await draft.fill('unsent in main');
    await openThread(tab, 'a/b?c');
    await draft.fill('unsent in another');
    await tab.page.reload();
    await isLive(tab);
    assert.equal(await draft.inputValue(), 'unsent in another');
    assert.equal(await tab.page.locator('#thread-id').textContent(), 'a/b?c');
    await tab.page.goBack();
    await tab.page.waitForFunction(() => document.getElementById('text').value === 'unsent in main');
    await tab.page.goForward();
    await tab.page.waitForFunction(() => document.getElementById('text').value === 'unsent in another');
    await tab.page.goto(`${BASE}/#/t/main`);
    await tab.page.waitForFunction(() => document.getElementById('text').value === 'unsent in main');
    assert.equal(await tab.page.locator('#app').isVisible(), true, 'Back never left the page');
  });

  test('a refused message can be edited; sending the same again is offered only where it can help', async () => {
    const tab = await loggedIn();
    const text = 'too long '.repeat(9_000);
    await send(tab, text);
    const refused = tab.page.locator('.unsent[data-state="refused"]');
    await refused.getByText('The message is too long.').waitFor();
    assert.equal(await refused.getByRole('button', { name: 'Try again' }).isVisible(), false);
    await refused.getByRole('button', { name: 'Edit' }).click();
    await refused.waitFor({ state: 'detached' });
    assert.equal(await tab.page.locator('#text').inputValue(), text);
  });

  test('on a touch screen Enter breaks the line; an input method keeps its Enter; targets are 44 px', async () => {
    const phone = await loggedIn({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
    await phone.page.locator('#text').fill('one');
    await phone.page.locator('#text').press('Enter');
    assert.equal(await phone.page.locator('#text').inputValue(), 'one\n');
    await phone.page.locator('#text').fill('What is 6 * 7?');
    await phone.page.getByRole('button', { name: 'Send', exact: true }).tap();
    await runIs(phone, 0, 'succeeded');
    const small = await phone.page.evaluate(() =>
      [...document.querySelectorAll('button, select, summary')]
        .filter((element) => element.checkVisibility() && !element.classList.contains('link'))
        .filter((element) => Math.min(element.offsetHeight, element.offsetWidth) < 44)
        .map((element) => element.id || element.className || element.tagName));
    assert.deepEqual(small, []);

    const desk = await loggedIn();
    const composing = await desk.page.evaluate(() => {
      const text = document.getElementById('text');
      text.value = 'にほん';
      const press = (more) => text.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...more }));
      press({ isComposing: true });
      press({ keyCode: 229 });
      return text.value;
    });
    assert.equal(composing, 'にほん');
    assert.equal(desk.sent.filter((frame) => frame.type === 'send_message').length, 0);
  });

  test('texts from right to left are laid out from right to left', async () => {
    const tab = await loggedIn();
    await send(tab, script(THINK, { answer: 'שלום, זה *מבחן*.\n\nEnglish again.\n\n- פריט' }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    const directions = await runAt(tab, 0).locator('.answer-text > *').evaluateAll((all) => all.map((element) => getComputedStyle(element).direction));
    assert.deepEqual(directions, ['rtl', 'ltr', 'rtl']);
    await tab.page.locator('#text').fill('مرحبا');
    assert.equal(await tab.page.locator('#text').evaluate((element) => getComputedStyle(element).direction), 'rtl');
  });

  test('at 320 × 256 (a zoom of 400 %) nothing overflows and the conversation keeps its place; motion stops on request', async () => {
    const tab = await loggedIn({ viewport: { width: 320, height: 256 }, reducedMotion: 'reduce' });
    await send(tab, script(THINK, tool('c1'), { answer: 'A word and `code`.' }, HANG), 'rehearsal');
    await runAt(tab, 0).getByText('A word and').waitFor();
    const [wide, height, animations] = await tab.page.evaluate(() => [
      document.documentElement.scrollWidth,
      document.getElementById('scroll').clientHeight,
      document.getAnimations().length,
    ]);
    assert.equal(wide, 320);
    assert.ok(height >= 96, `${height} px for the conversation`);
    assert.equal(animations, 0);
    await tab.page.keyboard.press('Escape');
    await runIs(tab, 0, 'cancelled');
  });

  test('a long log is not drawn before it is read, and older messages keep the place', async () => {
    const tab = await loggedIn();
    const { token } = await tab.page.evaluate(() => JSON.parse(sessionStorage.getItem('quintet.session')));
    await chooseAgent(tab, 'assistant');
    const post = async (index) => {
      for (;;) {
        const { status } = await fetch(`${BASE}/v1/messages`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ message_id: `m-${index}`, thread_id: 'main', text: `What is ${index} + 1?`, agent_name: 'assistant' }),
        });
        if (status === 202) return;
        assert.ok(status === 429 || status === 503, `status ${status}`);
        // The queue of the thread is full: wait until a run ends.
        await tab.page.waitForFunction((count) => document.querySelectorAll('.run[data-state="queued"]').length < count, 32);
      }
    };
    for (let index = 0; index < 130; index += 1) await post(index);
    await tab.page.waitForFunction(() => document.querySelectorAll('.run:not([data-state="succeeded"])').length === 0);
    await tab.page.addInitScript(() => {
      new MutationObserver(() => {
        if (document.querySelector('.run[data-state="queued"]')) globalThis.flashed = true;
      }).observe(document, { subtree: true, childList: true, attributes: true });
    });
    await tab.page.reload();
    await isLive(tab);
    await tab.page.locator('.run').first().waitFor();
    assert.equal(await tab.page.evaluate(() => globalThis.flashed), undefined);
    assert.equal(await tab.page.locator('.turn').count(), 30);
    assert.ok((await fromEnd(tab)) < 30);
    // Turns that are far from the end cost no layout until they come near the window.
    const visibility = await tab.page.locator('.turn').evaluateAll((turns) => turns.map((turn) => getComputedStyle(turn).contentVisibility));
    assert.deepEqual([visibility[0], visibility.at(-1)], ['auto', 'visible']);
    const top = tab.page.locator('.turn').first();
    const name = await top.locator('.message-text').textContent();
    await tab.page.locator('#scroll').evaluate((scroll) => scroll.scrollTo(0, 0));
    await tab.page.waitForFunction(() => document.querySelectorAll('.turn').length > 30);
    const same = tab.page.locator('.turn').filter({ hasText: name }).first();
    const y = (await same.boundingBox()).y;
    assert.ok(y > 0 && y < 200, `the message that was at the top is at ${y} px`);
  });
});
