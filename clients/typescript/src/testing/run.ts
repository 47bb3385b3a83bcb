import type { AgentCompleted, AgentThinking, ToolCompleted, UserMessage } from '../types.js';

/** The answer to a question. */
export interface FakeAnswer {
  /** `ok`, `error` or `declined` as the client sent it; `cancelled` if the run was. */
  status: ToolCompleted['status'];
  /** The results; null unless the status is `ok`. */
  results: unknown;
  /** The error or the reason. */
  error: string | null;
}

/** An agent: steps a run. Its return completes the run, an error fails it. */
export type FakeAgent = (run: FakeRun) => Promise<void> | void;

type Append = (type: string, fields: object) => void;

/** One run, as the agent of a test sees it. Each method appends an event; after the end they throw. */
export class FakeRun {
  /** The message that the run answers. */
  readonly message: UserMessage;
  /** Aborted when the run is cancelled. */
  readonly signal: AbortSignal;
  #append: Append;
  #take: () => UserMessage[];
  #seq = 0;
  #calls = 0;
  #answer = '';
  #started = false;
  #ended = false;
  #abort = new AbortController();
  #open = new Map<string, { tool_name: string; byClient: boolean; done: (answer: FakeAnswer) => void }>();

  /** Used by the server. */
  constructor(message: UserMessage, append: Append, take: () => UserMessage[]) {
    this.message = message;
    this.#append = append;
    this.#take = take;
    this.signal = this.#abort.signal;
  }

  /** Whether the run has begun. */
  get started(): boolean {
    return this.#started;
  }

  /** Whether the run has ended. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Begins the run: its `agent_started`. Called by the server. */
  start(): void {
    this.#started = true;
    this.#event('agent_started', { message_id: this.message.message_id });
  }

  /** Emits a thought. */
  think(delta: string, kind: AgentThinking['kind'] = 'reasoning', reset = false): void {
    if (kind === 'answer') this.#answer = reset ? delta : this.#answer + delta;
    this.#event('agent_thinking', reset ? { kind, delta, reset } : { kind, delta });
  }

  /** Emits a piece of the answer. `reset` withdraws the pieces before. */
  answer(delta: string, options: { reset?: boolean } = {}): void {
    this.think(delta, 'answer', options.reset);
  }

  /** Executes a tool. */
  async tool(tool_name: string, parameters: Record<string, unknown>, execute: () => unknown): Promise<unknown> {
    const call_id = this.#openCall(tool_name, parameters, 'agent', () => undefined);
    const results = await execute();
    this.#close(call_id, { status: 'ok', results, error: null });
    return results;
  }

  /** Asks the user and waits for the answer. */
  ask(tool_name: string, parameters: Record<string, unknown> = {}): Promise<FakeAnswer> {
    return new Promise((done) => this.#openCall(tool_name, parameters, 'client', done));
  }

  /** Takes the messages that wait with `on_busy: 'steer'`; their runs end as `merged` (RUN-12). */
  takeMessages(): UserMessage[] {
    if (this.#open.size > 0) throw new Error('a call is open');
    return this.#take();
  }

  /** Answers a question. Returns the error code of a refusal, or null. Called by the server. */
  complete(call_id: string, answer: FakeAnswer): 'not_found' | 'call_closed' | null {
    const call = this.#open.get(call_id);
    if (call) return call.byClient ? (this.#close(call_id, answer), null) : 'not_found';
    const number = Number(/^call-(\d+)$/.exec(call_id)?.[1]);
    return number > 0 && number <= this.#calls ? 'call_closed' : 'not_found';
  }

  /** Ends the run: closes what is open, then `agent_completed`. */
  end(status: AgentCompleted['status'], error: AgentCompleted['error'] = null, merged_into?: string): void {
    if (this.#ended) return;
    const cancelled = { status: 'cancelled' as const, results: null, error: null };
    for (const call_id of [...this.#open.keys()]) this.#close(call_id, cancelled);
    const final_response = status === 'succeeded' ? this.#answer : null;
    this.#event('agent_completed', { status, final_response, error, duration_ms: 1, ...(merged_into ? { merged_into } : {}) });
    this.#ended = true;
    this.#abort.abort();
  }

  #openCall(tool_name: string, parameters: Record<string, unknown>, by: 'agent' | 'client', done: (answer: FakeAnswer) => void): string {
    this.#calls += 1;
    const call_id = `call-${this.#calls}`;
    this.#event('tool_executing', { call_id, tool_name, parameters, by });
    this.#open.set(call_id, { tool_name, byClient: by === 'client', done });
    return call_id;
  }

  #close(call_id: string, answer: FakeAnswer): void {
    const call = this.#open.get(call_id);
    if (!call) throw new Error(`the call ${call_id} is not open`);
    this.#event('tool_completed', { call_id, tool_name: call.tool_name, ...answer, duration_ms: 1 });
    this.#open.delete(call_id);
    call.done(answer);
  }

  #event(type: string, fields: object): void {
    if (this.#ended) throw new Error('the run has ended');
    this.#seq += 1;
    this.#append(type, { seq: this.#seq, ...fields });
  }
}
