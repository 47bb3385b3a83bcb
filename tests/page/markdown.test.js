// Markdown: what is drawn, that nothing becomes markup, that growing texts end like whole ones, and that time is linear.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BlockStream, parseBlocks } from '../../src/gateway/page/markdown.js';
import { parseInline, safeAddress } from '../../src/gateway/page/markdown-inline.js';
import { chars, evil, random } from './random.js';

/** Writes inline nodes as text with marks, for comparison. */
const written = (nodes) =>
  nodes
    .map((node) => {
      if (typeof node === 'string') return node;
      if (node.type === 'break') return '⏎';
      if (node.type === 'code') return `‹${node.text}›`;
      if (node.type === 'link') return `[${written(node.children)}→${node.href}]`;
      return `<${node.type}>${written(node.children)}</${node.type}>`;
    })
    .join('');

/** Writes blocks as nested lists, without their source. */
const shape = (blocks) =>
  blocks.map((block) => {
    switch (block.type) {
      case 'paragraph':
        return written(parseInline(block.text));
      case 'heading':
        return [`h${block.level}`, written(parseInline(block.text))];
      case 'code':
        return ['code', block.lang, block.text];
      case 'quote':
        return ['quote', ...shape(block.blocks)];
      case 'list':
        return [block.ordered ? `ol ${block.start}` : 'ul', block.tight, ...block.items.map(({ checked, blocks: inner }) => [checked, ...shape(inner)])];
      case 'table':
        return ['table', block.align, block.head, ...block.rows];
      default:
        return [block.type];
    }
  });

const INLINE = [
  ['**bold**, *em*, ~~gone~~, `a * b`', '<strong>bold</strong>, <em>em</em>, <del>gone</del>, ‹a * b›'],
  ['***both***', '<em><strong>both</strong></em>'],
  ['**a *b* c**', '<strong>a <em>b</em> c</strong>'],
  ['**2*3**', '<strong>2*3</strong>'],
  ['1 * 2 * 3 and snake_case_name', '1 * 2 * 3 and snake_case_name'],
  ['``a`b`` and `open', '‹a`b› and `open'],
  ['\\*plain\\* \\<b>', '*plain* <b>'],
  ['&lt;b&gt; &amp; &#x41; &nosuch;', '<b> & A &nosuch;'],
  ['[t](https://e.org/p "title")', '[t→https://e.org/p]'],
  ['[w](https://e.org/A_(b)) x', '[w→https://e.org/A_(b)] x'],
  ['[**b** `c`](https://e.org/)', '[<strong>b</strong> ‹c›→https://e.org/]'],
  ['*[a*](https://e.org/)', '*[a*→https://e.org/]'],
  ['[a [b](https://e.org/) c', '[a [b→https://e.org/] c'],
  ['[x](javascript:alert(1)) [y](data:text/html,z) [z](/relative)', 'x y z'],
  ['[x](<java\nscript:alert(1)>)', '[x](<java⏎script:alert(1)>)'],
  ['[x](vbscript:a) [y](HTTPS://E.org) [m](mailto:a@e.org)', 'x [y→https://e.org/] [m→mailto:a@e.org]'],
  ['![an image](https://e.org/i.png)', '[an image→https://e.org/i.png]'],
  ['[![alt](https://e.org/i.png)](https://e.org/)', '[alt→https://e.org/]'],
  ['see https://e.org/a_b_(c), or <https://e.org>.', 'see [https://e.org/a_b_(c)→https://e.org/a_b_(c)], or [https://e.org→https://e.org/].'],
  ['[https://e.org](https://e.org)', '[https://e.org→https://e.org/]'],
  ['<script>alert(1)</script><br>next', '<script>alert(1)</script>⏎next'],
  ['two\nlines', 'two⏎lines'],
];

for (const [text, expected] of INLINE) {
  test(`inline: ${JSON.stringify(text)}`, () => assert.equal(written(parseInline(text)), expected));
}

const BLOCKS = [
  ['# One #\n## Two\n#no', [['h1', 'One'], ['h2', 'Two'], '#no']],
  ['text\n---\nmore', ['text', ['rule'], 'more']],
  ['- a\n- b\n  - c\n\n- d', [['ul', false, [null, 'a'], [null, 'b', ['ul', true, [null, 'c']]], [null, 'd']]]],
  ['1. a\n   more\n2. b', [['ol 1', true, [null, 'a⏎more'], [null, 'b']]]],
  ['3) a\n- b', [['ol 3', true, [null, 'a']], ['ul', true, [null, 'b']]]],
  ['- [ ] open\n- [x] done', [['ul', true, [false, 'open'], [true, 'done']]]],
  ['1. run\n   ```sh\n   ls\n   ```\n2. end', [['ol 1', true, [null, 'run', ['code', 'sh', 'ls']], [null, 'end']]]],
  ['> a\nlazy\n> - b', [['quote', 'a⏎lazy', ['ul', true, [null, 'b']]]]],
  ['```js\nlet a = "<b>";\n\n~~~\n```\nafter', [['code', 'js', 'let a = "<b>";\n\n~~~'], 'after']],
  ['```\nnot closed', [['code', '', 'not closed']]],
  ['    indented\n\n    code\ntext', [['code', '', 'indented\n\ncode'], 'text']],
  ['| a | b |\n|:--|--:|\n| 1 | x \\| y |\n| 2 |\n\nend', [['table', ['left', 'right'], ['a', 'b'], ['1', 'x | y'], ['2']], 'end']],
  ['a|b\nno table', ['a|b⏎no table']],
  ['The year\n1984. was\n1. one', ['The year⏎1984. was', ['ol 1', true, [null, 'one']]]],
  ['<div>\n<img src=x onerror=alert(1)>\n</div>', ['<div>⏎<img src=x onerror=alert(1)>⏎</div>']],
];

for (const [text, expected] of BLOCKS) {
  test(`blocks: ${JSON.stringify(text)}`, () => assert.deepEqual(shape(parseBlocks(text)), expected));
}

test('while a text grows, bold, code and links without their end are shown as if closed', () => {
  const shown = (text) => written(parseInline(text, true));
  assert.equal(shown('a **bo'), 'a <strong>bo</strong>');
  assert.equal(shown('a **'), 'a **');
  assert.equal(shown('run `ls -'), 'run ‹ls -›');
  assert.equal(shown('see [the docs](https://e.or'), 'see the docs');
  assert.equal(shown('2 * 3 * 4 *'), '2 * 3 * 4 *');
});

test('only absolute addresses of http, https and mailto are links', () => {
  for (const address of ['javascript:alert(1)', ' javascript:alert(1)', 'java\tscript:alert(1)', 'JAVASCRIPT:x', 'data:text/html,x', 'blob:https://e.org/x', 'file:///etc/passwd', '//e.org', '/a', 'a', '', 'https://']) {
    assert.equal(safeAddress(address), null, address);
  }
  assert.equal(safeAddress('https://e.org'), 'https://e.org/');
});

test('property: a text that grows in any pieces ends with the blocks of the whole text', () => {
  for (let seed = 1; seed <= 600; seed += 1) {
    const dice = random(seed);
    const text = evil(dice, 1 + dice(40));
    const stream = new BlockStream();
    let drawn = [];
    for (let at = 0; at < text.length; ) {
      at = Math.min(text.length, at + 1 + dice(12));
      const { first, blocks } = stream.update(text.slice(0, at));
      assert.ok(first <= drawn.length, `seed ${seed}`);
      drawn = [...drawn.slice(0, first), ...blocks];
      assert.deepEqual(shape(drawn), shape(parseBlocks(text.slice(0, at))), `seed ${seed}, ${JSON.stringify(text.slice(0, at))}`);
    }
  }
});

test('property: no character of a text is lost but marks, and none is made up', () => {
  const letters = (text) => text.replaceAll(/[^a-z0-9]/gi, '');
  const textOf = (nodes) => nodes.map((node) => (typeof node === 'string' ? node : (node.text ?? textOf(node.children ?? [])))).join('');
  for (let seed = 1; seed <= 400; seed += 1) {
    const dice = random(seed);
    // Without links and entities, whose addresses and names are not shown.
    const text = chars(dice, 200, 'ab1 *_~`[]!<>\\\n');
    assert.equal(letters(textOf(parseInline(text))), letters(text.replaceAll(/<br ?\/?>/gi, '')), `seed ${seed}: ${JSON.stringify(text)}`);
  }
});

/** Texts that make careless parsers slow, of about `size` characters. */
const SLOW = {
  'opening stars': (size) => '*a '.repeat(size / 3),
  'nested strong': (size) => '**a '.repeat(size / 4) + ' a**'.repeat(size / 8),
  'one run of stars': (size) => '*'.repeat(size),
  'mixed delimiters': (size) => '*a_b**c__~~'.repeat(size / 11),
  'opening brackets': (size) => '['.repeat(size),
  'closing brackets': (size) => '[a'.repeat(size / 4) + ']('.repeat(size / 4),
  'open addresses': (size) => '[a]('.repeat(size / 4),
  'open angle addresses': (size) => '[a](<'.repeat(size / 5),
  'open titles': (size) => '[a](b "'.repeat(size / 7),
  'open parentheses': (size) => '[a](('.repeat(size / 5),
  'images': (size) => '!['.repeat(size / 2),
  'runs of backticks': (size) => Array.from({ length: Math.sqrt(size) }, (_, index) => '`'.repeat(index)).join(' '),
  'quotes': (size) => '> '.repeat(size / 2),
  'list markers': (size) => '- '.repeat(size / 2),
  'a long line': (size) => 'word '.repeat(size / 5),
  'spaces': (size) => `${' '.repeat(size)}x`,
  'dashes and spaces': (size) => `- - -${' '.repeat(size)}x`,
  'closing marks of a heading': (size) => `# ${'#'.repeat(size)} x`,
  'delimiter cells': (size) => `|a\n${'|-'.repeat(size / 2)}x`,
  'short rows of a wide table': (size) => `${'|a'.repeat(60)}|\n${'|-'.repeat(60)}|\n${'|\n'.repeat(size / 2)}`,
  'angles': (size) => '<a'.repeat(size / 2),
  'addresses': (size) => 'https://'.repeat(size / 8),
  'ampersands': (size) => '&#1'.repeat(size / 3),
  'lines': (size) => 'a\n'.repeat(size / 2),
  'fences': (size) => '```\n'.repeat(size / 4),
};

const parseAll = (text) => {
  const walk = (blocks) => {
    for (const block of blocks) {
      if (block.text !== undefined && block.type !== 'code') for (const streaming of [false, true]) parseInline(block.text, streaming);
      walk(block.blocks ?? block.items?.flatMap((item) => item.blocks) ?? []);
    }
  };
  walk(parseBlocks(text));
};

for (const [name, make] of Object.entries(SLOW)) {
  test(`time is linear: ${name}`, () => {
    const timed = (size) => {
      const text = make(size);
      // The best of three, since other processes take time too.
      return Math.min(...[1, 2, 3].map(() => {
        const from = performance.now();
        parseAll(text);
        return performance.now() - from;
      }));
    };
    timed(4_000);
    // Eight times the text in less than thirty times the time (sixty-four if it were quadratic). What takes less than half a
    // second is not compared, since other processes take time too.
    const [short, long] = [timed(25_000), timed(200_000)];
    assert.ok(long < Math.max(500, 30 * short) && long < 5_000, `${short.toFixed(1)} ms, then ${long.toFixed(1)} ms`);
  });
}

test('nesting is bounded', () => {
  const depthOf = (nodes) => 1 + Math.max(0, ...nodes.map((node) => (node.children || node.blocks || node.items ? depthOf(node.children ?? node.blocks ?? node.items) : 0)));
  for (const text of ['> '.repeat(10_000), '- '.repeat(10_000), '> - '.repeat(5_000)]) assert.ok(depthOf(parseBlocks(text)) < 30);
  for (const text of ['**a *b '.repeat(5_000) + '* **'.repeat(5_000), `${'*'.repeat(5_000)}a${'*'.repeat(5_000)}`, '![a'.repeat(5_000) + '](https://e.org)'.repeat(5_000)]) {
    assert.ok(depthOf(parseInline(text)) < 60);
  }
});
