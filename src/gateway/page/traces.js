// The traces of the runs on the screen, while every event is shown: from the entries as they arrive, and for runs that
// began before, from the entries that the service keeps.

import { applyToTrace, createTrace } from './trace.js';

export class Traces {
  isOn;
  #traces = new Map();
  #loading = new Map();
  #hooks;

  /** `entriesOf(thread_id, run_id)` reads a run's entries; `changed()` draws. */
  constructor(isOn, hooks) {
    this.isOn = isOn;
    this.#hooks = hooks;
  }

  turn(isOn) {
    this.isOn = isOn;
    if (!isOn) this.#traces.clear();
  }

  /** Returns the trace of a run, or null until it has been read. */
  of(run) {
    if (!this.isOn) return null;
    const trace = this.#traces.get(run.run_id);
    if (!trace && !this.#loading.has(run.run_id)) this.#load(run);
    return trace ?? null;
  }

  onEntry(entry) {
    if (!this.isOn || entry.run_id === undefined) return;
    this.#loading.get(entry.run_id)?.push(entry);
    if (entry.type === 'user_message') this.#traces.set(entry.run_id, createTrace(entry));
    else if (this.#traces.has(entry.run_id)) applyToTrace(this.#traces.get(entry.run_id), entry);
  }

  async #load({ thread_id, run_id }) {
    const since = [];
    this.#loading.set(run_id, since);
    try {
      const [first, ...rest] = await this.#hooks.entriesOf(thread_id, run_id);
      if (first === undefined) return;
      const trace = createTrace(first);
      for (const entry of [first, ...rest, ...since]) applyToTrace(trace, entry);
      this.#traces.set(run_id, trace);
      this.#loading.delete(run_id);
      this.#hooks.changed();
    } catch {
      // It stays marked as read: the run is drawn without its events.
    }
  }
}
