// Commands that the service has not answered yet: messages, cancels, answers, changes of threads.
//
// A command is sent on each new connection under the same ids until the service accepts or refuses it, or the log
// shows its effect; so it has its effect once (DEL-5, DEL-6). Commands of one lane (a thread, a run) go one after
// another: they keep their order, and an `error` that names only the run belongs to exactly one command.

import { QuintetError, refusal } from './errors.js';
import type { Accepted, Command, CompleteCall, Entry, ErrorFrame, Limits, SendMessage } from './types.js';

/** A command that waits for its answer. */
export interface Pending {
  /** The command. */
  readonly command: Command;
  /** `waiting` to be sent, `sent`, or `held` until a retry is allowed. */
  readonly state: 'waiting' | 'sent' | 'held';
}

type Outcome = Accepted | undefined;

interface Item {
  readonly lane: string;
  readonly command: Command;
  promise: Promise<Outcome>;
  resolve: (outcome: Outcome) => void;
  reject: (error: Error) => void;
  /** `abandoned`: sent, and its reply is still to come; it must not be taken for that of another command. */
  state: Pending['state'] | 'abandoned';
  /** The message is in the log; its reply is still to come. */
  seen?: Accepted;
}

/** The unanswered commands of one client. */
export class Outbox {
  #items = new Map<string, Item>();
  #max: number;
  #view: readonly Pending[] | null = null;

  /** Creates an outbox for at most `max` commands. */
  constructor(max: number) {
    this.#max = max;
  }

  /** The commands, oldest first. The array keeps its identity while nothing changes. */
  get pending(): readonly Pending[] {
    return (this.#view ??= [...this.#items.values()].flatMap(({ command, state, seen }) => (state === 'abandoned' || seen ? [] : { command, state })));
  }

  /** Adds a command. The same command again, while it is pending, is the same promise. */
  add(command: Command): Promise<Outcome> {
    const id = keyOf(command);
    const held = this.#items.get(id);
    if (held) {
      if (same(held.command, command)) {
        if (held.state === 'abandoned') Object.assign(held, deferred(), { state: 'sent' });
        this.#view = null;
        return held.promise;
      }
      return Promise.reject(new QuintetError('message_id_reused', 'another command with this id', { final: true }));
    }
    if (this.#items.size >= this.#max) {
      return Promise.reject(new QuintetError('outbox_full', `${this.#max} pending commands`));
    }
    const item: Item = { lane: laneOf(command), command, state: 'waiting', ...deferred() };
    this.#items.set(id, item);
    this.#view = null;
    return item.promise;
  }

  /** Forgets a command: its outcome is unknown if it was sent (DEL-7). */
  abandon(command: Command, error: Error): void {
    const item = this.#items.get(keyOf(command));
    if (item?.state === 'sent') {
      this.#set(item, 'abandoned');
      item.reject(error);
    } else if (item) this.#fail(item, error);
  }

  /** Forgets all commands. */
  abandonAll(error: Error): void {
    for (const item of this.#items.values()) this.#fail(item, error);
  }

  /**
   * Returns the frames to send now and marks them as sent. Before the connection is live (`replaying`), only messages
   * are sent: the log may yet show that another command is done.
   */
  take(live: boolean, limits: Limits | null): string[] {
    const busy = new Set<string>();
    const frames: string[] = [];
    for (const item of this.#items.values()) {
      if (!busy.has(item.lane) && item.state === 'waiting' && (live || item.command.type === 'send_message')) {
        const frame = JSON.stringify(item.command);
        // The service would close the connection, each time.
        const max = limits?.frame_bytes_max ?? Infinity;
        if (frame.length * 3 > max && new TextEncoder().encode(frame).length > max) {
          this.#fail(item, new QuintetError('too_large', `more than ${max} bytes`, { final: true }));
          continue;
        }
        this.#set(item, 'sent');
        frames.push(frame);
      }
      busy.add(item.lane);
    }
    return frames;
  }

  /** Handles a lost connection: what was not answered is sent again. */
  lost(): void {
    for (const item of this.#items.values()) {
      if (item.seen || item.state === 'abandoned') this.#done(item, item.seen);
      else this.#set(item, 'waiting');
    }
  }

  /** Handles `accepted`. */
  accepted(frame: Accepted): void {
    const item = this.#items.get(key('send_message', frame.message_id));
    if (item) this.#done(item, frame);
  }

  /** Handles `error`. Returns the delay after which `release` is due; null if there is none; false: not about a command. */
  refused(frame: ErrorFrame): number | null | false {
    const item = this.#concerned(frame);
    if (!item) return false;
    if (AGAIN.includes(frame.code)) {
      this.#set(item, 'held');
      return frame.retry_after_ms || AGAIN_AFTER_MS;
    }
    if (frame.code === 'run_ended' && item.command.type === 'cancel_run') this.#done(item);
    else this.#fail(item, refusal(frame));
    return null;
  }

  /** Makes held commands waiting again. */
  release(): void {
    for (const item of this.#items.values()) if (item.state === 'held') this.#set(item, 'waiting');
  }

  /** Settles the command whose effect the entry is. */
  observe(entry: Entry): void {
    switch (entry.type) {
      case 'user_message': {
        const item = this.#items.get(key('send_message', entry.message_id));
        // An old message may have the same id and other content: then the service's refusal is the answer.
        const command = item?.command as SendMessage | undefined;
        if (item && command?.text === entry.text && command.thread_id === entry.thread_id) {
          const { message_id, run_id, offset: message_offset } = entry;
          item.seen = { type: 'accepted', message_id, run_id, message_offset, duplicate: false };
          // A reply that is still to come would otherwise be taken for that of a later message with this id (DEL-7).
          this.#view = null;
          if (!inFlight(item)) this.#done(item, item.seen);
        }
        return;
      }
      case 'tool_completed': {
        const item = this.#items.get(key('complete_call', entry.run_id, entry.call_id));
        const command = item?.command as CompleteCall;
        if (!item) return;
        if (command.status === entry.status && same(command.results, entry.results)) this.#done(item);
        else if (!inFlight(item)) this.#fail(item, closed('closed by another answer'));
        return;
      }
      case 'agent_completed':
        for (const item of this.#items.values()) {
          const { command } = item;
          if (!('run_id' in command) || command.run_id !== entry.run_id) continue;
          if (command.type === 'cancel_run') this.#done(item);
          else this.#fail(item, closed('run ended'));
        }
        return;
      case 'thread_updated':
      case 'thread_erased': {
        const item = this.#items.get(key(entry.type === 'thread_updated' ? 'update_thread' : 'erase_thread', entry.thread_id));
        if (item?.state === 'sent') this.#done(item);
      }
    }
  }

  #concerned(frame: ErrorFrame): Item | undefined {
    if (frame.message_id != null) return this.#items.get(key('send_message', frame.message_id));
    if (frame.code === 'unauthenticated') return undefined; // about a credential
    const lane = frame.run_id != null ? `run:${frame.run_id}` : THREADS;
    for (const item of this.#items.values()) if (item.lane === lane && inFlight(item)) return item;
    return undefined;
  }

  #set(item: Item, state: Item['state']): void {
    item.state = state;
    this.#view = null;
  }

  #done(item: Item, outcome?: Outcome): void {
    this.#remove(item);
    item.resolve(outcome);
  }

  #fail(item: Item, error: Error): void {
    this.#remove(item);
    item.reject(error);
  }

  #remove(item: Item): void {
    this.#items.delete(keyOf(item.command));
    this.#view = null;
  }
}

/** Returns whether a reply to the command is still to come. */
function inFlight({ state }: Item): boolean {
  return state === 'sent' || state === 'abandoned';
}

function closed(message: string): QuintetError {
  return new QuintetError('call_closed', message, { final: true });
}

function deferred(): Pick<Item, 'promise' | 'resolve' | 'reject'> {
  let settle!: Pick<Item, 'resolve' | 'reject'>;
  const promise = new Promise<Outcome>((resolve, reject) => (settle = { resolve, reject }));
  return { promise, ...settle };
}

/** Returns why the service would refuse the command without naming it, or null. */
export function invalid(command: Command): string | null {
  for (const field of ['message_id', 'thread_id', 'call_id', 'agent_name'] as const) {
    const id = (command as unknown as Record<string, unknown>)[field];
    if (id != null && !(typeof id === 'string' && /^[!-~]{1,128}$/.test(id))) return `${field}: not 1-128 visible ASCII`;
  }
  if ('run_id' in command && !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(command.run_id)) return 'run_id: not a UUID';
  if (command.type === 'send_message' && command.text === '') return 'text: empty';
  // `JSON.stringify` writes an unpaired surrogate as an escape, and nothing else that begins like this.
  return /(?<!\\)(?:\\\\)*\\ud[89a-f]/.test(JSON.stringify(command)) ? 'unpaired surrogate' : null;
}

function keyOf(command: Command): string {
  const { message_id, run_id, call_id, thread_id } = command as Partial<SendMessage & CompleteCall>;
  return key(command.type, message_id ?? run_id ?? thread_id, call_id);
}

function key(type: Command['type'], id: string | undefined, call_id = ''): string {
  return `${type} ${id} ${call_id}`;
}

/** An `error` about a change of a thread names nothing, so that these go one after another. */
const THREADS = 'threads';

function laneOf(command: Command): string {
  if ('run_id' in command) return `run:${command.run_id}`;
  return command.type === 'send_message' ? `thread:${command.thread_id}` : THREADS;
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}

/** Refusals that are not about the command itself. After `unavailable` the outcome is unknown (DEL-7). */
const AGAIN: readonly string[] = ['rate_limited', 'draining', 'unavailable'];
const AGAIN_AFTER_MS = 1_000;
