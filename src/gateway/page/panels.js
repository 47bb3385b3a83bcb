// Panels beside the conversation, and menus that open at their button.

import { byId } from './dom.js';

/** Places each menu at its button when it opens, within the window. The browser closes it on Escape or a click outside. */
export function listenMenus() {
  for (const menu of document.querySelectorAll('.popover')) {
    const button = document.querySelector(`[popovertarget="${menu.id}"]`);
    if (!button) continue;
    menu.addEventListener('toggle', ({ newState }) => {
      button.setAttribute('aria-expanded', String(newState === 'open'));
      if (newState === 'open') place(menu, button);
    });
    button.setAttribute('aria-expanded', 'false');
    button.setAttribute('aria-haspopup', 'dialog');
  }
  window.addEventListener('resize', () => {
    for (const menu of document.querySelectorAll('.popover:popover-open')) menu.hidePopover();
  });
}

/** Places a menu at its button, within the window. */
export function place(menu, button) {
  const at = button.getBoundingClientRect();
  const below = at.top < innerHeight / 2;
  const left = at.left + menu.offsetWidth > innerWidth - GAP_PX ? at.right - menu.offsetWidth : at.left;
  menu.style.left = `${Math.max(GAP_PX, Math.min(left, innerWidth - menu.offsetWidth - GAP_PX))}px`;
  menu.style.top = below ? `${at.bottom + GAP_PX}px` : 'auto';
  menu.style.bottom = below ? 'auto' : `${innerHeight - at.top + GAP_PX}px`;
}

/** Whether a menu or a dialog is open, which Escape closes. */
export function hasOpenMenu() {
  return document.querySelector('.popover:popover-open, dialog[open]') !== null;
}

export const isPanelOpen = (name) => byId('app').dataset[name] === 'open';

/** Shows or hides a side panel. Moves the focus to it, and back to `origin`. Returns whether anything changed. */
export function togglePanel(name, open, origin) {
  if (isPanelOpen(name) === open) return false;
  const panel = byId(name);
  const hadFocus = panel.contains(document.activeElement);
  byId('app').dataset[name] = open ? 'open' : 'closed';
  byId(`${name}-toggle`).setAttribute('aria-expanded', String(open));
  if (name === 'wire') panel.hidden = !open;
  // The drawer of a phone covers the rest, which must not take the focus.
  if (name === 'threads') for (const id of BEHIND) byId(id).inert = open;
  if (open) byId(`${name}-close`).focus();
  else if (hadFocus) origin.focus();
  return true;
}

/** What the drawer covers, except the title. */
const BEHIND = ['threads-toggle', 'title-menu', 'bar-actions', 'scroll', 'latest', 'composer'];
const GAP_PX = 6;
