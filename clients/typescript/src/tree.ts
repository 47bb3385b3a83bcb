// A thread as a tree: messages follow each other by their `parent`, and a path through them is shown. Pure.

import type { Thread } from './conversation.js';
import type { Run } from './run.js';

/** One message of a path, and the messages beside it. */
export interface Step {
  /** The run. */
  readonly run: Run;
  /** The places of the messages with the same parent, oldest first: versions made by an edit or by asking again. */
  readonly versions: readonly number[];
}

/** The path that a view shows. */
export interface Path {
  /** The runs from the first to the last. */
  readonly steps: readonly Step[];
  /** Whether the message before the first one exists and is not loaded. */
  readonly isCut: boolean;
}

/** Returns the place of a run in its thread: the offset of its message, or of its first entry if that is not kept. */
export function placeOf(run: Run): number {
  return run.message?.offset ?? run.first_offset;
}

/**
 * Returns the path to the newest run that follows the one at `through`, or to the newest of all. `isWhole`: every run of
 * the thread is loaded, so that a parent that is not among them is no longer kept; the run before takes its place then.
 */
export function pathOf(runs: readonly Run[], through: number | null = null, isWhole = true): Path {
  const places = new Map(runs.map((run, index) => [placeOf(run), index]));
  const parents = runs.map((run, index) => {
    const parent = run.message?.parent ?? null;
    if (parent === 0) return ROOT;
    const known = parent === null || parent >= placeOf(run) ? undefined : places.get(parent);
    if (known !== undefined) return known;
    if (isWhole || parent === null) return index > 0 ? index - 1 : isWhole ? ROOT : MISSING;
    return MISSING;
  });
  const keys = parents.map((parent, index) => (parent === MISSING ? `missing ${runs[index]?.message?.parent}` : String(parent)));
  const versions = new Map<string, number[]>();
  for (const [index, key] of keys.entries()) {
    const known = versions.get(key);
    if (known) known.push(placeOf(runs[index] as Run));
    else versions.set(key, [placeOf(runs[index] as Run)]);
  }
  const steps: Step[] = [];
  let index = newest(runs, parents, through === null ? undefined : places.get(through));
  for (; index >= 0; index = parents[index] as number) {
    steps.push({ run: runs[index] as Run, versions: versions.get(keys[index] as string) as number[] });
  }
  return { steps: steps.reverse(), isCut: index === MISSING && runs.length > 0 };
}

/** Returns the parent for a message at the end of a path; undefined where the service's default is the same. */
export function parentAtEnd(runs: readonly Run[], { steps }: Path): number | undefined {
  const last = steps.at(-1)?.run;
  return last === undefined || last === runs.at(-1) ? undefined : placeOf(last);
}

/** Returns the parent of a run's message on a path, for another version of it. */
export function parentOn({ steps }: Path, run: Run): number {
  if (run.message?.parent != null) return run.message.parent;
  const before = steps.slice(0, steps.findIndex((step) => step.run.run_id === run.run_id));
  return before.findLast((step) => step.run.message !== null)?.run.message?.offset ?? 0;
}

/** Returns the index of the newest run that follows the one at `from`, or of the newest of all. */
function newest(runs: readonly Run[], parents: readonly number[], from: number | undefined): number {
  if (from === undefined) return runs.length - 1;
  const following = new Set([from]);
  let last = from;
  for (let index = from + 1; index < runs.length; index += 1) {
    if (!following.has(parents[index] as number)) continue;
    following.add(index);
    last = index;
  }
  return last;
}

const ROOT = -1;
const MISSING = -2;

/** Returns the parent of a run's message: the named one, or the message before it in the thread; 0: none. */
export function parentOf(thread: Thread, run: Run): number {
  if (run.message?.parent != null) return run.message.parent;
  const index = thread.runs.indexOf(run);
  return thread.runs[index - 1]?.message?.offset ?? 0;
}

/** Returns the path from the root to `leaf` (default: the latest run), as the agent sees it. */
export function branch(thread: Thread, leaf: Run | undefined = thread.runs.at(-1)): Run[] {
  const byOffset = new Map(thread.runs.map((run) => [run.message?.offset ?? 0, run]));
  const path: Run[] = [];
  let run = leaf;
  while (run) {
    path.push(run);
    const parent = parentOf(thread, run);
    // A parent lies before its child; otherwise the path ends here.
    run = parent < run.first_offset ? byOffset.get(parent) : undefined;
  }
  return path.reverse();
}

/** Returns the runs whose messages have the same parent as this one's, itself included, oldest first. */
export function siblings(thread: Thread, run: Run): Run[] {
  const parent = parentOf(thread, run);
  return thread.runs.filter((other) => parentOf(thread, other) === parent);
}
