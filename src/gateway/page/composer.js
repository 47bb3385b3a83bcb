// The composer: drafts, keys, the agent of the next message, Send and Stop.

import { cancelKey } from './intents.js';
import { byId, el, reconcile, setBusy, setText } from './dom.js';
import { scriptName } from './threads.js';
import { Drafts, restore, store } from './storage.js';

/** What a message to a busy thread does (RUN-8), in words. */
const POLICIES = [
  ['enqueue', 'wait in line'],
  ['steer', 'join in if the agent can'],
  ['interrupt', 'stop it and go first'],
  ['reject', 'do not send'],
];

export class Composer {
  #drafts = new Drafts();
  #text = byId('text');
  #agents = [];
  #agent_name = restore('agent', null);
  /** The agent of the next message alone, as set by a script, or null. */
  #once = null;
  /** The parent of the next message if it edits an earlier one, or null. */
  #parent = null;
  #thread_id = null;
  #busy = false;

  /** `act.send(message)` sends; `act.stop()` cancels the active run. */
  constructor(act) {
    const text = this.#text;
    byId('on-busy').append(...POLICIES.map(([value, words]) => el('option', { value }, words)));
    text.addEventListener('input', () => {
      if (text.value === '') this.#reset();
      this.#changed();
    });
    text.addEventListener('keydown', (event) => {
      // 229: the key is part of an input method's composition, also where `isComposing` is already false.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      if (TOUCH.matches && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      byId('composer').requestSubmit();
    });
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      if (text.value.trim() === '') return;
      act.send({ text: text.value, agent_name: this.agent_name, on_busy: this.#busy ? byId('on-busy').value : 'enqueue', parent: this.#parent });
      this.write({ text: '', agent_name: null, parent: null });
      text.focus();
    });
    byId('stop').addEventListener('click', () => act.stop());
    byId('once-clear').addEventListener('click', () => {
      this.#reset();
      this.#changed();
      text.focus();
    });
    this.#listenAgents();
    const hint = () => {
      setText(byId('text-hint'), TOUCH.matches ? 'Enter breaks the line' : 'Enter sends, Shift+Enter breaks the line');
      text.enterKeyHint = TOUCH.matches ? 'enter' : 'send';
    };
    TOUCH.addEventListener('change', hint);
    window.addEventListener('resize', () => this.#fit());
    hint();
  }

  /** The agent of the next message; undefined for the default one. */
  get agent_name() {
    return this.#once ?? this.#agent_name ?? this.#agents[0]?.agent_name;
  }

  /** Puts a text into the composer; `agent_name` and `parent` hold for this message alone. */
  write({ text, agent_name, parent = null }) {
    this.#text.value = text;
    this.#once = agent_name;
    this.#parent = parent;
    this.#changed();
  }

  #reset() {
    this.#once = null;
    this.#parent = null;
  }

  focus() {
    this.#text.focus();
  }

  /** An edit whose message has been erased becomes an ordinary message; its text stays. */
  erased({ thread_id = null, erased_through }) {
    this.#drafts.erased(thread_id, erased_through);
    if ((thread_id ?? this.#thread_id) !== this.#thread_id || this.#parent === null || this.#parent > erased_through) return;
    this.#parent = null;
    this.#changed();
  }

  /** Shows the draft of a thread. */
  open(thread_id) {
    if (thread_id === this.#thread_id) return;
    this.#thread_id = thread_id;
    this.write(this.#drafts.get(thread_id));
  }

  /** Shows Stop and the busy policy while the thread has an open run: `run`, or null. */
  draw(app, run) {
    const stop = byId('stop');
    this.#busy = run !== null;
    if (run === null && document.activeElement === stop) this.#text.focus();
    stop.hidden = run === null;
    if (run) {
      const stopping = app.intents.has(cancelKey(run.run_id));
      setBusy(stop, stopping, stopping ? 'Stopping' : 'Stop');
    }
    byId('busy-choice').hidden = run === null;
    this.#drawSend();
  }

  /** Fills the list of agents, the default one first. */
  showAgents(agents) {
    this.#agents = agents.toSorted((a, b) => Number(b.default) - Number(a.default));
    if (!this.#agents.some(({ agent_name }) => agent_name === this.#agent_name)) this.#agent_name = null;
    reconcile(byId('agent-list'), this.#agents, {
      key: ({ agent_name }) => agent_name,
      make: ({ agent_name, description }) => el('label', { class: 'item' },
        el('span', {}, el('input', { type: 'radio', name: 'agent', value: agent_name }), ' ', el('b', {}, agent_name)),
        el('span', { class: 'muted small' }, description)),
      update: () => {},
    });
    this.#drawAgent();
  }

  #listenAgents() {
    const menu = byId('agents');
    menu.addEventListener('change', ({ target }) => {
      this.#agent_name = target.value;
      this.#once = null;
      store('agent', target.value);
      this.#changed();
    });
    // The arrow keys choose and leave the list open; a pointer or Enter closes it.
    menu.addEventListener('click', (event) => event.target.closest('label') && event.detail > 0 && menu.hidePopover());
    menu.addEventListener('keydown', (event) => event.key === 'Enter' && menu.hidePopover());
    menu.addEventListener('toggle', ({ newState }) => newState === 'open' && menu.querySelector('input:checked')?.focus());
  }

  #changed() {
    this.#drafts.set(this.#thread_id, { text: this.#text.value, agent_name: this.#once, parent: this.#parent });
    this.#fit();
    this.#drawSend();
    this.#drawAgent();
  }

  #drawSend() {
    byId('send').hidden = this.#busy && this.#text.value.trim() === '';
  }

  #drawAgent() {
    const name = this.#agent_name ?? this.#agents[0]?.agent_name;
    setText(byId('agent-name'), name ?? 'default');
    byId('agent').dataset.agent = name ?? '';
    for (const radio of byId('agent-list').querySelectorAll('input')) radio.checked = radio.value === name;
    byId('once').hidden = this.#once === null && this.#parent === null;
    setText(byId('once-text'), [this.#edits(), this.#goesTo(name)].filter(Boolean).join(' '));
  }

  #edits() {
    return this.#parent === null ? '' : 'Edits an earlier message; the present version is kept beside it.';
  }

  #goesTo(name) {
    if (this.#once === null) return '';
    const what = scriptName(this.#text.value) === null ? 'This message' : 'This script';
    return `${what} goes to the agent ${this.#once}; the next one to ${name} again.`;
  }

  /** Grows the text field with its text. */
  #fit() {
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight + BORDER_PX}px`;
  }
}

/** On a touch screen Enter breaks the line, since there is no Shift+Enter. */
const TOUCH = matchMedia('(pointer: coarse)');
const BORDER_PX = 2;
