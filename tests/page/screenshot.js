// Writes a picture of the page, the README's by default; against a server without a log yet:
//   tests/page/run.sh path/to/quintet screenshot.js [FILE [light|dark [desktop|phone]]]

import { launch, logIn, openTab, openThread, runIs, script, send } from './browser.js';

const [file = '../../docs/page.png', colorScheme = 'light', device = 'desktop'] = process.argv.slice(2);
const phone = device === 'phone';
const browser = await launch();
try {
  const tab = await openTab(browser, {
    colorScheme,
    viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 1200 },
    deviceScaleFactor: phone ? 2 : 1,
    hasTouch: phone,
  });
  await logIn(tab, 'ada');
  for (const [thread, text] of [
    ['tokyo', 'What time is it in Asia/Tokyo?'],
    ['main', 'What is (17 + 4) * 2^10?'],
  ]) {
    await openThread(tab, thread, phone);
    await send(tab, text);
    await runIs(tab, 0, 'succeeded');
  }
  await send(
    tab,
    script(
      { think: 'Nothing is sent without your word.' },
      { ask: { call_id: 'q1', tool_name: 'approve', parameters: { action: 'send the invoice' } } },
      { answer: 'Sent.' },
    ),
    'rehearsal',
  );
  await runIs(tab, 1, 'waiting');
  await tab.page.screenshot({ path: file });
} finally {
  await browser.close();
}
