/**
 * The reaction to a close code, as the contract defines it: `retry` after a short random delay, `later` with a longer
 * back-off, `credential` with a new credential, `final` not at all.
 */
export type Reaction = 'retry' | 'later' | 'credential' | 'final';

/** Returns the reaction to a close code (CONN-3). A code that the contract does not know is final from 4400 on. */
export function reactionTo(code: number): Reaction {
  if (code === 1013 || code === 4429) return 'later';
  if (code === 4401) return 'credential';
  if (code === 4408) return 'retry';
  return code >= 4400 || FINAL.includes(code) ? 'final' : 'retry';
}

/** 1000 is the server's answer to this client's own close; a server that closes with it has nothing left to send. */
const FINAL = [1000, 1002, 1007, 1009];

/**
 * Returns the delay before the next attempt in milliseconds: exponential back-off with full jitter, a random time
 * between 0 and the ceiling. `dice` is in 0..1.
 */
export function backoff(attempt: number, reaction: Reaction, dice: number): number {
  const base = reaction === 'later' ? LATER_MS : RETRY_MS;
  return Math.round(dice * Math.min(RETRY_MS_MAX, base * 2 ** attempt));
}

const RETRY_MS = 500;
const LATER_MS = 4_000;
const RETRY_MS_MAX = 30_000;
