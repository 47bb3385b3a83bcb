// Deep links: `#/t/{thread_id}` names a thread.
//
// Pure. The thread is in the fragment, because the service serves the page at `/` alone.

/** Returns the thread that a fragment names, or null. */
export function threadOfLink(fragment) {
  const [, name] = /^#\/t\/([^/]+)$/.exec(fragment) ?? [];
  if (name === undefined) return null;
  try {
    const thread_id = decodeURIComponent(name);
    return isId(thread_id) ? thread_id : null;
  } catch {
    return null;
  }
}

export function linkOf(thread_id) {
  return `#/t/${encodeURIComponent(thread_id)}`;
}

/** Whether the text can be an id: 1 to 128 visible ASCII characters. */
export function isId(text) {
  return /^[!-~]{1,128}$/.test(text);
}
