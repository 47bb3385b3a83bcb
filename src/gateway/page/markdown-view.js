// Draws Markdown as elements, incrementally: while a text grows, only its last block is parsed and drawn again.
// Elements are created one by one, from the fixed set of tags below; nothing is ever parsed as HTML.

import { BlockStream } from './markdown.js';
import { parseInline } from './markdown-inline.js';
import { copyButton, el, growText } from './dom.js';

/** Keeps `element` showing a text that grows. */
export class MarkdownView {
  #element;
  #stream = new BlockStream();
  #drawn = { first: 0, blocks: [] };
  #text = null;
  #streaming = null;

  constructor(element) {
    this.#element = element;
  }

  /** Shows `text`. `streaming` means that it may continue. */
  update(text, streaming) {
    if (text === this.#text && streaming === this.#streaming) return;
    this.#text = text;
    this.#streaming = streaming;
    const { first, blocks } = this.#stream.update(text);
    if (streaming) markOpen(blocks);
    const before = first < this.#drawn.first ? [] : this.#drawn.blocks.slice(first - this.#drawn.first);
    patch(this.#element, first, before, blocks);
    this.#drawn = { first, blocks };
  }
}

/** Marks the end of a text that may continue: what is not closed there is shown as if it were. */
function markOpen(blocks) {
  const last = blocks.at(-1);
  if (!last) return;
  last.streaming = true;
  markOpen(last.blocks ?? last.items?.at(-1).blocks ?? []);
}

/** Makes the children of `parent` from index `first` on show `blocks` instead of `old`. */
function patch(parent, first, old, blocks) {
  for (const [index, block] of blocks.entries()) {
    const element = parent.children[first + index];
    const before = element ? old[index] : undefined;
    if (before && isSame(before, block)) continue;
    if (before && update(element, before, block)) continue;
    const made = make(block);
    if (element) element.replaceWith(made);
    else parent.append(made);
  }
  while (parent.children.length > first + blocks.length) parent.lastElementChild.remove();
}

const isSame = (a, b) => a.type === b.type && a.raw === b.raw && a.streaming === b.streaming && a.tight === b.tight;

/** Updates the element of a block in place, if that is possible. */
function update(element, before, block) {
  if (before.type !== block.type) return false;
  switch (block.type) {
    case 'code':
      if (before.lang !== block.lang) return false;
      growText(element.querySelector('code'), block.text);
      return true;
    case 'quote':
      patch(element, 0, before.blocks, block.blocks);
      return true;
    case 'list':
      if (before.ordered !== block.ordered || before.start !== block.start || before.tight !== block.tight) return false;
      return updateItems(element, before.items, block.items);
    case 'paragraph':
      element.replaceChildren(...inline(block.text, block.streaming));
      return true;
    default:
      return false;
  }
}

function updateItems(element, old, items) {
  for (const [index, item] of items.entries()) {
    const before = old[index];
    const place = element.children[index];
    if (!before) element.append(makeItem(item));
    else if (before.checked !== item.checked) place.replaceWith(makeItem(item));
    else if (before.checked === null) patch(place, 0, before.blocks, item.blocks);
    else patch(place.lastElementChild, 0, before.blocks, item.blocks);
  }
  while (element.children.length > items.length) element.lastElementChild.remove();
  return true;
}

function make(block) {
  return MAKE[block.type](block);
}

const MAKE = {
  paragraph: ({ text, streaming }) => el('p', { dir: 'auto' }, ...inline(text, streaming)),
  // The headings of an answer stand below those of the page.
  heading: ({ level, text, streaming }) =>
    el(`h${Math.min(6, level + 2)}`, { dir: 'auto', data: { level } }, ...inline(text, streaming)),
  rule: () => el('hr'),
  quote: ({ blocks }) => el('blockquote', { dir: 'auto' }, ...blocks.map(make)),
  list: ({ ordered, start, tight, items }) =>
    el(ordered ? 'ol' : 'ul', { class: tight ? 'tight' : null, dir: 'auto', start: ordered && start !== 1 ? String(start) : null },
      ...items.map(makeItem)),
  code: ({ lang, text }) => {
    const code = el('code', {}, text);
    return el('div', { class: 'code' },
      el('div', { class: 'code-head' },
        el('span', {}, lang || 'code'),
        copyButton('Copy code', () => code.textContent)),
      el('pre', { tabindex: '0', dir: 'ltr', role: 'group', 'aria-label': lang ? `Code, ${lang}` : 'Code' }, code));
  },
  table: ({ align, head, rows }) =>
    el('div', { class: 'table', tabindex: '0', role: 'group', 'aria-label': 'Table' },
      el('table', { dir: 'auto' },
        el('thead', {}, el('tr', {}, ...head.map((cell, index) => makeCell('th', cell, align[index])))),
        el('tbody', {}, ...rows.map((row) => el('tr', {}, ...row.map((cell, index) => makeCell('td', cell, align[index]))))))),
};

function makeItem({ checked, blocks }) {
  if (checked === null) return el('li', {}, ...blocks.map(make));
  const box = el('span', { class: 'task-box', role: 'img', 'aria-label': checked ? 'done' : 'to do', data: { checked } });
  return el('li', { class: 'task' }, box, el('div', {}, ...blocks.map(make)));
}

function makeCell(tag, text, align) {
  return el(tag, { dir: 'auto', scope: tag === 'th' ? 'col' : null, data: align ? { align } : {} }, ...inline(text, false));
}

function inline(text, streaming) {
  return parseInline(text, streaming).map(makeInline);
}

function makeInline(node) {
  if (typeof node === 'string') return node;
  switch (node.type) {
    case 'break':
      return el('br');
    case 'code':
      return el('code', { dir: 'ltr' }, node.text);
    case 'link':
      return el('a', { href: node.href, title: node.title, rel: 'noopener noreferrer', target: '_blank' },
        ...(node.children.length > 0 ? node.children.map(makeInline) : [node.href]));
    default:
      return el(node.type, {}, ...node.children.map(makeInline));
  }
}
