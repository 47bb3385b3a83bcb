// What the list of threads and the list of open questions show.
//
// Pure: reads the log, returns plain objects; time is an argument.

import { activeRun } from './log.js';
import { openCalls, stateOf } from './run.js';
import { REHEARSALS } from './scripts.js';

/** Returns the threads whose title or id contains `query`, the one with the latest entry first. */
export function listThreads(log, { query = '', current = null } = {}) {
  const threads = [...log.threads.values()].sort((a, b) => b.last_offset - a.last_offset);
  if (current !== null && !log.threads.has(current)) threads.unshift({ thread_id: current, title: null, last_at: null });
  const words = query.trim().toLowerCase();
  const matching = threads.filter((thread) =>
    words === '' || titleOf(thread).toLowerCase().includes(words) || thread.thread_id.toLowerCase().includes(words));
  return matching.map((thread) => ({
    thread_id: thread.thread_id,
    title: titleOf(thread),
    at: thread.last_at,
    state: threadState(log, thread),
  }));
}

function threadState(log, { thread_id, open }) {
  for (const run_id of open ?? []) if (stateOf(log.runs.get(run_id)) === 'waiting') return 'waiting';
  return activeRun(log, thread_id) ? 'busy' : 'idle';
}

/** Returns the first text of a thread, or what stands for it. */
export function titleOf({ title, turns }) {
  if (!title) return turns ? 'Earlier conversation' : 'New conversation';
  return (scriptName(title) ?? title).slice(0, TITLE_CHARS_MAX);
}

/** Returns the name of a rehearsal script, or null if the text is not one. */
export function scriptName(text) {
  if (!/^\s*\{\s*"steps"/.test(text)) return null;
  return REHEARSALS.find((script) => script.text === text)?.name ?? 'Rehearsal';
}

/** Returns the calls that wait for the user, over all threads, the oldest first. */
export function waitingCalls(log) {
  const waiting = [];
  for (const thread of log.threads.values()) {
    for (const run_id of thread.open) {
      const run = log.runs.get(run_id);
      for (const call of openCalls(run)) {
        if (call.by === 'client') waiting.push({ call, run, thread_id: thread.thread_id, title: titleOf(thread) });
      }
    }
  }
  return waiting.sort((a, b) => a.call.at - b.call.at);
}

/** Returns the day of a time in words: `Today`, `Yesterday`, a weekday, or a date. */
export function dayOf(at, now, locale) {
  const [day, today] = [at, now].map((ms) => new Date(new Date(ms).toDateString()).getTime());
  const days = Math.round((today - day) / DAY_MS);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  if (days > 1 && days < 7) return new Date(at).toLocaleDateString(locale, { weekday: 'long' });
  return new Date(at).toLocaleDateString(locale, { dateStyle: 'medium' });
}

/** Returns the time of day of today's times, and the day of others. */
export function shortTime(at, now, locale) {
  const day = dayOf(at, now, locale);
  return day === 'Today' ? timeOfDay(at, locale) : day;
}

export function timeOfDay(at, locale) {
  return new Date(at).toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit' });
}

const TITLE_CHARS_MAX = 80;
const DAY_MS = 86_400_000;
