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
 * Opens a tab on the page, in its own browser context; `events` shows every event of a run. `tab.frames` are the server frames that Chromium
 * received; `tab.problems` are the errors of the console, the policy and the network.
 */
export async function openTab(browser, { events = false, ...options } = {}, base = BASE) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS_MAX);
  const tab = { page, frames: [], sent: [], problems: [], sockets: 0, close: () => context.close() };
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.addInitScript((shown) => {
    // As if “Show every event” had been chosen before.
    if (shown) sessionStorage.setItem('quintet.events', 'true');
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
    });
  }, events);
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

/** Selects a thread, new or not, by its link. */
export async function openThread({ page }, thread_id) {
  await page.evaluate((id) => {
    location.hash = `#/t/${encodeURIComponent(id)}`;
  }, thread_id);
  await page.locator(`.thread[data-thread="${thread_id}"][aria-current="true"]`).waitFor({ state: 'attached' });
}

/** Chooses the agent of the following messages. */
export async function chooseAgent({ page }, agent_name) {
  const button = page.locator('#agent');
  await page.locator(`#agents input[value="${agent_name}"]`).waitFor({ state: 'attached' });
  if ((await button.getAttribute('data-agent')) === agent_name) return;
  await button.click();
  await page.getByRole('radio', { name: new RegExp(`^${agent_name} `) }).check();
  await page.locator('#agents').waitFor({ state: 'hidden' });
}

/** Sends a text as a user would. */
export async function send(tab, text, agent_name = 'assistant') {
  await chooseAgent(tab, agent_name);
  await tab.page.getByLabel('Message', { exact: true }).fill(text);
  await tab.page.getByRole('button', { name: 'Send', exact: true }).click();
}

/** Chooses an item of the Developer menu. */
export async function developer({ page }, item) {
  await page.getByRole('button', { name: 'Developer' }).click();
  await page.locator('#developer').getByText(item, { exact: true }).click();
}

export const script = (...steps) => JSON.stringify({ steps });

/** Returns the `index`-th run on the screen. */
export const runAt = ({ page }, index) => page.locator('.run').nth(index);

/** Waits until the `index`-th run is in that state. */
export async function runIs(tab, index, state) {
  await tab.page.locator(`:nth-match(.run, ${index + 1})[data-state="${state}"]`).waitFor();
}

/** Returns the conversation on the screen as text; its events and thoughts only if every event is shown. */
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
      answer: await turn.locator('.answer-text').innerText().then((text) => text.trim()),
    })),
  );
}

/** Returns the offsets of the received entries, in order of arrival. */
export const offsets = (tab) => tab.frames.filter((frame) => frame.offset !== undefined).map(({ offset }) => offset);

/** Returns all problems of the tab; empty if there are none. */
export async function problems(tab) {
  return [...tab.problems, ...(await tab.page.evaluate(() => globalThis.violations))];
}
