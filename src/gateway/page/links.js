// Deep links: `/t/{thread_id}` names a thread.
//
// Pure. Browsers resolve `.` and `..` as folders, also percent-encoded: threads of these names are in the fragment. So
// are those of links from before there were paths, which are forwarded.

/** Returns the thread that an address names, or null. */
export function threadOfLink({ pathname, hash }) {
  const [, name] = /^\/t\/([^/]+)$/.exec(pathname) ?? /^#\/t\/([^/]+)$/.exec(hash) ?? [];
  if (name === undefined) return null;
  try {
    const thread_id = decodeURIComponent(name);
    return isId(thread_id) ? thread_id : null;
  } catch {
    return null;
  }
}

export function linkOf(thread_id) {
  const name = encodeURIComponent(thread_id);
  return /^\.\.?$/.test(name) ? `/#/t/${name}` : `/t/${name}`;
}

/** Whether the text can be an id: 1 to 128 visible ASCII characters. */
export function isId(text) {
  return /^[!-~]{1,128}$/.test(text);
}
