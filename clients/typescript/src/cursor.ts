// The cursor: which entry comes next, and whether a frame fits (DEL-2, DEL-3, ISO-1). Pure.

import type { Entry, Ready } from './types.js';

/** The place in one user's log up to which all entries were received. */
export interface Cursor {
  /** The owner of the log; null before the first `ready`. */
  readonly user_id: string | null;
  /** The epoch of the journal; null before the first `ready`. */
  readonly epoch: string | null;
  /** The offset of the last entry received. */
  readonly offset: number;
}

/** The cursor before the first entry. */
export const START: Cursor = { user_id: null, epoch: null, offset: 0 };

/**
 * The place of a `ready` relative to the cursor:
 * - `resumed`: the next entry follows the last one
 * - `gap`: entries are missing for good; the log is the same one
 * - `reset`: the log is another one, and what is held of the old one is discarded
 * - `rewind`: as `reset`, and the connection has to be replaced by one that reads from the beginning
 */
export type ReadyVerdict = 'resumed' | 'gap' | 'reset' | 'rewind';

/** Applies `ready`. `fromHead`: `hello` had `start: head`. */
export function admitReady(cursor: Cursor, ready: Ready, fromHead: boolean): [Cursor, ReadyVerdict] {
  const next = { user_id: ready.user_id, epoch: ready.epoch, offset: ready.resumed_after };
  if (cursor.offset === 0 && cursor.epoch === null && (fromHead || !ready.gap)) return [next, 'resumed'];
  if (cursor.user_id !== null && cursor.user_id !== ready.user_id) {
    return cursor.offset === 0 ? [next, 'reset'] : [START, 'rewind'];
  }
  if (cursor.epoch !== null && cursor.epoch !== ready.epoch && ready.gap && ready.gap.from <= 1) return [next, 'reset'];
  // The log ends before the cursor: entries that this client holds do not exist.
  if (ready.resumed_after < cursor.offset) return [START, 'rewind'];
  if (ready.gap) return [next, 'gap'];
  return ready.resumed_after === cursor.offset ? [next, 'resumed'] : [START, 'rewind'];
}

/** `next`: apply it; `repeat`: it was applied before; `hole`, `foreign`: the connection is not to be trusted. */
export type EntryVerdict = 'next' | 'repeat' | 'hole' | 'foreign';

/** Applies an entry. */
export function admitEntry(cursor: Cursor, entry: Entry): [Cursor, EntryVerdict] {
  if ('user_id' in entry && cursor.user_id !== null && entry.user_id !== cursor.user_id) return [cursor, 'foreign'];
  if (entry.offset <= cursor.offset) return [cursor, 'repeat'];
  if (entry.offset !== cursor.offset + 1) return [cursor, 'hole'];
  return [{ ...cursor, offset: entry.offset }, 'next'];
}
