/**
 * An AI SDK `ChatTransport` over the client's connection: `useChat` of React, Vue, Svelte and Angular, and what is built
 * on it.
 *
 * @packageDocumentation
 */

export { QuintetChatTransport, type QuintetChatTransportOptions } from './transport.js';
export type { Place, QuintetMetadata } from './chunks.js';
