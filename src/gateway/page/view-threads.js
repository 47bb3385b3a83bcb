// The list of threads, and the list of everything that waits for the user.

import { questionOf } from './questions.js';
import { isId } from './links.js';
import { byId, el, reconcile, setText, showFilled } from './dom.js';
import { listThreads, shortTime, waitingCalls } from './threads.js';

let drawn = '';

/** Draws both lists, if entries other than deltas have come or the reader has searched. */
export function drawThreads(app, act) {
  const query = byId('thread-search').value;
  const version = `${app.log.version} ${app.thread_id} ${app.threads_all} ${query}`;
  if (version === drawn) return;
  drawn = version;
  const threads = listThreads(app.log, { query, current: app.thread_id });
  const shown = app.threads_all ? threads : threads.slice(0, THREADS_MAX);
  const now = Date.now();
  reconcile(byId('thread-list'), shown, {
    key: (thread) => thread.thread_id,
    make: ({ thread_id }) =>
      el('li', {}, el('button', { type: 'button', class: 'thread', data: { thread: thread_id }, title: thread_id, onclick: () => act.open(thread_id) },
        el('span', { class: 'thread-name', dir: 'auto' }),
        el('span', { class: 'thread-meta' }, el('span', { class: 'thread-at' }), el('span', { class: 'thread-state' })))),
    update: (item, thread) => {
      const button = item.firstChild;
      button.dataset.state = thread.state;
      if (thread.thread_id === app.thread_id) button.setAttribute('aria-current', 'true');
      else button.removeAttribute('aria-current');
      setText(button.querySelector('.thread-name'), thread.title);
      setText(button.querySelector('.thread-at'), thread.at === null ? 'now' : shortTime(thread.at, now));
      setText(button.querySelector('.thread-state'), WORDS[thread.state]);
    },
  });
  showFilled(byId('thread-list'));
  byId('thread-none').hidden = threads.length > 0;
  byId('thread-more').hidden = shown.length === threads.length;
  const id = query.trim();
  const create = byId('thread-create');
  create.hidden = !isId(id) || app.log.threads.has(id) || id === app.thread_id;
  setText(create, `New thread with the id ${id}`);
  drawWaiting(app, act);
}

function drawWaiting(app, act) {
  const waiting = waitingCalls(app.log);
  const toggle = byId('waiting-toggle');
  toggle.hidden = waiting.length === 0;
  setText(toggle, `${waiting.length} waiting`);
  toggle.setAttribute('aria-label', `${waiting.length} waiting for you`);
  if (waiting.length === 0 && byId('waiting').matches(':popover-open')) byId('waiting').hidePopover();
  reconcile(byId('waiting-list'), waiting.slice(0, WAITING_MAX), {
    key: ({ call }) => `${call.run_id} ${call.call_id}`,
    make: ({ call, run, thread_id, title }) =>
      el('li', {}, el('button', { type: 'button', class: 'item', onclick: () => act.openCall(thread_id, call) },
        el('b', { dir: 'auto' }, questionOf(call).title),
        el('span', { class: 'muted small', dir: 'auto' }, `${run.agent_name} · ${title}`))),
    update: () => {},
  });
  showFilled(byId('waiting-list'));
  app.waiting = waiting.length;
}

const WORDS = { idle: '', busy: 'working', waiting: 'waits for you' };
const THREADS_MAX = 100;
const WAITING_MAX = 50;
