// Shared parts of the browser tests: a Chromium, tabs that record every error and every frame, and a few
// user actions. They wait for conditions, never for time.

import { chromium } from 'playwright-core';

export const BASE = process.env.PAGE_TEST_URL;

/** Time limit for a condition on a busy machine. */
const WAIT_MS_MAX = 60_000;

/** Starts the system's Chromium with an empty profile. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** Returns a user id that no other test uses, so that tests share only the server. */
export function someone(name) {
  return `${name}-${crypto.randomUUID().slice(0, 8)}`;
}

/**
 * Opens a tab on the page, in its own browser context. `tab.frames` are the server frames that Chromium
 * received; `tab.problems` are the errors of the console, the policy and the network.
 */
export async function openTab(browser, options = {}, base = BASE) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS_MAX);
  const tab = { page, frames: [], sent: [], problems: [], sockets: 0, close: () => context.close() };
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') tab.problems.push(message.text());
  });
  page.on('pageerror', (error) => tab.problems.push(String(error)));
  page.on('dialog', (dialog) => {
    tab.problems.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== base) tab.problems.push(`outside request: ${request.url()}`);
  });
  page.on('websocket', (socket) => {
    const connection = tab.sockets++;
    socket.on('framereceived', ({ payload }) => tab.frames.push({ connection, ...JSON.parse(payload) }));
    socket.on('framesent', ({ payload }) => tab.sent.push({ connection, ...JSON.parse(payload) }));
  });
  await page.goto(base);
  return tab;
}

/** Logs in and waits until the log has been read. */
export async function logIn({ page }, user_id) {
  await page.getByLabel('Log in as').fill(user_id);
  await page.getByRole('button', { name: 'Log in' }).click();
  await isLive({ page });
}

export async function isLive({ page }) {
  await page.locator('#connection[data-phase="live"]').waitFor();
}

/** Selects a thread, new or not. */
export async function openThread({ page }, thread_id, behindButton = false) {
  if (behindButton) await page.getByRole('button', { name: 'Threads' }).click();
  await page.getByLabel('Id of the new thread').fill(thread_id);
  await page.getByRole('button', { name: 'New thread' }).click();
  await page.getByRole('heading', { name: thread_id, exact: true }).waitFor();
}

/** Sends a text as a user would. */
export async function send({ page }, text, agent_name = 'assistant') {
  await page.locator(`#agent option[value="${agent_name}"]`).waitFor({ state: 'attached' });
  await page.getByLabel('Agent', { exact: true }).selectOption(agent_name);
  await page.getByLabel('Message', { exact: true }).fill(text);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
}

export const script = (...steps) => JSON.stringify({ steps });

/** Returns the `index`-th run on the screen. */
export const runAt = ({ page }, index) => page.locator('.run').nth(index);

/** Waits until the `index`-th run is in that state. */
export async function runIs(tab, index, state) {
  await tab.page.locator(`:nth-match(.run, ${index + 1})[data-state="${state}"]`).waitFor();
}

/** Returns the conversation on the screen as text. */
export async function conversation({ page }) {
  const turns = await page.locator('#turns > .turn').all();
  return Promise.all(
    turns.map(async (turn) => ({
      message: await turn.locator('.message-text').textContent(),
      state: await turn.locator('.run').getAttribute('data-state'),
      events: await turn.locator('.event').evaluateAll((events) =>
        events.map((event) => `${event.dataset.seq}${event.dataset.lastSeq > event.dataset.seq ? `-${event.dataset.lastSeq}` : ''} ${event.dataset.event}`),
      ),
      thoughts: await turn.locator('.thought').allTextContents(),
      calls: await turn.locator('.json').allTextContents(),
      answer: await turn.locator('.answer-text').textContent(),
    })),
  );
}

/** Returns the offsets of the received entries, in order of arrival. */
export const offsets = (tab) => tab.frames.filter((frame) => frame.seq || frame.type === 'user_message').map(({ offset }) => offset);

/** Returns all problems of the tab; empty if there are none. */
export async function problems(tab) {
  return [...tab.problems, ...(await tab.page.evaluate(() => globalThis.violations))];
}
