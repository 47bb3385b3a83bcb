// The branches of a thread: messages form a tree by their `parent`, of which one path is shown.
//
// Pure. Editing a message or asking again adds a version beside it, with the same parent.

/**
 * Returns the shown path: `{turn, versions}` for each message, from the first to the newest one that follows `branch`, or
 * to the newest of all if that is null. `versions` are the offsets of the messages with the same parent.
 */
export function pathOf(thread, branch = null) {
  if (!thread) return [];
  const known = paths.get(thread);
  if (known?.count === thread.turns.length && known.branch === branch) return known.path;
  const path = findPath(thread.turns, branch);
  paths.set(thread, { count: thread.turns.length, branch, path });
  return path;
}

/** Returns the parent for a message at the end of the path: undefined where the service's default is the same. */
export function parentAtEnd(thread, path) {
  const last = path.at(-1)?.turn;
  return last === undefined || last === thread.turns.at(-1) ? undefined : last.offset;
}

/** Returns the parent of a message on the path, for another version of it. */
export function parentOn(path, { offset, parent }) {
  if (parent !== null) return parent;
  const before = path.slice(0, path.findIndex(({ turn }) => turn.offset === offset)).map(({ turn }) => turn);
  return before.findLast(({ message_id }) => message_id !== null)?.offset ?? 0;
}

function findPath(turns, branch) {
  const places = new Map(turns.map(({ offset }, index) => [offset, index]));
  const parents = turns.map((turn, index) => parentOf(turn, index, turns, places));
  const versions = new Map();
  for (const [index, parent] of parents.entries()) {
    if (!versions.has(parent)) versions.set(parent, []);
    versions.get(parent).push(turns[index].offset);
  }
  const path = [];
  for (let index = newest(turns, parents, places.get(branch)); index >= 0; index = parents[index]) {
    path.push({ turn: turns[index], versions: versions.get(parents[index]) });
  }
  return path.reverse();
}

/** Returns the index of the turn before, or -1. A parent that is no longer kept is taken to be the turn before it. */
function parentOf({ parent, offset }, index, turns, places) {
  if (parent === 0) return -1;
  const place = parent === null || parent >= offset ? undefined : places.get(parent);
  return place ?? index - 1;
}

/** Returns the index of the newest turn that follows the one at `from`, or of the newest of all. */
function newest(turns, parents, from) {
  if (from === undefined) return turns.length - 1;
  const following = new Set([from]);
  let last = from;
  for (let index = from + 1; index < turns.length; index += 1) {
    if (!following.has(parents[index])) continue;
    following.add(index);
    last = index;
  }
  return last;
}

const paths = new WeakMap();
