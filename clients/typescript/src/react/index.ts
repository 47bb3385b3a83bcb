/**
 * React hooks over the client's state: `useSyncExternalStore`, so without tearing, and the same on the server.
 *
 * @packageDocumentation
 */

import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useSyncExternalStore, type ReactNode } from 'react';
import type { Quintet } from '../client.js';
import type { CommandOptions, Outgoing, Snapshot } from '../options.js';
import type { Thread } from '../conversation.js';
import { openQuestions, openRun, type Question } from '../select.js';
import type { Accepted } from '../types.js';
import type { Run } from '../run.js';
import { parentOf } from '../tree.js';

const Context = createContext<Quintet | null>(null);

/**
 * Gives the client to the hooks below it. It connects the client while it is mounted, and closes it after; `connect:
 * false` leaves both to the program. StrictMode's second mount keeps the connection.
 */
export function QuintetProvider(props: { client: Quintet; connect?: boolean; children?: ReactNode }): ReactNode {
  const { client, connect = true, children } = props;
  const closing = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    if (!connect) return;
    clearTimeout(closing.current);
    client.connect();
    return () => {
      // Mounted again at once, as StrictMode does, the timer is cleared.
      closing.current = setTimeout(() => client.close(), 0);
    };
  }, [client, connect]);
  return createElement(Context.Provider, { value: client }, children);
}

/** Returns the client of the nearest `QuintetProvider`. */
export function useClient(): Quintet {
  const client = useContext(Context);
  if (!client) throw new Error('useQuintet and useThread need a <QuintetProvider client={…}> above them');
  return client;
}

/** Returns the client and its state; renders again when the state changes. */
export function useQuintet(): Snapshot & { client: Quintet } {
  const client = useClient();
  const snapshot = useSelected(client, identity);
  return useMemo(() => ({ ...snapshot, client }), [snapshot, client]);
}

/** A thread and its commands, as `useThread` returns them. */
export interface ThreadView {
  /** The thread; undefined before its first entry. */
  readonly thread: Thread | undefined;
  /** The runs, oldest first. */
  readonly runs: readonly Run[];
  /** The active run, or the first that waits; null if all have ended. */
  readonly running: Run | null;
  /** The calls that wait for the user. */
  readonly questions: readonly Question[];
  /** Messages of the thread that the service has not accepted yet. */
  readonly unsent: readonly string[];
  /** Sends a message to the thread. */
  send(message: string | Omit<Outgoing, 'thread_id'>, options?: CommandOptions): Promise<Accepted>;
  /** Sends another version of a run's message, beside the old one: with `text` an edit, without it the agent answers anew. */
  edit(run: Run, text?: string, options?: CommandOptions): Promise<Accepted>;
  /** Cancels the open run. Does nothing if all have ended. */
  cancel(options?: CommandOptions): Promise<void>;
  /** Answers a question. */
  answer(question: Question, results?: unknown): Promise<void>;
  /** Declines a question. */
  decline(question: Question, reason?: string): Promise<void>;
}

/** Returns one thread and its commands; renders again when this thread or its unsent messages change. */
export function useThread(thread_id: string): ThreadView {
  const client = useClient();
  const thread = useSelected(client, useCallback(({ conversations }: Snapshot) => conversations.threads.get(thread_id), [thread_id]));
  const pending = useSelected(client, pendingOf);
  const commands = useMemo(
    () => ({
      send: (message: string | Omit<Outgoing, 'thread_id'>, options?: CommandOptions) =>
        client.send({ ...(typeof message === 'string' ? { text: message } : message), thread_id }, options),
      edit: async (run: Run, text = run.message?.text ?? '', options?: CommandOptions) => {
        const held = client.snapshot.conversations.threads.get(thread_id);
        return client.edit(held ? parentOf(held, run) : 0, { thread_id, text, agent_name: run.agent_name }, options);
      },
      cancel: async (options?: CommandOptions) => {
        const held = client.snapshot.conversations.threads.get(thread_id);
        const run = held && openRun(held);
        if (run) await client.cancel(run.run_id, options);
      },
      answer: ({ run, call }: Question, results?: unknown) => client.answer(run.run_id, call.call_id, results),
      decline: ({ run, call }: Question, reason?: string) => client.decline(run.run_id, call.call_id, reason),
    }),
    [client, thread_id],
  );
  const view = useMemo(
    () => ({ thread, runs: thread?.runs ?? NO_RUNS, running: thread ? openRun(thread) : null, questions: thread ? openQuestions(thread) : [] }),
    [thread],
  );
  const unsent = useMemo(
    () => pending.flatMap(({ command }) => (command.type === 'send_message' && command.thread_id === thread_id ? [command.text] : [])),
    [pending, thread_id],
  );
  return useMemo(() => ({ ...view, unsent, ...commands }), [view, unsent, commands]);
}

/** Reads a part of the snapshot that keeps its identity while it does not change. */
function useSelected<T>(client: Quintet, select: (snapshot: Snapshot) => T): T {
  const subscribe = useCallback((listener: () => void) => client.subscribe(listener), [client]);
  const read = useCallback(() => select(client.snapshot), [client, select]);
  return useSyncExternalStore(subscribe, read, read);
}

const identity = (snapshot: Snapshot) => snapshot;
const pendingOf = ({ pending }: Snapshot) => pending;
const NO_RUNS: readonly Run[] = [];
