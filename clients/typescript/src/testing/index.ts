/**
 * A service in memory, for tests of programs that use this package. It speaks the protocol: order, idempotency, resume,
 * gaps, epochs, questions, cancels, drain. It checks no credential: the token or ticket is the user's id.
 *
 * @packageDocumentation
 */

export { FakeServer, type FakeServerOptions } from './server.js';
export type { FakeAgent, FakeAnswer, FakeRun } from './run.js';
export { memoryStorage } from './storage.js';
export { ManualTimers } from './timers.js';
