// Markdown blocks: the part of GitHub Flavored Markdown that answers use.
//
// Pure: text in, plain objects out. Time is linear in the length of the text, and nesting is bounded by
// `DEPTH_MAX`. There is no node for HTML: what looks like a tag stays text.
//
// Differences from GFM, on purpose: no underlined headings, since a line of dashes after a paragraph is a rule and a
// list that is still streaming must not flash as a heading; no link reference definitions; a nested list needs two
// columns of indentation, not the width of the marker.

/**
 * Parses Markdown. A block is one of
 * `{type: 'paragraph', text}` · `{type: 'heading', level, text}` · `{type: 'code', lang, text}` · `{type: 'rule'}`
 * · `{type: 'quote', blocks}` · `{type: 'list', ordered, start, tight, items: [{checked, blocks, raw}]}`
 * · `{type: 'table', align, head, rows}`, each with `line`, its first line, and `raw`, its source.
 */
export function parseBlocks(text) {
  return parse(text.split('\n'), 0);
}

/** Parses a text that grows, from its last block on. */
export class BlockStream {
  #text = '';
  /** The first character that is parsed again, and the number of blocks before it. */
  #from = 0;
  #settled = 0;

  /**
   * Takes the whole text. Returns the blocks that may have changed: `{first, blocks}`, those from index `first` on; the
   * ones before are as they were. A text that is not a continuation starts over, with `first` 0.
   */
  update(text) {
    if (!text.startsWith(this.#text)) {
      this.#from = 0;
      this.#settled = 0;
    }
    this.#text = text;
    const tail = text.slice(this.#from);
    const update = { first: this.#settled, blocks: parseBlocks(tail) };
    // No further text can change the blocks before the last one of whole lines.
    const whole = tail.slice(0, tail.lastIndexOf('\n') + 1);
    const blocks = parseBlocks(whole);
    if (blocks.length > 1) {
      let at = 0;
      for (let line = 0; line < blocks.at(-1).line; line += 1) at = whole.indexOf('\n', at) + 1;
      this.#from += at;
      this.#settled += blocks.length - 1;
    }
    return update;
  }
}

function parse(lines, depth) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    const [block, next] = blockAt(lines, at, depth);
    block.line = at;
    block.raw = lines.slice(at, next).join('\n');
    blocks.push(block);
    at = next;
  }
  return blocks;
}

/** Returns the block that starts at this line, and the line after it. */
function blockAt(lines, at, depth) {
  const line = lines[at];
  if (indentOf(line) >= CODE_INDENT) return indented(lines, at);
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence);
  const heading = headingOf(line);
  if (heading) return [heading, at + 1];
  if (RULE.test(line)) return [{ type: 'rule' }, at + 1];
  if (depth < DEPTH_MAX) {
    if (QUOTE.test(line)) return quote(lines, at, depth);
    const item = markerOf(line);
    if (item) return list(lines, at, item, depth);
  }
  if (startsTable(lines, at)) return table(lines, at);
  return paragraph(lines, at, depth);
}

function headingOf(line) {
  const start = HEADING.exec(line);
  if (!start) return null;
  let text = line.slice(start[0].length).trim();
  let end = text.length;
  while (end > 0 && text[end - 1] === '#') end -= 1;
  if (end === 0 || /[ \t]/.test(text[end - 1])) text = text.slice(0, end).trimEnd();
  return { type: 'heading', level: start[1].length, text };
}

function fenced(lines, at, [, indent, marks, info]) {
  const taken = [];
  let next = at + 1;
  while (next < lines.length && !closesFence(lines[next], marks)) {
    taken.push(outdent(lines[next], indent.length));
    next += 1;
  }
  const lang = /^[\w+#.-]{1,40}/.exec(info.trim())?.[0] ?? '';
  return [{ type: 'code', lang, text: taken.join('\n') }, Math.min(lines.length, next + 1)];
}

function closesFence(line, marks) {
  const fence = FENCE.exec(line);
  return fence !== null && fence[2][0] === marks[0] && fence[2].length >= marks.length && isBlank(fence[3]);
}

function indented(lines, at) {
  let end = at + 1;
  for (let next = end; next < lines.length; next += 1) {
    if (isBlank(lines[next])) continue;
    if (indentOf(lines[next]) < CODE_INDENT) break;
    end = next + 1;
  }
  const text = lines.slice(at, end).map((line) => outdent(line, CODE_INDENT)).join('\n');
  return [{ type: 'code', lang: '', text }, end];
}

function quote(lines, at, depth) {
  const taken = [];
  let next = at;
  let fence = null;
  for (; next < lines.length; next += 1) {
    const line = lines[next];
    if (QUOTE.test(line)) {
      const inner = line.replace(QUOTE, '');
      taken.push(inner);
      fence = fenceAfter(fence, inner);
    } else if (fence === null && !isBlank(taken.at(-1)) && continuesText(line)) {
      taken.push(line);
    } else {
      break;
    }
  }
  return [{ type: 'quote', blocks: parse(taken, depth + 1) }, next];
}

function list(lines, at, first, depth) {
  const items = [];
  let next = at;
  let tight = true;
  let marker = first;
  while (marker) {
    const { taken, end, loose } = itemAt(lines, next, marker);
    const [, mark, text] = /^\[([ xX])\][ \t]+(.*)$/.exec(taken[0]) ?? [];
    const checked = mark === undefined ? null : mark !== ' ';
    if (checked !== null) taken[0] = text;
    items.push({ checked, blocks: parse(taken, depth + 1), raw: lines.slice(next, end).join('\n') });
    next = end;
    let following = next;
    while (following < lines.length && isBlank(lines[following])) following += 1;
    const another = following < lines.length && !RULE.test(lines[following]) ? markerOf(lines[following]) : null;
    marker = another?.kind === first.kind ? another : null;
    if (loose || (marker && following > next)) tight = false;
    if (marker) next = following;
  }
  const ordered = first.kind !== '-' && first.kind !== '+' && first.kind !== '*';
  return [{ type: 'list', ordered, start: first.number, tight, items }, next];
}

/** Collects the lines of one item, without its marker and indentation. */
function itemAt(lines, at, { indent, width }) {
  const taken = [lines[at].slice(Math.min(lines[at].length, width))];
  let fence = fenceAfter(null, taken[0]);
  let end = at + 1;
  let blanks = 0;
  let loose = false;
  for (let next = at + 1; next < lines.length; next += 1) {
    const line = lines[next];
    if (isBlank(line)) {
      blanks += 1;
      continue;
    }
    const inside = indentOf(line) >= width || (indentOf(line) >= indent + NESTED_INDENT && markerOf(line) !== null);
    const lazy = !inside && blanks === 0 && fence === null && !isBlank(taken.at(-1)) && continuesText(line);
    if (!inside && !lazy) break;
    // A list item that begins with a blank line has no further paragraphs after another one.
    if (inside && blanks > 0 && isBlank(taken[0]) && taken.length === 1) break;
    if (blanks > 0 && fence === null) loose = true;
    for (; blanks > 0; blanks -= 1) taken.push('');
    const inner = inside ? outdent(line, width) : line;
    taken.push(inner);
    fence = fenceAfter(fence, inner);
    end = next + 1;
  }
  return { taken, end, loose };
}

/** Returns the marks of the fence that is open after this line, or null. */
function fenceAfter(open, line) {
  if (open !== null) return closesFence(line, open) ? null : open;
  return FENCE.exec(line)?.[2] ?? null;
}

function table(lines, at) {
  const align = cellsOf(lines[at + 1]).map((cell) => ALIGN[`${cell.startsWith(':')} ${cell.endsWith(':')}`]);
  const head = cellsOf(lines[at]);
  const rows = [];
  let next = at + 2;
  for (; next < lines.length && !isBlank(lines[next]) && !interrupts(lines[next]); next += 1) {
    rows.push(cellsOf(lines[next]).slice(0, head.length));
  }
  return [{ type: 'table', align, head, rows }, next];
}

function startsTable(lines, at) {
  if (at + 1 >= lines.length || !lines[at].includes('|') || !lines[at + 1].includes('-')) return false;
  if (!DELIMITERS.test(lines[at + 1])) return false;
  const columns = cellsOf(lines[at]).length;
  return columns <= COLUMNS_MAX && columns === cellsOf(lines[at + 1]).length;
}

/** Splits a table row at its unescaped bars. */
function cellsOf(line) {
  const row = line.trim();
  const cells = [];
  let cell = '';
  for (let at = row.startsWith('|') ? 1 : 0; at < row.length; at += 1) {
    if (row[at] === '\\' && row[at + 1] === '|') {
      cell += '|';
      at += 1;
    } else if (row[at] === '|') {
      cells.push(cell.trim());
      cell = '';
    } else {
      cell += row[at];
    }
  }
  if (cell.trim() !== '' || !row.endsWith('|')) cells.push(cell.trim());
  return cells;
}

function paragraph(lines, at, depth) {
  let next = at + 1;
  while (next < lines.length && !isBlank(lines[next]) && !endsParagraph(lines, next, depth)) next += 1;
  const text = lines.slice(at, next).map((line) => line.replace(/^[ \t]+/, '')).join('\n').trimEnd();
  return [{ type: 'paragraph', text }, next];
}

function endsParagraph(lines, at, depth) {
  if (startsTable(lines, at)) return true;
  return depth < DEPTH_MAX ? interrupts(lines[at]) : interruptsAnywhere(lines[at]);
}

/** Whether this line starts a block even right after a paragraph. */
function interrupts(line) {
  if (interruptsAnywhere(line) || QUOTE.test(line)) return true;
  const marker = markerOf(line);
  return marker !== null && !isBlank(line.slice(marker.width)) && (marker.number === null || marker.number === 1);
}

function interruptsAnywhere(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line);
}

/** Whether this line, without the markers of its container, continues a paragraph in it. */
function continuesText(line) {
  return !isBlank(line) && !interrupts(line) && markerOf(line) === null;
}

/** Returns the list marker of a line: its kind, number, indentation and the column where the text begins. */
function markerOf(line) {
  const found = MARKER.exec(line);
  if (!found || RULE.test(line)) return null;
  const [all, indent, mark, spaces] = found;
  const number = mark.length > 1 ? Number(mark.slice(0, -1)) : null;
  const isEmpty = all.length === line.length;
  const width = isEmpty || spaces.length > 4 ? indent.length + mark.length + 1 : all.length;
  return { kind: mark.at(-1), number, indent: indent.length, width };
}

const isBlank = (line) => line === undefined || /^[ \t\r]*$/.test(line);

/** Returns the indentation in columns; a tab counts as four. */
function indentOf(line) {
  let columns = 0;
  for (const char of line) {
    if (char === ' ') columns += 1;
    else if (char === '\t') columns += 4;
    else break;
  }
  return columns;
}

/** Removes up to `columns` of indentation. */
function outdent(line, columns) {
  let at = 0;
  let left = columns;
  while (left > 0 && (line[at] === ' ' || line[at] === '\t')) {
    left -= line[at] === ' ' ? 1 : 4;
    at += 1;
  }
  return line.slice(at);
}

// No expression here has two ways to match the same text, so none takes more than linear time.
const FENCE = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})(.*)$/;
const HEADING = /^ {0,3}(#{1,6})(?=[ \t\r]|$)/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}\r?$/;
const QUOTE = /^ {0,3}> ?/;
const MARKER = /^( *)([-+*]|\d{1,9}[.)])([ \t]+|$)/;
const DELIMITERS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t\r]*$/;
const ALIGN = { 'true true': 'center', 'true false': 'left', 'false true': 'right', 'false false': null };
const CODE_INDENT = 4;
const NESTED_INDENT = 2;
/** Quotes and lists inside each other; deeper ones are text. */
const DEPTH_MAX = 10;
const COLUMNS_MAX = 64;
