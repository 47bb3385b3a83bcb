// The connection as an explicit state machine.
//
//   disconnected ──connect──▶ connecting ──opened──▶ handshaking ──ready──▶ replaying ──caught_up──▶ live
//        ▲                        ▲  │                    │                     │                     │
//        │ drop, final close      │  └──── closed, or no progress in time ──────┴─────────────────────┤
//        │                 elapsed│                       ▼                                           │
//        └─────────────────────  waiting ◀────────────────────────────────────────────────────────────┘
//
// Pure: `step(state, input)` returns the next state and the effects to perform, in order. Time,
// randomness and network events are part of the input. Data of one phase lives in that phase's
// state. `socket.js` is the I/O shell. An unexpected input leaves the state unchanged.

/** The state before the first `connect`. */
export const INITIAL = Object.freeze({ phase: 'disconnected', why: 'start' });

/**
 * Inputs: `connect` · `drop` · `ticketed {ticket}` · `ticket_failed {final, reason, dice, retry_after_ms?}`
 * · `opened` · `ready {frame, renew_in_ms}` · `caught_up` · `draining {reconnect_after_ms}` · `heard`
 * · `renewed {renew_in_ms}` · `closed {code, reason, dice}` · `distrust {reason, dice}` · `elapsed {timer, dice}`
 *
 * Effects: `fetch_ticket` · `open` · `hello {ticket}` · `ping` · `renew {ticket}` · `abort` · `flush`
 * · `arm {timer, ms}` · `disarm {timer}`
 */
export function step(state, input) {
  const arm = TABLE[state.phase][input.type] ?? ALWAYS[input.type];
  return arm ? arm(state, input) : [state, []];
}

/** Returns whether client frames may be sent. */
export function isOpen(state) {
  return state.phase === 'replaying' || state.phase === 'live';
}

/** Returns the description of a close code and the client's reaction: docs/protocol.md, close codes. */
export function meaning(code) {
  return CLOSE_CODES[code] ?? { text: 'unknown code', then: code >= 4400 ? 'final' : 'retry' };
}

export const CLOSE_CODES = Object.freeze({
  1000: { text: 'normal', then: 'stop' },
  1001: { text: 'going away', then: 'retry' },
  1005: { text: 'closed without a code', then: 'retry' },
  1006: { text: 'connection lost', then: 'retry' },
  1007: { text: 'not UTF-8', then: 'final' },
  1009: { text: 'frame over the limit', then: 'final' },
  1011: { text: 'fault of the server', then: 'retry' },
  1012: { text: 'draining or restarting', then: 'retry' },
  1013: { text: 'over capacity', then: 'later' },
  4400: { text: 'too many frames that could not be understood', then: 'final' },
  4401: { text: 'not authenticated, or the credential expired', then: 'credential' },
  4403: { text: 'origin or right refused', then: 'final' },
  4408: { text: 'no hello, no pong, or no reading in time', then: 'retry' },
  4429: { text: 'connection or rate limit reached', then: 'later' },
});

/** Exponential backoff with full jitter: a random delay up to the ceiling, `dice` in 0..1. */
export function backoff(attempt, then, dice) {
  const base = then === 'later' ? LATER_MS : RETRY_MS;
  return Math.round(dice * Math.min(RETRY_MS_MAX, base * 2 ** attempt));
}

const TABLE = {
  disconnected: {
    connect: () => connecting(0),
    drop: (state) => [state, []],
  },

  connecting: {
    ticketed: (state, { ticket }) => [{ ...state, ticket }, [{ type: 'open' }]],
    ticket_failed: (state, input) =>
      input.final
        ? [{ phase: 'disconnected', why: 'refused', reason: input.reason }, [...QUIET]]
        : wait(state, { ...input, floor_ms: input.retry_after_ms }),
    opened: (state) => [
      { phase: 'handshaking', attempt: state.attempt, refusals: state.refusals },
      [{ type: 'hello', ticket: state.ticket }, { type: 'arm', timer: 'deadline', ms: DEADLINE_MS }],
    ],
  },

  handshaking: {
    ready: (state, { frame, renew_in_ms }) => [
      {
        phase: 'replaying',
        attempt: state.attempt,
        connection_id: frame.connection_id,
        heartbeat_ms: frame.heartbeat_ms,
        drain: null,
      },
      [
        { type: 'disarm', timer: 'deadline' },
        { type: 'arm', timer: 'beat', ms: frame.heartbeat_ms },
        ...renewal(renew_in_ms),
      ],
    ],
  },

  replaying: {
    caught_up: (state) => [{ ...state, phase: 'live', attempt: 0 }, [{ type: 'flush' }]],
  },

  live: {},

  waiting: {
    connect: ({ attempt, refusals }) => connecting(attempt, refusals),
    drop: () => [{ phase: 'disconnected', why: 'dropped' }, [...QUIET]],
    closed: (state) => [state, []],
    distrust: (state) => [state, []],
    elapsed: (state, { timer }) =>
      timer === 'retry' ? connecting(state.attempt, state.refusals) : [state, []],
  },
};

/** Transitions shared by all phases that have or await a socket. */
const ALWAYS = {
  drop: () => [{ phase: 'disconnected', why: 'dropped' }, [{ type: 'abort' }, ...QUIET]],

  closed: (state, input) => {
    if (state.phase === 'disconnected') return [state, []];
    const { then } = meaning(input.code);
    if (then === 'stop' || then === 'final') {
      return [{ phase: 'disconnected', why: 'closed', code: input.code, reason: input.reason }, [...QUIET]];
    }
    if (then === 'credential' && (state.refusals ?? 0) >= REFUSALS_MAX) {
      return [{ phase: 'disconnected', why: 'refused', code: input.code, reason: input.reason }, [...QUIET]];
    }
    const refusals = then === 'credential' ? (state.refusals ?? 0) + 1 : 0;
    return wait({ ...state, refusals }, { ...input, then, floor_ms: state.drain?.reconnect_after_ms });
  },

  distrust: (state, input) => {
    if (state.phase === 'disconnected') return [state, []];
    const [next, effects] = wait(state, input);
    return [next, [{ type: 'abort' }, ...effects]];
  },

  draining: (state, { reconnect_after_ms }) =>
    isOpen(state) ? [{ ...state, drain: { reconnect_after_ms } }, []] : [state, []],

  /** Any frame proves that the server is alive. */
  heard: (state) => (isOpen(state) ? [state, [{ type: 'disarm', timer: 'pong' }]] : [state, []]),

  renewed: (state, { renew_in_ms }) => (isOpen(state) ? [state, renewal(renew_in_ms)] : [state, []]),

  ticketed: (state, { ticket }) => (isOpen(state) ? [state, [{ type: 'renew', ticket }]] : [state, []]),

  ticket_failed: (state) =>
    isOpen(state) ? [state, [{ type: 'arm', timer: 'renew', ms: RENEW_AGAIN_MS }]] : [state, []],

  elapsed: (state, input) => {
    if (input.timer === 'deadline' && (state.phase === 'connecting' || state.phase === 'handshaking')) {
      return ALWAYS.distrust(state, { reason: 'no progress in time', dice: input.dice });
    }
    if (!isOpen(state)) return [state, []];
    if (input.timer === 'beat') {
      return [
        state,
        [
          { type: 'ping' },
          { type: 'arm', timer: 'pong', ms: PONG_MS },
          { type: 'arm', timer: 'beat', ms: state.heartbeat_ms },
        ],
      ];
    }
    if (input.timer === 'pong') return ALWAYS.distrust(state, { reason: 'no pong in time', dice: input.dice });
    if (input.timer === 'renew') return [state, [{ type: 'fetch_ticket' }]];
    return [state, []];
  },
};

function connecting(attempt, refusals = 0) {
  return [
    { phase: 'connecting', attempt, refusals, ticket: null },
    [...QUIET, { type: 'arm', timer: 'deadline', ms: DEADLINE_MS }, { type: 'fetch_ticket' }],
  ];
}

function wait(state, { code = null, reason = null, then = 'retry', dice, floor_ms = 0 }) {
  const attempt = state.attempt ?? 0;
  const ms = (floor_ms ?? 0) + backoff(attempt, then, dice);
  return [
    { phase: 'waiting', attempt: attempt + 1, refusals: state.refusals ?? 0, ms, code, reason },
    [...QUIET, { type: 'arm', timer: 'retry', ms }],
  ];
}

function renewal(ms) {
  return ms === null || ms === undefined ? [] : [{ type: 'arm', timer: 'renew', ms }];
}

const RETRY_MS = 500;
const LATER_MS = 4_000;
const RETRY_MS_MAX = 30_000;
const DEADLINE_MS = 15_000;
const PONG_MS = 10_000;
const RENEW_AGAIN_MS = 5_000;
/** Refused credentials in a row after which the page asks the user to log in. */
const REFUSALS_MAX = 3;

/** All timers that the previous phase may have armed. */
const QUIET = ['deadline', 'beat', 'pong', 'renew', 'retry'].map((timer) => ({ type: 'disarm', timer }));
