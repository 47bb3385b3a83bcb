/**
 * Client of Quintet: one user's log of agent runs, in order, each entry once, across reconnects, restarts and reloads.
 *
 * @packageDocumentation
 */

export { Quintet } from './client.js';
export type { CommandOptions, Outgoing, QuintetOptions, Snapshot } from './options.js';
export type { ConnectionState } from './connection.js';
export type { Credential, CredentialRequest, CredentialSource } from './credentials.js';
export { QuintetError } from './errors.js';
export { reactionTo, type Reaction } from './close-codes.js';
export { applyEntries, afterGap, NO_CONVERSATIONS, type Conversations, type Thread } from './conversation.js';
export { hasEnded, type Call, type Message, type Part, type Run, type RunStatus, type TextPart } from './run.js';
export { answerOf, callsOf, openQuestions, openRun, textOf, type Question } from './select.js';
export { webStorage, type Checkpoint, type CheckpointStorage } from './storage.js';
export type { Cursor } from './cursor.js';
export type { Pending } from './outbox.js';
export type { Timers, WebSocketConstructor, WebSocketLike } from './socket.js';
export * from './types.js';
