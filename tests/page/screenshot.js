// Writes the picture of the README: node screenshot.js FILE [light|dark] [desktop|phone]

import { launch, logIn, openTab, runIs, script, send } from './browser.js';

const [file, colorScheme = 'light', device = 'desktop'] = process.argv.slice(2);
const phone = device === 'phone';
const browser = await launch();
try {
  const tab = await openTab(browser, {
    colorScheme,
    viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 832 },
    deviceScaleFactor: phone ? 2 : 1,
    hasTouch: phone,
  });
  await logIn(tab, 'ada');
  await send(tab, 'What is (17 + 4) * 2^10?');
  await runIs(tab, 0, 'succeeded');
  await send(
    tab,
    script(
      { think: 'Two lookups will do, side by side.' },
      {
        tools: [
          { call_id: 'a', tool_name: 'flights', parameters: { to: 'Oslo' }, takes_ms: 90, results: { cheapest_eur: 89 }, error: null },
          { call_id: 'b', tool_name: 'trains', parameters: { to: 'Oslo' }, takes_ms: 40, results: { hours: 17 }, error: null },
        ],
      },
      { think: 'A booking needs your word.' },
      { ask: { call_id: 'q1', tool_name: 'approve', parameters: { action: 'book the flight' } } },
      { answer: 'Booked.' },
    ),
    'rehearsal',
  );
  await runIs(tab, 1, 'waiting');
  if (process.env.SCROLL === 'top') await tab.page.locator('#scroll').evaluate((element) => (element.scrollTop = 0));
  if (process.env.WIRE) await tab.page.getByRole('button', { name: 'Wire' }).click();
  await tab.page.screenshot({ path: file });
} finally {
  await browser.close();
}
