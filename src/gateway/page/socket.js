// The I/O shell of `connection.js`: performs its effects on a real WebSocket and timers, and feeds
// events back. Events of an abandoned socket are ignored.

import { decode, encode } from './json.js';
import { INITIAL, isOpen, step } from './connection.js';

/**
 * `ticket()` fetches a ticket: `{ticket}`, or throws `{final, message, retry_after_ms?}`.
 * `cursor()` returns the cursor to resume from: `{epoch, after}`. `renewInMs(expires_at?)` returns the
 * time until renewal. `onFrame(frame)` applies a server frame and returns false if the connection must
 * be replaced. `onRaw(direction, text)` receives every frame. `onState(state)` receives every state
 * change. `onFlush()` is called when frames may be sent.
 */
export class Connection {
  #state = INITIAL;
  #hooks;
  #socket = null;
  #timers = new Map();
  #generation = 0;
  #pings = 0;

  constructor(hooks) {
    this.#hooks = hooks;
  }

  get state() {
    return this.#state;
  }

  connect() {
    this.#input({ type: 'connect' });
  }

  /** Abandons the socket immediately. */
  drop() {
    this.#input({ type: 'drop' });
  }

  /** Sends a client frame. Returns false if the connection is not open. */
  send(frame) {
    if (!isOpen(this.#state)) return false;
    this.#write(frame);
    return true;
  }

  #input(input) {
    const [state, effects] = step(this.#state, input);
    const changed = state !== this.#state;
    this.#state = state;
    if (changed) this.#hooks.onState(state);
    for (const effect of effects) this.#EFFECTS[effect.type](effect);
  }

  #EFFECTS = {
    fetch_ticket: async () => {
      const generation = this.#generation;
      let input;
      try {
        const { ticket } = await this.#hooks.ticket();
        input = { type: 'ticketed', ticket };
      } catch (error) {
        const { final = false, message, retry_after_ms } = error;
        input = { type: 'ticket_failed', final, reason: message, retry_after_ms, dice: Math.random() };
      }
      if (generation === this.#generation) this.#input(input);
    },
    open: () => this.#open(),
    hello: ({ ticket }) => this.#write({ type: 'hello', ticket, ...this.#hooks.cursor() }),
    ping: () => this.#write({ type: 'ping', nonce: `beat-${++this.#pings}` }),
    renew: ({ ticket }) => this.#write({ type: 'renew', ticket }),
    flush: () => this.#hooks.onFlush(),
    abort: () => this.#abandon(),
    arm: ({ timer, ms }) => {
      clearTimeout(this.#timers.get(timer));
      const elapsed = () => this.#input({ type: 'elapsed', timer, dice: Math.random() });
      this.#timers.set(timer, setTimeout(elapsed, Math.min(ms, TIMER_MS_MAX)));
    },
    disarm: ({ timer }) => {
      clearTimeout(this.#timers.get(timer));
      this.#timers.delete(timer);
    },
  };

  #open() {
    const url = new URL('/v1/ws', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url, 'quintet.v1');
    const generation = ++this.#generation;
    const current = (act) => (event) => {
      if (generation === this.#generation) act(event);
    };
    this.#socket = socket;
    socket.addEventListener('open', current(() => this.#input({ type: 'opened' })));
    socket.addEventListener('message', current(({ data }) => this.#received(data)));
    socket.addEventListener(
      'close',
      current(({ code, reason }) => {
        this.#abandon();
        this.#hooks.onRaw('close', `${code} ${reason}`.trim());
        this.#input({ type: 'closed', code, reason, dice: Math.random() });
      }),
    );
  }

  #received(data) {
    let frame;
    try {
      frame = decode(data);
    } catch {
      frame = null;
    }
    this.#hooks.onRaw('in', String(data));
    if (frame === null || typeof frame !== 'object') {
      this.#input({ type: 'distrust', reason: 'a frame that is not JSON', dice: Math.random() });
      return;
    }
    this.#input({ type: 'heard' });
    if (frame.type === 'ready') {
      this.#input({ type: 'ready', frame, renew_in_ms: this.#hooks.renewInMs() });
    }
    const trusted = this.#hooks.onFrame(frame);
    if (!trusted) {
      this.#input({ type: 'distrust', reason: 'the log did not continue', dice: Math.random() });
      return;
    }
    if (frame.type === 'caught_up') this.#input({ type: 'caught_up' });
    if (frame.type === 'draining') this.#input(frame);
    if (frame.type === 'renewed') {
      this.#input({ type: 'renewed', renew_in_ms: this.#hooks.renewInMs(frame.expires_at) });
    }
  }

  #write(frame) {
    const text = encode(frame);
    this.#socket.send(text);
    this.#hooks.onRaw('out', encode(redacted(frame)));
  }

  /** Abandons the socket; its further events are ignored. */
  #abandon() {
    this.#generation += 1;
    this.#socket?.close();
    this.#socket = null;
  }
}

/** Hides credentials in displayed frames. */
function redacted(frame) {
  return frame.ticket ? { ...frame, ticket: '…' } : frame;
}

/** The longest delay that `setTimeout` supports. */
const TIMER_MS_MAX = 2 ** 31 - 1;
