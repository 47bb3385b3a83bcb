import type { Quintet } from '../client.js';
import type { Thread } from '../conversation.js';
import { QuintetError } from '../errors.js';
import type { Call, Run } from '../run.js';
import { openRun } from '../select.js';
import { parentOf } from '../tree.js';
import type { Accepted, OnBusy } from '../types.js';
import { RunChunks, type ChunkOptions, type Place, type QuintetChunk, type QuintetMetadata } from './chunks.js';
import { messagesOf, type QuintetMessage } from './messages.js';

/** The settings of a transport. */
export interface QuintetChatTransportOptions {
  /** The client. The transport neither opens nor closes it, except that a first request connects it. */
  client: Quintet;
  /** The agent of messages. Default: the service's; of a message that is edited or answered anew, its agent. `body.agent_name` of a request takes precedence. */
  agent_name?: string;
  /** The policy for a busy thread. Default: `enqueue`. `body.on_busy` of a request takes precedence. */
  on_busy?: OnBusy;
  /** Whether a question is a tool approval; otherwise it is a tool of the front end. Default: tools named `approve…`. */
  isApproval?: (call: Call) => boolean;
  /**
   * Whether an abort is the user's stop, and cancels the run. Default true. A `useChat` that makes its own chat aborts
   * on unmount too: pass it a `Chat` (`useChat({ chat })`), or set this to false and call `stop`.
   */
  cancelOnAbort?: boolean;
  /** Whether to emit the data parts `data-run` (the status) and `data-progress`. Default true. */
  dataParts?: boolean;
  /** Called with an error that no stream can carry, such as that of a cancel. */
  onError?: (error: unknown) => void;
}

/** A request of a chat: the members of `ChatTransport.sendMessages` that the transport reads. */
export interface SendRequest {
  /** A new message or answers to questions, or the same message again. */
  trigger: 'submit-message' | 'regenerate-message';
  /** The chat: the thread. */
  chatId: string;
  /** The message to edit or to regenerate. */
  messageId: string | undefined;
  /** The conversation. */
  messages: readonly ChatMessage[];
  /** The user's stop. */
  abortSignal: AbortSignal | undefined;
  /** `agent_name` and `on_busy` of this message. */
  body?: object | undefined;
}

/** A request of a chat: the members of `ChatTransport.reconnectToStream` that the transport reads. */
export interface ReconnectRequest {
  /** The chat: the thread. */
  chatId: string;
  /** The user's stop. */
  abortSignal?: AbortSignal | undefined;
}

/** A message of a chat: the members of every `UIMessage` that the transport reads. */
export interface ChatMessage {
  /** The id. */
  readonly id: string;
  /** The party that wrote it. */
  readonly role: 'system' | 'user' | 'assistant';
  /** Anything. */
  readonly metadata?: unknown;
  /** The parts. */
  readonly parts: readonly ChatPart[];
}

/** A part of a message of a chat. */
export interface ChatPart {
  /** The kind of the part. */
  readonly type: string;
  /** The text of a part with text. */
  readonly text?: string | undefined;
  /** The id of a call. */
  readonly toolCallId?: string | undefined;
  /** The state of a call. */
  readonly state?: string | undefined;
  /** The user's answer to a question for approval. */
  readonly approval?: { readonly id: string; readonly approved?: boolean | undefined; readonly reason?: string | undefined } | undefined;
  /** The output of a tool of the front end. */
  readonly output?: unknown;
  /** The error of a tool of the front end. */
  readonly errorText?: string | undefined;
}

/**
 * A `ChatTransport` of the AI SDK (`ai` 7) over the one connection of a client. The id of a chat is the thread, the id
 * of a user message is the `message_id`, the id of an assistant message is the run.
 *
 * `M` is the type of the messages that `messages` and `watch` return, for chats with a `UIMessage` type of their own.
 */
export class QuintetChatTransport<M = QuintetMessage> {
  /** A reconnect replays the run from its start; the chat rebuilds the message. */
  readonly resumeStreamIsReplay = true;
  #options: QuintetChatTransportOptions;
  #chunks: ChunkOptions;
  /** The place of the last stream of a run. */
  #places = new Map<string, Place>();
  /** Streams that are open, by thread, and the last offset that a view of the thread has seen. */
  #streams = new Map<string, number>();
  #seen = new Map<string, number>();
  /** Threads with a message that shows withdrawn text, until `watch` has given the messages anew. */
  #stale = new Set<string>();

  /** Creates a transport. */
  constructor(options: QuintetChatTransportOptions) {
    this.#options = options;
    const isApproval = options.isApproval ?? ((call) => call.tool_name.startsWith('approve'));
    this.#chunks = { isApproval, dataParts: options.dataParts ?? true };
  }

  /** Returns the messages of a thread, for `useChat({ messages })`. */
  messages(thread_id: string): M[] {
    const thread = this.#thread(thread_id);
    return thread ? (messagesOf(thread, this.#chunks) as M[]) : [];
  }

  /** Cancels the open run of a thread: the user's stop, if `cancelOnAbort` is false. */
  async stop(thread_id: string): Promise<void> {
    const thread = this.#thread(thread_id);
    const run = thread && openRun(thread);
    if (run) await this.#options.client.cancel(run.run_id);
  }

  /**
   * Calls `changed` with the thread's messages whenever it goes on without a stream of this transport: a message of
   * another tab, an answer given there. Set them as the chat's messages and call `resumeStream`.
   */
  watch(thread_id: string, changed: (messages: M[]) => void): () => void {
    if (!this.#seen.has(thread_id)) this.#seen.set(thread_id, this.#thread(thread_id)?.last_offset ?? 0);
    return this.#options.client.subscribe(() => {
      const thread = this.#thread(thread_id);
      if (!thread || this.#streams.get(thread_id) || !this.#options.client.snapshot.caughtUp) return;
      const seen = this.#seen.get(thread_id) ?? 0;
      this.#seen.set(thread_id, thread.last_offset);
      if (this.#stale.delete(thread_id) || seen < thread.last_offset) changed(this.messages(thread_id));
    });
  }

  /** Sends the last message, or the answers to the questions of the last assistant message, and streams its run. */
  sendMessages(options: SendRequest): Promise<ReadableStream<QuintetChunk>> {
    return this.#during(options.chatId, () => this.#sendMessages(options));
  }

  async #sendMessages(options: SendRequest): Promise<ReadableStream<QuintetChunk>> {
    const { chatId, messages, abortSignal, messageId, trigger } = options;
    const { client } = this.#options;
    client.connect();
    const target = messages.find(({ id, role }) => id === messageId && role === 'assistant') ?? messages.at(-1);
    if (trigger === 'submit-message' && target?.role === 'assistant') {
      await client.caughtUp(abortSignal ? { signal: abortSignal } : {});
      await this.#answer(chatId, target);
      return this.#stream(chatId, target.id, abortSignal, this.#placeOf(target));
    }
    const message = messages.findLast(({ role }) => role === 'user');
    if (!message) throw new QuintetError('invalid_field', 'there is no message to send', { final: true });
    const sent = this.#send(options, message);
    let stopped = () => undefined as void;
    const stop = new Promise<never>((_resolve, reject) => {
      stopped = () => {
        void this.#cancel(sent);
        reject(new DOMException('stopped', 'AbortError'));
      };
    });
    abortSignal?.addEventListener('abort', stopped, { once: true });
    try {
      const { run_id } = await Promise.race([sent, stop]);
      return this.#stream(chatId, run_id, abortSignal, null);
    } finally {
      abortSignal?.removeEventListener('abort', stopped);
    }
  }

  /** Streams the open run of the thread from its start; null if all runs have ended. */
  reconnectToStream(options: ReconnectRequest): Promise<ReadableStream<QuintetChunk> | null> {
    return this.#during(options.chatId, () => this.#reconnect(options));
  }

  async #reconnect({ chatId, abortSignal }: ReconnectRequest): Promise<ReadableStream<QuintetChunk> | null> {
    const { client } = this.#options;
    client.connect();
    try {
      await client.caughtUp(abortSignal ? { signal: abortSignal } : {});
    } catch (error) {
      // An abort before the stream is a component that went away (StrictMode mounts twice), and no stop.
      if (abortSignal?.aborted) return null;
      throw error;
    }
    const thread = this.#thread(chatId);
    const run = thread && openRun(thread);
    return run ? this.#stream(chatId, run.run_id, abortSignal, null) : null;
  }

  async #send({ chatId, trigger, body }: SendRequest, message: ChatMessage): Promise<Accepted> {
    const { client, agent_name, on_busy } = this.#options;
    const text = message.parts.map((part) => (part.type === 'text' ? (part.text ?? '') : '')).join('');
    if (message.parts.some(({ type }) => type === 'file')) throw new QuintetError('invalid_field', 'attachments are not supported', { final: true });
    const defaults = { ...(agent_name === undefined ? {} : { agent_name }), ...(on_busy === undefined ? {} : { on_busy }) };
    const outgoing = { thread_id: chatId, text, ...defaults, ...wishesOf(body) };
    // An edited or regenerated message is a new one beside the old: the same parent, another id.
    const thread = this.#thread(chatId);
    const old = thread?.runs.find((run) => run.message?.message_id === message.id);
    const again = old && (trigger === 'regenerate-message' || old.message?.text !== text);
    if (thread && again) return client.edit(parentOf(thread, old), { agent_name: old.agent_name, ...outgoing });
    return client.send({ ...outgoing, message_id: message.id });
  }

  /** Sends the answers that the user gave to the open questions of a message. */
  async #answer(thread_id: string, message: ChatMessage): Promise<void> {
    const { client } = this.#options;
    const run = this.#thread(thread_id)?.runs.find(({ run_id }) => run_id === message.id);
    const answers = message.parts.flatMap((part) => {
      if (!part.toolCallId?.startsWith(`${message.id}:`)) return [];
      const call_id = part.toolCallId.slice(message.id.length + 1);
      const open = run?.parts.some((held) => held.type === 'call' && held.call_id === call_id && held.by === 'client' && held.status === 'open');
      if (!open) return [];
      switch (part.state) {
        case 'approval-responded':
          if (part.approval?.approved === true) return client.answer(message.id, call_id, { approved: true });
          return client.decline(message.id, call_id, part.approval?.reason ?? null);
        case 'output-available':
          return client.answer(message.id, call_id, part.output);
        case 'output-error':
          return client.fail(message.id, call_id, part.errorText ?? 'failed');
        default:
          return [];
      }
    });
    for (const answer of await Promise.allSettled(answers)) {
      // Another tab was first: the log has its answer, and the stream shows it (RUN-11).
      if (answer.status === 'rejected' && (answer.reason as QuintetError).code !== 'call_closed') throw answer.reason;
    }
  }

  /** Counts a request as a stream of the thread, so that `watch` leaves its entries to it. */
  async #during<T>(thread_id: string, act: () => Promise<T>): Promise<T> {
    this.#count(thread_id, 1);
    try {
      return await act();
    } finally {
      this.#count(thread_id, -1);
    }
  }

  #count(thread_id: string, by: 1 | -1): void {
    this.#streams.set(thread_id, (this.#streams.get(thread_id) ?? 0) + by);
  }

  #placeOf(message: ChatMessage): Place | null {
    const { quintet } = (message.metadata ?? {}) as { quintet?: QuintetMetadata };
    return this.#places.get(message.id) ?? quintet?.place ?? null;
  }

  #stream(thread_id: string, run_id: string, signal: AbortSignal | undefined, from: Place | null): ReadableStream<QuintetChunk> {
    const { client } = this.#options;
    const emitter = new RunChunks(this.#chunks, from);
    this.#count(thread_id, 1);
    let isDone = false;
    let stopWaiting = () => undefined as void;
    const stopped = () => {
      void this.#cancel(Promise.resolve({ run_id }));
      stopWaiting();
    };
    const done = () => {
      if (isDone) return;
      isDone = true;
      signal?.removeEventListener('abort', stopped);
      stopWaiting();
      this.#count(thread_id, -1);
      this.#places.set(run_id, emitter.place);
      if (emitter.stale) this.#stale.add(thread_id);
    };
    if (signal?.aborted) stopped();
    else signal?.addEventListener('abort', stopped, { once: true });
    return new ReadableStream<QuintetChunk>(
      {
        pull: async (controller) => {
          for (;;) {
            const run = this.#run(thread_id, run_id);
            const { chunks, ends } = run ? emitter.next(run) : { chunks: [], ends: false };
            for (const chunk of chunks) controller.enqueue(chunk);
            if (run) this.#seen.set(thread_id, Math.max(this.#seen.get(thread_id) ?? 0, run.last_offset));
            const { connection } = client.snapshot;
            if (ends || signal?.aborted) {
              done();
              return controller.close();
            }
            if (connection.phase === 'closed') {
              done();
              return controller.error(new QuintetError('closed', connection.message));
            }
            if (chunks.length > 0) return;
            await new Promise<void>((resolve) => {
              const unsubscribe = client.subscribe(resolve);
              stopWaiting = () => {
                unsubscribe();
                resolve();
              };
            }).finally(() => stopWaiting());
          }
        },
        cancel: done,
      },
      { highWaterMark: 0 },
    );
  }

  /** Cancels a run that was stopped, if an abort is a stop. A run that is not accepted yet is cancelled when it is. */
  async #cancel(accepted: Promise<{ run_id: string }>): Promise<void> {
    if (this.#options.cancelOnAbort === false) return;
    try {
      await this.#options.client.cancel((await accepted).run_id);
    } catch (error) {
      this.#options.onError?.(error);
    }
  }

  #thread(thread_id: string): Thread | undefined {
    return this.#options.client.snapshot.conversations.threads.get(thread_id);
  }

  #run(thread_id: string, run_id: string): Run | undefined {
    return this.#thread(thread_id)?.runs.findLast((run) => run.run_id === run_id);
  }
}

/** Returns the fields of a request's body that a message takes. */
function wishesOf(body: object | undefined): { agent_name?: string; on_busy?: OnBusy } {
  const { agent_name, on_busy } = (body ?? {}) as { agent_name?: string; on_busy?: OnBusy };
  return { ...(agent_name === undefined ? {} : { agent_name }), ...(on_busy === undefined ? {} : { on_busy }) };
}
