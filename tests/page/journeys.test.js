// User journeys on the page, in a real browser against a real server.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { chooseAgent, conversation, developer, isLive, logIn, offsets, openThread, runAt, runIs, script, send, someone } from './browser.js';
import { tabsOfEachTest } from './suite.js';

const THINK = { think: 'a thought', kind: 'reasoning' };
const SLOW_TOOL = { tool: { call_id: 'slow', tool_name: 'long_search', parameters: { q: 1 }, takes_ms: 600_000, results: null, error: null } };
const ASK = { ask: { call_id: 'q1', tool_name: 'approve', parameters: { action: 'send' } } };

/** Checks that the offsets are 1, 2, 3 … to the last: none lost, none repeated. */
function assertWhole(list, what) {
  assert.deepEqual(list, Array.from(list, (_, index) => index + 1), what);
  assert.ok(list.length > 0, what);
}

/** Returns the page's description of its connection. */
async function wireSays(tab, facts) {
  await developer(tab, 'Wire log');
  for (const [name, value] of Object.entries(facts)) {
    await tab.page.locator(`[data-fact="${name}"] dd`).getByText(value, { exact: true }).waitFor();
  }
}

describe('the page', { timeout: 900_000 }, () => {
  const openPlain = tabsOfEachTest();
  const open = (options) => openPlain({ events: true, ...options });

  test('log in, send, see the five events and the answer', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    await send(tab, 'What is (17 + 4) * 2^10?');
    await runIs(tab, 0, 'succeeded');
    const [turn] = await conversation(tab);
    assert.equal(turn.message, 'What is (17 + 4) * 2^10?');
    const kinds = turn.events.map((event) => event.split(' ')[1]);
    for (const kind of ['agent_started', 'agent_thinking', 'tool_executing', 'tool_completed', 'agent_completed']) {
      assert.ok(kinds.includes(kind), `${kind} is missing`);
    }
    assert.equal(kinds[0], 'agent_started');
    assert.equal(kinds.at(-1), 'agent_completed');
    assert.match(turn.answer, /21[,. ]?504/);
    const end = tab.frames.find((frame) => frame.type === 'agent_completed');
    assert.equal(turn.answer, end.final_response);
  });

  test('a rehearsal shows its thoughts, its call with parameters and results, and every seq', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    const tool = { call_id: 'c1', tool_name: 'lookup', parameters: { word: 'quintet' }, takes_ms: 1, results: { players: 5 }, error: null };
    await send(tab, script({ ...THINK, repeat: 3 }, { tool }, { answer: 'five ' }, { answer: 'players' }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    const [turn] = await conversation(tab);
    assert.deepEqual(turn.events, ['1 agent_started', '2-4 agent_thinking', '5 tool_executing', '6 tool_completed', '7-8 agent_thinking', '9 agent_completed']);
    assert.deepEqual(turn.thoughts, ['a thoughta thoughta thought']);
    assert.deepEqual(turn.calls, ['{ "word": "quintet" }', '{ "players": 5 }']);
    assert.equal(turn.answer, 'five players');
    assert.match(await runAt(tab, 0).locator('[data-event="tool_completed"]').textContent(), /ok/);
  });

  test('after a reload in the middle of a run the same conversation is shown and continues', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    await send(tab, script(THINK, { answer: 'first' }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    await send(tab, script(THINK, ASK, { answer: 'done' }), 'rehearsal');
    await runIs(tab, 1, 'waiting');
    const before = await conversation(tab);
    assert.equal(before.length, 2);
    await tab.page.reload();
    await isLive(tab);
    await runIs(tab, 1, 'waiting');
    assert.deepEqual(await conversation(tab), before);
    await tab.page.getByRole('button', { name: 'Approve' }).click();
    await runIs(tab, 1, 'succeeded');
    const [first, second] = await conversation(tab);
    assert.deepEqual(first, before[0]);
    assert.equal(second.answer, 'done');
  });

  test('del_3: after a drop and a resume in the middle of a run nothing is lost or repeated', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    await send(tab, script({ think: '.', repeat: 300, interval_ms: 15 }, ASK, { answer: 'end' }), 'rehearsal');
    for (let round = 1; round <= 4; round += 1) {
      // On a slow machine the run may have thought everything before the last round.
      const reached = Math.min(301, Math.max(0, ...offsets(tab)) + 5);
      await tab.page.waitForFunction(
        (least) => Number(document.querySelector('[data-event="agent_thinking"]')?.dataset.lastSeq ?? 0) >= least,
        reached,
      );
      await developer(tab, 'Drop the connection');
      await tab.page.locator('#connection[data-phase="disconnected"]').waitFor();
      await tab.page.getByRole('button', { name: 'Connect now' }).click();
      await isLive(tab);
    }
    await runIs(tab, 0, 'waiting');
    await tab.page.getByRole('button', { name: 'Approve' }).click();
    await runIs(tab, 0, 'succeeded');
    const [turn] = await conversation(tab);
    assert.deepEqual(turn.events.slice(0, 3), ['1 agent_started', '2-301 agent_thinking', '302 tool_executing']);
    assert.equal(turn.thoughts[0], '.'.repeat(300));
    assert.ok(tab.sockets >= 5);
    // The page's own count of applied entries; the wire may repeat entries that a dropped socket still carried.
    const last = String(Math.max(...offsets(tab)));
    await wireSays(tab, { repeated: '0', holes: '0', applied: last, offset: last });
    for (let connection = 0; connection < tab.sockets; connection += 1) {
      const mine = tab.frames.filter((frame) => frame.connection === connection);
      const after = mine.find((frame) => frame.type === 'ready')?.resumed_after ?? 0;
      assert.deepEqual(offsets({ frames: mine }), Array.from(offsets({ frames: mine }), (_, index) => after + 1 + index));
    }
  });

  test('conn_3: after a close with a retry code the page reconnects by itself and continues', async () => {
    const tab = await open();
    let closes = [1006, 1011, 1012, 4408];
    const wanted = closes.length + 1;
    let connections = 0;
    await tab.page.routeWebSocket('**/v1/ws', (socket) => {
      const server = socket.connectToServer();
      let left = 8;
      connections += 1;
      server.onMessage((text) => {
        if (left === 0) return;
        socket.send(text);
        if (closes.length === 0) return;
        left -= 1;
        if (left > 0) return;
        const [code, ...rest] = closes;
        closes = rest;
        server.close();
        socket.close({ code });
      });
    });
    await logIn(tab, someone('ada'));
    await send(tab, script({ think: '.', repeat: 200 }, ASK, { answer: 'end' }), 'rehearsal');
    await runIs(tab, 0, 'waiting');
    await tab.page.getByRole('button', { name: 'Approve' }).click();
    await runIs(tab, 0, 'succeeded');
    assert.equal(connections, wanted);
    const [turn] = await conversation(tab);
    assert.deepEqual(turn.events.slice(0, 3), ['1 agent_started', '2-201 agent_thinking', '202 tool_executing']);
    assert.equal(turn.thoughts[0], '.'.repeat(200));
    await wireSays(tab, { repeated: '0', holes: '0', connections: String(wanted) });
  });

  test('conn_3: after a close with a final code the page does not reconnect and shows the reason', async () => {
    const tab = await open();
    let connections = 0;
    await tab.page.routeWebSocket('**/v1/ws', (socket) => {
      connections += 1;
      const server = socket.connectToServer();
      server.onMessage((text) => {
        if (JSON.parse(text).type === 'caught_up' && connections === 1) socket.close({ code: 4403, reason: 'not here' });
        else socket.send(text);
      });
    });
    await tab.page.getByLabel('Log in as').fill(someone('ada'));
    await tab.page.getByRole('button', { name: 'Log in' }).click();
    await tab.page.getByText('4403 origin or right refused (not here); final').waitFor();
    await tab.page.locator('#connection[data-phase="disconnected"]').waitFor();
    assert.equal(connections, 1);
    await tab.page.getByRole('button', { name: 'Connect now' }).click();
    await isLive(tab);
  });

  test('del_2: a missing entry is detected, and read again from the cursor', async () => {
    const tab = await open();
    let stolen = null;
    await tab.page.routeWebSocket('**/v1/ws', (socket) => {
      const server = socket.connectToServer();
      server.onMessage((text) => {
        const frame = JSON.parse(text);
        if (stolen === null && frame.type === 'agent_thinking' && frame.seq === 4) stolen = frame.offset;
        else socket.send(text);
      });
    });
    await logIn(tab, someone('ada'));
    await send(tab, script({ think: 'x', repeat: 9 }, { answer: 'end' }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    assert.ok(stolen > 0);
    assert.equal((await conversation(tab))[0].thoughts[0], 'x'.repeat(9));
    await wireSays(tab, { repeated: '0', holes: '1', connections: '2' });
  });

  for (const [what, isLost] of [
    ['a message lost on its way is sent again, as the same message', (frame) => frame.type === 'send_message'],
    ['an acceptance lost on its way back does not make a second run', (frame) => frame.type === 'accepted' || frame.type === 'user_message'],
  ]) {
    test(`del_6: ${what}`, async () => {
      const tab = await open();
      let lost = 0;
      const sent = [];
      await tab.page.routeWebSocket('**/v1/ws', (socket) => {
        const server = socket.connectToServer();
        let dead = false;
        const relay = (to) => (text) => {
          const frame = JSON.parse(text);
          if (frame.type === 'send_message') sent.push(frame.message_id);
          if (lost === 0 && isLost(frame)) {
            lost += 1;
            dead = true;
            socket.close({ code: 1011 });
          } else if (!dead) {
            to.send(text);
          }
        };
        socket.onMessage(relay(server));
        server.onMessage(relay(socket));
      });
      await logIn(tab, someone('ada'));
      await send(tab, script(THINK, { answer: 'once' }), 'rehearsal');
      await runIs(tab, 0, 'succeeded');
      assert.equal((await conversation(tab)).length, 1);
      assert.equal(lost, 1);
      assert.equal(new Set(sent).size, 1);
      await tab.page.locator('.unsent').waitFor({ state: 'detached' });
    });
  }

  test('del_6: a message written while dropped goes out once when the connection is back', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    await chooseAgent(tab, 'rehearsal');
    await developer(tab, 'Drop the connection');
    await send(tab, script(THINK, { answer: 'late' }), 'rehearsal');
    await tab.page.locator('.unsent[data-state="waiting"]').waitFor();
    await tab.page.reload();
    await runIs(tab, 0, 'succeeded');
    assert.equal((await conversation(tab)).length, 1);
    await tab.page.locator('.unsent').waitFor({ state: 'detached' });
    assert.equal(tab.frames.filter((frame) => frame.type === 'user_message').length, 1);
  });

  test('run_11: JSON under “Advanced” answers a question with any value', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    await send(tab, script(THINK, ASK, { answer: 'thanks' }), 'rehearsal');
    await runIs(tab, 0, 'waiting');
    const form = tab.page.getByRole('form', { name: 'Answer approve' });
    await form.getByText('Advanced').click();
    await form.getByLabel('Results (JSON)').fill('{"approved": ');
    await form.getByRole('button', { name: 'Send this JSON' }).click();
    await form.getByText('The results are not JSON').waitFor();
    await form.getByLabel('Results (JSON)').fill('{"approved": true, "count": 12345678901234567890}');
    await form.getByRole('button', { name: 'Send this JSON' }).click();
    await runIs(tab, 0, 'succeeded');
    const sent = tab.sent.filter((frame) => frame.type === 'complete_call');
    assert.deepEqual(sent.map(({ call_id, status }) => [call_id, status]), [['q1', 'ok']]);
    const [turn] = await conversation(tab);
    assert.deepEqual(turn.calls, ['{ "action": "send" }', '{ "approved": true, "count": 12345678901234567890 }']);
    await form.waitFor({ state: 'detached' });
  });

  test('run_11: JSON under “Advanced” reports an error', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    await send(tab, script(THINK, ASK, { answer: 'as you like' }), 'rehearsal');
    await runIs(tab, 0, 'waiting');
    const form = tab.page.getByRole('form', { name: 'Answer approve' });
    await form.getByText('Advanced').click();
    await form.getByLabel('error', { exact: true }).check();
    await form.getByLabel('Reason').fill('not today');
    await form.getByRole('button', { name: 'Send this JSON' }).click();
    await runAt(tab, 0).getByText('not today').waitFor();
    await runAt(tab, 0).locator('[data-call="q1"][data-state="error"]').waitFor();
  });

  test('run_7: a cancel during a tool call closes the call first and ends the run', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    await send(tab, script(THINK, SLOW_TOOL, { answer: 'never' }), 'rehearsal');
    await runIs(tab, 0, 'tools');
    await tab.page.getByRole('button', { name: 'Stop' }).click();
    await runIs(tab, 0, 'cancelled');
    const [turn] = await conversation(tab);
    assert.deepEqual(turn.events, ['1 agent_started', '2 agent_thinking', '3 tool_executing', '4 tool_completed', '5 agent_completed']);
    await runAt(tab, 0).locator('[data-call="slow"][data-state="cancelled"]').waitFor();
    assert.equal(turn.answer, '');
  });

  test('run_8: a message to a busy thread is queued, refused, or interrupts, as chosen', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    const busy = tab.page.getByLabel('If busy');
    await send(tab, script(THINK, SLOW_TOOL), 'rehearsal');
    await runIs(tab, 0, 'tools');
    await send(tab, script(THINK, { answer: 'queued' }), 'rehearsal');
    await runIs(tab, 1, 'queued');
    await busy.selectOption('reject');
    await send(tab, script(THINK, { answer: 'refused' }), 'rehearsal');
    const refused = tab.page.locator('.unsent[data-state="refused"]');
    await refused.getByText('thread_busy').waitFor();
    await refused.getByRole('button', { name: 'Discard' }).click();
    await refused.waitFor({ state: 'detached' });
    await busy.selectOption('interrupt');
    await send(tab, script(THINK, { answer: 'in front' }), 'rehearsal');
    await runIs(tab, 2, 'succeeded');
    assert.deepEqual((await conversation(tab)).map(({ state, answer }) => [state, answer]), [['cancelled', ''], ['cancelled', ''], ['succeeded', 'in front']]);
  });

  test('iso_2: two users side by side share nothing, though their threads have the same name', async () => {
    const [ada, eve] = [await open(), await open()];
    const names = [someone('ada'), someone('eve')];
    await Promise.all([logIn(ada, names[0]), logIn(eve, names[1])]);
    await Promise.all([
      send(ada, script({ think: 'ada thinks' }, ASK, { answer: 'ada reads' }), 'rehearsal'),
      send(eve, script({ think: 'eve thinks' }, ASK, { answer: 'eve reads' }), 'rehearsal'),
    ]);
    await Promise.all([runIs(ada, 0, 'waiting'), runIs(eve, 0, 'waiting')]);
    await ada.page.getByRole('button', { name: 'Approve' }).click();
    await runIs(ada, 0, 'succeeded');
    assert.equal(await runAt(eve, 0).getAttribute('data-state'), 'waiting');
    await eve.page.getByRole('button', { name: 'Approve' }).click();
    await runIs(eve, 0, 'succeeded');
    for (const [tab, own, other] of [[ada, names[0], 'eve'], [eve, names[1], 'ada']]) {
      const [turn, ...more] = await conversation(tab);
      assert.deepEqual(more, []);
      assert.ok(!JSON.stringify(turn).includes(`${other} `));
      const entries = tab.frames.filter((frame) => frame.offset && frame.user_id);
      assert.deepEqual([...new Set(entries.map((entry) => entry.user_id))], [own]);
      assert.deepEqual([...new Set(entries.map((entry) => entry.thread_id))], ['main']);
      assertWhole(offsets(tab), own);
    }
  });

  test('two tabs of one user show the same, live', async () => {
    const user_id = someone('ada');
    const [one, two] = [await open(), await open()];
    await logIn(one, user_id);
    await logIn(two, user_id);
    await send(one, script(THINK, ASK, { answer: 'both' }), 'rehearsal');
    await runIs(two, 0, 'waiting');
    await two.page.getByRole('button', { name: 'Approve' }).click();
    await Promise.all([runIs(one, 0, 'succeeded'), runIs(two, 0, 'succeeded')]);
    assert.deepEqual(await conversation(one), await conversation(two));
  });

  test('threads: a new one is empty, and each keeps its own conversation', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    await send(tab, script(THINK, { answer: 'in main' }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    await openThread(tab, 'second');
    assert.equal((await conversation(tab)).length, 0);
    await send(tab, script(THINK, { answer: 'in second' }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    assert.equal((await conversation(tab))[0].answer, 'in second');
    await tab.page.locator('[data-thread="main"].thread').click();
    await tab.page.locator('[data-thread="main"][aria-current="true"]').waitFor();
    assert.equal((await conversation(tab))[0].answer, 'in main');
  });

  test('with the keyboard alone: log in, play a script, answer, stop', async () => {
    const tab = await open();
    const { keyboard } = tab.page;
    const focused = () => tab.page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent.trim());
    const tabTo = async (name) => {
      for (let presses = 0; presses < 80 && (await focused()) !== name; presses += 1) await keyboard.press('Tab');
      assert.equal(await focused(), name, 'reachable with Tab');
    };
    await keyboard.type(someone('ada'));
    await keyboard.press('Enter');
    await isLive(tab);
    assert.equal(await tab.page.evaluate(() => document.activeElement.id), 'text');
    await tabTo('Developer');
    await keyboard.press('Enter');
    await tab.page.locator('#scripts-menu').waitFor();
    for (let presses = 0; presses < 10 && (await tab.page.evaluate(() => document.activeElement.id)) !== 'scripts-menu'; presses += 1) await keyboard.press('Tab');
    await keyboard.press('Enter');
    await tabTo('Play: Ask for approval');
    await keyboard.press('Enter');
    await runIs(tab, 0, 'waiting');
    await tabTo('Approve');
    await keyboard.press('Enter');
    await runIs(tab, 0, 'succeeded');
    assert.equal(await tab.page.evaluate(() => document.activeElement.id), 'text');
    await tabTo('Developer');
    await keyboard.press('Space');
    await tab.page.locator('#scripts-menu').waitFor();
    for (let presses = 0; presses < 10 && (await tab.page.evaluate(() => document.activeElement.id)) !== 'scripts-menu'; presses += 1) await keyboard.press('Tab');
    await keyboard.press('Enter');
    await tabTo('Play: The agent hangs');
    await keyboard.press('Enter');
    await runIs(tab, 1, 'thinking');
    await tab.page.waitForFunction(() => document.activeElement.id === 'text');
    await keyboard.press('Escape');
    await runIs(tab, 1, 'cancelled');
  });

  test('markup from any source is shown as text and never becomes markup', async () => {
    const tab = await open();
    await logIn(tab, someone('<i>ada</i>'));
    const markup = (name) => `<img src=x class=planted onerror=alert("${name}")><script class=planted>alert(1)</script>`;
    const tool = { call_id: 'c1', tool_name: 't', parameters: { [markup('key')]: markup('value') }, takes_ms: 1, results: markup('results'), error: null };
    const bad = { ...tool, call_id: 'c2', results: null, error: markup('error') };
    await send(tab, script({ think: markup('think') }, { tool }, { tool: bad }, { answer: markup('answer') }), 'rehearsal');
    await runIs(tab, 0, 'succeeded');
    await send(tab, markup('text'), 'rehearsal');
    await runIs(tab, 1, 'failed');
    await send(tab, script(THINK, { fail: markup('fail') }), 'rehearsal');
    await runIs(tab, 2, 'failed');
    await developer(tab, 'Wire log');
    await tab.page.locator('.frame').first().waitFor();
    assert.equal(await tab.page.locator('.planted').count(), 0);
    const [first, second, third] = await conversation(tab);
    assert.equal(first.answer, markup('answer').replaceAll('\n', ' '));
    assert.deepEqual(first.thoughts, [markup('think')]);
    assert.equal(first.calls.length, 3);
    assert.equal(second.message, markup('text'));
    assert.ok((await runAt(tab, 2).locator('.run-error').textContent()).includes(markup('fail')));
    assert.ok((await tab.page.locator('#user').textContent()).startsWith('<i>ada</i>'));
    assert.equal(third.state, 'failed');
  });

  test('every course of a run is drawn to its end', async () => {
    const tab = await open();
    await logIn(tab, someone('ada'));
    const tools = ['a', 'b'].map((call_id, index) => ({ call_id, tool_name: 'side', parameters: {}, takes_ms: 20 - 10 * index, results: index, error: null }));
    const courses = [
      ['succeeded', script(THINK, { tools }, { answer: 'x' })],
      ['failed', script(THINK, { fail: 'it failed' }), 'agent_error'],
      ['failed', script(THINK, { panic: 'it panicked' }), 'agent_panic'],
      ['failed', script(THINK, { illegal: 'complete_unopened_call' }), 'violation'],
      ['failed', script(THINK, { illegal: 'complete_with_open_call' }), 'violation'],
      ['failed', script(THINK, { illegal: 'reopen_call' }), 'violation'],
      ['failed', script({ illegal: 'tool_before_thinking' }), 'violation'],
      ['failed', '{"steps": [', 'invalid_script'],
    ];
    for (const [index, [state, text, code]] of courses.entries()) {
      await send(tab, text, 'rehearsal');
      await runIs(tab, index, state);
      if (code) assert.match(await runAt(tab, index).locator('.run-error').textContent(), new RegExp(`^${code}: `));
      assert.equal(await runAt(tab, index).locator('.faults li').count(), 0);
    }
    assertWhole(offsets(tab));
  });

  test('on a phone nothing overflows, and the threads and the wire open and close', async () => {
    const tab = await open({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, colorScheme: 'dark' });
    await logIn(tab, someone('a-rather-long-name'));
    const table = '\n\n| a | b |\n|--|--|\n| ' + 'wide'.repeat(40) + ' | c |\n\n```js\n' + 'z'.repeat(300) + '\n```\n';
    await send(tab, script({ think: 'x'.repeat(400) }, { answer: 'y'.repeat(400) + table }, ASK), 'rehearsal');
    await runIs(tab, 0, 'waiting');
    const overflowing = () =>
      tab.page.evaluate(() =>
        [...document.querySelectorAll('html, .bar, .scroll, .thought, .answer-text, .message, .json, .composer-row, .question, .frame')]
          .filter((element) => element.scrollWidth > element.clientWidth)
          .map((element) => element.className || element.tagName),
      );
    assert.deepEqual(await overflowing(), []);
    const threads = tab.page.getByRole('button', { name: 'Threads' });
    const fresh = tab.page.getByRole('button', { name: 'New thread' });
    await threads.click();
    await fresh.waitFor();
    await tab.page.keyboard.press('Escape');
    await fresh.waitFor({ state: 'hidden' });
    await threads.click();
    await tab.page.getByRole('navigation').getByRole('button', { name: 'Close' }).click();
    await fresh.waitFor({ state: 'hidden' });
    assert.equal(await runAt(tab, 0).getAttribute('data-state'), 'waiting', 'Escape closed the threads and nothing else');
    await developer(tab, 'Wire log');
    await tab.page.getByRole('heading', { name: 'Frames' }).waitFor();
    assert.deepEqual(await overflowing(), []);
    await tab.page.locator('#wire-close').click();
    await tab.page.getByRole('heading', { name: 'Frames' }).waitFor({ state: 'hidden' });
  });
});
