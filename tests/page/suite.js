// The frame of a suite of browser tests: one browser, and the tabs of each test.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';

import { launch, openTab, problems } from './browser.js';

/**
 * Returns `open(options)`, which opens a tab for the present test. After every test the consoles, policies and networks of
 * its tabs have no errors. Call it inside `describe`.
 */
export function tabsOfEachTest() {
  let browser;
  let tabs;
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());
  beforeEach(() => {
    tabs = [];
  });
  afterEach(async () => {
    for (const tab of tabs) {
      const found = await problems(tab);
      await tab.close();
      assert.deepEqual(found, []);
    }
  });
  return async (options) => {
    const tab = await openTab(browser, options);
    tabs.push(tab);
    return tab;
  };
}
