// DOM helpers. Text is only ever inserted as text nodes, never as markup.

/** Creates an element with properties and children. Strings become text; null and false are skipped. */
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

/** Returns a copy of the icon with this name, from the page's template. It is hidden from screen readers. */
export function icon(name) {
  return byId('icons').content.querySelector(`[data-icon="${name}"]`).cloneNode(true);
}

/** Creates a button that copies the text that `text()` returns, and confirms it for a moment. */
export function copyButton(label, text) {
  const button = el('button', { type: 'button', class: 'quiet copy', 'aria-label': label, title: label }, icon('copy'));
  button.addEventListener('click', async () => {
    let done = 'Copied';
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      done = 'The browser does not allow copying';
    }
    button.dataset.done = done;
    button.replaceChildren(icon(done === 'Copied' ? 'check' : 'copy'));
    setText(byId('announcer'), done);
    setTimeout(() => {
      delete button.dataset.done;
      button.replaceChildren(icon('copy'));
    }, COPIED_MS);
  });
  return button;
}

/** Sets text only if it differs, to preserve selections and avoid repeated live-region announcements. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an element's text, appending only the new part if the old text is a prefix. */
export function growText(element, text) {
  const node = element.firstChild;
  if (node && element.childNodes.length === 1 && text.length > node.length && text.startsWith(node.data)) {
    node.appendData(text.slice(node.length));
  } else {
    setText(element, text);
  }
}

/**
 * Updates the children of `parent` to match `items`, in order: `key(item)` identifies an item,
 * `make(item)` creates its element, `update(element, item)` updates it. Elements that stay keep their
 * focus and input.
 */
export function reconcile(parent, items, { key, make, update }) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const names = items.map((item) => String(key(item)));
  // Remove old elements first, so that the remaining ones need not move.
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

/** Marks a button as busy: it keeps the focus, appears disabled and ignores clicks. */
export function setBusy(button, busy, text) {
  button.setAttribute('aria-disabled', String(busy));
  setText(button.querySelector('span') ?? button, text);
}

export const isBusy = (button) => button.getAttribute('aria-disabled') === 'true';

/** Runs `change`, which may remove the focused element; in that case the composer is focused. */
export function keepingFocus(element, change) {
  const focused = element.contains(document.activeElement);
  change();
  if (focused && !element.contains(document.activeElement)) byId('text').focus();
}

/** Formats a duration in milliseconds. */
export function span(ms) {
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

/** Formats a Unix time in milliseconds as the time of day, with seconds. */
export function clockTime(ms) {
  return new Date(ms).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
}

/** Shows a list only while it has items, since screen readers announce an empty one. */
export function showFilled(list) {
  list.hidden = list.childElementCount === 0;
}

const COPIED_MS = 1_500;
