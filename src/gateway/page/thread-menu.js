// The menu of a thread: rename, archive, erase; the last one asks first.

import { byId, setText } from './dom.js';
import { isPanelOpen } from './panels.js';
import { titleOf } from './threads.js';

/**
 * Returns a function that opens the menu of a thread at a button. `threadOf(thread_id)` returns its summary, or
 * undefined; `act` has the actions.
 */
export function prepareThreadMenu(threadOf, act) {
  const menu = byId('thread-menu');
  const [rename, erase] = [byId('rename'), byId('erase')];
  let thread_id = null;
  let origin = null;
  const thread = () => threadOf(thread_id);
  const choose = (id, action) => byId(id).addEventListener('click', () => {
    menu.hidePopover();
    action();
  });
  choose('thread-rename', () => {
    const title = byId('rename-title');
    title.value = thread()?.title ?? '';
    title.placeholder = titleOf({ ...thread(), title: null });
    rename.showModal();
    title.select();
  });
  choose('thread-archive', () => {
    act.archive(thread_id, !thread()?.archived);
    origin?.focus();
  });
  choose('thread-erase', () => {
    setText(byId('erase-name'), titleOf(thread()));
    erase.showModal();
  });
  byId('rename-form').addEventListener('submit', () => act.rename(thread_id, byId('rename-title').value.trim()));
  byId('erase-form').addEventListener('submit', ({ submitter }) => {
    if (submitter?.value !== 'erase') return;
    act.erase(thread_id);
    // Its button goes with the thread.
    origin = byId(isPanelOpen('threads') ? 'threads-close' : 'text');
  });
  byId('rename-cancel').addEventListener('click', () => rename.close());
  for (const dialog of [rename, erase]) {
    dialog.addEventListener('click', ({ target }) => target === dialog && dialog.close());
    dialog.addEventListener('close', () => (origin?.isConnected && origin.checkVisibility() ? origin : byId('text')).focus());
  }
  // A press on the button of the open menu closes it; the click that follows must not open it again.
  let wasOpen = false;
  document.addEventListener('pointerdown', () => (wasOpen = menu.matches(':popover-open')), true);
  document.addEventListener('keydown', () => (wasOpen = false), true);
  menu.addEventListener('toggle', ({ newState }) => {
    origin?.setAttribute('aria-expanded', String(newState === 'open'));
  });
  return (id, button) => {
    const isSame = wasOpen && origin === button;
    thread_id = id;
    origin = button;
    if (isSame) return;
    setText(byId('thread-archive').querySelector('b'), thread()?.archived ? 'Take out of the archive' : 'Archive');
    menu.dataset.origin = button.id;
    menu.showPopover({ source: button });
    act.placeMenu(menu, button);
    byId('thread-rename').focus();
  };
}
