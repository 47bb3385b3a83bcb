// Markdown in a real browser: the elements that are made, and that a text which grows is drawn like a whole one.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';

import { launch, openTab, problems } from './browser.js';
import { evil, random } from './random.js';

describe('Markdown as elements', { timeout: 300_000 }, () => {
  let browser;
  let tab;
  before(async () => {
    browser = await launch();
    tab = await openTab(browser);
    await tab.page.evaluate(async () => {
      const { MarkdownView } = await import('/page/markdown-view.js');
      /** Draws a text in these steps; returns the markup without the state of growing. */
      globalThis.drawn = (steps) => {
        const place = document.createElement('div');
        const view = new MarkdownView(place);
        for (const step of steps) view.update(step, true);
        view.update(steps.at(-1), false);
        return place;
      };
    });
  });
  after(() => browser.close());

  test('random markup never becomes more than the fixed set of elements, and grows into what the whole text is', async () => {
    const cases = [];
    for (let seed = 1; seed <= 400; seed += 1) {
      const dice = random(seed);
      const text = evil(dice, 1 + dice(60));
      const steps = [];
      for (let at = 0; at < text.length; ) {
        at = Math.min(text.length, at + 1 + dice(25));
        steps.push(text.slice(0, at));
      }
      cases.push({ seed, steps });
    }
    const wrong = await tab.page.evaluate((all) => {
      const tags = new Set('P H3 H4 H5 H6 HR BLOCKQUOTE UL OL LI DIV SPAN PRE CODE TABLE THEAD TBODY TR TH TD A EM STRONG DEL BR BUTTON svg rect path'.split(' '));
      const attributes = new Set('class dir start href title rel target tabindex role aria-label aria-hidden type scope data-level data-align data-checked data-icon viewBox x y width height rx d'.split(' '));
      const found = [];
      for (const { seed, steps } of all) {
        const grown = globalThis.drawn(steps);
        const whole = globalThis.drawn(steps.slice(-1));
        if (grown.innerHTML !== whole.innerHTML) found.push(`${seed}: ${JSON.stringify(steps.at(-1))} grew differently`);
        for (const element of whole.querySelectorAll('*')) {
          if (!tags.has(element.tagName)) found.push(`${seed}: ${element.tagName}`);
          for (const { name } of element.attributes) if (!attributes.has(name)) found.push(`${seed}: ${name}`);
          if (element.tagName !== 'A') continue;
          if (!['http:', 'https:', 'mailto:'].includes(element.protocol)) found.push(`${seed}: ${element.href}`);
          if (element.rel !== 'noopener noreferrer') found.push(`${seed}: ${element.rel}`);
          if (element.querySelector('a')) found.push(`${seed}: a link in a link`);
        }
      }
      return found;
    }, cases);
    assert.deepEqual(wrong, []);
  });

  test('while a text grows, only its last block is drawn again', async () => {
    const kept = await tab.page.evaluate(async () => {
      const { MarkdownView } = await import('/page/markdown-view.js');
      const place = document.createElement('div');
      const view = new MarkdownView(place);
      const head = '# Title\n\nfirst paragraph\n\n- one\n- two\n\n```js\nlet a = 1;\n';
      view.update(head, true);
      const before = [...place.children];
      const [code, item] = [place.querySelector('pre code').firstChild, place.querySelector('li')];
      let text = head;
      for (let line = 0; line < 200; line += 1) {
        text += `line(${line});\n`;
        view.update(text, true);
      }
      const after = [...place.children];
      return [before.length === after.length && before.every((element, index) => element === after[index]),
        code === place.querySelector('pre code').firstChild, item === place.querySelector('li')];
    });
    assert.deepEqual(kept, [true, true, true]);
  });

  test('a list that grows keeps the items it has', async () => {
    const kept = await tab.page.evaluate(async () => {
      const { MarkdownView } = await import('/page/markdown-view.js');
      const place = document.createElement('div');
      const view = new MarkdownView(place);
      view.update('- a\n- b', true);
      const first = place.querySelector('p');
      view.update('- a\n- b\n  - c\n- d', true);
      return [first === place.querySelector('p'), place.querySelectorAll('li').length];
    });
    assert.deepEqual(kept, [true, 4]);
  });

  test('a text that starts over is drawn anew', async () => {
    const text = await tab.page.evaluate(() => globalThis.drawn(['one\n\ntwo\n\nthree', 'other']).textContent);
    assert.equal(text, 'other');
  });

  test('no module uses an interface that parses markup', async () => {
    const folder = new URL('../../src/gateway/page/', import.meta.url);
    for (const name of ['markdown.js', 'markdown-inline.js', 'markdown-view.js', 'dom.js']) {
      assert.doesNotMatch(await readFile(new URL(name, folder), 'utf8'), /innerHTML|outerHTML|insertAdjacent|DOMParser|createContextualFragment|document\.write/);
    }
    assert.deepEqual(await problems(tab), []);
  });
});
