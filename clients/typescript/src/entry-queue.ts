// A bounded queue between the connection and a `for await` loop.

import type { Entry } from './types.js';

/** An iterator over entries. Asking for the next one acknowledges the one before. */
export class EntryQueue implements AsyncIterableIterator<Entry> {
  /** The offset of the last entry that the loop is done with. */
  acknowledged: number;
  #entries: Entry[] = [];
  #waiting: PromiseWithReaction[] = [];
  #given: number;
  #end: { error: unknown } | null = null;
  #changed: () => void;

  /** `changed` is called when the length, the acknowledged offset or the end changes. */
  constructor(after: number, changed: () => void) {
    this.acknowledged = this.#given = after;
    this.#changed = changed;
  }

  /** The number of entries that the loop has not taken yet. */
  get length(): number {
    return this.#entries.length;
  }

  /** Whether the loop is over. */
  get ended(): boolean {
    return this.#end !== null;
  }

  /** Sets the offset after which the loop begins. */
  begin(after: number): void {
    this.acknowledged = this.#given = after;
  }

  push(entry: Entry): void {
    if (this.#end) return;
    const waiting = this.#waiting.shift();
    if (!waiting) this.#entries.push(entry);
    else waiting.resolve(this.#give(entry));
  }

  /** Ends the loop after the queued entries; with an error, at once. */
  end(error?: unknown): void {
    if (this.#end) return;
    this.#end = { error };
    if (error !== undefined) this.#entries = [];
    for (const waiting of this.#waiting.splice(0)) this.#finish(waiting);
    this.#changed();
  }

  next(): Promise<IteratorResult<Entry>> {
    this.acknowledged = this.#given;
    const entry = this.#entries.shift();
    const result = entry
      ? Promise.resolve(this.#give(entry))
      : new Promise<IteratorResult<Entry>>((resolve, reject) => {
          if (this.#end) this.#finish({ resolve, reject });
          else this.#waiting.push({ resolve, reject });
        });
    this.#changed();
    return result;
  }

  return(): Promise<IteratorResult<Entry>> {
    this.#entries = [];
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #give(entry: Entry): IteratorResult<Entry> {
    this.#given = entry.offset;
    return { done: false, value: entry };
  }

  #finish({ resolve, reject }: PromiseWithReaction): void {
    if (this.#end?.error === undefined) resolve({ done: true, value: undefined });
    else reject(this.#end.error);
  }
}

interface PromiseWithReaction {
  resolve(result: IteratorResult<Entry>): void;
  reject(error: unknown): void;
}
