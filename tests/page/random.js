// Random Markdown for property tests, from a seed.

/** Returns a function that returns random integers below its argument. */
export function random(seed) {
  let state = seed * 2_654_435_761;
  return (below) => {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Returns up to `length` characters of an alphabet. */
export function chars(dice, length, alphabet) {
  return Array.from({ length: dice(length) }, () => alphabet[dice(alphabet.length)]).join('');
}

/** Returns `pieces` random pieces of Markdown and of markup that must stay text. */
export function evil(dice, pieces) {
  return Array.from({ length: pieces }, () => PIECES[dice(PIECES.length)]).join('');
}

const PIECES = [
  '\n', '\n', '\n', '\n\n', ' ', '  ', '    ', '\t', 'word', 'a', 'b c', '1', '# ', '### ', '---\n', '***', '- ', '* ', '+ ', '1. ', '12) ', '- [ ] ', '- [x] ',
  '> ', '>', '```', '```js\n', '~~~\n', '`', '``', '*', '**', '_', '__', '~~', '[', ']', '](', '(', ')', '![', '<', '>', '\\', '|', '| a | b |\n', '|--|:-:|\n', 'a|b\n-|-\n',
  '&amp;', '&lt;', '&#106;', '<br>', 'https://e.org/a_b', 'http://', 'mailto:a@e.org', '[t](https://e.org "x")', '[t](javascript:alert(1))', '[t](JaVaScRiPt:alert`1`)', '[t](data:text/html,<script>)', '[t](//e.org)',
  '<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '<a href="javascript:alert(1)">', '<svg/onload=alert(1)>', '<!--', ']]>', '"', "'", '\u202e', '\u0000', 'שלום', '😀', '\r',
];
