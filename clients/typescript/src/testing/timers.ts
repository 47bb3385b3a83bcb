import type { Timers } from '../socket.js';

/** Timers that elapse only by `advance`. */
export class ManualTimers implements Timers {
  #now = 0;
  #next = 0;
  #armed = new Map<number, { due: number; callback: () => void }>();

  /** The time in milliseconds, beginning at 0; pass it as `now`. */
  now = (): number => this.#now;

  /** The delays that are armed, in milliseconds from now, shortest first. */
  get armed(): number[] {
    return [...this.#armed.values()].map(({ due }) => due - this.#now).sort((a, b) => a - b);
  }

  set(callback: () => void, ms: number): unknown {
    this.#next += 1;
    this.#armed.set(this.#next, { due: this.#now + ms, callback });
    return this.#next;
  }

  clear(timer: unknown): void {
    this.#armed.delete(timer as number);
  }

  /** Lets `ms` pass: fires what is due, in order, and lets its consequences settle. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const due = [...this.#armed].filter(([, timer]) => timer.due <= end).sort((a, b) => a[1].due - b[1].due)[0];
      if (!due) break;
      this.#armed.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].due);
      due[1].callback();
    }
    this.#now = end;
    await settled();
  }
}

/** Waits until promises and microtasks that are ready have run. */
async function settled(): Promise<void> {
  for (let i = 0; i < TURNS; i += 1) await Promise.resolve();
}

const TURNS = 100;
