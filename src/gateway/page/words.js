// Codes of the protocol in words for users: states of a run, errors, refusals (docs/protocol.md).

export const STATES = Object.freeze({
  queued: 'Waiting in line',
  started: 'Starting',
  thinking: 'Thinking',
  tools: 'Using a tool',
  waiting: 'Waiting for you',
  succeeded: 'Done',
  failed: 'Failed',
  cancelled: 'Stopped',
  timed_out: 'Took too long',
  interrupted: 'Interrupted',
  merged: 'Taken up by the running answer',
  unknown: 'Unknown',
});

/** Returns the end of a run in words: `{text, detail}`, or null if it succeeded. */
export function endWords({ status, error }) {
  if (status === 'succeeded') return null;
  if (error) {
    const text = RUN_ERRORS[error.code] ?? 'The agent failed.';
    return { text, detail: `${error.code}: ${error.message}`, isFailure: true };
  }
  return { text: ENDS[status] ?? STATES[status] ?? status, detail: '', isFailure: status === 'failed' || status === 'timed_out' };
}

/** Returns a refusal of a message, an answer or a cancel in words. */
export function refusalWords({ code, message }) {
  return `${REFUSALS[code] ?? 'The server refused this.'} (${code}: ${message})`;
}

/** Whether sending the same message again can succeed. */
export function mayRetry(code) {
  return !['too_large', 'invalid_field', 'unknown_agent', 'message_id_reused', 'malformed_frame', 'forbidden', 'not_found'].includes(code);
}

const ENDS = {
  unknown: 'The end of this answer is not known: the entries are no longer kept.',
  cancelled: 'You stopped this answer.',
  interrupted: 'The service stopped before this answer was complete.',
  timed_out: 'The agent took too long.',
  failed: 'The agent failed.',
  merged: 'This message was taken up by the answer that was running.',
};

const RUN_ERRORS = {
  upstream: 'The language model, or another service that the agent depends on, did not answer.',
  limit_reached: 'The agent reached one of its limits.',
  violation: 'The agent broke the protocol and was stopped. This is a fault of the agent, not yours.',
  agent_error: 'The agent gave up.',
  agent_panic: 'The agent crashed.',
  step_timeout: 'The agent took too long for one step.',
  run_timeout: 'The agent took too long.',
  invalid_script: 'The rehearsal agent plays scripts, and this message is not one. Choose another agent for questions.',
  resume_limit: 'The service stopped several times during this answer, and did not try again.',
  node_lost: 'The server that worked on this answer was lost.',
};

/** Returns the description of a close code (docs/protocol.md, close codes). */
export function closeWords(code) {
  return CLOSES[code] ?? 'unknown code';
}

const CLOSES = {
  1000: 'normal',
  1001: 'going away',
  1002: 'protocol error',
  1005: 'closed without a code',
  1006: 'connection lost',
  1007: 'not UTF-8',
  1009: 'frame over the limit',
  1011: 'fault of the server',
  1012: 'draining or restarting',
  1013: 'over capacity',
  4400: 'too many frames that could not be understood',
  4401: 'not authenticated, or the credential expired',
  4403: 'origin or right refused',
  4408: 'no hello, no pong, or no reading in time',
  4429: 'connection or rate limit reached',
};

const REFUSALS = {
  too_large: 'The message is too long. Edit it, or send it in parts.',
  thread_busy: 'The agent is still working on this conversation.',
  limit_reached: 'Too much is under way at once. Wait until something has finished.',
  rate_limited: 'Too many requests. It is sent again in a moment.',
  unknown_agent: 'There is no agent of this name any more.',
  call_closed: 'This question has already been answered or has ended.',
  run_ended: 'This answer has already ended.',
  not_found: 'This does not exist any more.',
  invalid_field: 'The server could not read this.',
  unavailable: 'The server could not store this.',
  draining: 'The server is restarting.',
  closed: 'The connection has ended.',
  unauthenticated: 'The login is not accepted any more.',
  forbidden: 'This is not allowed.',
  outbox_full: 'Too much waits to be sent.',
  message_id_reused: 'A message with the same id exists already.',
};
