// Pending intents of the user that the log does not show yet: messages, call results, cancels.
//
// Pure. An intent is sent on each new connection under the same ids until the server accepts or
// refuses it or the log shows its effect, so it takes effect once despite reconnects (DEL-6).

/** Creates an outbox: intents by key, in creation order. */
export function createOutbox(intents = []) {
  return new Map(intents.map((intent) => [intent.key, { ...intent, state: revived(intent.state) }]));
}

/** Adds the intent of a client frame, in state `waiting` until `take` returns it. */
export function add(outbox, frame) {
  const intent = { key: keyOf(frame), frame, state: 'waiting', error: null };
  outbox.set(intent.key, intent);
  return intent;
}

/** Returns the frames to send now and marks them as sent. */
export function take(outbox) {
  const waiting = [...outbox.values()].filter((intent) => intent.state === 'waiting');
  for (const intent of waiting) intent.state = 'sent';
  return waiting.map((intent) => intent.frame);
}

/** Handles a lost connection: intents that were sent and not answered are sent again. */
export function lost(outbox) {
  for (const intent of outbox.values()) if (intent.state === 'sent') intent.state = 'waiting';
}

/**
 * Applies a server frame that answers an intent. Returns the affected intents and, if they may be
 * retried, the delay: `{ intents, retry_after_ms }`.
 */
export function settle(outbox, frame) {
  if (frame.type === 'accepted') {
    const intent = outbox.get(`message:${frame.message_id}`);
    if (intent) intent.state = 'accepted';
    return { intents: intent ? [intent] : [], retry_after_ms: null };
  }
  if (frame.type !== 'error') return { intents: [], retry_after_ms: null };
  const intents = concerned(outbox, frame);
  const again = RETRY_CODES.includes(frame.code);
  for (const intent of intents) {
    intent.state = again ? 'held' : 'refused';
    intent.error = { code: frame.code, message: frame.message };
    if (!again && intent.frame.type !== 'send_message') outbox.delete(intent.key);
  }
  const retry_after_ms = again && intents.length > 0 ? (frame.retry_after_ms ?? RETRY_AFTER_MS) : null;
  return { intents, retry_after_ms };
}

/** Makes held or refused intents waiting again. */
export function release(outbox, keys) {
  for (const key of keys) {
    const intent = outbox.get(key);
    if (intent && (intent.state === 'held' || intent.state === 'refused')) intent.state = 'waiting';
  }
}

/** Removes intents whose effect is in the log. Called after entries are applied. */
export function prune(outbox, log) {
  for (const [key, { frame }] of outbox) {
    if (DONE[frame.type](frame, log)) outbox.delete(key);
  }
}

const DONE = {
  send_message: (frame, log) => log.messages.has(frame.message_id),
  cancel_run: (frame, log) => Boolean(log.runs.get(frame.run_id)?.end),
  complete_call: (frame, log) => {
    const run = log.runs.get(frame.run_id);
    const call = run?.calls.get(frame.call_id);
    return Boolean(run?.end || (call && !call.open));
  },
};

function keyOf(frame) {
  switch (frame.type) {
    case 'send_message':
      return `message:${frame.message_id}`;
    case 'cancel_run':
      return `cancel:${frame.run_id}`;
    case 'complete_call':
      return `answer:${frame.run_id}:${frame.call_id}`;
    default:
      throw new TypeError(`${frame.type} is not an intent`);
  }
}

/** Finds the intents that an error refers to by its message id or run id, and by its code. */
function concerned(outbox, error) {
  if (error.message_id) {
    const intent = outbox.get(`message:${error.message_id}`);
    return intent && intent.state !== 'accepted' ? [intent] : [];
  }
  if (!error.run_id) return [];
  return [...outbox.values()].filter(
    ({ frame, state }) =>
      state === 'sent' &&
      frame.run_id === error.run_id &&
      !(error.code === 'run_ended' && frame.type === 'complete_call') &&
      !(error.code === 'call_closed' && frame.type === 'cancel_run'),
  );
}

function revived(state) {
  return state === 'refused' || state === 'accepted' ? state : 'waiting';
}

const RETRY_CODES = ['rate_limited', 'draining', 'unavailable'];
const RETRY_AFTER_MS = 1_000;
