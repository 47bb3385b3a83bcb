/**
 * A user's conversations from their end: folded pages over HTTP, merged with the entries of a client that began at the
 * head, each applied once. And the tree of a thread.
 *
 * @packageDocumentation
 */

export { History, type HistoryOptions, type HistoryState, type OpenedThread } from './history.js';
export { byActivity, type Threads, type ThreadSummary } from './summaries.js';
export type { Waiting, WaitingCall } from './waiting.js';
export { branch, parentAtEnd, parentOf, parentOn, pathOf, placeOf, siblings, type Path, type Step } from '../tree.js';
