// The connection as an explicit state machine.
//
//   idle ──connect──▶ connecting ──opened──▶ handshaking ──ready──▶ replaying ──caught_up──▶ live
//     ▲                ▲      │                   │                     │                      │
//     │                │      └─── closed, or no progress in time ──────┴──────────────────────┤
//   closed             │ elapsed, connect                                        pause         │
//   (final)            ├───────────────── waiting ◀────────────────────────────────────────────┤
//                      └───────────────── paused  ◀────────────────────────────────────────────┘
//
// Pure: `step(state, input)` returns the next state and the effects to perform, in order. Time, randomness and network
// events are part of the input. An input that does not fit the phase leaves the state as it is.

import { backoff, reactionTo } from './close-codes.js';

/** The state of the connection. */
export type ConnectionState =
  | { readonly phase: 'idle' }
  | ({ readonly phase: 'connecting' } & Attempts)
  | ({ readonly phase: 'handshaking' } & Attempts)
  | ({ readonly phase: 'replaying' | 'live' } & Attempts & Session)
  | ({ readonly phase: 'waiting' } & Attempts & Ending & { readonly retry_in_ms: number })
  | { readonly phase: 'paused' }
  | ({ readonly phase: 'closed'; readonly reason: 'client' | 'final' | 'refused' } & Ending);

interface Attempts {
  /** Attempts since the connection was last live for `STABLE_MS`. */
  readonly attempt: number;
  /** Refused credentials in a row. */
  readonly refusals: number;
}

interface Session {
  /** The id of the connection in the service's log. */
  readonly connection_id: string;
  readonly heartbeat_ms: number;
  /** The `reconnect_after_ms` of `draining`; null before. */
  readonly draining: number | null;
}

interface Ending {
  /** The close code; null if there was none. */
  readonly code: number | null;
  /** The reason, for people. */
  readonly message: string;
}

export type Timer = 'deadline' | 'beat' | 'pong' | 'renew' | 'retry' | 'stable';

export type Input =
  | { type: 'connect' | 'drop' | 'opened' | 'caught_up' | 'pause' | 'restart' }
  | { type: 'credential'; renew_in_ms: number | null }
  | { type: 'credential_failed'; final: boolean; message: string; retry_after_ms: number | null; dice: number }
  | { type: 'ready'; connection_id: string; heartbeat_ms: number; renew_in_ms: number | null }
  | { type: 'renewed'; renew_in_ms: number | null }
  | { type: 'draining'; reconnect_after_ms: number }
  | { type: 'closed'; code: number; message: string; dice: number }
  | { type: 'distrust'; message: string; dice: number }
  | { type: 'elapsed'; timer: Timer; dice: number };

export type Effect =
  | { type: 'fetch_credential'; reason: 'connect' | 'refused' | 'renew' }
  | { type: 'open' | 'hello' | 'ping' | 'renew' | 'abort' | 'flush' | 'quiet' }
  | { type: 'arm'; timer: Timer; ms: number }
  | { type: 'disarm'; timer: Timer };

type Result = [ConnectionState, Effect[]];

export const IDLE: ConnectionState = { phase: 'idle' };

/** Returns whether commands may be sent. */
export function isOpen(state: ConnectionState): state is Extract<ConnectionState, { connection_id: string }> {
  return state.phase === 'replaying' || state.phase === 'live';
}

/** Returns the next state and the effects. */
export function step(state: ConnectionState, input: Input): Result {
  switch (input.type) {
    case 'connect':
      if (state.phase === 'waiting') return connecting(state);
      return state.phase === 'idle' || state.phase === 'paused' || state.phase === 'closed' ? connecting(FRESH) : [state, []];
    case 'drop':
      return [{ phase: 'closed', reason: 'client', code: null, message: 'closed' }, ABANDON];
    case 'pause':
      return state.phase === 'closed' ? [state, []] : [{ phase: 'paused' }, ABANDON];
    case 'restart': {
      if (!isOpen(state)) return [state, []];
      const [next, effects] = connecting(state);
      return [next, [{ type: 'abort' }, ...effects]];
    }
    case 'distrust': {
      if (!('attempt' in state) || state.phase === 'waiting') return [state, []];
      const [next, effects] = wait(state, { code: null, message: input.message }, 'retry', input.dice, 0);
      return [next, [{ type: 'abort' }, ...effects]];
    }
    case 'closed':
      return closed(state, input);
    case 'elapsed':
      return elapsed(state, input);
    case 'credential':
      if (state.phase === 'connecting') return [state, [{ type: 'open' }]];
      return isOpen(state) ? [state, [{ type: 'renew' }, ...renewal(input.renew_in_ms)]] : [state, []];
    case 'credential_failed':
      return credentialFailed(state, input);
    case 'opened':
      if (state.phase !== 'connecting') return [state, []];
      return [{ ...attempts(state), phase: 'handshaking' }, [{ type: 'hello' }, { type: 'arm', timer: 'deadline', ms: DEADLINE_MS }]];
    case 'ready': {
      if (state.phase !== 'handshaking') return [state, []];
      const { connection_id, heartbeat_ms, renew_in_ms } = input;
      return [
        { ...attempts(state), phase: 'replaying', connection_id, heartbeat_ms, draining: null },
        [{ type: 'disarm', timer: 'deadline' }, { type: 'arm', timer: 'beat', ms: heartbeat_ms }, ...renewal(renew_in_ms), { type: 'flush' }],
      ];
    }
    case 'caught_up':
      if (state.phase !== 'replaying') return [state, []];
      return [{ ...state, phase: 'live', refusals: 0 }, [{ type: 'arm', timer: 'stable', ms: STABLE_MS }, { type: 'flush' }]];
    case 'draining':
      return isOpen(state) ? [{ ...state, draining: input.reconnect_after_ms }, []] : [state, []];
    case 'renewed':
      return isOpen(state) ? [state, renewal(input.renew_in_ms)] : [state, []];
  }
}

function closed(state: ConnectionState, { code, message, dice }: Extract<Input, { type: 'closed' }>): Result {
  if (!('attempt' in state) || state.phase === 'waiting') return [state, []];
  const reaction = reactionTo(code);
  if (reaction === 'final') return [{ phase: 'closed', reason: 'final', code, message }, QUIET];
  const refusals = reaction === 'credential' ? state.refusals + 1 : state.refusals;
  if (refusals > REFUSALS_MAX) return [{ phase: 'closed', reason: 'refused', code, message }, QUIET];
  const floor = isOpen(state) ? (state.draining ?? 0) : 0;
  return wait({ ...state, refusals }, { code, message }, reaction, dice, floor);
}

function credentialFailed(state: ConnectionState, input: Extract<Input, { type: 'credential_failed' }>): Result {
  if (isOpen(state)) return [state, [{ type: 'arm', timer: 'renew', ms: RENEW_AGAIN_MS }]];
  if (state.phase !== 'connecting') return [state, []];
  if (input.final) return [{ phase: 'closed', reason: 'refused', code: null, message: input.message }, QUIET];
  return wait(state, { code: null, message: input.message }, 'retry', input.dice, input.retry_after_ms ?? 0);
}

function elapsed(state: ConnectionState, { timer, dice }: Extract<Input, { type: 'elapsed' }>): Result {
  switch (timer) {
    case 'retry':
      return state.phase === 'waiting' ? connecting(state) : [state, []];
    case 'deadline':
      if (state.phase !== 'connecting' && state.phase !== 'handshaking') return [state, []];
      return step(state, { type: 'distrust', message: 'timeout', dice });
    case 'pong':
      return isOpen(state) ? step(state, { type: 'distrust', message: 'pong timeout', dice }) : [state, []];
    case 'beat':
      if (!isOpen(state)) return [state, []];
      return [state, [{ type: 'ping' }, { type: 'arm', timer: 'pong', ms: PONG_MS }, { type: 'arm', timer, ms: state.heartbeat_ms }]];
    case 'renew':
      return isOpen(state) ? [state, [{ type: 'fetch_credential', reason: 'renew' }]] : [state, []];
    case 'stable':
      return isOpen(state) ? [{ ...state, attempt: 0 }, []] : [state, []];
  }
}

function connecting(state: Attempts): Result {
  const reason = state.refusals > 0 ? 'refused' : 'connect';
  return [
    { ...attempts(state), phase: 'connecting' },
    [...QUIET, { type: 'arm', timer: 'deadline', ms: DEADLINE_MS }, { type: 'fetch_credential', reason }],
  ];
}

function wait(state: Attempts, ending: Ending, reaction: Parameters<typeof backoff>[1], dice: number, floor: number): Result {
  const retry_in_ms = floor + backoff(state.attempt, reaction, dice);
  return [
    { phase: 'waiting', attempt: state.attempt + 1, refusals: state.refusals, ...ending, retry_in_ms },
    [...QUIET, { type: 'arm', timer: 'retry', ms: retry_in_ms }],
  ];
}

function attempts({ attempt, refusals }: Attempts): Attempts {
  return { attempt, refusals };
}

function renewal(ms: number | null): Effect[] {
  return ms === null ? [] : [{ type: 'arm', timer: 'renew', ms }];
}

const FRESH: Attempts = { attempt: 0, refusals: 0 };
/** Time for the credential and the handshake together, and for `ready` after it. */
const DEADLINE_MS = 15_000;
const PONG_MS = 10_000;
/** Time before a refused renewal is tried again. */
export const RENEW_AGAIN_MS = 5_000;
/** The time a connection has to be live before the next back-off begins at the shortest delay again. */
const STABLE_MS = 5_000;
/** Refused credentials in a row after which the client gives up. */
const REFUSALS_MAX = 3;
/** Disarms every timer that the previous phase may have armed. */
const QUIET: Effect[] = [{ type: 'quiet' }];
const ABANDON: Effect[] = [{ type: 'abort' }, ...QUIET];
