// What the list of threads and the list of open questions show.
//
// Pure: reads the state of the history, returns plain objects; time is an argument.

import { byActivity } from './quintet.js';
import { REHEARSALS } from './scripts.js';

/**
 * Returns the threads that are archived, or are not, whose title, first text or id contains `query`; the one with the
 * latest activity first. `current` is listed among those that are not archived in any case: it may be new.
 */
export function listThreads({ threads, waiting }, { query = '', current = null, archived = false } = {}) {
  const words = query.trim().toLowerCase();
  const waits = new Set([...waiting.values()].map(({ thread_id }) => thread_id));
  const listed = byActivity(threads).filter((thread) => thread.archived === archived || (thread.thread_id === current && !archived && words === ''));
  if (current !== null && !threads.has(current) && !archived) listed.unshift({ thread_id: current, title: null, first_text: null, last_at: null, open_runs: 0 });
  return listed
    .filter((thread) => words === '' || [titleOf(thread), thread.first_text ?? '', thread.thread_id].some((text) => text.toLowerCase().includes(words)))
    .map((thread) => ({
      thread_id: thread.thread_id,
      title: titleOf(thread),
      at: thread.last_at,
      archived: thread.archived ?? false,
      state: waits.has(thread.thread_id) ? 'waiting' : thread.open_runs > 0 ? 'busy' : 'idle',
    }));
}

/** Returns the title of a thread: the one that the user gave, its first text, or what stands for it. */
export function titleOf(thread) {
  if (thread?.title) return thread.title;
  const text = thread?.first_text;
  if (!text) return thread?.last_at ? 'Earlier conversation' : 'New conversation';
  return (scriptName(text) ?? text).slice(0, TITLE_CHARS_MAX);
}

/** Returns the name of a rehearsal script, or null if the text is not one. A long one may be cut. */
export function scriptName(text) {
  if (!/^\s*\{\s*"steps"/.test(text)) return null;
  const start = text.replace(/…$/, '');
  return REHEARSALS.find((script) => script.text === text || (start.length >= CUT_CHARS_MIN && script.text.startsWith(start)))?.name ?? 'Rehearsal';
}

/** Returns the calls that wait for the user, over all threads, the oldest first. */
export function waitingCalls({ threads, waiting }) {
  return [...waiting.values()]
    .sort((a, b) => a.opened_offset - b.opened_offset)
    .map((call) => ({ call, title: titleOf(threads.get(call.thread_id)) }));
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
/** The length from which the beginning of a script is unique. */
const CUT_CHARS_MIN = 60;
const DAY_MS = 86_400_000;
