import type { WebSocketConstructor, WebSocketLike } from '../socket.js';
import type { ClientFrame, Hello } from '../protocol.js';
import type { Command, Entry, ErrorFrame, SendMessage, ServerFrame, ThreadUpdated, UserMessage } from '../types.js';
import { answerGet } from './http.js';
import { FakeRun, type FakeAgent } from './run.js';

/** The settings of a server. */
export interface FakeServerOptions {
  /** Steps each run. Default: answers with the text of the message. */
  agent?: FakeAgent;
  /** Changes what is sent, to test faults: the frames in the place of this one. */
  outgoing?: (frame: ServerFrame) => ServerFrame[];
  /** Sees each frame of a client before it has an effect; `true` loses it, an error code refuses it. */
  incoming?: (frame: ClientFrame | Command) => boolean | ErrorFrame['code'] | void;
  /** The limits of `ready` that differ from the defaults. */
  limits?: Partial<typeof LIMITS>;
}

/** A service in memory. `WebSocket` is the class to give to a client. */
export class FakeServer {
  /** The class of sockets that connect to this server. */
  readonly WebSocket: WebSocketConstructor;
  /** The settings; they may be changed while the server runs. */
  readonly options: FakeServerOptions;
  /** Every frame that a client sent. */
  readonly received: (ClientFrame | Command)[] = [];
  /** The number of connections that were opened. */
  opened = 0;
  #users = new Map<string, FakeUser>();
  #sockets = new Set<FakeSocket>();
  #epoch = 1;
  #down = false;

  /** Creates a server without users. */
  constructor(options: FakeServerOptions = {}) {
    this.options = options;
    const server = this;
    this.WebSocket = class extends FakeSocket {
      constructor() {
        super((socket, text) => server.#receive(socket, text), (socket) => server.#sockets.delete(socket));
        server.opened += 1;
        if (!server.#down) server.#sockets.add(this);
        queueMicrotask(() => (server.#down ? this.end(1006) : this.emit('open', {})));
      }
    };
  }

  /** The epoch of the journal. */
  get epoch(): string {
    return `epoch-${this.#epoch}`;
  }

  /** The number of open connections. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Answers the reads of `QuintetHttp`, as its `fetch`; the bearer token is the user. */
  fetch = async (input: unknown, init: RequestInit = {}): Promise<Response> => {
    const user_id = new Headers(init.headers).get('authorization')?.replace('Bearer ', '');
    const answer = user_id === undefined ? undefined : answerGet(new URL(String(input)), this.#user(user_id).entries, this.epoch);
    return Response.json(answer ?? { code: 'not_found', detail: 'not_found' }, { status: answer ? 200 : 404 });
  };

  /** The log of a user. */
  log(user_id: string): readonly Entry[] {
    return this.#user(user_id).entries;
  }

  /** Closes every connection with a code; 1006: the connection is lost. */
  close(code = 1006, reason = ''): void {
    for (const socket of [...this.#sockets]) socket.end(code, reason);
  }

  /** Stops: every connection is lost, and new ones fail until `start`. Runs go on. */
  stop(code = 1006): void {
    this.#down = true;
    this.close(code);
  }

  /** Starts again, with a new epoch: cursors of the old one are still good. */
  start(): void {
    this.#down = false;
    this.#epoch += 1;
  }

  /** Announces a drain and closes with 1012. */
  drain(reconnect_after_ms = 1_000): void {
    for (const socket of this.#sockets) this.#send(socket, { type: 'draining', reconnect_after_ms });
    queueMicrotask(() => this.close(1012, 'draining'));
  }

  /** Removes the oldest entries of a user, as a retention limit does. */
  trim(user_id: string, through: number): void {
    this.#user(user_id).trimmed = through;
  }

  /** Replaces the log of a user by an empty one of another history, as a restored backup does. */
  replace(user_id: string): void {
    this.#users.delete(user_id);
    this.#user(user_id).firstEpoch = this.#epoch += 1;
  }

  /** Appends an entry as it is, to test what no agent does. */
  append(user_id: string, fields: { type: Entry['type'] } & Record<string, unknown>): void {
    this.#append(user_id, fields);
  }

  #receive(socket: FakeSocket, text: string): void {
    const frame = JSON.parse(text) as ClientFrame | Command;
    this.received.push(frame);
    const verdict = this.options.incoming?.(frame);
    if (verdict === true) return;
    if (verdict) return this.#error(socket, verdict, idsOf(frame));
    if (frame.type === 'hello') return this.#hello(socket, frame);
    if (socket.user_id === null) return this.#error(socket, 'unauthenticated');
    switch (frame.type) {
      case 'send_message':
        return this.#message(socket, socket.user_id, frame);
      case 'cancel_run': {
        const run = this.#user(socket.user_id).runs.get(frame.run_id);
        if (!run) return this.#error(socket, 'not_found', { run_id: frame.run_id });
        if (run.ended) return this.#error(socket, 'run_ended', { run_id: frame.run_id });
        if (!run.started) run.start();
        run.end('cancelled');
        return this.#next(socket.user_id, run.message.thread_id);
      }
      case 'complete_call': {
        const { run_id, call_id, status, results = null, error = null } = frame;
        const code = this.#user(socket.user_id).runs.get(run_id)?.complete(call_id, { status, results, error });
        if (code !== null) this.#error(socket, code ?? 'not_found', { run_id });
        return;
      }
      case 'ping':
        return this.#send(socket, { type: 'pong', nonce: frame.nonce ?? null });
      case 'renew':
        return this.#send(socket, { type: 'renewed', expires_at: Number.MAX_SAFE_INTEGER });
      case 'update_thread': {
        const { thread_id } = frame;
        const held = this.#user(socket.user_id).entries.findLast((entry) => entry.type === 'thread_updated' && entry.thread_id === thread_id) as ThreadUpdated | undefined;
        const { title = held?.title ?? null, archived = held?.archived ?? false } = frame;
        return this.#append(socket.user_id, { type: 'thread_updated', thread_id, title, archived });
      }
      case 'erase_thread':
        return this.#erase(socket.user_id, frame.thread_id);
    }
  }

  #hello(socket: FakeSocket, hello: Hello): void {
    const user_id = hello.token ?? hello.ticket;
    if (!user_id) return socket.end(4401, 'no credential');
    const user = this.#user(user_id);
    const head = user.entries.length;
    const epoch = hello.epoch == null ? this.#epoch : Number(/^epoch-(\d+)$/.exec(hello.epoch)?.[1]);
    const after = hello.start === 'head' ? head : (hello.after ?? 0);
    let resumed_after = Math.max(after, user.trimmed);
    let gap = after < user.trimmed ? { from: after + 1, to: user.trimmed } : null;
    if (!(epoch >= user.firstEpoch && epoch <= this.#epoch)) {
      resumed_after = user.trimmed;
      gap = { from: Math.min(1, resumed_after), to: resumed_after };
    } else if (after > head) {
      resumed_after = head;
      gap = { from: head + 1, to: after };
    }
    socket.user_id = user_id;
    const limits = { ...LIMITS, ...this.options.limits };
    const connection_id = `connection-${this.opened}`;
    const place = { epoch: this.epoch, resumed_after, head, gap };
    this.#send(socket, { type: 'ready', protocol: 'quintet.v1', connection_id, user_id, ...place, heartbeat_ms: 25_000, limits });
    for (const entry of user.entries.slice(resumed_after)) this.#send(socket, entry);
    this.#send(socket, { type: 'caught_up', head });
  }

  #message(socket: FakeSocket, user_id: string, frame: SendMessage): void {
    const user = this.#user(user_id);
    const { message_id, thread_id, text, agent_name, parent } = frame;
    const known = user.messages.get(message_id);
    if (known) {
      if (known.text !== text || known.thread_id !== thread_id) return this.#error(socket, 'message_id_reused', { message_id });
      return this.#send(socket, { type: 'accepted', message_id, run_id: known.run_id, message_offset: known.offset, duplicate: true });
    }
    const open = user.open(thread_id);
    if (open.length > 0 && frame.on_busy === 'reject') return this.#error(socket, 'thread_busy', { message_id });
    const run_id = crypto.randomUUID();
    const offset = user.entries.length + 1;
    const name = agent_name ?? 'fake';
    const steer = frame.on_busy === 'steer' && open.length > 0 ? { steer: true } : {};
    const follows = { parent: parent ?? user.lastMessage(thread_id), ...steer };
    this.#append(user_id, { type: 'user_message', thread_id, run_id, message_id, text, agent_name: name, ...follows });
    const message = user.entries.at(-1) as UserMessage;
    user.messages.set(message_id, message);
    const append = (type: string, fields: object) => this.#append(user_id, { type, thread_id, run_id, agent_name: name, ...fields });
    user.runs.set(run_id, new FakeRun(message, append, () => user.merge(run_id, thread_id)));
    this.#send(socket, { type: 'accepted', message_id, run_id, message_offset: offset, duplicate: false });
    if (frame.on_busy === 'interrupt') {
      for (const run of open) {
        if (!run.started) run.start();
        run.end('cancelled');
      }
    }
    this.#next(user_id, thread_id);
  }

  /** Starts the next run of a thread, if none is active (RUN-8). */
  #next(user_id: string, thread_id: string): void {
    const [run] = this.#user(user_id).open(thread_id);
    if (!run || run.started) return;
    run.start();
    const agent = this.options.agent ?? ((run) => run.answer(run.message.text));
    void (async () => agent(run))()
      .then(
        () => run.end('succeeded'),
        (error: unknown) => run.end('failed', { code: 'agent_error', message: String(error) }),
      )
      .then(() => this.#next(user_id, thread_id));
  }

  #erase(user_id: string, thread_id: string): void {
    const user = this.#user(user_id);
    for (const run of user.open(thread_id)) {
      if (!run.started) run.start();
      run.end('cancelled');
    }
    const erased_through = user.entries.length;
    user.entries = user.entries.map((entry) =>
      'thread_id' in entry && entry.thread_id === thread_id ? { type: 'erased', offset: entry.offset, timestamp: entry.timestamp } : entry,
    );
    this.#append(user_id, { type: 'thread_erased', thread_id, erased_through, receipt: crypto.randomUUID() });
  }

  #append(user_id: string, fields: object): void {
    const user = this.#user(user_id);
    const offset = user.entries.length + 1;
    const entry = { user_id, timestamp: offset, ...fields, offset } as Entry;
    user.entries.push(entry);
    for (const socket of this.#sockets) if (socket.user_id === user_id) this.#send(socket, entry);
  }

  #error(socket: FakeSocket, code: ErrorFrame['code'], ids: { message_id?: string; run_id?: string } = {}): void {
    this.#send(socket, { type: 'error', code, message: code, fatal: false, ...ids });
  }

  #send(socket: FakeSocket, frame: ServerFrame): void {
    for (const sent of this.options.outgoing?.(frame) ?? [frame]) socket.deliver(JSON.stringify(sent));
  }

  #user(user_id: string): FakeUser {
    let user = this.#users.get(user_id);
    if (!user) this.#users.set(user_id, (user = new FakeUser()));
    return user;
  }
}

function idsOf(frame: ClientFrame | Command): { message_id?: string; run_id?: string } {
  if ('message_id' in frame) return { message_id: frame.message_id };
  return 'run_id' in frame ? { run_id: frame.run_id } : {};
}

class FakeUser {
  entries: Entry[] = [];
  messages = new Map<string, UserMessage>();
  runs = new Map<string, FakeRun>();
  trimmed = 0;
  firstEpoch = 1;

  open(thread_id: string): FakeRun[] {
    return [...this.runs.values()].filter((run) => run.message.thread_id === thread_id && !run.ended);
  }

  /** Hands the messages that wait for the active run to it. */
  merge(run_id: string, thread_id: string): UserMessage[] {
    const taken = this.open(thread_id).filter(({ message, started }) => message.steer && !started);
    for (const run of taken) {
      run.start();
      run.end('merged', null, run_id);
    }
    return taken.map(({ message }) => message);
  }

  lastMessage(thread_id: string): number {
    return [...this.messages.values()].findLast((message) => message.thread_id === thread_id)?.offset ?? 0;
  }
}

type Listener = (event: never) => void;

class FakeSocket implements WebSocketLike {
  user_id: string | null = null;
  #listeners: [string, Listener][] = [];
  #receive: (socket: FakeSocket, text: string) => void;
  #gone: (socket: FakeSocket) => void;
  #closed = false;

  constructor(receive: (socket: FakeSocket, text: string) => void, gone: (socket: FakeSocket) => void) {
    this.#receive = receive;
    this.#gone = gone;
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.push([type, listener]);
  }

  send(text: string): void {
    queueMicrotask(() => void (!this.#closed && this.#receive(this, text)));
  }

  close(): void {
    this.end(1000);
  }

  deliver(data: string): void {
    queueMicrotask(() => void (!this.#closed && this.emit('message', { data })));
  }

  end(code: number, reason = ''): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#gone(this);
    queueMicrotask(() => this.emit('close', { code, reason }));
  }

  emit(type: string, event: object): void {
    for (const [name, listener] of this.#listeners) if (name === type) listener(event as never);
  }
}

const LIMITS = {
  frame_bytes_max: 524_288,
  text_bytes_max: 65_536,
  results_bytes_max: 262_144,
  results_depth_max: 64,
  title_chars_max: 200,
  open_runs_max: 256,
  queued_messages_max: 64,
  invalid_frames_max: 16,
  commands_max: 16,
  pong_timeout_ms: 10_000,
  user_connections_max: 64,
  user_frames_per_second_max: 500,
};
