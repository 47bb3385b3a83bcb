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
  /** The first heading, `{index, level}`: its level is the highest of the answer. */
  #head = null;

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
    this.#rank(first, blocks);
    const before = first < this.#drawn.first ? [] : this.#drawn.blocks.slice(first - this.#drawn.first);
    patch(this.#element, first, before, blocks);
    this.#drawn = { first, blocks };
  }

  /** Gives headings their rank on the page, relative to the first one of the answer. */
  #rank(first, blocks) {
    if (this.#head === null || first <= this.#head.index) {
      const index = blocks.findIndex(({ type }) => type === 'heading');
      this.#head = index < 0 ? null : { index: first + index, level: blocks[index].level };
    }
    for (const block of blocks) if (block.type === 'heading') block.rank = Math.max(0, block.level - this.#head.level);
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
function patch(parent, first, old, blocks, nested = false) {
  for (const [index, block] of blocks.entries()) {
    const element = parent.children[first + index];
    const before = element ? old[index] : undefined;
    if (before && isSame(before, block)) continue;
    if (before && update(element, before, block)) continue;
    const made = make(block, nested);
    if (element) element.replaceWith(made);
    else parent.append(made);
  }
  while (parent.children.length > first + blocks.length) parent.lastElementChild.remove();
}

const isSame = (a, b) => a.type === b.type && a.raw === b.raw && a.streaming === b.streaming && a.tight === b.tight && a.rank === b.rank;

/** Updates the element of a block in place, if that is possible. */
function update(element, before, block) {
  if (before.type !== block.type) return false;
  switch (block.type) {
    case 'code':
      if (before.lang !== block.lang) return false;
      growText(element.querySelector('code'), block.text);
      return true;
    case 'quote':
      patch(element, 0, before.blocks, block.blocks, true);
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
    else if (before.checked === null) patch(place, 0, before.blocks, item.blocks, true);
    else patch(place.lastElementChild, 0, before.blocks, item.blocks, true);
  }
  while (element.children.length > items.length) element.lastElementChild.remove();
  return true;
}

/** A block within another takes the direction of that one, which its first letter decides. */
function make(block, nested) {
  return MAKE[block.type](block, nested ? null : 'auto');
}

const makeNested = (block) => make(block, true);

const MAKE = {
  paragraph: ({ text, streaming }, dir) => el('p', { dir }, ...inline(text, streaming)),
  // The headings of an answer stand below those of the page.
  heading: ({ level, rank = level - 1, text, streaming }, dir) =>
    el(`h${Math.min(6, TOP_RANK + rank)}`, { dir, data: { level } }, ...inline(text, streaming)),
  rule: () => el('hr'),
  quote: ({ blocks }) => el('blockquote', { dir: 'auto' }, ...blocks.map(makeNested)),
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
  if (checked === null) return el('li', {}, ...blocks.map(makeNested));
  const box = el('span', { class: 'task-box', role: 'img', 'aria-label': checked ? 'done' : 'to do', data: { checked } });
  return el('li', { class: 'task' }, box, el('div', {}, ...blocks.map(makeNested)));
}

function makeCell(tag, text, align) {
  return el(tag, { scope: tag === 'th' ? 'col' : null, data: align ? { align } : {} }, ...inline(text, false));
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

/** The page has a heading of rank 1, and each answer one of rank 2. */
const TOP_RANK = 3;
