// Elements, made without markup: text goes in as text and never becomes anything else.

/** An element with properties and children; strings become text, null and false nothing. */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'class') element.className = value;
    else if (name === 'data') Object.assign(element.dataset, value);
    else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== 'string') element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Sets text only where it differs, so that selections and live regions are left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Lets an element show `text`, of which it mostly shows the beginning already. */
export function growText(element, text) {
  const node = element.firstChild;
  if (node && element.childNodes.length === 1 && text.length > node.length && text.startsWith(node.data)) {
    node.appendData(text.slice(node.length));
  } else {
    setText(element, text);
  }
}

/**
 * Makes the children of `parent` those of `items`, in order: `key(item)` names one, `make(item)` builds
 * it, `update(element, item)` brings it up to date. Elements that stay keep focus and what was typed.
 */
export function reconcile(parent, items, { key, make, update }) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const names = items.map((item) => String(key(item)));
  // What goes, goes first: then nothing that stays has to move.
  const staying = new Set(names);
  for (const [name, element] of known) if (!staying.has(name)) element.remove();
  let place = parent.firstElementChild;
  for (const [index, item] of items.entries()) {
    const name = names[index];
    let element = known.get(name);
    if (!element) {
      element = make(item);
      element.dataset.key = name;
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}

/** A button that is waiting for its effect: it keeps the focus, looks disabled and does nothing. */
export function setBusy(button, busy, text) {
  button.setAttribute('aria-disabled', String(busy));
  setText(button, text);
}

export const isBusy = (button) => button.getAttribute('aria-disabled') === 'true';

/** Does `change`, which may take away the element with the focus; then the composer gets it. */
export function keepingFocus(element, change) {
  const focused = element.contains(document.activeElement);
  change();
  if (focused && !element.contains(document.activeElement)) byId('text').focus();
}

/** Milliseconds, as a person reads them. */
export function span(ms) {
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

/** The time of day of a Unix time in milliseconds. */
export function clockTime(ms) {
  return new Date(ms).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
}
