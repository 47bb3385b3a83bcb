// What survives a reload: the cursor with the state that belongs to it, as one record. Written together they cannot
// disagree: an old record means a longer replay, never a repeated or a missing entry.

import type { Conversations, Thread } from './conversation.js';
import type { Cursor } from './cursor.js';
import type { Command } from './types.js';

/** A record to resume from. JSON. */
export interface Checkpoint {
  /** The version of this form. */
  readonly version: 1;
  /** The last entry that is in the record. */
  readonly cursor: Cursor;
  /** The threads; null if the client keeps no conversations. */
  readonly threads: readonly Thread[] | null;
  /** The commands that the service has not answered. */
  readonly commands: readonly Command[];
}

/** A place for one record. Errors are reported to `onError` and the client continues. */
export interface CheckpointStorage {
  /** Returns the saved record, or null. */
  load(): Promise<Checkpoint | null> | Checkpoint | null;
  /** Replaces the record. */
  save(checkpoint: Checkpoint): Promise<void> | void;
}

/**
 * Creates a storage in a `Storage` of the browser. `sessionStorage` fits: each tab has its own record. With
 * `localStorage`, give each tab its own key.
 */
export function webStorage(storage: Pick<Storage, 'getItem' | 'setItem'>, key = 'quintet'): CheckpointStorage {
  return {
    load: () => JSON.parse(storage.getItem(key) ?? 'null') as Checkpoint | null,
    save: (checkpoint) => storage.setItem(key, JSON.stringify(checkpoint)),
  };
}

/** Restores the state of a record. */
export function restore({ cursor, threads }: Checkpoint): Conversations {
  return { offset: cursor.offset, threads: new Map((threads ?? []).map((thread) => [thread.thread_id, thread])) };
}
