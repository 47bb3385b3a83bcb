// The dialog of prepared messages, and the suggestions of an empty thread.

import { byId, el } from './dom.js';
import { QUESTIONS, REHEARSALS } from './scripts.js';

/** `act.play(script)` sends one, `act.edit(script)` puts it into the composer. */
export function prepareScripts(act) {
  const dialog = byId('scripts');
  const choose = (script, action) => () => {
    dialog.close();
    action(script);
  };
  const item = (script) =>
    el('li', { class: 'script-item' }, el('span', {}, script.name),
      el('button', { type: 'button', 'aria-label': `Edit: ${script.name}`, onclick: choose(script, act.write) }, 'Edit'),
      el('button', { type: 'button', class: 'primary', 'aria-label': `Play: ${script.name}`, onclick: choose(script, act.play) }, 'Play'));
  byId('script-list').append(
    el('h3', {}, 'Questions for the assistant'), el('ul', {}, ...QUESTIONS.map(item)),
    el('h3', {}, 'Rehearsals'), el('ul', {}, ...REHEARSALS.map(item)),
  );
  byId('suggestions').append(
    ...QUESTIONS.map((script) => el('button', { type: 'button', class: 'suggestion', onclick: () => act.play(script) }, script.name)),
  );
  const open = () => {
    byId('developer').hidePopover();
    dialog.showModal();
  };
  byId('scripts-open').addEventListener('click', open);
  byId('scripts-menu').addEventListener('click', open);
  byId('scripts-close').addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', ({ target }) => target === dialog && dialog.close());
}
