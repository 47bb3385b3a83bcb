// The settings of a client, its snapshot, and the forms of its commands.

import type { ConnectionState } from './connection.js';
import type { Conversations } from './conversation.js';
import type { CredentialSource } from './credentials.js';
import type { Pending } from './outbox.js';
import type { Timers, WebSocketConstructor } from './socket.js';
import type { CheckpointStorage } from './storage.js';
import type { Gap, SendMessage } from './types.js';

/** The settings of a client. */
export interface QuintetOptions {
  /** The address of the service: `https://…`, `http://…`, `wss://…` or `ws://…`. The path is `/v1/ws`. */
  url: string | URL;
  /** Returns a fresh credential for each connection. */
  credential: CredentialSource;
  /** Where the log begins if there is no checkpoint: `beginning` (default), or `head`, only what is new. */
  start?: 'beginning' | 'head';
  /** Whether to fold the log into `snapshot.conversations`. Default true. Without it, memory does not grow with the log. */
  conversations?: boolean;
  /** Where the checkpoint is kept. Default: nowhere, the log is read from `start` after a reload. */
  storage?: CheckpointStorage;
  /** The longest time between a change and its checkpoint, in milliseconds. Default 1000. */
  saveIntervalMs?: number;
  /** Entries that a `for await` loop may be behind before the client stops reading. Default 1024. */
  bufferEntriesMax?: number;
  /** Commands that may be pending; one more is refused with `outbox_full`. Default 256. */
  outboxMax?: number;
  /** Called with an error that belongs to no command: of a frame, of the storage, of a listener. */
  onError?: (error: unknown) => void;
  /** Called with entries that are missing for good, before the entries after them (DEL-3). */
  onGap?: (gap: Gap) => void;
  /** Parses a frame. Default: `JSON.parse`. One that keeps integers beyond 2^53 exact can be given instead. */
  parse?: (text: string) => unknown;
  /** The class of sockets. Default: the global one. */
  WebSocket?: WebSocketConstructor;
  /** The timers. Default: `setTimeout`. */
  timers?: Timers;
  /** Returns a number in 0..1, for back-off. Default: `Math.random`. */
  random?: () => number;
  /** Returns the time in Unix milliseconds. Default: `Date.now`. */
  now?: () => number;
}

/** The state for a view. A new object for each change; what did not change keeps its identity. */
export interface Snapshot {
  /** The state of the connection. */
  readonly connection: ConnectionState;
  /** Whether every entry that existed when the connection opened has been applied. */
  readonly caughtUp: boolean;
  /** The conversations. */
  readonly conversations: Conversations;
  /** The user; null before the first `ready`. */
  readonly user_id: string | null;
  /** The last gap of this log, or null. The entries in it will never arrive. */
  readonly gap: Gap | null;
  /** How often the log was replaced by another one: a restored backup, another user. */
  readonly resets: number;
  /** The commands that the service has not answered. */
  readonly pending: readonly Pending[];
}

/** A message to send. `message_id` is made if it is missing. */
export type Outgoing = Omit<SendMessage, 'type' | 'message_id'> & { message_id?: string };

/** Options of a command. */
export interface CommandOptions {
  /** Stops waiting. A command that was sent may still take effect (DEL-7). */
  signal?: AbortSignal;
}

/** The settings with their defaults. */
export type Settings = QuintetOptions & Required<Omit<QuintetOptions, 'storage' | 'onError' | 'onGap' | 'start'>>;

/** The defaults. */
export const DEFAULTS = {
  conversations: true,
  saveIntervalMs: 1_000,
  bufferEntriesMax: 1_024,
  outboxMax: 256,
  timers: { set: (callback: () => void, ms: number) => setTimeout(callback, ms), clear: (timer: unknown) => clearTimeout(timer as number) },
  parse: JSON.parse as (text: string) => unknown,
  random: Math.random,
  now: Date.now,
};

