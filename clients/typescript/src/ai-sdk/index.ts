/**
 * An AI SDK `ChatTransport` over the client's connection: `useChat` of React, Vue, Svelte and Angular, and what is built
 * on it.
 *
 * @packageDocumentation
 */

export { QuintetChatTransport, type ChatMessage, type ChatPart, type QuintetChatTransportOptions, type ReconnectRequest, type SendRequest } from './transport.js';
export type { QuintetMessage, QuintetPart, ToolState } from './messages.js';
export type { Place, ProgressData, QuintetChunk, QuintetMetadata, RunData } from './chunks.js';
