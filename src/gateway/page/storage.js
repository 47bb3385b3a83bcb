// What a tab remembers across reloads, in its session storage.

/** Returns the stored value, or `otherwise` if there is none. */
export function restore(name, otherwise) {
  try {
    return JSON.parse(sessionStorage.getItem(`quintet.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Stores a value. Returns false if the browser does not allow it. */
export function store(name, value) {
  try {
    sessionStorage.setItem(`quintet.${name}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** Unsent texts by thread: `{text, agent_name, parent}`, the latest `DRAFTS_MAX` of them. */
export class Drafts {
  #drafts = new Map(restore('drafts', []));

  get(thread_id) {
    return this.#drafts.get(thread_id) ?? { text: '', agent_name: null, parent: null };
  }

  /** Keeps a draft; empty text removes it. */
  set(thread_id, draft) {
    this.#drafts.delete(thread_id);
    if (draft.text !== '') this.#drafts.set(thread_id, draft);
    if (this.#drafts.size > DRAFTS_MAX) this.#drafts.delete(this.#drafts.keys().next().value);
    return store('drafts', [...this.#drafts]);
  }

  /** Makes the edits of messages that have been erased (DEL-8) ordinary messages. `thread_id`: null for all threads. */
  erased(thread_id, through) {
    for (const [name, draft] of this.#drafts) {
      if ((thread_id ?? name) === name && draft.parent !== null && draft.parent <= through) this.set(name, { ...draft, parent: null });
    }
  }
}

const DRAFTS_MAX = 50;
