// Writes a picture of the page, the README's by default; against a server without a log yet:
//   tests/page/run.sh path/to/quintet screenshot.js [FILE [light|dark [desktop|phone]]]

import { chooseAgent, launch, logIn, openTab, openThread, runIs, script, send } from './browser.js';

const [file = '../../docs/page.png', colorScheme = 'light', device = 'desktop'] = process.argv.slice(2);
const phone = device === 'phone';

const ROUTES = `Take the **direct train**: it is the cheapest, and the only one without a change.

| Train | Departs | Arrives | Price |
|:--|--:|--:|--:|
| RE 10 | 07:12 | 10:54 | 39 € |
| IC 24 | 09:40 | 14:31 | 52 € |

\`\`\`sh
trains book "RE 10" --seats 2
\`\`\``;

const tool = (call_id, tool_name, parameters, results) => ({ tool: { call_id, tool_name, parameters, takes_ms: 120, results, error: null } });

const browser = await launch();
try {
  const tab = await openTab(browser, {
    colorScheme,
    viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 1010 },
    deviceScaleFactor: 1,
    hasTouch: phone,
    isMobile: phone,
  });
  await logIn(tab, 'ada');
  for (const [thread, text] of [
    ['tokyo', 'What time is it in Asia/Tokyo?'],
    ['numbers', 'What is (17 + 4) * 2^10?'],
  ]) {
    await openThread(tab, thread);
    await send(tab, text);
    await runIs(tab, 0, 'succeeded');
  }
  await openThread(tab, 'trip');
  await send(tab, script({ think: 'Trains first.' }, tool('c1', 'trains', { to: 'Oslo' }, { found: 2 }), tool('c2', 'fares', { seats: 2 }, { from_eur: 39 }), { answer: ROUTES }), 'rehearsal');
  await runIs(tab, 0, 'succeeded');
  const booking = { tool_name: 'trains/book', parameters: { train: 'RE 10', day: 'Friday', seats: 2, price: '78 €' } };
  await send(tab, script({ think: 'Nothing is booked without consent.' }, { ask: { call_id: 'q1', tool_name: 'approve', parameters: booking } }, { answer: 'Booked.' }), 'rehearsal');
  await runIs(tab, 1, 'waiting');
  await chooseAgent(tab, 'assistant');
  if (phone) await tab.page.getByRole('button', { name: 'Threads', exact: true }).click();
  await tab.page.locator(phone ? '.thread-menu >> nth=0' : '#title-menu').click();
  await tab.page.locator('#thread-menu').getByRole('button', { name: 'Rename' }).click();
  await tab.page.getByLabel('Title', { exact: true }).fill('A weekend in Oslo');
  await tab.page.keyboard.press('Enter');
  await tab.page.locator('#thread-title').getByText('A weekend in Oslo').waitFor({ state: 'attached' });
  if (phone) await tab.page.locator('#threads-close').click();
  // The scripts stand for what a user would write.
  await tab.page.evaluate(() => {
    const scripts = [...document.querySelectorAll('.script')];
    for (const [index, text] of ['How do we get to Oslo on Friday?', 'Book the direct one, please.'].entries()) {
      const words = document.createElement('span');
      words.className = 'message-text';
      words.textContent = text;
      scripts[index].replaceWith(words);
    }
    document.getElementById('text').focus();
  });
  await tab.page.screenshot({ path: file });
} finally {
  await browser.close();
}
