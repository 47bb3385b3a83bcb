// What the user asked for and the log does not show yet: messages, answers, cancels, changes of threads.
//
// The client repeats each under its id until it is answered; this keeps the outcome for the view, and messages across
// reloads, until the user has seen it.

/** `client` is the package's; `store(items)` keeps the messages; `changed()` draws; `refused(frame, error)` reports what no item shows. */
export class Intents {
  #items = new Map();
  #client;
  #hooks;

  constructor(client, hooks) {
    this.#client = client;
    this.#hooks = hooks;
  }

  /** Sends again what a tab had not seen answered before it was reloaded. */
  restore(items) {
    for (const { frame, state, error } of items) {
      if (state === 'refused') this.#items.set(keyOf(frame), { key: keyOf(frame), frame, state, error });
      else this.add(frame);
    }
  }

  /** Adds the intent of a client frame, which goes out now or once connected. */
  add(frame) {
    const item = { key: keyOf(frame), frame, state: 'waiting', error: null };
    this.#items.set(item.key, item);
    this.#changed();
    this.#command(frame).then(
      (accepted) => this.#done(item, accepted),
      (error) => this.#refused(item, error),
    );
  }

  get(key) {
    const item = this.#items.get(key);
    if (item && !FINAL.includes(item.state)) item.state = this.#stateOf(item.frame);
    return item;
  }

  has(key) {
    return this.#items.has(key);
  }

  /** Returns the intents, oldest first. */
  all() {
    return [...this.#items.keys()].map((key) => this.get(key));
  }

  get size() {
    return this.#items.size;
  }

  delete(key) {
    this.#items.delete(key);
    this.#changed();
  }

  /** Sends a refused message again, under the same id. */
  retry(key) {
    this.add(this.#items.get(key).frame);
  }

  /** Removes the message that an entry shows, and accepted ones that were erased before they were shown (DEL-8). */
  onEntry(entry) {
    if (entry.type === 'user_message' && this.#items.delete(messageKey(entry.message_id))) this.#changed();
    if (entry.type !== 'thread_erased' && entry.type !== 'log_erased') return;
    for (const { key, frame, state, message_offset } of this.all()) {
      const isMeant = entry.type === 'log_erased' || frame.thread_id === entry.thread_id;
      if (isMeant && state === 'accepted' && message_offset <= entry.erased_through) this.delete(key);
    }
  }

  #command(frame) {
    const { run_id, call_id, thread_id, type, ...rest } = frame;
    switch (type) {
      case 'send_message':
        return this.#client.send({ thread_id, ...rest });
      case 'cancel_run':
        return this.#client.cancel(run_id);
      case 'update_thread':
        return this.#client.updateThread(thread_id, rest);
      case 'erase_thread':
        return this.#client.eraseThread(thread_id);
      default:
        if (rest.status === 'declined') return this.#client.decline(run_id, call_id, rest.error ?? null);
        if (rest.status === 'error') return this.#client.fail(run_id, call_id, rest.error);
        return this.#client.answer(run_id, call_id, rest.results);
    }
  }

  #stateOf(frame) {
    const key = keyOf(frame);
    return this.#client.snapshot.pending.find(({ command }) => keyOf(command) === key)?.state ?? 'sent';
  }

  #done(item, accepted) {
    if (this.#items.get(item.key) !== item) return;
    // The entry of a message follows; that of a message which was sent before has been read.
    if (item.frame.type === 'send_message' && !accepted.duplicate) Object.assign(item, { state: 'accepted', message_offset: accepted.message_offset });
    else this.#items.delete(item.key);
    this.#changed();
  }

  #refused(item, error) {
    if (this.#items.get(item.key) !== item) return;
    const refusal = { code: error.code ?? 'internal', message: error.message };
    if (item.frame.type === 'send_message') Object.assign(item, { state: 'refused', error: refusal });
    else {
      this.#items.delete(item.key);
      this.#hooks.refused(item.frame, refusal);
    }
    this.#changed();
  }

  #changed() {
    const kept = this.all().filter(({ state }) => state !== 'accepted');
    this.#hooks.store(kept.map(({ frame, state, error }) => ({ frame, state, error })));
    this.#hooks.changed();
  }
}

export const messageKey = (message_id) => `message:${message_id}`;
export const cancelKey = (run_id) => `cancel:${run_id}`;
export const answerKey = (run_id, call_id) => `answer:${run_id}:${call_id}`;

function keyOf(frame) {
  switch (frame.type) {
    case 'send_message':
      return messageKey(frame.message_id);
    case 'cancel_run':
      return cancelKey(frame.run_id);
    case 'complete_call':
      return answerKey(frame.run_id, frame.call_id);
    default:
      return `${frame.type}:${frame.thread_id}`;
  }
}

const FINAL = ['accepted', 'refused'];
