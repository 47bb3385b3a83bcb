// The frames that the client reads and writes, as published. Unknown fields and unknown entries are ignored by both sides.

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
  EraseThread,
  Erased,
  ErrorFrame,
  LogErased,
  Pong,
  Ready,
  Renewed,
  SendMessage,
  ThreadErased,
  ThreadUpdated,
  ToolCompleted,
  ToolExecuting,
  UpdateThread,
  UserMessage,
} from './protocol.js';

/** The policy for a message to a thread with an active run (RUN-8). `steer`: RUN-12. */
export type OnBusy = NonNullable<Published.SendMessage['on_busy']>;

/** One of the five events of a run. */
export type AgentEvent =
  | Published.AgentStarted
  | Published.AgentThinking
  | Published.ToolExecuting
  | Published.ToolCompleted
  | Published.AgentCompleted;

/** An entry of the user's log: a frame of the server that has an `offset`. */
export type Entry = Published.PublishedEntry;

/** A frame of the server that is not an entry. */
export type Notice = Published.ServerNotice;

/** A frame of the server. */
export type ServerFrame = Entry | Notice;

/** A frame of the client that is repeated until the service has answered it. */
export type Command = Published.SendMessage | Published.CancelRun | Published.CompleteCall | Published.UpdateThread | Published.EraseThread;

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
