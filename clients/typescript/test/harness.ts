import assert from 'node:assert/strict';
import { Quintet, type Entry, type QuintetOptions, type Snapshot } from 'quintet';
import type { History, HistoryState } from 'quintet/history';
import { FakeServer, ManualTimers, type FakeServerOptions } from 'quintet/testing';

/** A server, a client of the user `ann`, and its timers. */
export function pair(serverOptions: FakeServerOptions = {}, clientOptions: Partial<QuintetOptions> = {}) {
  const server = new FakeServer(serverOptions);
  const timers = new ManualTimers();
  const errors: unknown[] = [];
  const open = (options: Partial<QuintetOptions> = {}) =>
    new Quintet({
      url: 'http://fake',
      credential: () => ({ token: 'ann' }),
      WebSocket: server.WebSocket,
      timers,
      now: timers.now,
      random: () => 0.5,
      onError: (error) => errors.push(error),
      ...clientOptions,
      ...options,
    });
  return { server, timers, errors, open, client: open() };
}

/** Resolves with the snapshot of a client, or the state of a history, when it fits. */
export function when<T extends Quintet | History>(of: T, fits: (state: Of<T>) => boolean): Promise<Of<T>> {
  return new Promise((resolve) => {
    const read = () => ('snapshot' in of ? of.snapshot : of.state) as Of<T>;
    const check = () => {
      const state = read();
      if (!fits(state)) return;
      unsubscribe();
      resolve(state);
    };
    const unsubscribe = of.subscribe(check);
    check();
  });
}

type Of<T> = T extends Quintet ? Snapshot : HistoryState;

/** Takes entries of a loop up to an offset. */
export async function takeUntil(entries: AsyncIterable<Entry>, offset: number): Promise<Entry[]> {
  const taken: Entry[] = [];
  for await (const entry of entries) {
    taken.push(entry);
    if (entry.offset >= offset) break;
  }
  return taken;
}

/** Waits until something holds that nothing announces. */
export async function until(fits: () => boolean): Promise<void> {
  for (let turn = 0; !fits(); turn += 1) {
    assert.ok(turn < 2_000, 'never');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A promise, and what resolves it. */
export function gate() {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
}
