import type { UIMessage } from 'ai';
import type { Thread } from '../conversation.js';
import type { Run } from '../run.js';
import { branch } from '../tree.js';
import { metadataOf, RunChunks, type ChunkOptions } from './chunks.js';

/**
 * Returns the messages of a thread for `useChat({ messages })`: the path to `leaf` (default: the latest run), each
 * with the parts that a stream of it would have.
 */
export function messagesOf<M extends UIMessage>(thread: Thread, options: ChunkOptions, leaf?: Run): M[] {
  return branch(thread, leaf).flatMap((run) => {
    const messages: UIMessage[] = [];
    const { message } = run;
    if (message) messages.push({ id: message.message_id, role: 'user', parts: [{ type: 'text', text: message.text }] });
    if (run.status !== 'waiting' && run.status !== 'merged') messages.push(assistantMessage(run, options));
    return messages as M[];
  });
}

/** Builds the message of a run from the chunks of its stream. */
function assistantMessage(run: Run, options: ChunkOptions): UIMessage {
  const emitter = new RunChunks(options);
  const parts: UIMessage['parts'] = [];
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
          const { type, id, data } = chunk as { type: `data-${string}`; id: string; data: unknown };
          const held = parts.find((part) => part.type === type && 'id' in part && part.id === id);
          if (held) Object.assign(held, { data });
          else parts.push({ type, id, data });
        }
    }
  }
  return { id: run.run_id, role: 'assistant', metadata: metadataOf(run, emitter.place), parts };
}
