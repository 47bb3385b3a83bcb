// Lossless JSON: integers beyond the precision of a JavaScript number keep their digits.

/** Parses JSON text. Numbers that a double cannot represent exactly survive a later `encode`. */
export function decode(text) {
  if (typeof JSON.rawJSON !== 'function' || !LONG_NUMBER.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_key, value, context) =>
    typeof value === 'number' && !isExact(value, context.source) ? JSON.rawJSON(context.source) : value,
  );
}

export function encode(value) {
  return JSON.stringify(value);
}

/** Formats JSON for display: on one line if short, otherwise indented; truncated at `charsMax`. */
export function pretty(value, charsMax = PRETTY_CHARS_MAX) {
  const text = JSON.stringify(value, null, 2) ?? 'null';
  const line = text.length <= 2 * LINE_CHARS_MAX ? text.replace(/\n\s*/g, ' ') : text;
  return clip(line.length <= LINE_CHARS_MAX ? line : text, charsMax);
}

/** Truncates `text` to `charsMax` characters and appends the number of omitted ones. */
export function clip(text, charsMax) {
  if (text.length <= charsMax) return text;
  return `${text.slice(0, charsMax)}\n… ${(text.length - charsMax).toLocaleString('en')} more characters`;
}

/** Returns whether a double represents the number's source exactly. Only long integers can be inexact. */
function isExact(value, source) {
  return !/^-?\d{16,}$/.test(source) || (Number.isSafeInteger(value) && String(value) === source);
}

const LONG_NUMBER = /\d{16}/;
const LINE_CHARS_MAX = 72;
const PRETTY_CHARS_MAX = 20_000;
