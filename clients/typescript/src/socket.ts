// The I/O shell of `connection.ts`: performs its effects on a WebSocket and on timers, and feeds events back. Events of
// an abandoned socket are ignored.

import { IDLE, step, type ConnectionState, type Effect, type Input, type Timer } from './connection.js';
import { renewalDelay, type Credential, type CredentialSource } from './credentials.js';
import type { QuintetError } from './errors.js';
import type { Ready, ServerFrame } from './types.js';

/** The part of the browser's `WebSocket` that the client uses. `ws` and the global of Node 22 have it too. */
export interface WebSocketLike {
  /** Sends a text frame. */
  send(text: string): void;
  /** Closes the connection. */
  close(code?: number): void;
  /** Adds a listener. */
  addEventListener(type: 'open' | 'message' | 'close' | 'error', listener: (event: any) => void): void;
}

/** A class of sockets, called with the URL and the subprotocol as strings. */
// The classes of browsers, Node.js and `ws` have overloads that no narrower type fits.
export type WebSocketConstructor = new (url: any, protocol: any) => WebSocketLike;

/** Timers that may be replaced in tests. */
export interface Timers {
  /** Calls back once after `ms`. */
  set(callback: () => void, ms: number): unknown;
  /** Cancels a timer. */
  clear(timer: unknown): void;
}

export interface SocketOptions {
  url: string | URL;
  credential: CredentialSource;
  WebSocket: WebSocketConstructor;
  parse: (text: string) => unknown;
  timers: Timers;
  random: () => number;
  now: () => number;
}

export interface SocketHooks {
  /** Returns the fields of `hello` beside the credential. */
  hello(): object;
  /** Applies a frame. Returns why the connection must be replaced, or null. */
  frame(frame: ServerFrame): string | null;
  state(state: ConnectionState): void;
  flush(): void;
}

export class Socket {
  #options: SocketOptions;
  #hooks: SocketHooks;
  #url: string;
  #state: ConnectionState = IDLE;
  #socket: WebSocketLike | null = null;
  #credential: Credential | null = null;
  #fetching: AbortController | null = null;
  #timers = new Map<Timer, unknown>();

  constructor(options: SocketOptions, hooks: SocketHooks) {
    this.#url = new URL('/v1/ws', options.url).href.replace('http', 'ws');
    this.#options = options;
    this.#hooks = hooks;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  input(input: Input): void {
    const [state, effects] = step(this.#state, input);
    const changed = state !== this.#state;
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    // After the effects: a listener may give the next input.
    if (changed) this.#hooks.state(state);
  }

  send(text: string): void {
    this.#socket?.send(text);
  }

  /** Abandons the socket and connects again, with back-off. */
  distrust(message: string): void {
    this.input({ type: 'distrust', message, dice: this.#options.random() });
  }

  #perform(effect: Effect): void {
    const { timers, random } = this.#options;
    switch (effect.type) {
      case 'fetch_credential':
        return void this.#fetch(effect.reason);
      case 'open':
        return this.#open();
      case 'hello':
      case 'renew':
        return this.send(JSON.stringify({ type: effect.type, ...bare(this.#credential), ...(effect.type === 'hello' ? this.#hooks.hello() : {}) }));
      case 'ping':
        return this.send('{"type":"ping"}');
      case 'abort':
        return this.#abandon();
      case 'quiet':
        return this.#timers.forEach((timer) => timers.clear(timer));
      case 'flush':
        return this.#hooks.flush();
      case 'arm':
      case 'disarm':
        timers.clear(this.#timers.get(effect.timer));
        if (effect.type === 'disarm') return;
        this.#timers.set(effect.timer, timers.set(() => this.input({ type: 'elapsed', timer: effect.timer, dice: random() }), effect.ms));
    }
  }

  async #fetch(reason: 'connect' | 'refused' | 'renew'): Promise<void> {
    this.#fetching?.abort();
    const { signal } = (this.#fetching = new AbortController());
    let input: Input;
    try {
      const credential = await this.#options.credential({ reason, signal });
      if (signal.aborted) return;
      this.#credential = credential;
      input = { type: 'credential', renew_in_ms: null };
    } catch (error) {
      if (signal.aborted) return;
      const { final = false, retryAfterMs = null, message = String(error) } = (error ?? {}) as Partial<QuintetError>;
      input = { type: 'credential_failed', final, message, retry_after_ms: retryAfterMs, dice: this.#options.random() };
    }
    this.input(input);
  }

  #open(): void {
    const closed = (code: number, message: string) => this.input({ type: 'closed', code, message, dice: this.#options.random() });
    let socket: WebSocketLike;
    try {
      socket = this.#socket = new this.#options.WebSocket(this.#url, 'quintet.v1');
    } catch (error) {
      return closed(1006, String(error)); // a policy of the page, for example
    }
    const current = <E>(act: (event: E) => void) => (event: E) => void (socket === this.#socket && act(event));
    socket.addEventListener('open', current(() => this.input({ type: 'opened' })));
    socket.addEventListener('message', current(({ data }: { data: unknown }) => this.#received(data)));
    socket.addEventListener('error', () => undefined); // a `close` follows
    socket.addEventListener(
      'close',
      current(({ code, reason }: { code: number; reason: string }) => {
        this.#socket = null;
        closed(code, String(reason) || `close ${code}`);
      }),
    );
  }

  #received(data: unknown): void {
    let frame: ServerFrame | null = null;
    try {
      frame = this.#options.parse(String(data)) as ServerFrame;
    } catch {
      // distrusted below
    }
    if (typeof frame?.type !== 'string') return this.distrust('not a frame');
    // Any frame proves that the service is alive.
    this.#perform({ type: 'disarm', timer: 'pong' });
    if (frame.type === 'ready') return this.#ready(frame);
    const fault = this.#hooks.frame(frame);
    if (fault) return this.distrust(fault);
    switch (frame.type) {
      case 'caught_up':
        return this.input({ type: 'caught_up' });
      case 'draining':
        return this.input(frame);
      case 'renewed':
        return this.input({ type: 'renewed', renew_in_ms: renewalDelay({ token: '', expires_at: frame.expires_at }, this.#options.now()) });
    }
  }

  #ready(frame: Ready): void {
    if (this.#state.phase !== 'handshaking') return this.distrust('second ready (CONN-2)');
    const fault = this.#hooks.frame(frame);
    if (fault) return this.distrust(fault);
    const renew_in_ms = this.#credential && renewalDelay(this.#credential, this.#options.now());
    const { connection_id, heartbeat_ms } = frame;
    this.input({ type: 'ready', connection_id, heartbeat_ms, renew_in_ms });
  }

  #abandon(): void {
    this.#fetching?.abort();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}

function bare(credential: Credential | null): object {
  return credential?.ticket !== undefined ? { ticket: credential.ticket } : { token: credential?.token };
}
