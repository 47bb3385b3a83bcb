// The frames that the client reads and writes: the published ones, and those that the contract defines and that
// a service of today may not know yet. Unknown fields and unknown entries are ignored by both sides.

import type * as Published from './protocol.js';

export type {
  Accepted,
  AgentCompleted,
  AgentStarted,
  AgentThinking,
  CancelRun,
  CaughtUp,
  CompleteCall,
  Draining,
  ErrorFrame,
  Pong,
  Ready,
  Renewed,
  SendMessage,
  ToolCompleted,
  ToolExecuting,
  UserMessage,
} from './protocol.js';

/** The policy for a message to a thread with an active run (RUN-8). `steer`: RUN-12. */
export type OnBusy = NonNullable<Published.SendMessage['on_busy']>;

/** A change of a thread's title or archive flag. */
export interface ThreadUpdated extends ThreadEntry {
  type: 'thread_updated';
  /** The title; null: none. */
  title: string | null;
  /** Whether the thread is archived. */
  archived: boolean;
}

/** The erasure of a thread (DEL-8). */
export interface ThreadErased extends ThreadEntry {
  type: 'thread_erased';
  /** The last offset that was erased. */
  erased_through: number;
  /** The id of the receipt. */
  receipt: string;
}

/** The erasure of the whole log (DEL-8). */
export interface LogErased {
  type: 'log_erased';
  /** The position in the user's log. */
  offset: number;
  /** The owner of the log (ISO-1). */
  user_id: string;
  /** Unix milliseconds. */
  timestamp: number;
  /** The last offset that was erased. */
  erased_through: number;
  /** The id of the receipt. */
  receipt: string;
}

/** Stands in the place of an entry that was erased (DEL-8). */
export interface Erased {
  type: 'erased';
  /** The position in the user's log. */
  offset: number;
  /** Unix milliseconds. */
  timestamp: number;
}

interface ThreadEntry {
  /** The position in the user's log. */
  offset: number;
  /** The owner of the log (ISO-1). */
  user_id: string;
  /** The conversation. */
  thread_id: string;
  /** Unix milliseconds. */
  timestamp: number;
}

/** One of the five events of a run. */
export type AgentEvent =
  | Published.AgentStarted
  | Published.AgentThinking
  | Published.ToolExecuting
  | Published.ToolCompleted
  | Published.AgentCompleted;

/** An entry of the user's log: a frame of the server that has an `offset`. */
export type Entry = Published.UserMessage | AgentEvent | ThreadUpdated | ThreadErased | LogErased | Erased;

/** A frame of the server that is not an entry. */
export type Notice = Published.ServerNotice;

/** A frame of the server. */
export type ServerFrame = Entry | Notice;

/** Sets the title or the archive flag of a thread. */
export interface UpdateThread {
  type: 'update_thread';
  /** The thread to change. */
  thread_id: string;
  /** 1 to 200 characters; null: none; missing: unchanged. */
  title?: string | null;
  /** Missing: unchanged. */
  archived?: boolean;
}

/** Erases a thread (DEL-8). */
export interface EraseThread {
  type: 'erase_thread';
  /** The thread to erase. */
  thread_id: string;
}

/** A frame of the client that is repeated until the service has answered it. */
export type Command = Published.SendMessage | Published.CancelRun | Published.CompleteCall | UpdateThread | EraseThread;

/** Missing offsets, both included; they will never arrive (DEL-3). */
export interface Gap {
  /** The first missing offset. */
  from: number;
  /** The last missing offset. */
  to: number;
}

/** The limits that `ready` announces. */
export type Limits = Published.Ready['limits'];

/** A code of the contract, or one of this package: `aborted`, `closed`, `outbox_full`, `reset`. */
export type ErrorCode = Published.ErrorFrame['code'] | 'aborted' | 'closed' | 'outbox_full' | 'reset';

/** Returns whether a frame of the server is an entry: exactly entries have an `offset`. */
export function isEntry(frame: ServerFrame): frame is Entry {
  return 'offset' in frame;
}
