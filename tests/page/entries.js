// A small server for tests: makes the entries of one user's log, in legal order.

export class Journal {
  offset = 0;
  clock = 1_700_000_000_000;
  entries = [];

  constructor(user_id = 'ada', epoch = 'epoch-1') {
    this.user_id = user_id;
    this.epoch = epoch;
  }

  ready(resumed_after = 0, more = {}) {
    const { user_id, epoch, offset: head } = this;
    return { type: 'ready', protocol: 'quintet.v1', connection_id: 'c-1', user_id, epoch, resumed_after, head, gap: null, heartbeat_ms: 25_000, limits: {}, ...more };
  }

  caughtUp() {
    return { type: 'caught_up', head: this.offset };
  }

  put(entry) {
    this.offset += 1;
    this.clock += 10;
    const placed = { ...entry, offset: this.offset, user_id: this.user_id, timestamp: this.clock };
    this.entries.push(placed);
    return placed;
  }

  /** Makes a message and a function that makes the next event of its run. */
  message(thread_id, run_id, text = 'hello', agent_name = 'assistant') {
    this.put({ type: 'user_message', thread_id, run_id, agent_name, message_id: `m-${run_id}`, text });
    let seq = 0;
    return (type, more = {}) => this.put({ type, thread_id, run_id, agent_name, seq: ++seq, ...more });
  }

  /** Makes a whole run with one tool call: the five kinds of event. */
  fiveEvents(thread_id = 'main', run_id = 'r1') {
    const event = this.message(thread_id, run_id);
    event('agent_started', { message_id: `m-${run_id}` });
    event('agent_thinking', { kind: 'reasoning', delta: 'think' });
    event('tool_executing', { call_id: 'c1', tool_name: 'calculate', parameters: { x: 1 }, by: 'agent' });
    event('tool_completed', { call_id: 'c1', tool_name: 'calculate', status: 'ok', results: 2, error: null, duration_ms: 10 });
    event('agent_thinking', { kind: 'answer', delta: 'two' });
    event('agent_completed', { status: 'succeeded', final_response: 'two', error: null, duration_ms: 50 });
    return this.entries;
  }
}
