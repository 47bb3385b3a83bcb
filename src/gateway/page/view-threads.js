// The list of threads, and the list of everything that waits for the user.

import { questionOf } from './questions.js';
import { isId } from './links.js';
import { byId, el, icon, reconcile, setText, showFilled } from './dom.js';
import { listThreads, shortTime, waitingCalls } from './threads.js';

const drawn = { threads: null, waiting: null, rest: '' };

/** Draws both lists, if anything of them has changed. */
export function drawThreads(app, act) {
  const { threads, waiting, next_before } = app.history.state;
  const query = byId('thread-search').value;
  const rest = `${app.thread_id} ${app.threads_all} ${app.archived} ${next_before} ${query}`;
  if (threads === drawn.threads && waiting === drawn.waiting && rest === drawn.rest) return;
  Object.assign(drawn, { threads, waiting, rest });
  const listed = listThreads(app.history.state, { query, current: app.thread_id, archived: app.archived });
  const shown = app.threads_all ? listed : listed.slice(0, THREADS_MAX);
  const now = Date.now();
  reconcile(byId('thread-list'), shown, {
    key: (thread) => thread.thread_id,
    make: (thread) => makeThread(thread, act),
    update: (item, thread) => updateThread(item, thread, { isCurrent: thread.thread_id === app.thread_id, isKnown: threads.has(thread.thread_id), now }),
  });
  showFilled(byId('thread-list'));
  byId('thread-none').hidden = listed.length > 0;
  setText(byId('thread-none'), app.archived && query === '' ? 'Nothing is archived.' : 'No thread matches.');
  byId('thread-more').hidden = shown.length === listed.length && next_before === null;
  const archive = byId('thread-archived');
  archive.setAttribute('aria-pressed', String(app.archived));
  setText(archive, app.archived ? 'Back to all threads' : 'Archived threads');
  const id = query.trim();
  const create = byId('thread-create');
  create.hidden = !isId(id) || threads.has(id) || id === app.thread_id;
  setText(create, `New thread with the id ${id}`);
  drawWaiting(app, act);
}

function makeThread({ thread_id }, act) {
  return el('li', {},
    el('button', { type: 'button', class: 'thread', data: { thread: thread_id }, title: thread_id, onclick: () => act.open(thread_id) },
      el('span', { class: 'thread-name', dir: 'auto' }),
      el('span', { class: 'thread-meta' }, el('span', { class: 'thread-at' }), el('span', { class: 'thread-state' }))),
    el('button', { type: 'button', class: 'quiet icon-button thread-menu', title: 'Rename, archive or erase', 'aria-haspopup': 'dialog', 'aria-expanded': 'false', onclick: ({ currentTarget }) => act.menu(thread_id, currentTarget) }, icon('more')));
}

function updateThread(item, thread, { isCurrent, isKnown, now }) {
  const [button, menu] = item.children;
  button.dataset.state = thread.state;
  if (isCurrent) button.setAttribute('aria-current', 'true');
  else button.removeAttribute('aria-current');
  setText(button.querySelector('.thread-name'), thread.title);
  setText(button.querySelector('.thread-at'), thread.at === null ? 'now' : shortTime(thread.at, now));
  setText(button.querySelector('.thread-state'), WORDS[thread.state] || (thread.archived ? 'archived' : ''));
  menu.hidden = !isKnown;
  const label = `Rename, archive or erase: ${thread.title}`;
  if (menu.ariaLabel !== label) menu.ariaLabel = label;
}

function drawWaiting(app, act) {
  const waiting = waitingCalls(app.history.state);
  const toggle = byId('waiting-toggle');
  toggle.hidden = waiting.length === 0;
  setText(toggle.firstElementChild, String(waiting.length));
  toggle.setAttribute('aria-label', `${waiting.length} waiting for you`);
  if (waiting.length === 0 && byId('waiting').matches(':popover-open')) byId('waiting').hidePopover();
  reconcile(byId('waiting-list'), waiting.slice(0, WAITING_MAX), {
    key: ({ call }) => `${call.run_id} ${call.call_id}`,
    make: ({ call }) =>
      el('li', {}, el('button', { type: 'button', class: 'item', onclick: () => act.openCall(call) },
        el('b', { dir: 'auto' }, questionOf(call).title),
        el('span', { class: 'muted small', dir: 'auto' }))),
    update: (item, { call, title }) => setText(item.querySelector('span'), `${call.agent_name} · ${title}`),
  });
  showFilled(byId('waiting-list'));
}

const WORDS = { idle: '', busy: 'working', waiting: 'waits for you' };
const THREADS_MAX = 100;
const WAITING_MAX = 50;
