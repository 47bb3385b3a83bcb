// Generated from clients/typescript by its scripts/page.mjs. Do not edit.

// clients/typescript/src/close-codes.ts
function reactionTo(code) {
  if (code === 1013 || code === 4429)
    return "later";
  if (code === 4401)
    return "credential";
  if (code === 4408)
    return "retry";
  return code >= 4400 || FINAL.includes(code) ? "final" : "retry";
}
var FINAL = [1e3, 1002, 1007, 1009];
function backoff(attempt, reaction, dice) {
  const base = reaction === "later" ? LATER_MS : RETRY_MS;
  return Math.round(dice * Math.min(RETRY_MS_MAX, base * 2 ** attempt));
}
var RETRY_MS = 500;
var LATER_MS = 4e3;
var RETRY_MS_MAX = 3e4;

// clients/typescript/src/connection.ts
var IDLE = { phase: "idle" };
function isOpen(state) {
  return state.phase === "replaying" || state.phase === "live";
}
function step(state, input) {
  switch (input.type) {
    case "connect":
      if (state.phase === "waiting")
        return connecting(state);
      return state.phase === "idle" || state.phase === "paused" || state.phase === "closed" ? connecting(FRESH) : [state, []];
    case "drop":
      return [{ phase: "closed", reason: "client", code: null, message: "closed" }, ABANDON];
    case "pause":
      return state.phase === "closed" ? [state, []] : [{ phase: "paused" }, ABANDON];
    case "restart": {
      if (!isOpen(state))
        return [state, []];
      const [next, effects] = connecting(state);
      return [next, [{ type: "abort" }, ...effects]];
    }
    case "distrust": {
      if (!("attempt" in state) || state.phase === "waiting")
        return [state, []];
      const [next, effects] = wait(state, { code: null, message: input.message }, "retry", input.dice, 0);
      return [next, [{ type: "abort" }, ...effects]];
    }
    case "closed":
      return closed(state, input);
    case "elapsed":
      return elapsed(state, input);
    case "credential":
      if (state.phase === "connecting")
        return [state, [{ type: "open" }]];
      return isOpen(state) ? [state, [{ type: "renew" }, ...renewal(input.renew_in_ms)]] : [state, []];
    case "credential_failed":
      return credentialFailed(state, input);
    case "opened":
      if (state.phase !== "connecting")
        return [state, []];
      return [{ ...attempts(state), phase: "handshaking" }, [{ type: "hello" }, { type: "arm", timer: "deadline", ms: DEADLINE_MS }]];
    case "ready": {
      if (state.phase !== "handshaking")
        return [state, []];
      const { connection_id, heartbeat_ms, renew_in_ms } = input;
      return [
        { ...attempts(state), phase: "replaying", connection_id, heartbeat_ms, draining: null },
        [{ type: "disarm", timer: "deadline" }, { type: "arm", timer: "beat", ms: heartbeat_ms }, ...renewal(renew_in_ms), { type: "flush" }]
      ];
    }
    case "caught_up":
      if (state.phase !== "replaying")
        return [state, []];
      return [{ ...state, phase: "live", refusals: 0 }, [{ type: "arm", timer: "stable", ms: STABLE_MS }, { type: "flush" }]];
    case "draining":
      return isOpen(state) ? [{ ...state, draining: input.reconnect_after_ms }, []] : [state, []];
    case "renewed":
      return isOpen(state) ? [state, renewal(input.renew_in_ms)] : [state, []];
  }
}
function closed(state, { code, message, dice }) {
  if (!("attempt" in state) || state.phase === "waiting")
    return [state, []];
  const reaction = reactionTo(code);
  if (reaction === "final")
    return [{ phase: "closed", reason: "final", code, message }, QUIET];
  const refusals = reaction === "credential" ? state.refusals + 1 : state.refusals;
  if (refusals > REFUSALS_MAX)
    return [{ phase: "closed", reason: "refused", code, message }, QUIET];
  const floor = isOpen(state) ? state.draining ?? 0 : 0;
  return wait({ ...state, refusals }, { code, message }, reaction, dice, floor);
}
function credentialFailed(state, input) {
  if (isOpen(state))
    return [state, [{ type: "arm", timer: "renew", ms: RENEW_AGAIN_MS }]];
  if (state.phase !== "connecting")
    return [state, []];
  if (input.final)
    return [{ phase: "closed", reason: "refused", code: null, message: input.message }, QUIET];
  return wait(state, { code: null, message: input.message }, "retry", input.dice, input.retry_after_ms ?? 0);
}
function elapsed(state, { timer, dice }) {
  switch (timer) {
    case "retry":
      return state.phase === "waiting" ? connecting(state) : [state, []];
    case "deadline":
      if (state.phase !== "connecting" && state.phase !== "handshaking")
        return [state, []];
      return step(state, { type: "distrust", message: "timeout", dice });
    case "pong":
      return isOpen(state) ? step(state, { type: "distrust", message: "pong timeout", dice }) : [state, []];
    case "beat":
      if (!isOpen(state))
        return [state, []];
      return [state, [{ type: "ping" }, { type: "arm", timer: "pong", ms: PONG_MS }, { type: "arm", timer, ms: state.heartbeat_ms }]];
    case "renew":
      return isOpen(state) ? [state, [{ type: "fetch_credential", reason: "renew" }]] : [state, []];
    case "stable":
      return isOpen(state) ? [{ ...state, attempt: 0 }, []] : [state, []];
  }
}
function connecting(state) {
  const reason = state.refusals > 0 ? "refused" : "connect";
  return [
    { ...attempts(state), phase: "connecting" },
    [...QUIET, { type: "arm", timer: "deadline", ms: DEADLINE_MS }, { type: "fetch_credential", reason }]
  ];
}
function wait(state, ending, reaction, dice, floor) {
  const retry_in_ms = floor + backoff(state.attempt, reaction, dice);
  return [
    { phase: "waiting", attempt: state.attempt + 1, refusals: state.refusals, ...ending, retry_in_ms },
    [...QUIET, { type: "arm", timer: "retry", ms: retry_in_ms }]
  ];
}
function attempts({ attempt, refusals }) {
  return { attempt, refusals };
}
function renewal(ms) {
  return ms === null ? [] : [{ type: "arm", timer: "renew", ms }];
}
var FRESH = { attempt: 0, refusals: 0 };
var DEADLINE_MS = 15e3;
var PONG_MS = 1e4;
var RENEW_AGAIN_MS = 5e3;
var STABLE_MS = 5e3;
var REFUSALS_MAX = 3;
var QUIET = [{ type: "quiet" }];
var ABANDON = [{ type: "abort" }, ...QUIET];

// clients/typescript/src/run.ts
function newRun(entry, message) {
  return {
    run_id: entry.run_id,
    thread_id: entry.thread_id,
    agent_name: entry.agent_name,
    message,
    status: "waiting",
    parts: [],
    final_response: null,
    error: null,
    usage: null,
    duration_ms: null,
    merged_into: null,
    seq: 0,
    withdrawals: 0,
    partial: entry.type !== "user_message" && entry.type !== "agent_started",
    first_offset: entry.offset,
    last_offset: entry.offset,
    accepted_at: entry.timestamp,
    last_at: entry.timestamp
  };
}
function hasEnded(run) {
  return run.status !== "waiting" && run.status !== "active";
}
function applyToRun(held, event, own) {
  if (hasEnded(held) && held.status !== "unknown")
    return held;
  const run = own(held);
  run.seq = event.seq;
  run.last_offset = event.offset;
  run.last_at = event.timestamp;
  run.agent_name = event.agent_name;
  if (event.type === "agent_completed")
    return complete(run, event);
  run.status = "active";
  if (event.type === "agent_started")
    return run;
  const parts = own(run.parts);
  run.parts = parts;
  if (event.type === "agent_thinking") {
    run.parts = think(parts, event, own);
    if (run.parts !== parts)
      run.withdrawals += 1;
  }
  if (event.type === "tool_executing")
    parts.push(open(event));
  if (event.type === "tool_completed")
    close(parts, event);
  return run;
}
function think(parts, { kind, delta, reset }, own) {
  if (reset) {
    const kept = parts.filter((part) => part.type === "call" || part.kind !== kind);
    if (kept.length < parts.length)
      parts = own(kept);
  }
  const last = parts.at(-1);
  if (last?.type === "text" && last.kind === kind)
    parts[parts.length - 1] = { ...last, text: last.text + delta };
  else
    parts.push({ type: "text", kind, text: delta });
  return parts;
}
function open({ call_id, tool_name, parameters, by }) {
  return { type: "call", call_id, tool_name, parameters, by, status: "open", results: null, error: null, duration_ms: null };
}
function close(parts, event) {
  const index = parts.findLastIndex((part) => part.type === "call" && part.call_id === event.call_id);
  const call = parts[index];
  const { status, results, error, duration_ms } = event;
  if (call?.type === "call")
    parts[index] = { ...call, status, results, error, duration_ms };
}
function complete(run, event) {
  run.status = event.status;
  run.final_response = event.final_response;
  run.error = event.error;
  run.usage = event.usage ?? null;
  run.duration_ms = event.duration_ms;
  run.merged_into = event.merged_into ?? null;
  return run;
}

// clients/typescript/src/conversation.ts
var NO_CONVERSATIONS = { offset: 0, threads: /* @__PURE__ */ new Map() };
function applyEntries(state, entries) {
  const draft = new Draft(state);
  for (const entry of entries)
    draft.apply(entry);
  return draft.finish();
}
function afterGap(state) {
  const threads = /* @__PURE__ */ new Map();
  for (const [id, thread] of state.threads) {
    threads.set(id, thread.runs.every(hasEnded) ? thread : { ...thread, runs: thread.runs.map(lost) });
  }
  return { ...state, threads };
}
function lost(run) {
  return hasEnded(run) ? run : { ...run, status: "unknown", partial: true };
}
var Draft = class {
  #state;
  #threads = null;
  #offset;
  #owned = /* @__PURE__ */ new Set();
  constructor(state) {
    this.#state = state;
    this.#offset = state.offset;
  }
  apply(entry) {
    if (entry.offset <= this.#offset)
      return;
    this.#offset = entry.offset;
    if ("seq" in entry)
      this.#event(entry);
    else if (entry.type === "user_message")
      this.#message(entry);
    else if (entry.type === "thread_updated")
      this.#updated(entry);
    else if (entry.type === "thread_erased")
      this.#erase(this.#thread(entry), entry.erased_through);
    else if (entry.type === "log_erased")
      for (const thread of this.#mutableThreads().values())
        this.#erase(this.#own(thread), entry.erased_through);
  }
  finish() {
    if (this.#offset === this.#state.offset)
      return this.#state;
    return { offset: this.#offset, threads: this.#threads ?? this.#state.threads };
  }
  #message(entry) {
    const thread = this.#thread(entry);
    const message = { message_id: entry.message_id, text: entry.text, offset: entry.offset, parent: entry.parent ?? null };
    this.#runs(thread).push(newRun(entry, message));
  }
  #event(entry) {
    const runs = this.#runs(this.#thread(entry));
    let index = runs.findLastIndex((run) => run.run_id === entry.run_id);
    if (index < 0)
      index = runs.push(newRun(entry, null)) - 1;
    runs[index] = applyToRun(runs[index], entry, (value) => this.#own(value));
  }
  #updated(entry) {
    const thread = this.#thread(entry);
    thread.title = entry.title;
    thread.archived = entry.archived;
  }
  #erase(thread, through) {
    thread.title = null;
    thread.runs = thread.runs.filter((run) => (run.message?.offset ?? run.first_offset) > through);
    const threads = this.#mutableThreads();
    if (thread.runs.length)
      threads.set(thread.thread_id, thread);
    else
      threads.delete(thread.thread_id);
  }
  #thread(entry) {
    const threads = this.#mutableThreads();
    const held = threads.get(entry.thread_id) ?? {
      thread_id: entry.thread_id,
      title: null,
      archived: false,
      runs: [],
      last_offset: 0,
      last_at: 0
    };
    const thread = this.#own(held);
    thread.last_offset = entry.offset;
    thread.last_at = entry.timestamp;
    threads.set(entry.thread_id, thread);
    return thread;
  }
  #runs(thread) {
    const runs = this.#own(thread.runs);
    thread.runs = runs;
    return runs;
  }
  #mutableThreads() {
    return this.#threads ??= new Map(this.#state.threads);
  }
  /** Returns the value if this batch made it, otherwise a copy that this batch may change. */
  #own(value) {
    if (this.#owned.has(value))
      return value;
    const copy = Array.isArray(value) ? [...value] : { ...value };
    this.#owned.add(copy);
    return copy;
  }
};

// clients/typescript/src/cursor.ts
var START = { user_id: null, epoch: null, offset: 0 };
function admitReady(cursor, ready, fromHead) {
  const next = { user_id: ready.user_id, epoch: ready.epoch, offset: ready.resumed_after };
  if (cursor.offset === 0 && cursor.epoch === null && (fromHead || !ready.gap))
    return [next, "resumed"];
  if (cursor.user_id !== null && cursor.user_id !== ready.user_id) {
    return cursor.offset === 0 ? [next, "reset"] : [START, "rewind"];
  }
  if (cursor.epoch !== null && cursor.epoch !== ready.epoch && ready.gap && ready.gap.from <= 1)
    return [next, "reset"];
  if (ready.resumed_after < cursor.offset)
    return [START, "rewind"];
  if (ready.gap)
    return [next, "gap"];
  return ready.resumed_after === cursor.offset ? [next, "resumed"] : [START, "rewind"];
}
function admitEntry(cursor, entry) {
  if ("user_id" in entry && cursor.user_id !== null && entry.user_id !== cursor.user_id)
    return [cursor, "foreign"];
  if (entry.offset <= cursor.offset)
    return [cursor, "repeat"];
  if (entry.offset !== cursor.offset + 1)
    return [cursor, "hole"];
  return [{ ...cursor, offset: entry.offset }, "next"];
}

// clients/typescript/src/entry-queue.ts
var EntryQueue = class {
  /** The offset of the last entry that the loop is done with. */
  acknowledged;
  #entries = [];
  #waiting = [];
  #given;
  #end = null;
  #changed;
  /** `changed` is called when the length, the acknowledged offset or the end changes. */
  constructor(after, changed) {
    this.acknowledged = this.#given = after;
    this.#changed = changed;
  }
  /** The number of entries that the loop has not taken yet. */
  get length() {
    return this.#entries.length;
  }
  /** Whether the loop is over. */
  get ended() {
    return this.#end !== null;
  }
  /** Sets the offset after which the loop begins. */
  begin(after) {
    this.acknowledged = this.#given = after;
  }
  push(entry) {
    if (this.#end)
      return;
    const waiting = this.#waiting.shift();
    if (!waiting)
      this.#entries.push(entry);
    else
      waiting.resolve(this.#give(entry));
  }
  /** Ends the loop after the queued entries; with an error, at once. */
  end(error) {
    if (this.#end)
      return;
    this.#end = { error };
    if (error !== void 0)
      this.#entries = [];
    for (const waiting of this.#waiting.splice(0))
      this.#finish(waiting);
    this.#changed();
  }
  next() {
    this.acknowledged = this.#given;
    const entry = this.#entries.shift();
    const result = entry ? Promise.resolve(this.#give(entry)) : new Promise((resolve, reject) => {
      if (this.#end)
        this.#finish({ resolve, reject });
      else
        this.#waiting.push({ resolve, reject });
    });
    this.#changed();
    return result;
  }
  return() {
    this.#entries = [];
    this.end();
    return Promise.resolve({ done: true, value: void 0 });
  }
  [Symbol.asyncIterator]() {
    return this;
  }
  #give(entry) {
    this.#given = entry.offset;
    return { done: false, value: entry };
  }
  #finish({ resolve, reject }) {
    if (this.#end?.error === void 0)
      resolve({ done: true, value: void 0 });
    else
      reject(this.#end.error);
  }
};

// clients/typescript/src/errors.ts
var QuintetError = class extends Error {
  name = "QuintetError";
  /** The reason, for programs: the README's table of errors. */
  code;
  /** Whether repeating the same request is useless. */
  final;
  /** The time to wait before a retry, in milliseconds; null if the service gave none. */
  retryAfterMs;
  /** Creates an error. A credential callback throws one with `final: true` to stop the client. */
  constructor(code, message, options = {}) {
    super(message);
    this.code = code;
    this.final = options.final ?? false;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
};
function refusal(frame) {
  return new QuintetError(frame.code, frame.message, { final: true, retryAfterMs: frame.retry_after_ms ?? null });
}

// clients/typescript/src/options.ts
var DEFAULTS = {
  conversations: true,
  saveIntervalMs: 1e3,
  bufferEntriesMax: 1024,
  outboxMax: 256,
  timers: { set: (callback, ms) => setTimeout(callback, ms), clear: (timer) => clearTimeout(timer) },
  parse: JSON.parse,
  random: Math.random,
  now: Date.now
};

// clients/typescript/src/outbox.ts
var Outbox = class {
  #items = /* @__PURE__ */ new Map();
  #max;
  #view = null;
  /** Creates an outbox for at most `max` commands. */
  constructor(max) {
    this.#max = max;
  }
  /** The commands, oldest first. The array keeps its identity while nothing changes. */
  get pending() {
    return this.#view ??= [...this.#items.values()].flatMap(({ command, state, seen }) => state === "abandoned" || seen ? [] : { command, state });
  }
  /** Adds a command. The same command again, while it is pending, is the same promise. */
  add(command) {
    const id = keyOf(command);
    const held = this.#items.get(id);
    if (held) {
      if (same(held.command, command)) {
        if (held.state === "abandoned")
          Object.assign(held, deferred(), { state: "sent" });
        this.#view = null;
        return held.promise;
      }
      return Promise.reject(new QuintetError("message_id_reused", "another command with this id", { final: true }));
    }
    if (this.#items.size >= this.#max) {
      return Promise.reject(new QuintetError("outbox_full", `${this.#max} pending commands`));
    }
    const item = { lane: laneOf(command), command, state: "waiting", ...deferred() };
    this.#items.set(id, item);
    this.#view = null;
    return item.promise;
  }
  /** Forgets a command: its outcome is unknown if it was sent (DEL-7). */
  abandon(command, error) {
    const item = this.#items.get(keyOf(command));
    if (item?.state === "sent") {
      this.#set(item, "abandoned");
      item.reject(error);
    } else if (item)
      this.#fail(item, error);
  }
  /** Forgets all commands. */
  abandonAll(error) {
    for (const item of this.#items.values())
      this.#fail(item, error);
  }
  /**
   * Returns the frames to send now and marks them as sent. Before the connection is live (`replaying`), only messages
   * are sent: the log may yet show that another command is done.
   */
  take(live, limits) {
    const busy = /* @__PURE__ */ new Set();
    const frames = [];
    for (const item of this.#items.values()) {
      if (!busy.has(item.lane) && item.state === "waiting" && (live || item.command.type === "send_message")) {
        const frame = JSON.stringify(item.command);
        const max = limits?.frame_bytes_max ?? Infinity;
        if (frame.length * 3 > max && new TextEncoder().encode(frame).length > max) {
          this.#fail(item, new QuintetError("too_large", `more than ${max} bytes`, { final: true }));
          continue;
        }
        this.#set(item, "sent");
        frames.push(frame);
      }
      busy.add(item.lane);
    }
    return frames;
  }
  /** Handles a lost connection: what was not answered is sent again. */
  lost() {
    for (const item of this.#items.values()) {
      if (item.seen || item.state === "abandoned")
        this.#done(item, item.seen);
      else
        this.#set(item, "waiting");
    }
  }
  /** Handles `accepted`. */
  accepted(frame) {
    const item = this.#items.get(key("send_message", frame.message_id));
    if (item)
      this.#done(item, frame);
  }
  /** Handles `error`. Returns the delay after which `release` is due; null if there is none; false: not about a command. */
  refused(frame) {
    const item = this.#concerned(frame);
    if (!item)
      return false;
    if (AGAIN.includes(frame.code)) {
      this.#set(item, "held");
      return frame.retry_after_ms || AGAIN_AFTER_MS;
    }
    if (frame.code === "run_ended" && item.command.type === "cancel_run")
      this.#done(item);
    else
      this.#fail(item, refusal(frame));
    return null;
  }
  /** Makes held commands waiting again. */
  release() {
    for (const item of this.#items.values())
      if (item.state === "held")
        this.#set(item, "waiting");
  }
  /** Settles the command whose effect the entry is. */
  observe(entry) {
    switch (entry.type) {
      case "user_message": {
        const item = this.#items.get(key("send_message", entry.message_id));
        const command = item?.command;
        if (item && command?.text === entry.text && command.thread_id === entry.thread_id) {
          const { message_id, run_id, offset: message_offset } = entry;
          item.seen = { type: "accepted", message_id, run_id, message_offset, duplicate: false };
          this.#view = null;
          if (!inFlight(item))
            this.#done(item, item.seen);
        }
        return;
      }
      case "tool_completed": {
        const item = this.#items.get(key("complete_call", entry.run_id, entry.call_id));
        const command = item?.command;
        if (!item)
          return;
        if (command.status === entry.status && same(command.results, entry.results))
          this.#done(item);
        else if (!inFlight(item))
          this.#fail(item, closed2("closed by another answer"));
        return;
      }
      case "agent_completed":
        for (const item of this.#items.values()) {
          const { command } = item;
          if (!("run_id" in command) || command.run_id !== entry.run_id)
            continue;
          if (command.type === "cancel_run")
            this.#done(item);
          else
            this.#fail(item, closed2("run ended"));
        }
        return;
      case "thread_updated":
      case "thread_erased": {
        const item = this.#items.get(key(entry.type === "thread_updated" ? "update_thread" : "erase_thread", entry.thread_id));
        if (item?.state === "sent")
          this.#done(item);
      }
    }
  }
  #concerned(frame) {
    if (frame.message_id != null)
      return this.#items.get(key("send_message", frame.message_id));
    if (frame.code === "unauthenticated")
      return void 0;
    const lane = frame.run_id != null ? `run:${frame.run_id}` : THREADS;
    for (const item of this.#items.values())
      if (item.lane === lane && inFlight(item))
        return item;
    return void 0;
  }
  #set(item, state) {
    item.state = state;
    this.#view = null;
  }
  #done(item, outcome) {
    this.#remove(item);
    item.resolve(outcome);
  }
  #fail(item, error) {
    this.#remove(item);
    item.reject(error);
  }
  #remove(item) {
    this.#items.delete(keyOf(item.command));
    this.#view = null;
  }
};
function inFlight({ state }) {
  return state === "sent" || state === "abandoned";
}
function closed2(message) {
  return new QuintetError("call_closed", message, { final: true });
}
function deferred() {
  let settle;
  const promise = new Promise((resolve, reject) => settle = { resolve, reject });
  return { promise, ...settle };
}
function invalid(command) {
  for (const field of ["message_id", "thread_id", "call_id", "agent_name"]) {
    const id = command[field];
    if (id != null && !(typeof id === "string" && /^[!-~]{1,128}$/.test(id)))
      return `${field}: not 1-128 visible ASCII`;
  }
  if ("run_id" in command && !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(command.run_id))
    return "run_id: not a UUID";
  if (command.type === "send_message" && command.text === "")
    return "text: empty";
  return /(?<!\\)(?:\\\\)*\\ud[89a-f]/.test(JSON.stringify(command)) ? "unpaired surrogate" : null;
}
function keyOf(command) {
  const { message_id, run_id, call_id, thread_id } = command;
  return key(command.type, message_id ?? run_id ?? thread_id, call_id);
}
function key(type, id, call_id = "") {
  return `${type} ${id} ${call_id}`;
}
var THREADS = "threads";
function laneOf(command) {
  if ("run_id" in command)
    return `run:${command.run_id}`;
  return command.type === "send_message" ? `thread:${command.thread_id}` : THREADS;
}
function same(a, b) {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}
var AGAIN = ["rate_limited", "draining", "unavailable"];
var AGAIN_AFTER_MS = 1e3;

// clients/typescript/src/credentials.ts
function renewalDelay(credential, now) {
  const expires_at = credential.expires_at ?? (credential.token ? expiryOf(credential.token) : null);
  if (expires_at == null)
    return null;
  const left = expires_at - now;
  return Math.min(Math.max(RENEW_MS_MIN, left - Math.min(RENEW_BEFORE_MS, left / 2)), TIMER_MS_MAX);
}
function expiryOf(token) {
  try {
    const payload = token.split(".")[1] ?? "";
    const { exp } = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
    return typeof exp === "number" ? exp * 1e3 : null;
  } catch {
    return null;
  }
}
var RENEW_BEFORE_MS = 3e4;
var RENEW_MS_MIN = 1e3;
var TIMER_MS_MAX = 2 ** 31 - 1;

// clients/typescript/src/socket.ts
var Socket = class {
  #options;
  #hooks;
  #url;
  #state = IDLE;
  #socket = null;
  #credential = null;
  #fetching = null;
  #timers = /* @__PURE__ */ new Map();
  constructor(options, hooks) {
    this.#url = new URL("/v1/ws", options.url).href.replace("http", "ws");
    this.#options = options;
    this.#hooks = hooks;
  }
  get state() {
    return this.#state;
  }
  input(input) {
    const [state, effects] = step(this.#state, input);
    const changed = state !== this.#state;
    this.#state = state;
    for (const effect of effects)
      this.#perform(effect);
    if (changed)
      this.#hooks.state(state);
  }
  send(text) {
    this.#socket?.send(text);
  }
  /** Abandons the socket and connects again, with back-off. */
  distrust(message) {
    this.input({ type: "distrust", message, dice: this.#options.random() });
  }
  #perform(effect) {
    const { timers, random } = this.#options;
    switch (effect.type) {
      case "fetch_credential":
        return void this.#fetch(effect.reason);
      case "open":
        return this.#open();
      case "hello":
      case "renew":
        return this.send(JSON.stringify({ type: effect.type, ...bare(this.#credential), ...effect.type === "hello" ? this.#hooks.hello() : {} }));
      case "ping":
        return this.send('{"type":"ping"}');
      case "abort":
        return this.#abandon();
      case "quiet":
        return this.#timers.forEach((timer) => timers.clear(timer));
      case "flush":
        return this.#hooks.flush();
      case "arm":
      case "disarm":
        timers.clear(this.#timers.get(effect.timer));
        if (effect.type === "disarm")
          return;
        this.#timers.set(effect.timer, timers.set(() => this.input({ type: "elapsed", timer: effect.timer, dice: random() }), effect.ms));
    }
  }
  async #fetch(reason) {
    this.#fetching?.abort();
    const { signal } = this.#fetching = new AbortController();
    let input;
    try {
      const credential = await this.#options.credential({ reason, signal });
      if (signal.aborted)
        return;
      this.#credential = credential;
      input = { type: "credential", renew_in_ms: null };
    } catch (error) {
      if (signal.aborted)
        return;
      const { final = false, retryAfterMs = null, message = String(error) } = error ?? {};
      input = { type: "credential_failed", final, message, retry_after_ms: retryAfterMs, dice: this.#options.random() };
    }
    this.input(input);
  }
  #open() {
    const closed3 = (code, message) => this.input({ type: "closed", code, message, dice: this.#options.random() });
    let socket;
    try {
      socket = this.#socket = new this.#options.WebSocket(this.#url, "quintet.v1");
    } catch (error) {
      return closed3(1006, String(error));
    }
    const current = (act) => (event) => void (socket === this.#socket && act(event));
    socket.addEventListener("open", current(() => this.input({ type: "opened" })));
    socket.addEventListener("message", current(({ data }) => this.#received(data)));
    socket.addEventListener("error", () => void 0);
    socket.addEventListener("close", current(({ code, reason }) => {
      this.#socket = null;
      closed3(code, String(reason) || `close ${code}`);
    }));
  }
  #received(data) {
    let frame = null;
    try {
      frame = this.#options.parse(String(data));
    } catch {
    }
    if (typeof frame?.type !== "string")
      return this.distrust("not a frame");
    this.#perform({ type: "disarm", timer: "pong" });
    if (frame.type === "ready")
      return this.#ready(frame);
    const fault = this.#hooks.frame(frame);
    if (fault)
      return this.distrust(fault);
    switch (frame.type) {
      case "caught_up":
        return this.input({ type: "caught_up" });
      case "draining":
        return this.input(frame);
      case "renewed":
        return this.input({ type: "renewed", renew_in_ms: renewalDelay({ token: "", expires_at: frame.expires_at }, this.#options.now()) });
    }
  }
  #ready(frame) {
    if (this.#state.phase !== "handshaking")
      return this.distrust("second ready (CONN-2)");
    const fault = this.#hooks.frame(frame);
    if (fault)
      return this.distrust(fault);
    const renew_in_ms = this.#credential && renewalDelay(this.#credential, this.#options.now());
    const { connection_id, heartbeat_ms } = frame;
    this.input({ type: "ready", connection_id, heartbeat_ms, renew_in_ms });
  }
  #abandon() {
    this.#fetching?.abort();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
};
function bare(credential) {
  return credential?.ticket !== void 0 ? { ticket: credential.ticket } : { token: credential?.token };
}

// clients/typescript/src/storage.ts
function webStorage(storage, key2 = "quintet") {
  return {
    load: () => JSON.parse(storage.getItem(key2) ?? "null"),
    save: (checkpoint) => storage.setItem(key2, JSON.stringify(checkpoint))
  };
}
function restore({ cursor, threads }) {
  return { offset: cursor.offset, threads: new Map((threads ?? []).map((thread) => [thread.thread_id, thread])) };
}

// clients/typescript/src/types.ts
function isEntry(frame) {
  return "offset" in frame;
}

// clients/typescript/src/client.ts
var Quintet = class {
  #options;
  #socket;
  #outbox;
  #cursor = START;
  #limits = null;
  #received = [];
  #queues = /* @__PURE__ */ new Set();
  /** Entries are not applied, because a loop is behind: they are read again later. */
  #parked = false;
  #listeners = /* @__PURE__ */ new Set();
  #snapshot;
  #delayed = /* @__PURE__ */ new Map();
  #loading = null;
  #loaded = false;
  #online = () => void (this.state.phase === "waiting" && this.connect());
  /** Creates a client. It connects with `connect`, the first command or the first `entries`. Throws a `TypeError` if `url` is no URL, or there is no `WebSocket`. */
  constructor(options) {
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!WebSocket)
      throw new TypeError("no WebSocket: pass that of ws");
    this.#options = { ...DEFAULTS, ...options, WebSocket };
    this.#outbox = new Outbox(this.#options.outboxMax);
    this.#socket = new Socket(this.#options, {
      hello: () => this.#hello(),
      frame: (frame) => this.#frame(frame),
      state: (state) => this.#stateChanged(state),
      flush: () => this.#flush()
    });
    this.#snapshot = {
      connection: this.#socket.state,
      caughtUp: false,
      conversations: NO_CONVERSATIONS,
      user_id: null,
      gap: null,
      resets: 0,
      pending: this.#outbox.pending
    };
  }
  /** The present state. */
  get snapshot() {
    return this.#snapshot;
  }
  /** The state of the connection. */
  get state() {
    return this.#snapshot.connection;
  }
  /** Connects, or retries now if the client waits for the next attempt. Does nothing if it is connected. */
  connect() {
    if (this.#loading)
      return void this.#loading.then(() => this.#socket.input({ type: "connect" }));
    if (!this.#options.storage || this.#loaded)
      return this.#socket.input({ type: "connect" });
    this.#loaded = true;
    this.#loading = this.#load().finally(() => this.#loading = null);
    this.connect();
  }
  /** Closes the connection and keeps the rest: commands are pending and loops wait until `connect` opens it again. */
  disconnect() {
    this.#save();
    this.#socket.input({ type: "drop" });
  }
  /** Closes the connection, rejects pending commands with `closed`, and ends the loops. `connect` opens it again. */
  close() {
    this.disconnect();
    for (const timer of this.#delayed.values())
      this.#options.timers.clear(timer);
    this.#delayed.clear();
    this.#end(new QuintetError("closed", "client closed"), void 0);
    this.#publish({});
  }
  /** Calls `listener` after each change of `snapshot`. Returns a function that ends it. */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
  /** Resolves when all entries that existed at the connect are applied. Rejects if the client closes for good. */
  caughtUp(options) {
    return this.until((snapshot) => snapshot.caughtUp && snapshot, options);
  }
  /** Resolves with what `find` returns of the snapshot, once that is truthy. Rejects if the client closes for good. */
  until(find, { signal } = {}) {
    return new Promise((resolve, reject) => {
      const check = () => {
        try {
          if (signal?.aborted)
            throw aborted(signal);
          const found = find(this.#snapshot);
          const { connection } = this.#snapshot;
          if (found)
            resolve(found);
          else if (connection.phase === "closed")
            throw new QuintetError("closed", connection.message, { final: true });
          else
            return;
        } catch (error) {
          reject(error);
        }
        unsubscribe();
        signal?.removeEventListener("abort", check);
      };
      const unsubscribe = this.subscribe(check);
      signal?.addEventListener("abort", check);
      check();
    });
  }
  /**
   * Iterates over the entries that are applied from now on, each once, and connects. If the loop is `bufferEntriesMax`
   * entries behind, the client stops reading and resumes when the loop has caught up. The loop throws `reset` if the
   * log is replaced by another one, and ends with the client.
   */
  entries({ signal } = {}) {
    const queue = new EntryQueue(this.#cursor.offset, () => {
      if (queue.ended)
        this.#queues.delete(queue);
      this.#relieve();
      this.#saveLater();
    });
    this.#queues.add(queue);
    const abort = () => queue.end(aborted(signal));
    if (signal?.aborted)
      abort();
    else
      signal?.addEventListener("abort", abort, { once: true });
    if (this.state.phase === "idle")
      this.connect();
    return queue;
  }
  /** Sends a message. Resolves when it and its run are durable (DEL-5); until then it is repeated under its id. */
  send(message, options) {
    const { message_id = crypto.randomUUID() } = message;
    return this.#command({ type: "send_message", ...message, message_id }, options);
  }
  /** Sends a message. Resolves with its run when that has ended, whatever its status. Needs `conversations`. */
  async ask(message, options) {
    const { run_id } = await this.send(message, options);
    return this.until(({ conversations }) => conversations.threads.get(message.thread_id)?.runs.find((run) => run.run_id === run_id && hasEnded(run)), options);
  }
  /** Sends an edited message: a branch beside the old one, with the same parent. `parent` is that of the old message. */
  edit(parent, message, options) {
    return this.send({ ...message, parent }, options);
  }
  /** Hands a message to the active run of the thread, if its agent takes it; otherwise it waits its turn (RUN-12). */
  steer(message, options) {
    return this.send({ ...message, on_busy: "steer" }, options);
  }
  /** Cancels a run. Resolves when the run has ended, also if it had ended before. */
  async cancel(run_id, options) {
    await this.#command({ type: "cancel_run", run_id }, options);
  }
  /** Answers a call with results (RUN-11). Resolves when the answer is in the log. */
  async answer(run_id, call_id, results = null, options) {
    await this.#command({ type: "complete_call", run_id, call_id, status: "ok", results }, options);
  }
  /** Declines a call, with a reason: a status of its own that no agent takes for consent (RUN-11). */
  async decline(run_id, call_id, reason = null, options) {
    await this.#command({ type: "complete_call", run_id, call_id, status: "declined", error: reason }, options);
  }
  /** Completes a call with an error: a tool of the front end that failed. */
  async fail(run_id, call_id, error, options) {
    await this.#command({ type: "complete_call", run_id, call_id, status: "error", error }, options);
  }
  /** Sets a thread's title or archive flag. */
  async updateThread(thread_id, changes, options) {
    await this.#command({ type: "update_thread", thread_id, ...changes }, options);
  }
  /** Erases a thread: its runs are cancelled, its entries replaced by `erased` (DEL-8). */
  async eraseThread(thread_id, options) {
    await this.#command({ type: "erase_thread", thread_id }, options);
  }
  async #command(command, { signal } = {}) {
    const fault = invalid(command);
    if (fault)
      throw new QuintetError("invalid_field", fault, { final: true });
    if (signal?.aborted)
      throw aborted(signal);
    const outcome = this.#outbox.add(command);
    const abort = () => this.#outbox.abandon(command, aborted(signal));
    signal?.addEventListener("abort", abort);
    this.#save();
    this.#publish({});
    if (/idle|paused/.test(this.state.phase))
      this.connect();
    try {
      return await outcome;
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#publish({});
      this.#saveLater();
      if (this.#parked && !this.#outbox.pending.length)
        this.#socket.input({ type: "pause" });
    }
  }
  #hello() {
    const { epoch, offset } = this.#cursor;
    if (epoch === null)
      return this.#options.start === "head" ? { start: "head" } : {};
    return { epoch, after: offset };
  }
  /** Applies a frame. Returns why the connection must be replaced, or null. */
  #frame(frame) {
    if (isEntry(frame))
      return this.#entry(frame);
    switch (frame.type) {
      case "ready":
        return this.#ready(frame);
      case "caught_up":
        if (!this.#parked && frame.head > this.#cursor.offset)
          return "missing entry (DEL-2)";
        this.#apply();
        if (!this.#parked)
          this.#publish({ caughtUp: true });
        return null;
      case "accepted":
        this.#outbox.accepted(frame);
        return null;
      case "error": {
        const delay = this.#outbox.refused(frame);
        if (delay === false) {
          if (frame.code === "unauthenticated")
            this.#socket.input({ type: "renewed", renew_in_ms: RENEW_AGAIN_MS });
          this.#report(refusal(frame));
        }
        if (delay) {
          this.#later("release", delay, () => {
            this.#outbox.release();
            this.#publish({});
          });
        }
        this.#publish({});
        return null;
      }
      default:
        return null;
    }
  }
  #ready(ready) {
    const before = this.#cursor;
    const [cursor, verdict] = admitReady(before, ready, before === START && this.#options.start === "head");
    this.#limits = ready.limits;
    this.#cursor = cursor;
    let { conversations, gap, resets } = this.#snapshot;
    if (verdict === "reset" || verdict === "rewind") {
      conversations = NO_CONVERSATIONS;
      gap = null;
      resets += 1;
      for (const queue of this.#queues)
        queue.end(new QuintetError("reset", "log replaced"));
    } else if (verdict === "gap") {
      gap = ready.gap;
      conversations = afterGap(conversations);
      this.#options.onGap?.(ready.gap);
    }
    if (verdict !== "rewind")
      conversations = { ...conversations, offset: cursor.offset };
    this.#publish({ conversations, gap, resets, user_id: cursor.user_id, caughtUp: false });
    return verdict === "rewind" ? "log replaced" : null;
  }
  #entry(entry) {
    if (this.#parked) {
      this.#outbox.observe(entry);
      return null;
    }
    if (!isOpen(this.#socket.state))
      return "entry before ready (CONN-2)";
    const [cursor, verdict] = admitEntry(this.#cursor, entry);
    if (verdict === "repeat")
      return null;
    if (verdict !== "next")
      return verdict === "foreign" ? "foreign entry (ISO-1)" : "missing entry (DEL-2)";
    this.#cursor = cursor;
    this.#received.push(entry);
    const { length } = this.#received;
    if (this.#socket.state.phase === "live" || length >= BATCH_ENTRIES_MAX)
      this.#apply();
    else if (length === 1)
      this.#later("apply", BATCH_MS_MAX, () => this.#apply());
    if (this.#behind() >= this.#options.bufferEntriesMax)
      this.#park();
    return null;
  }
  /** Applies the received entries: to commands, to the conversations, to the loops. Each entry once. */
  #apply() {
    const entries = this.#received;
    if (entries.length === 0)
      return;
    this.#received = [];
    for (const entry of entries) {
      this.#outbox.observe(entry);
      for (const queue of this.#queues)
        queue.push(entry);
    }
    if (!this.#options.conversations)
      this.#publish({});
    else
      this.#publish({ conversations: applyEntries(this.#snapshot.conversations, entries) });
    this.#saveLater();
  }
  /** The length of the longest queue. */
  #behind() {
    let longest = 0;
    for (const queue of this.#queues)
      longest = Math.max(longest, queue.length);
    return this.#queues.size === 0 ? 0 : longest + this.#received.length;
  }
  /** Stops reading: a loop is behind. A browser's socket cannot be paused, so it is closed and resumed later. */
  #park() {
    this.#apply();
    this.#parked = true;
    if (!this.#outbox.pending.length)
      this.#socket.input({ type: "pause" });
  }
  /** Resumes reading when the loops have caught up by half. */
  #relieve() {
    if (!this.#parked || this.#behind() > this.#options.bufferEntriesMax / 2)
      return;
    this.#parked = false;
    this.#socket.input({ type: this.#socket.state.phase === "paused" ? "connect" : "restart" });
  }
  #stateChanged(state) {
    if (!isOpen(state)) {
      this.#outbox.lost();
      this.#apply();
    }
    if (state.phase === "closed" && state.reason !== "client") {
      const error = new QuintetError(state.reason === "refused" ? "unauthenticated" : "closed", state.message, { final: true });
      this.#end(error, error);
    }
    if (state.phase === "waiting")
      globalThis.addEventListener?.("online", this.#online);
    else
      globalThis.removeEventListener?.("online", this.#online);
    this.#publish({ connection: state, caughtUp: state.phase === "live" && this.#snapshot.caughtUp });
  }
  #flush() {
    const { state } = this.#socket;
    if (!isOpen(state))
      return;
    for (const frame of this.#outbox.take(state.phase === "live", this.#limits))
      this.#socket.send(frame);
  }
  #publish(changes) {
    this.#flush();
    this.#snapshot = { ...this.#snapshot, ...changes, pending: this.#outbox.pending };
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        this.#report(error);
      }
    }
  }
  async #load() {
    try {
      const checkpoint = await this.#options.storage?.load();
      if (!isCheckpoint(checkpoint, this.#options.conversations))
        return;
      this.#cursor = checkpoint.cursor;
      for (const queue of this.#queues)
        queue.begin(checkpoint.cursor.offset);
      this.#publish({ conversations: restore(checkpoint), user_id: checkpoint.cursor.user_id });
      for (const command of checkpoint.commands)
        void this.#command(command).catch((error) => this.#report(error));
    } catch (error) {
      this.#report(error);
    }
  }
  #saveLater() {
    if (this.#options.storage && !this.#delayed.has("save"))
      this.#later("save", this.#options.saveIntervalMs, () => this.#save());
  }
  #save() {
    const { storage, conversations } = this.#options;
    if (!storage || this.#loading)
      return;
    this.#apply();
    const acknowledged = [...this.#queues].map((queue) => queue.acknowledged);
    const offset = !conversations ? Math.min(this.#cursor.offset, ...acknowledged) : this.#cursor.offset;
    const checkpoint = {
      version: 1,
      cursor: { ...this.#cursor, offset },
      threads: !conversations ? null : [...this.#snapshot.conversations.threads.values()],
      commands: this.#outbox.pending.map(({ command }) => command)
    };
    void (async () => storage.save(checkpoint))().catch((error) => this.#report(error));
  }
  #later(name, ms, act) {
    this.#options.timers.clear(this.#delayed.get(name));
    const timer = this.#options.timers.set(() => {
      this.#delayed.delete(name);
      act();
    }, ms);
    this.#delayed.set(name, timer);
  }
  #end(rejection, loops) {
    this.#outbox.abandonAll(rejection);
    for (const queue of this.#queues)
      queue.end(loops);
  }
  #report(error) {
    this.#options.onError?.(error);
  }
};
function isCheckpoint(value, conversations) {
  return value?.version === 1 && typeof value.cursor?.offset === "number" && (!conversations || Array.isArray(value.threads));
}
function aborted(signal) {
  const error = new QuintetError("aborted", "aborted");
  error.cause = signal.reason;
  return error;
}
var BATCH_ENTRIES_MAX = 256;
var BATCH_MS_MAX = 50;

// clients/typescript/src/select.ts
function answerOf(run) {
  return run.final_response ?? textOf(run, "answer");
}
function textOf(run, kind) {
  return run.parts.map((part) => part.type === "text" && part.kind === kind ? part.text : "").join("");
}
function callsOf(run) {
  return run.parts.filter((part) => part.type === "call");
}
function openRun(thread) {
  return thread.runs.find((run) => run.status === "active") ?? thread.runs.find((run) => !hasEnded(run)) ?? null;
}
function openQuestions(of) {
  if ("threads" in of)
    return [...of.threads.values()].flatMap(openQuestions);
  return of.runs.filter((run) => run.status === "active").flatMap((run) => callsOf(run).filter((call) => call.by === "client" && call.status === "open").map((call) => ({ run, call })));
}

// clients/typescript/src/tree.ts
function placeOf(run) {
  return run.message?.offset ?? run.first_offset;
}
function pathOf(runs, through = null, isWhole = true) {
  const places = new Map(runs.map((run, index2) => [placeOf(run), index2]));
  const parents = runs.map((run, index2) => {
    const parent = run.message?.parent ?? null;
    if (parent === 0)
      return ROOT;
    const known = parent === null || parent >= placeOf(run) ? void 0 : places.get(parent);
    if (known !== void 0)
      return known;
    if (isWhole || parent === null)
      return index2 > 0 ? index2 - 1 : isWhole ? ROOT : MISSING;
    return MISSING;
  });
  const keys = parents.map((parent, index2) => parent === MISSING ? `missing ${runs[index2]?.message?.parent}` : String(parent));
  const versions = /* @__PURE__ */ new Map();
  for (const [index2, key2] of keys.entries()) {
    const known = versions.get(key2);
    if (known)
      known.push(placeOf(runs[index2]));
    else
      versions.set(key2, [placeOf(runs[index2])]);
  }
  const steps = [];
  let index = newest(runs, parents, through === null ? void 0 : places.get(through));
  for (; index >= 0; index = parents[index]) {
    steps.push({ run: runs[index], versions: versions.get(keys[index]) });
  }
  return { steps: steps.reverse(), isCut: index === MISSING && runs.length > 0 };
}
function parentAtEnd(runs, { steps }) {
  const last = steps.at(-1)?.run;
  return last === void 0 || last === runs.at(-1) ? void 0 : placeOf(last);
}
function parentOn({ steps }, run) {
  if (run.message?.parent != null)
    return run.message.parent;
  const before = steps.slice(0, steps.findIndex((step2) => step2.run.run_id === run.run_id));
  return before.findLast((step2) => step2.run.message !== null)?.run.message?.offset ?? 0;
}
function newest(runs, parents, from) {
  if (from === void 0)
    return runs.length - 1;
  const following = /* @__PURE__ */ new Set([from]);
  let last = from;
  for (let index = from + 1; index < runs.length; index += 1) {
    if (!following.has(parents[index]))
      continue;
    following.add(index);
    last = index;
  }
  return last;
}
var ROOT = -1;
var MISSING = -2;
function parentOf(thread, run) {
  if (run.message?.parent != null)
    return run.message.parent;
  const index = thread.runs.indexOf(run);
  return thread.runs[index - 1]?.message?.offset ?? 0;
}
function branch(thread, leaf = thread.runs.at(-1)) {
  const byOffset = new Map(thread.runs.map((run2) => [run2.message?.offset ?? 0, run2]));
  const path = [];
  let run = leaf;
  while (run) {
    path.push(run);
    const parent = parentOf(thread, run);
    run = parent < run.first_offset ? byOffset.get(parent) : void 0;
  }
  return path.reverse();
}
function siblings(thread, run) {
  const parent = parentOf(thread, run);
  return thread.runs.filter((other) => parentOf(thread, other) === parent);
}

// clients/typescript/src/history/folded.ts
function runOf(thread_id, folded) {
  const { run_id, agent_name, accepted_offset, accepted_at, status, calls, answer } = folded;
  const parts = calls.map(({ call_id, tool_name, parameters, by, status: status2, results, error, duration_ms }) => ({ type: "call", call_id, tool_name, parameters, by, status: status2 ?? "open", results: results ?? null, error: error ?? null, duration_ms: duration_ms ?? null }));
  if (answer)
    parts.push({ type: "text", kind: "answer", text: answer });
  const last_offset = folded.completed_offset ?? folded.started_offset ?? accepted_offset;
  return {
    run_id,
    thread_id,
    agent_name,
    message: folded.text === null ? null : { message_id: folded.message_id, text: folded.text, offset: accepted_offset, parent: folded.parent },
    status: status ?? (folded.started_offset == null ? "waiting" : "active"),
    parts,
    final_response: status === "succeeded" ? answer : null,
    error: folded.error ?? null,
    usage: folded.usage ?? null,
    duration_ms: folded.duration_ms ?? null,
    merged_into: folded.merged_into ?? null,
    seq: 0,
    withdrawals: 0,
    partial: false,
    folded: true,
    first_offset: accepted_offset,
    last_offset,
    accepted_at,
    last_at: folded.completed_at ?? accepted_at
  };
}
function runsIn(entries, thread_id, run_ids) {
  const own = entries.filter((entry) => "run_id" in entry && run_ids.has(entry.run_id));
  return [...applyEntries({ offset: 0, threads: /* @__PURE__ */ new Map() }, own).threads.get(thread_id)?.runs ?? []];
}
function mergeRuns(thread_id, held, loaded, since) {
  const ids = new Map(loaded.map((run) => [run.run_id, run]));
  const kept = held?.runs.filter((run) => !ids.has(run.run_id)) ?? [];
  const runs = [...loaded, ...kept].sort((a, b) => placeOf(a) - placeOf(b));
  const last = runs.reduce((a, b) => b.last_offset > a.last_offset ? b : a, runs[0]);
  const thread = held ?? { thread_id, title: null, archived: false, runs: [], last_offset: last?.last_offset ?? 0, last_at: last?.last_at ?? 0 };
  const missed = since.filter((entry) => {
    if (entry.type === "log_erased")
      return true;
    if (entry.type === "thread_erased")
      return entry.thread_id === thread_id;
    const run = "run_id" in entry ? ids.get(entry.run_id) : void 0;
    return run !== void 0 && !hasEnded(run) && entry.offset > run.last_offset;
  });
  const { threads } = applyEntries({ offset: 0, threads: /* @__PURE__ */ new Map([[thread_id, { ...thread, runs }]]) }, missed);
  const merged = threads.get(thread_id);
  return merged && merged.runs.length > 0 ? { ...merged, last_offset: Math.max(merged.last_offset, thread.last_offset) } : void 0;
}

// clients/typescript/src/history/summaries.ts
function applyToThreads(threads, entry, isWhole) {
  if (entry.type === "log_erased") {
    const kept = [...threads].filter(([, { last_offset }]) => last_offset > entry.erased_through);
    return kept.length === threads.size ? threads : new Map(kept);
  }
  if (!("thread_id" in entry))
    return threads;
  const next = new Map(threads);
  const held = threads.get(entry.thread_id);
  if (entry.type === "thread_erased") {
    if (!held || held.last_offset <= entry.erased_through)
      next.delete(entry.thread_id);
    else
      next.set(entry.thread_id, { ...held, title: null, first_text: null });
    return next;
  }
  if (!held && entry.type !== "user_message")
    return threads;
  next.set(entry.thread_id, applyToSummary(held ?? EMPTY, entry, isWhole));
  return next;
}
function mergeThreads(threads, page, since, isWhole) {
  let next = new Map([...threads, ...page.map((summary) => [summary.thread_id, summary])]);
  const through = new Map(page.map(({ thread_id, last_offset }) => [thread_id, last_offset]));
  for (const entry of since) {
    const last_offset = "thread_id" in entry ? through.get(entry.thread_id) : void 0;
    const isNew = last_offset !== void 0 && (entry.type === "thread_updated" || entry.offset > last_offset);
    if (isNew || entry.type === "log_erased")
      next = applyToThreads(next, entry, isWhole);
  }
  return next;
}
function byActivity(threads) {
  return [...threads.values()].sort((a, b) => b.last_offset - a.last_offset);
}
function applyToSummary(held, entry, isWhole) {
  if (entry.type === "thread_updated")
    return { ...held, title: entry.title, archived: entry.archived };
  const { thread_id, offset: last_offset, timestamp: last_at } = entry;
  const next = { ...held, thread_id, last_offset, last_at };
  switch (entry.type) {
    case "user_message":
      return { ...next, first_text: held === EMPTY && (isWhole || !entry.parent) ? entry.text : held.first_text, agent_name: entry.agent_name, open_runs: held.open_runs + 1 };
    case "agent_completed":
      return { ...next, open_runs: Math.max(0, held.open_runs - 1) };
    default:
      return next;
  }
}
var EMPTY = {
  thread_id: "",
  title: null,
  first_text: null,
  agent_name: null,
  archived: false,
  last_offset: 0,
  last_at: 0,
  open_runs: 0
};

// clients/typescript/src/history/waiting.ts
function applyToWaiting(waiting, entry) {
  switch (entry.type) {
    case "tool_executing": {
      if (entry.by !== "client")
        return waiting;
      const { run_id, call_id, thread_id, agent_name, tool_name, parameters, offset, timestamp } = entry;
      const call = { run_id, call_id, thread_id, agent_name, tool_name, parameters, opened_offset: offset, opened_at: timestamp };
      return new Map(waiting).set(keyOf2(run_id, call_id), call);
    }
    case "tool_completed": {
      const key2 = keyOf2(entry.run_id, entry.call_id);
      if (!waiting.has(key2))
        return waiting;
      const next = new Map(waiting);
      next.delete(key2);
      return next;
    }
    case "agent_completed":
      return without(waiting, (call) => call.run_id === entry.run_id);
    case "thread_erased":
      return without(waiting, (call) => call.thread_id === entry.thread_id && call.opened_offset <= entry.erased_through);
    case "log_erased":
      return without(waiting, (call) => call.opened_offset <= entry.erased_through);
    default:
      return waiting;
  }
}
function waitingOf(calls, since) {
  return since.reduce(applyToWaiting, new Map(calls.map((call) => [keyOf2(call.run_id, call.call_id), call])));
}
function without(waiting, isGone) {
  const kept = [...waiting].filter(([, call]) => !isGone(call));
  return kept.length === waiting.size ? waiting : new Map(kept);
}
function keyOf2(run_id, call_id) {
  return `${run_id} ${call_id}`;
}

// clients/typescript/src/history/history.ts
var History = class {
  #client;
  #http;
  #options;
  #state = NOTHING;
  #conversations = { offset: 0, threads: /* @__PURE__ */ new Map() };
  #listeners = /* @__PURE__ */ new Set();
  /** The entries since each request that is under way. */
  #since = /* @__PURE__ */ new Set();
  /** Counts what makes earlier answers useless: a reset, a gap. */
  #generation = 0;
  #marks = "";
  /** The request of threads that is under way. */
  #listing = null;
  #wanted = /* @__PURE__ */ new Set();
  /** Creates a history. It follows the client from `start` on. */
  constructor({ client, http, ...options }) {
    this.#client = client;
    this.#http = http;
    this.#options = { pageRuns: 30, pageThreads: 100, openedMax: 16, ...options };
  }
  /** The present state. */
  get state() {
    return this.#state;
  }
  /** Calls `listener` after each change. Returns a function that ends it. */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
  /** Connects the client and follows it until it is closed. */
  start() {
    void this.#follow();
    this.#client.subscribe(() => this.#connectionChanged());
    this.#connectionChanged();
  }
  /** Opens a thread: its last page is loaded, and its entries are applied from now on. */
  open(thread_id) {
    const opened = this.#state.opened.get(thread_id);
    if (opened && opened.error === null)
      return;
    this.#wanted.delete(thread_id);
    this.#wanted.add(thread_id);
    for (const oldest of this.#wanted) {
      if (this.#wanted.size <= this.#options.openedMax)
        break;
      this.#wanted.delete(oldest);
      this.#drop(oldest);
    }
    void this.#load(thread_id);
  }
  /** Loads the page before the loaded runs of a thread. Resolves when it is applied, or could not be loaded. */
  async older(thread_id) {
    const opened = this.#state.opened.get(thread_id);
    if (opened && !opened.isLoading && (opened.next_before !== null || opened.error !== null))
      await this.#load(thread_id);
  }
  /** Loads the next page of threads. */
  async moreThreads() {
    if (this.#state.next_before !== null)
      await this.#list(this.#state.next_before);
  }
  /** Loads the threads and calls again after an error. */
  async reload() {
    await this.#list();
  }
  /** Returns the entries of a run, which replace its folded form. */
  async entriesOf(thread_id, run_id) {
    const run = this.#state.opened.get(thread_id)?.thread?.runs.find((held) => held.run_id === run_id);
    if (!run)
      return [];
    const generation = this.#generation;
    return this.#recording(async (since) => {
      const all = await this.#entriesAfter(thread_id, run.first_offset - 1, (entry) => entry.type === "agent_completed" && entry.run_id === run_id);
      const own = all.filter((entry) => "run_id" in entry && entry.run_id === run_id);
      if (generation === this.#generation && own.length > 0)
        this.#merge(thread_id, runsIn(own, thread_id, /* @__PURE__ */ new Set([run_id])), since);
      return own;
    });
  }
  async #follow() {
    for (; ; ) {
      try {
        for await (const entry of this.#client.entries())
          this.#apply(entry);
        return;
      } catch (error) {
        if (!(error instanceof QuintetError && error.code === "reset"))
          return;
        this.#clear();
      }
    }
  }
  /** Loads everything again if the client missed entries, and what was not loaded while there was no connection. */
  #connectionChanged() {
    const { connection, gap, resets } = this.#client.snapshot;
    if (connection.phase !== "live")
      return;
    const marks = `${resets} ${gap?.from} ${gap?.to}`;
    if (this.#marks !== "" && this.#marks !== marks)
      this.#clear();
    this.#marks = marks;
    if (!this.#listing && (!this.#state.isLoaded || this.#state.error !== null))
      void this.#list();
    for (const thread_id of this.#wanted) {
      const opened = this.#state.opened.get(thread_id);
      if (!opened || !opened.isLoaded && !opened.isLoading)
        void this.#load(thread_id);
    }
  }
  /** Applies an entry to everything that it concerns. */
  #apply(entry) {
    for (const since of this.#since)
      since.push(entry);
    const isKnown = !("thread_id" in entry) || this.#state.threads.has(entry.thread_id);
    const threads = applyToThreads(this.#state.threads, entry, this.#state.isLoaded && this.#state.next_before === null);
    const waiting = applyToWaiting(this.#state.waiting, entry);
    const concerned = entry.type === "log_erased" ? [...this.#wanted] : "thread_id" in entry && this.#wanted.has(entry.thread_id) ? [entry.thread_id] : [];
    if (concerned.length > 0)
      this.#conversations = applyEntries(this.#conversations, [entry]);
    else
      this.#conversations = { ...this.#conversations, offset: entry.offset };
    let { opened } = this.#state;
    for (const thread_id of concerned)
      opened = this.#shown(opened, thread_id, {});
    this.#publish({ threads, waiting, opened });
    if (!isKnown && entry.type === "user_message" && this.#state.next_before !== null)
      void this.#list();
    this.#options.onEntry?.(entry);
  }
  async #list(before) {
    while (this.#listing)
      await this.#listing;
    this.#listing = this.#listNow(before).finally(() => this.#listing = null);
    await this.#listing;
  }
  async #listNow(before) {
    const generation = this.#generation;
    try {
      await this.#recording(async (since) => {
        const query = { limit: this.#options.pageThreads, ...before !== void 0 && { before } };
        const [page, calls] = await Promise.all([this.#http.threads(query), before === void 0 ? this.#http.openCalls() : null]);
        if (generation !== this.#generation)
          return;
        const summaries = page.threads.map(({ thread_id, title = null, first_text = null, agent_name = null, archived = false, last_offset, last_at, open_runs = 0 }) => ({ thread_id, title, first_text, agent_name, archived, last_offset, last_at, open_runs }));
        const threads = mergeThreads(this.#state.threads, summaries, since, page.next_before === null);
        const waiting = calls ? waitingOf(calls, since) : this.#state.waiting;
        this.#publish({ threads, waiting, next_before: page.next_before, isLoaded: true, error: null });
      });
    } catch (error) {
      this.#publish({ error });
    }
    if (generation !== this.#generation)
      await this.#listNow();
  }
  async #load(thread_id) {
    if (this.#client.state.phase !== "live")
      return this.#show(thread_id, {});
    const before = this.#state.opened.get(thread_id)?.next_before ?? null;
    const generation = this.#generation;
    this.#show(thread_id, { isLoading: true, error: null });
    await this.#listing;
    if (generation !== this.#generation || !this.#wanted.has(thread_id))
      return;
    const { isLoaded, next_before, threads } = this.#state;
    if (isLoaded && next_before === null && !threads.has(thread_id))
      return this.#show(thread_id, { isLoaded: true, isLoading: false });
    try {
      await this.#recording(async (since) => {
        const query = { limit: this.#options.pageRuns, ...before !== null && { before } };
        const page = await this.#http.runs(thread_id, query).catch(noThread);
        const open2 = page.runs.filter(({ status }) => status === null);
        const runs = page.runs.filter(({ status }) => status !== null).map((run) => runOf(thread_id, run));
        if (open2.length > 0) {
          const from = Math.min(...open2.map(({ accepted_offset }) => accepted_offset)) - 1;
          const ids = new Set(open2.map(({ run_id }) => run_id));
          runs.push(...runsIn(await this.#entriesAfter(thread_id, from), thread_id, ids));
        }
        if (generation !== this.#generation || !this.#wanted.has(thread_id))
          return;
        this.#merge(thread_id, runs, since, { isLoaded: true, isLoading: false, next_before: page.next_before });
        for (const { run_id, status, truncated } of page.runs)
          if (truncated && status !== null)
            await this.entriesOf(thread_id, run_id);
      });
    } catch (error) {
      if (generation === this.#generation && this.#wanted.has(thread_id))
        this.#show(thread_id, { isLoading: false, error });
    }
  }
  /** Reads a thread's entries to its end, or to the one where `isEnd`. */
  async #entriesAfter(thread_id, from, isEnd = () => false) {
    const entries = [];
    for (let after = from; after !== null; ) {
      const page = await this.#http.entries({ thread_id, after, limit: PAGE_ENTRIES });
      entries.push(...page.entries);
      if (page.entries.some(isEnd))
        break;
      after = page.next_after;
    }
    return entries;
  }
  #merge(thread_id, loaded, since, changes = {}) {
    const threads = new Map(this.#conversations.threads);
    const merged = mergeRuns(thread_id, threads.get(thread_id), loaded, since);
    if (merged)
      threads.set(thread_id, merged);
    else
      threads.delete(thread_id);
    this.#conversations = { ...this.#conversations, threads };
    this.#show(thread_id, changes);
  }
  /** Collects the entries that arrive while `work` is under way. */
  async #recording(work) {
    const since = [];
    this.#since.add(since);
    try {
      return await work(since);
    } finally {
      this.#since.delete(since);
    }
  }
  #show(thread_id, changes) {
    this.#publish({ opened: this.#shown(this.#state.opened, thread_id, changes) });
  }
  #shown(opened, thread_id, changes) {
    const held = opened.get(thread_id) ?? UNLOADED;
    return new Map(opened).set(thread_id, { ...held, ...changes, thread: this.#conversations.threads.get(thread_id) });
  }
  #drop(thread_id) {
    const threads = new Map(this.#conversations.threads);
    threads.delete(thread_id);
    this.#conversations = { ...this.#conversations, threads };
    const opened = new Map(this.#state.opened);
    opened.delete(thread_id);
    this.#publish({ opened });
  }
  #clear() {
    this.#generation += 1;
    this.#conversations = { offset: 0, threads: /* @__PURE__ */ new Map() };
    this.#publish(NOTHING);
    this.#marks = "";
    this.#connectionChanged();
  }
  #publish(changes) {
    this.#state = { ...this.#state, ...changes };
    for (const listener of [...this.#listeners])
      listener();
  }
};
function noThread(error) {
  if (error instanceof QuintetError && error.code === "not_found")
    return { runs: [], next_before: null };
  throw error;
}
var NOTHING = { isLoaded: false, threads: /* @__PURE__ */ new Map(), next_before: null, waiting: /* @__PURE__ */ new Map(), opened: /* @__PURE__ */ new Map(), error: null };
var UNLOADED = { thread: void 0, isLoaded: false, isLoading: false, next_before: null, error: null };
var PAGE_ENTRIES = 1e3;

// clients/typescript/src/http/index.ts
async function request(url, options = {}) {
  const { method = "GET", token, body, signal } = options;
  const headers = { accept: "application/json" };
  if (token)
    headers["authorization"] = `Bearer ${token}`;
  if (body !== void 0)
    headers["content-type"] = "application/json";
  const init = { method, headers };
  if (body !== void 0)
    init.body = JSON.stringify(body);
  if (signal)
    init.signal = signal;
  const response = await (options.fetch ?? fetch)(url, init);
  const content = await response.text().then(options.parse ?? JSON.parse).catch(() => null);
  if (response.ok && content !== null)
    return content;
  const seconds = Number(response.headers.get("retry-after"));
  throw new QuintetError(content?.code ?? "internal", content?.detail ?? `HTTP ${response.status}`, {
    final: FINAL2.includes(response.status),
    retryAfterMs: content?.retry_after_ms ?? (seconds > 0 ? seconds * 1e3 : null)
  });
}
var FINAL2 = [400, 401, 403, 404, 409, 413];
function devLogin(url, user_id) {
  return ({ signal }) => request(new URL("/dev/login", url), { method: "POST", body: { user_id }, signal });
}
function ticketsFor(url, token) {
  return async (context) => {
    const bearer = await token(context);
    const options = { method: "POST", token: bearer, body: {}, signal: context.signal };
    const { ticket } = await request(new URL("/v1/tickets", url), options);
    return { ticket, expires_at: expiryOf(bearer) };
  };
}
var QuintetHttp = class {
  #url;
  #token;
  #options;
  /** `token` returns the user's bearer token for each request. */
  constructor(options) {
    this.#url = options.url;
    this.#token = options.token;
    this.#options = { fetch: options.fetch, parse: options.parse };
  }
  /** Reads a page of the log, or of one thread. */
  entries(query = {}) {
    const { thread_id, signal, ...rest } = query;
    return this.#get(entriesOf(thread_id), rest, signal);
  }
  /** Reads the last entries before an offset, of the log or of one thread: `ready.resumed_after + 1` after `start: head`. */
  entriesBefore(query) {
    const { thread_id, signal, ...rest } = query;
    return this.#get(entriesOf(thread_id), rest, signal);
  }
  /** Iterates over the entries that exist now, page by page. */
  async *allEntries(query = {}) {
    for (let after = query.after ?? 0; after !== null; ) {
      const page = await this.entries({ ...query, after });
      yield* page.entries;
      after = page.next_after;
    }
  }
  /** Reads a page of threads; `archived`: only those that are, or are not. */
  threads(query = {}) {
    const { signal, ...rest } = query;
    return this.#get("/v1/threads", rest, signal);
  }
  /** Reads a page of a thread's runs, the newest page first. */
  runs(thread_id, query = {}) {
    const { signal, ...rest } = query;
    return this.#get(`/v1/threads/${encodeURIComponent(thread_id)}/runs`, rest, signal);
  }
  /** Lists the calls that wait for an answer of the user, over all threads, oldest first. */
  async openCalls(signal) {
    const calls = [];
    for (let after = 0; after != null; ) {
      const page = await this.#get("/v1/calls", { open: true, after, limit: PAGE_CALLS }, signal);
      calls.push(...page.calls);
      after = page.next_after;
    }
    return calls;
  }
  /** Lists the agents. */
  async agents(signal) {
    return (await this.#get("/v1/agents", {}, signal)).agents;
  }
  async #get(path, query, signal) {
    const url = new URL(path, this.#url);
    for (const [name, value] of Object.entries(query))
      url.searchParams.set(name, String(value));
    return request(url, { token: await this.#token(), signal, ...this.#options });
  }
};
function entriesOf(thread_id) {
  return thread_id === void 0 ? "/v1/entries" : `/v1/threads/${encodeURIComponent(thread_id)}/entries`;
}
var PAGE_CALLS = 200;
export {
  History,
  NO_CONVERSATIONS,
  Quintet,
  QuintetError,
  QuintetHttp,
  afterGap,
  answerOf,
  applyEntries,
  branch,
  byActivity,
  callsOf,
  devLogin,
  hasEnded,
  isEntry,
  openQuestions,
  openRun,
  parentAtEnd,
  parentOf,
  parentOn,
  pathOf,
  placeOf,
  reactionTo,
  request,
  siblings,
  textOf,
  ticketsFor,
  webStorage
};
