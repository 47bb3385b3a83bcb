import type { Thread } from '../conversation.js';
import type { Run } from '../run.js';
import { branch } from '../tree.js';
import { metadataOf, RunChunks, type ChunkOptions, type ProgressData, type QuintetMetadata, type RunData } from './chunks.js';

/** A message of a thread. It is a `UIMessage` of every version of `ai` 7. */
export interface QuintetMessage {
  /** Of the user's message the `message_id`, of the assistant's the run. */
  id: string;
  /** The party that wrote it. */
  role: 'user' | 'assistant';
  /** Of the assistant's message: the run. */
  metadata?: { quintet: QuintetMetadata };
  /** The parts. */
  parts: QuintetPart[];
}

/** A part of a message. */
export type QuintetPart =
  | { type: 'step-start' }
  | { type: 'text'; text: string; state?: 'streaming' | 'done' }
  | { type: 'reasoning'; id: string; text: string; state?: 'streaming' | 'done' }
  | ({ type: 'dynamic-tool'; toolCallId: string; toolName: string; input: unknown; providerExecuted?: boolean } & ToolState)
  | { type: 'data-run'; id: string; data: RunData }
  | { type: 'data-progress'; id: string; data: ProgressData };

/** The state of a call. An approval is that of a question. */
export type ToolState =
  | { state: 'input-available' }
  | { state: 'approval-requested'; approval: { id: string } }
  | { state: 'approval-responded'; approval: { id: string; approved: boolean; reason?: string } }
  | { state: 'output-available'; output: unknown; approval?: { id: string; approved: true; reason?: string } }
  | { state: 'output-error'; errorText: string; approval?: { id: string; approved: true; reason?: string } }
  | { state: 'output-denied'; approval: { id: string; approved: false; reason?: string } };

/**
 * Returns the messages of a thread for `useChat({ messages })`: the path to `leaf` (default: the latest run), each
 * with the parts that a stream of it would have.
 */
export function messagesOf(thread: Thread, options: ChunkOptions, leaf?: Run): QuintetMessage[] {
  return branch(thread, leaf).flatMap((run) => {
    const messages: QuintetMessage[] = [];
    const { message } = run;
    if (message) messages.push({ id: message.message_id, role: 'user', parts: [{ type: 'text', text: message.text }] });
    if (run.status !== 'waiting' && run.status !== 'merged') messages.push(assistantMessage(run, options));
    return messages;
  });
}

/** Builds the message of a run from the chunks of its stream. */
function assistantMessage(run: Run, options: ChunkOptions): QuintetMessage {
  const emitter = new RunChunks(options);
  const parts: QuintetPart[] = [];
  const { chunks } = emitter.next(run);
  const texts = new Map<string, { text: string; state: 'streaming' | 'done' }>();
  const tools = new Map<string, Record<string, unknown>>();
  for (const chunk of chunks) {
    switch (chunk.type) {
      case 'start-step':
        parts.push({ type: 'step-start' });
        break;
      case 'text-start':
      case 'reasoning-start': {
        const rest = { text: '', state: 'streaming' as const };
        const part = chunk.type === 'text-start' ? { type: 'text' as const, ...rest } : { type: 'reasoning' as const, id: chunk.id, ...rest };
        texts.set(chunk.id, part);
        parts.push(part);
        break;
      }
      case 'text-delta':
      case 'reasoning-delta':
        (texts.get(chunk.id) as { text: string }).text += chunk.delta;
        break;
      case 'text-end':
      case 'reasoning-end':
        (texts.get(chunk.id) as { state: string }).state = 'done';
        break;
      case 'tool-input-available': {
        const { toolCallId, toolName, input, providerExecuted } = chunk;
        const by = providerExecuted ? { providerExecuted } : {};
        const part = { type: 'dynamic-tool' as const, toolCallId, toolName, state: 'input-available' as const, input, ...by };
        tools.set(toolCallId, part);
        parts.push(part);
        break;
      }
      case 'tool-approval-request':
        Object.assign(tools.get(chunk.toolCallId) ?? {}, { state: 'approval-requested', approval: { id: chunk.approvalId } });
        break;
      case 'tool-approval-response': {
        const { approvalId: id, approved, reason } = chunk;
        Object.assign(tools.get(id) ?? {}, { state: 'approval-responded', approval: { id, approved, ...(reason === undefined ? {} : { reason }) } });
        break;
      }
      case 'tool-output-available':
        Object.assign(tools.get(chunk.toolCallId) ?? {}, { state: 'output-available', output: chunk.output });
        break;
      case 'tool-output-error':
        Object.assign(tools.get(chunk.toolCallId) ?? {}, { state: 'output-error', errorText: chunk.errorText });
        break;
      case 'tool-output-denied':
        Object.assign(tools.get(chunk.toolCallId) ?? {}, { state: 'output-denied' });
        break;
      default:
        if (chunk.type === 'data-progress' || chunk.type === 'data-run') {
          const held = parts.find((part) => part.type === chunk.type && part.id === chunk.id);
          if (held) Object.assign(held, { data: chunk.data });
          else parts.push({ ...chunk });
        }
    }
  }
  return { id: run.run_id, role: 'assistant', metadata: metadataOf(run, emitter.place), parts };
}
