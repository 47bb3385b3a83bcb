import { isOpen, RENEW_AGAIN_MS, type ConnectionState } from './connection.js';
import { afterGap, applyEntries, NO_CONVERSATIONS } from './conversation.js';
import { admitEntry, admitReady, START, type Cursor } from './cursor.js';
import { EntryQueue } from './entry-queue.js';
import { QuintetError, refusal } from './errors.js';
import { DEFAULTS, type CommandOptions, type Outgoing, type QuintetOptions, type Settings, type Snapshot } from './options.js';
import { invalid, Outbox } from './outbox.js';
import { hasEnded, type Run } from './run.js';
import { Socket, type WebSocketConstructor } from './socket.js';
import { restore, type Checkpoint } from './storage.js';
import type { Accepted, Command, Entry, Gap, Limits, OnBusy, Ready, ServerFrame } from './types.js';
import { isEntry } from './types.js';

/** A client of one user's log: one connection that resumes, one state, commands that take effect once. */
export class Quintet {
  #options: Settings;
  #socket: Socket;
  #outbox: Outbox;
  #cursor: Cursor = START;
  #limits: Limits | null = null;
  #received: Entry[] = [];
  #queues = new Set<EntryQueue>();
  /** Entries are not applied, because a loop is behind: they are read again later. */
  #parked = false;
  #listeners = new Set<() => void>();
  #snapshot: Snapshot;
  #delayed = new Map<string, unknown>();
  #loading: Promise<void> | null = null;
  #loaded = false;
  #online = (): void => void (this.state.phase === 'waiting' && this.connect());

  /** Creates a client. It connects with `connect`, the first command or the first `entries`. Throws a `TypeError` if `url` is no URL, or there is no `WebSocket`. */
  constructor(options: QuintetOptions) {
    const WebSocket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (!WebSocket) throw new TypeError('no WebSocket: pass that of ws');
    this.#options = { ...DEFAULTS, ...options, WebSocket };
    this.#outbox = new Outbox(this.#options.outboxMax);
    this.#socket = new Socket(this.#options,
      {
        hello: () => this.#hello(),
        frame: (frame) => this.#frame(frame),
        state: (state) => this.#stateChanged(state),
        flush: () => this.#flush(),
      },
    );
    this.#snapshot = {
      connection: this.#socket.state,
      caughtUp: false,
      conversations: NO_CONVERSATIONS,
      user_id: null,
      gap: null,
      resets: 0,
      pending: this.#outbox.pending,
    };
  }

  /** The present state. */
  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  /** The state of the connection. */
  get state(): ConnectionState {
    return this.#snapshot.connection;
  }

  /** Connects, or retries now if the client waits for the next attempt. Does nothing if it is connected. */
  connect(): void {
    if (this.#loading) return void this.#loading.then(() => this.#socket.input({ type: 'connect' }));
    if (!this.#options.storage || this.#loaded) return this.#socket.input({ type: 'connect' });
    this.#loaded = true;
    this.#loading = this.#load().finally(() => (this.#loading = null));
    this.connect();
  }

  /** Closes the connection and keeps the rest: commands are pending and loops wait until `connect` opens it again. */
  disconnect(): void {
    this.#save();
    this.#socket.input({ type: 'drop' });
  }

  /** Closes the connection, rejects pending commands with `closed`, and ends the loops. `connect` opens it again. */
  close(): void {
    this.disconnect();
    for (const timer of this.#delayed.values()) this.#options.timers.clear(timer);
    this.#delayed.clear();
    this.#end(new QuintetError('closed', 'client closed'), undefined);
    this.#publish({});
  }

  /** Calls `listener` after each change of `snapshot`. Returns a function that ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves when all entries that existed at the connect are applied. Rejects if the client closes for good. */
  caughtUp(options?: CommandOptions): Promise<Snapshot> {
    return this.until((snapshot) => snapshot.caughtUp && snapshot, options);
  }

  /** Resolves with what `find` returns of the snapshot, once that is truthy. Rejects if the client closes for good. */
  until<T>(find: (snapshot: Snapshot) => T | null | undefined | false, { signal }: CommandOptions = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      const check = () => {
        try {
          if (signal?.aborted) throw aborted(signal);
          const found = find(this.#snapshot);
          const { connection } = this.#snapshot;
          if (found) resolve(found);
          else if (connection.phase === 'closed') throw new QuintetError('closed', connection.message, { final: true });
          else return;
        } catch (error) {
          reject(error);
        }
        unsubscribe();
        signal?.removeEventListener('abort', check);
      };
      const unsubscribe = this.subscribe(check);
      signal?.addEventListener('abort', check);
      check();
    });
  }

  /**
   * Iterates over the entries that are applied from now on, each once, and connects. If the loop is `bufferEntriesMax`
   * entries behind, the client stops reading and resumes when the loop has caught up. The loop throws `reset` if the
   * log is replaced by another one, and ends with the client.
   */
  entries({ signal }: CommandOptions = {}): AsyncIterableIterator<Entry> {
    const queue = new EntryQueue(this.#cursor.offset, () => {
      if (queue.ended) this.#queues.delete(queue);
      this.#relieve();
      this.#saveLater();
    });
    this.#queues.add(queue);
    const abort = () => queue.end(aborted(signal!));
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    if (this.state.phase === 'idle') this.connect();
    return queue;
  }

  /** Sends a message. Resolves when it and its run are durable (DEL-5); until then it is repeated under its id. */
  send(message: Outgoing, options?: CommandOptions): Promise<Accepted> {
    const { message_id = crypto.randomUUID() } = message;
    return this.#command({ type: 'send_message', ...message, message_id }, options) as Promise<Accepted>;
  }

  /** Sends a message. Resolves with its run when that has ended, whatever its status. Needs `conversations`. */
  async ask(message: Outgoing, options?: CommandOptions): Promise<Run> {
    const { run_id } = await this.send(message, options);
    return this.until(({ conversations }) => conversations.threads.get(message.thread_id)?.runs.find((run) => run.run_id === run_id && hasEnded(run)), options);
  }

  /** Sends an edited message: a branch beside the old one, with the same parent. `parent` is that of the old message. */
  edit(parent: number, message: Omit<Outgoing, 'parent'>, options?: CommandOptions): Promise<Accepted> {
    return this.send({ ...message, parent }, options);
  }

  /** Hands a message to the active run of the thread, if its agent takes it; otherwise it waits its turn (RUN-12). */
  steer(message: Omit<Outgoing, 'on_busy'>, options?: CommandOptions): Promise<Accepted> {
    return this.send({ ...message, on_busy: 'steer' satisfies OnBusy }, options);
  }

  /** Cancels a run. Resolves when the run has ended, also if it had ended before. */
  async cancel(run_id: string, options?: CommandOptions): Promise<void> {
    await this.#command({ type: 'cancel_run', run_id }, options);
  }

  /** Answers a call with results (RUN-11). Resolves when the answer is in the log. */
  async answer(run_id: string, call_id: string, results: unknown = null, options?: CommandOptions): Promise<void> {
    await this.#command({ type: 'complete_call', run_id, call_id, status: 'ok', results }, options);
  }

  /** Declines a call, with a reason: a status of its own that no agent takes for consent (RUN-11). */
  async decline(run_id: string, call_id: string, reason: string | null = null, options?: CommandOptions): Promise<void> {
    await this.#command({ type: 'complete_call', run_id, call_id, status: 'declined', error: reason }, options);
  }

  /** Completes a call with an error: a tool of the front end that failed. */
  async fail(run_id: string, call_id: string, error: string, options?: CommandOptions): Promise<void> {
    await this.#command({ type: 'complete_call', run_id, call_id, status: 'error', error }, options);
  }

  /** Sets a thread's title or archive flag. */
  async updateThread(thread_id: string, changes: { title?: string | null; archived?: boolean }, options?: CommandOptions): Promise<void> {
    await this.#command({ type: 'update_thread', thread_id, ...changes }, options);
  }

  /** Erases a thread: its runs are cancelled, its entries replaced by `erased` (DEL-8). */
  async eraseThread(thread_id: string, options?: CommandOptions): Promise<void> {
    await this.#command({ type: 'erase_thread', thread_id }, options);
  }

  async #command(command: Command, { signal }: CommandOptions = {}): Promise<Accepted | undefined> {
    const fault = invalid(command);
    if (fault) throw new QuintetError('invalid_field', fault, { final: true });
    if (signal?.aborted) throw aborted(signal);
    const outcome = this.#outbox.add(command);
    const abort = () => this.#outbox.abandon(command, aborted(signal!));
    signal?.addEventListener('abort', abort);
    this.#save();
    this.#publish({});
    // A paused connection is opened for the command alone.
    if (/idle|paused/.test(this.state.phase)) this.connect();
    try {
      return await outcome;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#publish({});
      this.#saveLater();
      if (this.#parked && !this.#outbox.pending.length) this.#socket.input({ type: 'pause' });
    }
  }

  #hello(): object {
    const { epoch, offset } = this.#cursor;
    if (epoch === null) return this.#options.start === 'head' ? { start: 'head' } : {};
    return { epoch, after: offset };
  }

  /** Applies a frame. Returns why the connection must be replaced, or null. */
  #frame(frame: ServerFrame): string | null {
    if (isEntry(frame)) return this.#entry(frame);
    switch (frame.type) {
      case 'ready':
        return this.#ready(frame);
      case 'caught_up':
        if (!this.#parked && frame.head > this.#cursor.offset) return 'missing entry (DEL-2)';
        this.#apply();
        if (!this.#parked) this.#publish({ caughtUp: true });
        return null;
      case 'accepted':
        this.#outbox.accepted(frame);
        return null;
      case 'error': {
        const delay = this.#outbox.refused(frame);
        if (delay === false) {
          // The answer to `renew`: the connection keeps its credential, and the client tries again.
          if (frame.code === 'unauthenticated') this.#socket.input({ type: 'renewed', renew_in_ms: RENEW_AGAIN_MS });
          this.#report(refusal(frame));
        }
        if (delay) {
          this.#later('release', delay, () => {
            this.#outbox.release();
            this.#publish({});
          });
        }
        this.#publish({});
        return null;
      }
      default:
        return null;
    }
  }

  #ready(ready: Ready): string | null {
    const before = this.#cursor;
    const [cursor, verdict] = admitReady(before, ready, before === START && this.#options.start === 'head');
    this.#limits = ready.limits;
    this.#cursor = cursor;
    let { conversations, gap, resets } = this.#snapshot;
    if (verdict === 'reset' || verdict === 'rewind') {
      conversations = NO_CONVERSATIONS;
      gap = null;
      resets += 1;
      for (const queue of this.#queues) queue.end(new QuintetError('reset', 'log replaced'));
    } else if (verdict === 'gap') {
      gap = ready.gap;
      conversations = afterGap(conversations);
      this.#options.onGap?.(ready.gap as Gap);
    }
    if (verdict !== 'rewind') conversations = { ...conversations, offset: cursor.offset };
    this.#publish({ conversations, gap, resets, user_id: cursor.user_id, caughtUp: false });
    return verdict === 'rewind' ? 'log replaced' : null;
  }

  #entry(entry: Entry): string | null {
    if (this.#parked) {
      this.#outbox.observe(entry);
      return null;
    }
    if (!isOpen(this.#socket.state)) return 'entry before ready (CONN-2)';
    const [cursor, verdict] = admitEntry(this.#cursor, entry);
    if (verdict === 'repeat') return null;
    if (verdict !== 'next') return verdict === 'foreign' ? 'foreign entry (ISO-1)' : 'missing entry (DEL-2)';
    this.#cursor = cursor;
    this.#received.push(entry);
    const { length } = this.#received;
    // A replay is applied in batches: one change of the snapshot for many entries.
    if (this.#socket.state.phase === 'live' || length >= BATCH_ENTRIES_MAX) this.#apply();
    else if (length === 1) this.#later('apply', BATCH_MS_MAX, () => this.#apply());
    if (this.#behind() >= this.#options.bufferEntriesMax) this.#park();
    return null;
  }

  /** Applies the received entries: to commands, to the conversations, to the loops. Each entry once. */
  #apply(): void {
    const entries = this.#received;
    if (entries.length === 0) return;
    this.#received = [];
    for (const entry of entries) {
      this.#outbox.observe(entry);
      for (const queue of this.#queues) queue.push(entry);
    }
    if (!this.#options.conversations) this.#publish({});
    else this.#publish({ conversations: applyEntries(this.#snapshot.conversations, entries) });
    this.#saveLater();
  }

  /** The length of the longest queue. */
  #behind(): number {
    let longest = 0;
    for (const queue of this.#queues) longest = Math.max(longest, queue.length);
    return this.#queues.size === 0 ? 0 : longest + this.#received.length;
  }

  /** Stops reading: a loop is behind. A browser's socket cannot be paused, so it is closed and resumed later. */
  #park(): void {
    this.#apply();
    this.#parked = true;
    if (!this.#outbox.pending.length) this.#socket.input({ type: 'pause' });
  }

  /** Resumes reading when the loops have caught up by half. */
  #relieve(): void {
    if (!this.#parked || this.#behind() > this.#options.bufferEntriesMax / 2) return;
    this.#parked = false;
    this.#socket.input({ type: this.#socket.state.phase === 'paused' ? 'connect' : 'restart' });
  }

  #stateChanged(state: ConnectionState): void {
    if (!isOpen(state)) {
      this.#outbox.lost();
      this.#apply();
    }
    if (state.phase === 'closed' && state.reason !== 'client') {
      const error = new QuintetError(state.reason === 'refused' ? 'unauthenticated' : 'closed', state.message, { final: true });
      this.#end(error, error);
    }
    // Retries at once when the browser is online again. Adding the same listener twice is adding it once.
    if (state.phase === 'waiting') globalThis.addEventListener?.('online', this.#online);
    else globalThis.removeEventListener?.('online', this.#online);
    this.#publish({ connection: state, caughtUp: state.phase === 'live' && this.#snapshot.caughtUp });
  }

  #flush(): void {
    const { state } = this.#socket;
    if (!isOpen(state)) return;
    for (const frame of this.#outbox.take(state.phase === 'live', this.#limits)) this.#socket.send(frame);
  }

  #publish(changes: Partial<Snapshot>): void {
    this.#flush(); // a lane may have become free
    this.#snapshot = { ...this.#snapshot, ...changes, pending: this.#outbox.pending };
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        this.#report(error);
      }
    }
  }

  async #load(): Promise<void> {
    try {
      const checkpoint = await this.#options.storage?.load();
      if (!isCheckpoint(checkpoint, this.#options.conversations)) return;
      this.#cursor = checkpoint.cursor;
      for (const queue of this.#queues) queue.begin(checkpoint.cursor.offset);
      this.#publish({ conversations: restore(checkpoint), user_id: checkpoint.cursor.user_id });
      for (const command of checkpoint.commands) void this.#command(command).catch((error) => this.#report(error));
    } catch (error) {
      this.#report(error);
    }
  }

  #saveLater(): void {
    if (this.#options.storage && !this.#delayed.has('save')) this.#later('save', this.#options.saveIntervalMs, () => this.#save());
  }

  #save(): void {
    const { storage, conversations } = this.#options;
    if (!storage || this.#loading) return;
    this.#apply();
    const acknowledged = [...this.#queues].map((queue) => queue.acknowledged);
    const offset = !conversations ? Math.min(this.#cursor.offset, ...acknowledged) : this.#cursor.offset;
    const checkpoint: Checkpoint = {
      version: 1,
      cursor: { ...this.#cursor, offset },
      threads: !conversations ? null : [...this.#snapshot.conversations.threads.values()],
      commands: this.#outbox.pending.map(({ command }) => command),
    };
    void (async () => storage.save(checkpoint))().catch((error) => this.#report(error));
  }

  #later(name: string, ms: number, act: () => void): void {
    this.#options.timers.clear(this.#delayed.get(name));
    const timer = this.#options.timers.set(() => {
      this.#delayed.delete(name);
      act();
    }, ms);
    this.#delayed.set(name, timer);
  }

  #end(rejection: QuintetError, loops: QuintetError | undefined): void {
    this.#outbox.abandonAll(rejection);
    for (const queue of this.#queues) queue.end(loops);
  }

  #report(error: unknown): void {
    this.#options.onError?.(error);
  }
}

function isCheckpoint(value: Checkpoint | null | undefined, conversations: boolean): value is Checkpoint {
  return value?.version === 1 && typeof value.cursor?.offset === 'number' && (!conversations || Array.isArray(value.threads));
}

function aborted(signal: AbortSignal): QuintetError {
  const error = new QuintetError('aborted', 'aborted');
  error.cause = signal.reason;
  return error;
}

const BATCH_ENTRIES_MAX = 256;
const BATCH_MS_MAX = 50;
