// The events of one run with their numbers and times, and the rules that they break: what "Show every event" draws.
//
// Pure: the same events in the same order yield the same trace. Each step has a `version` that is incremented on every
// change, so that a view redraws only what changed.

/** Creates the trace of a run, from its first entry. */
export function createTrace({ run_id, thread_id, message_id = null, agent_name, timestamp, offset, type }) {
  return {
    run_id,
    thread_id,
    message_id,
    agent_name,
    accepted_at: timestamp,
    started_at: null,
    last_at: timestamp,
    /** The offset of the last entry. */
    through: type === 'user_message' ? offset : offset - 1,
    seq: 0,
    events: 0,
    steps: [],
    texts: { reasoning: '', answer: '', progress: '' },
    calls: new Map(),
    end: null,
    /** Part of the run lies in a gap, so its rules cannot be checked. */
    partial: type !== 'user_message' && type !== 'agent_started',
    faults: [],
    version: 0,
  };
}

/** Applies the run's next entry; one that was applied before changes nothing. */
export function applyToTrace(run, event) {
  if (!EVENT_TYPES.includes(event.type) || event.offset <= run.through) return;
  run.through = event.offset;
  check(run, event);
  run.seq = event.seq;
  run.events += 1;
  run.last_at = event.timestamp;
  run.version += 1;
  APPLY[event.type](run, event);
}

const APPLY = {
  agent_started(run, event) {
    run.started_at = event.timestamp;
    run.message_id ??= event.message_id;
    run.agent_name = event.agent_name;
    push(run, { type: 'started', seq: event.seq, at: event.timestamp, agent_name: event.agent_name });
  },

  agent_thinking(run, event) {
    const { kind } = event;
    if (event.reset) withdraw(run, kind);
    run.texts[kind] = (run.texts[kind] ?? '') + event.delta;
    const last = run.steps.at(-1);
    if (last?.type === 'thinking' && last.kind === kind && !event.reset) {
      last.last_seq = event.seq;
      last.text += event.delta;
      last.until = event.timestamp;
      last.version += 1;
      return;
    }
    push(run, {
      type: 'thinking',
      kind,
      seq: event.seq,
      last_seq: event.seq,
      text: event.delta,
      at: event.timestamp,
      until: event.timestamp,
      restarted: Boolean(event.reset),
      withdrawn: false,
    });
  },

  tool_executing(run, event) {
    const call = push(run, {
      type: 'tool',
      seq: event.seq,
      at: event.timestamp,
      run_id: run.run_id,
      call_id: event.call_id,
      tool_name: event.tool_name,
      parameters: event.parameters,
      by: event.by,
      open: true,
      result: null,
    });
    run.calls.set(event.call_id, call);
  },

  tool_completed(run, event) {
    const call = run.calls.get(event.call_id);
    if (!call) return;
    call.open = false;
    call.result = {
      seq: event.seq,
      at: event.timestamp,
      status: event.status,
      results: event.results,
      error: event.error,
      duration_ms: event.duration_ms,
    };
    call.version += 1;
  },

  agent_completed(run, event) {
    run.end = {
      status: event.status,
      final_response: event.final_response,
      error: event.error,
      duration_ms: event.duration_ms,
      usage: event.usage ?? null,
    };
    push(run, { type: 'completed', seq: event.seq, at: event.timestamp, ...run.end });
  },
};

export const EVENT_TYPES = Object.freeze(Object.keys(APPLY));

/** Discards the run's earlier deltas of this kind. */
function withdraw(run, kind) {
  run.texts[kind] = '';
  for (const step of run.steps) {
    if (step.type === 'thinking' && step.kind === kind && !step.withdrawn) {
      step.withdrawn = true;
      step.version += 1;
    }
  }
}

function push(run, step) {
  step.index = run.steps.length;
  step.version = 0;
  run.steps.push(step);
  return step;
}

/** Records violations of the rules, for server developers. The event is applied regardless. */
function check(run, event) {
  if (run.partial) return;
  const fault = (rule, text) => run.faults.push({ rule, text });
  if (event.seq !== run.seq + 1) fault('RUN-2', `seq ${event.seq} after ${run.seq}`);
  if (event.type === 'agent_started' && run.events > 0) fault('RUN-1', 'a second agent_started');
  if (event.type !== 'agent_started' && run.events === 0) fault('RUN-1', `${event.type} comes first`);
  if (event.type === 'tool_executing' && run.calls.has(event.call_id)) {
    fault('RUN-4', `call ${event.call_id} opened twice`);
  }
  if (event.type === 'tool_completed' && !run.calls.get(event.call_id)?.open) {
    fault('RUN-4', `call ${event.call_id} closed, but not open`);
  }
  if (run.end) fault('RUN-5', `${event.type} after agent_completed`);
  if (event.type === 'agent_completed' && [...run.calls.values()].some(({ open }) => open)) {
    fault('RUN-5', 'agent_completed with a call open');
  }
}
