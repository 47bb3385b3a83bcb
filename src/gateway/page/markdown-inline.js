// Markdown within a block: emphasis, code, links, line breaks.
//
// Pure, linear in the length of the text. Two passes: `scan` makes tokens from left to right and resolves links, which
// bind tighter than emphasis; `nest` pairs the delimiters of emphasis.

/**
 * Parses the text of a block. A node is a string or one of `{type: 'em' | 'strong' | 'del', children}`
 * · `{type: 'code', text}` · `{type: 'link', href, title, children}` · `{type: 'break'}`.
 * `streaming` means that the text may continue: bold, code and links without their end are shown as if closed.
 */
export function parseInline(text, streaming = false) {
  return nest(scan(text, streaming), streaming);
}

/** Returns the address if it is absolute and of a harmless scheme, otherwise null. */
export function safeAddress(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  return SCHEMES.includes(url.protocol) ? url.href : null;
}

function scan(text, streaming) {
  const tokens = [];
  const brackets = [];
  const ticks = ticksOf(text);
  const say = (string) => {
    if (string === '') return;
    if (typeof tokens.at(-1) === 'string') tokens[tokens.length - 1] += string;
    else tokens.push(string);
  };
  let at = 0;

  const STEP = {
    '\n': () => {
      const last = tokens.at(-1);
      if (typeof last === 'string') tokens[tokens.length - 1] = last.replace(/\\$/, '').trimEnd();
      tokens.push({ type: 'break' });
      return 1;
    },
    '\\': () => {
      if (!PUNCTUATION.test(text[at + 1] ?? '')) return 0;
      say(text[at + 1]);
      return 2;
    },
    '&': () => {
      ENTITY.lastIndex = at;
      const found = ENTITY.exec(text);
      const char = found && charOf(found[1]);
      if (!char) return 0;
      say(char);
      return found[0].length;
    },
    '`': () => {
      const length = runLength(text, at);
      const close = ticks.closing(at + length, length);
      if (close === null && (!streaming || length > 2 || text.length - at > UNCLOSED_CHARS_MAX)) {
        say(text.slice(at, at + length));
        return length;
      }
      const inner = text.slice(at + length, close ?? text.length).replaceAll('\n', ' ');
      const padded = inner.startsWith(' ') && inner.endsWith(' ') && inner.trim() !== '';
      if (inner !== '') tokens.push({ type: 'code', text: padded ? inner.slice(1, -1) : inner });
      return (close === null ? text.length : close + length) - at;
    },
    '<': () => {
      BREAK.lastIndex = at;
      const line = BREAK.exec(text);
      if (line) tokens.push({ type: 'break' });
      if (line) return line[0].length;
      ANGLE.lastIndex = at;
      const found = ANGLE.exec(text);
      const href = found && safeAddress(found[1].includes('@') && !found[1].includes(':') ? `mailto:${found[1]}` : found[1]);
      if (!href) return 0;
      tokens.push({ type: 'link', href, title: null, children: [found[1]] });
      return found[0].length;
    },
    h: () => {
      if (/\w/.test(text[at - 1] ?? '')) return 0;
      URL_TEXT.lastIndex = at;
      const found = URL_TEXT.exec(text);
      const address = found && withoutTail(found[0]);
      const href = address && safeAddress(address);
      if (!href) return 0;
      tokens.push({ type: 'link', href, title: null, children: [address] });
      return address.length;
    },
    '!': () => {
      if (text[at + 1] !== '[') return 0;
      brackets.push(tokens.length);
      tokens.push({ open: '![', link: null });
      return 2;
    },
    '[': () => {
      brackets.push(tokens.length);
      tokens.push({ open: '[', link: null });
      return 1;
    },
    ']': () => {
      const opener = brackets.pop();
      const target = opener === undefined ? null : targetAt(text, at + 1, streaming);
      if (!target) return 0;
      tokens[opener].link = target;
      tokens.push({ close: opener });
      // Links do not contain links: the brackets before are text.
      if (tokens[opener].open === '[') brackets.length = 0;
      return target.end - at;
    },
    '*': () => delimiters(),
    _: () => delimiters(),
    '~': () => delimiters(),
  };

  function delimiters() {
    const char = text[at];
    const count = runLength(text, at);
    if (count > (char === '~' ? 2 : RUN_MAX)) {
      say(text.slice(at, at + count));
      return count;
    }
    const [before, after] = [text[at - 1] ?? ' ', text[at + count] ?? ' '];
    const left = !SPACE.test(after) && (!MARKS.test(after) || SPACE.test(before) || MARKS.test(before));
    const right = !SPACE.test(before) && (!MARKS.test(before) || SPACE.test(after) || MARKS.test(after));
    const opens = char === '_' ? left && (!right || MARKS.test(before)) : left;
    const closes = char === '_' ? right && (!left || MARKS.test(after)) : right;
    tokens.push({ char, count, opens, closes });
    return count;
  }

  while (at < text.length) {
    PLAIN.lastIndex = at;
    const plain = PLAIN.exec(text)?.[0] ?? '';
    say(plain);
    at += plain.length;
    if (at >= text.length) break;
    const taken = STEP[text[at]]();
    if (taken === 0) say(text[at]);
    at += taken || 1;
  }
  return tokens;
}

/** Pairs delimiters and builds the tree. A link is a frame that emphasis does not cross. */
function nest(tokens, streaming) {
  const root = { nodes: [] };
  const stack = [root];
  const top = () => stack.at(-1);
  const push = (node) => {
    const { nodes } = top();
    if (typeof node === 'string' && typeof nodes.at(-1) === 'string') nodes[nodes.length - 1] += node;
    else nodes.push(node);
  };
  /** Turns the frames above `height` into text of the frame below them. */
  const flatten = (height, closing = false) => {
    for (const { char, count, nodes } of stack.splice(height)) {
      // Bold that is not closed yet, and has some text.
      if (closing && count === 2 && char !== '_' && nodes.length > 0) {
        push({ type: char === '~' ? 'del' : 'strong', children: nodes });
        continue;
      }
      if (!closing || nodes.length > 0 || count !== 2) push(char.repeat(count));
      for (const node of nodes) push(node);
    }
  };
  /** Returns the height of the frame that this delimiter closes. The stack is bounded, and so is the search. */
  const find = ({ char, count, opens }) => {
    for (let height = stack.length - 1; height > 0; height -= 1) {
      const frame = stack[height];
      if (frame.link) return null;
      if (frame.char !== char) continue;
      if (char === '~' && frame.count === count) return height;
      const odd = (frame.closes || opens) && (frame.run + count) % 3 === 0 && count % 3 !== 0;
      if (char !== '~' && !odd) return height;
    }
    return null;
  };
  const close = (token) => {
    let { count } = token;
    while (count > 0) {
      const height = find(token);
      if (height === null) break;
      flatten(height + 1);
      const frame = top();
      const used = count >= 2 && frame.count >= 2 ? 2 : 1;
      const type = frame.char === '~' ? 'del' : used === 2 ? 'strong' : 'em';
      const node = { type, children: frame.nodes };
      count -= frame.char === '~' ? count : used;
      frame.count -= frame.char === '~' ? frame.count : used;
      if (frame.count > 0) {
        frame.nodes = [node];
      } else {
        stack.pop();
        push(node);
      }
    }
    return count;
  };

  for (const token of tokens) {
    if (typeof token === 'string' || token.type) {
      const inLink = token.type === 'link' && stack.some((frame) => frame.link);
      if (inLink) for (const child of token.children) push(child);
      else push(token);
    } else if (token.open) {
      if (token.link && stack.length > DEPTH_MAX) token.link = null;
      if (token.link) stack.push({ link: token.link, image: token.open === '![', nodes: [] });
      else push(token.open);
    } else if (token.close !== undefined) {
      if (tokens[token.close].link === null) continue;
      let height = stack.length - 1;
      while (!stack[height].link) height -= 1;
      flatten(height + 1);
      const { link, image, nodes } = stack.pop();
      const inLink = stack.some((frame) => frame.link);
      if (link.href === null || inLink) for (const node of nodes) push(node);
      else push({ type: 'link', href: link.href, title: link.title, image, children: nodes });
    } else {
      const left = token.closes ? close(token) : token.count;
      if (left === 0) continue;
      const rest = { char: token.char, count: left, run: left, closes: token.closes, nodes: [] };
      if (token.opens && stack.length <= DEPTH_MAX) stack.push(rest);
      else push(token.char.repeat(left));
    }
  }
  flatten(1, streaming);
  return root.nodes.filter((node) => node !== '');
}

/** Parses `(address "title")`. A relative or refused address gives a link without `href`, drawn as its text. */
function targetAt(text, start, streaming) {
  if (text[start] !== '(') return null;
  TARGET.lastIndex = start;
  const found = TARGET.exec(text);
  if (found) {
    const [all, angled, bare, double, single] = found;
    const href = safeAddress(unescaped(angled ?? bare ?? ''));
    return { href, title: double ?? single ?? null, end: start + all.length };
  }
  if (streaming && text.length - start < ADDRESS_CHARS_MAX && !/[)\n]/.test(text.slice(start))) {
    return { href: null, title: null, end: text.length };
  }
  return balancedTarget(text, start);
}

/** Parses an address that contains parentheses, such as those of an encyclopedia. */
function balancedTarget(text, start) {
  let open = 0;
  for (let at = start; at < text.length && at - start < ADDRESS_CHARS_MAX; at += 1) {
    const char = text[at];
    if (char === '\\') at += 1;
    else if (char === '(') open += 1;
    else if (char === ')') open -= 1;
    else if (SPACE.test(char)) return null;
    if (open > PARENTHESES_MAX) return null;
    if (open === 0) return { href: safeAddress(unescaped(text.slice(start + 1, at))), title: null, end: at + 1 };
  }
  return null;
}

const unescaped = (address) => address.replace(/\\([!-/:-@[-`{-~])/g, '$1').replaceAll('&amp;', '&');

/** Cuts punctuation that ends the sentence rather than the address. */
function withoutTail(address) {
  let end = address.length;
  let open = 0;
  for (const char of address) open += char === '(' ? 1 : char === ')' ? -1 : 0;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    if (last === ')' && open < 0) open += 1;
    else if (!/[?!.,:;*_~'"\]]/.test(last)) break;
  }
  return address.slice(0, end);
}

/** Finds the run of backticks that closes a code span; each run is looked at once. */
function ticksOf(text) {
  const places = new Map();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    if (!places.has(run.length)) places.set(run.length, { at: [], next: 0 });
    places.get(run.length).at.push(index);
  }
  return {
    closing(from, length) {
      const runs = places.get(length);
      while (runs && runs.next < runs.at.length && runs.at[runs.next] < from) runs.next += 1;
      return runs?.at[runs.next] ?? null;
    },
  };
}

function runLength(text, at) {
  let end = at + 1;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

function charOf(name) {
  if (!name.startsWith('#')) return ENTITIES[name] ?? null;
  const code = /^#[xX]/.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
  const isText = code > 31 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return isText ? String.fromCodePoint(code) : '\ufffd';
}

const SCHEMES = ['http:', 'https:', 'mailto:'];
const PLAIN = /[^\\`*_~[\]!<&\nh]*/y;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const MARKS = /[\p{P}\p{S}]/u;
const SPACE = /\s/;
const ENTITY = /&(#\d{1,7}|#[xX][\da-fA-F]{1,6}|[a-z]{2,6});/y;
const BREAK = /<br ?\/?>/iy;
const ANGLE = /<([^\s<>]{3,2000})>/y;
const URL_TEXT = /https?:[/]{2}[^\s<>|`]{1,2000}/y;
const TARGET = /\([ \t]{0,9}(?:<([^<>\n]{0,2000})>|([^\s()<>][^\s()]{0,2000})?)(?:[ \t\n]{1,9}(?:"([^"]{0,500})"|'([^']{0,500})'))?[ \t]{0,9}\)/y;
const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', copy: '©', reg: '®', hellip: '…', mdash: '—', ndash: '–', times: '×' };
/** Delimiters in a row; longer runs are text. */
const RUN_MAX = 6;
/** Characters after an opening backtick that are shown as code while the text may continue. */
const UNCLOSED_CHARS_MAX = 80;
/** Emphasis and links inside each other; deeper ones are text. */
const DEPTH_MAX = 16;
const ADDRESS_CHARS_MAX = 2_000;
const PARENTHESES_MAX = 8;
