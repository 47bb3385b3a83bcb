// One event of a run as a row with its number, name and time: what "Show every event" adds.

import { el, span } from './dom.js';

/** Creates a row; `after_ms` is the time since the run started. */
export function eventRow(name, seq, after_ms, ...body) {
  // Without the events themselves there is nothing to number.
  if (seq === undefined) return null;
  return el('div', { class: 'event', data: { event: name, seq } },
    el('span', { class: 'seq' }, String(seq)),
    el('div', { class: 'event-body' }, el('span', { class: 'event-name' }, name), ' ', ...body),
    el('span', { class: 'at' }, `+${span(Math.max(0, after_ms))}`));
}
