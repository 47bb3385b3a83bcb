import { Quintet, type Entry, type QuintetOptions, type Snapshot } from 'quintet';
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

/** Resolves with the first snapshot that fits. */
export function when(client: Quintet, fits: (snapshot: Snapshot) => boolean): Promise<Snapshot> {
  return new Promise((resolve) => {
    const check = () => {
      if (!fits(client.snapshot)) return;
      unsubscribe();
      resolve(client.snapshot);
    };
    const unsubscribe = client.subscribe(check);
    check();
  });
}

/** Takes entries of a loop up to an offset. */
export async function takeUntil(entries: AsyncIterable<Entry>, offset: number): Promise<Entry[]> {
  const taken: Entry[] = [];
  for await (const entry of entries) {
    taken.push(entry);
    if (entry.offset >= offset) break;
  }
  return taken;
}
