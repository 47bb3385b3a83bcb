// A thread as a tree, over random trees: the path that is shown, its versions, and the branch that an agent sees. The
// reference walks from each message to its parent, and shares no line with the module.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyEntries, NO_CONVERSATIONS, type Entry, type Run } from 'quintet';
import { branch, parentAtEnd, parentOn, pathOf, siblings } from 'quintet/history';

interface Message {
  offset: number;
  /** The offset of the parent; 0: none. */
  parent: number;
}

/** Random trees: the parent of each message is an earlier one, or none. A message is two entries. */
const anyTree = fc.array(fc.nat(), { minLength: 1, maxLength: 25 }).map((choices) => {
  const messages: Message[] = [];
  for (const [index, choice] of choices.entries()) {
    const before = choice % (index + 1);
    messages.push({ offset: 2 * index + 1, parent: before === index ? 0 : messages[before]!.offset });
  }
  return messages;
});

function runsOf(messages: Message[]): Run[] {
  const entries = messages.flatMap(({ offset, parent }) => {
    const own = { user_id: 'ann', thread_id: 't', run_id: `r${offset}`, timestamp: offset, agent_name: 'a' };
    return [
      { ...own, type: 'user_message', offset, message_id: `m${offset}`, text: `text ${offset}`, parent },
      { ...own, type: 'agent_started', offset: offset + 1, seq: 1, message_id: `m${offset}` },
    ];
  }) as Entry[];
  return [...applyEntries(NO_CONVERSATIONS, entries).threads.get('t')!.runs];
}

/** The way from the root to a message. */
function way(messages: Message[], offset: number): number[] {
  const found = messages.find((message) => message.offset === offset);
  return found ? [...way(messages, found.parent), offset] : [];
}

const places = (runs: readonly Run[]) => runs.map((run) => run.message!.offset);

test('a path goes from the root to the newest message that follows the chosen one', () => {
  fc.assert(
    fc.property(anyTree, fc.nat(), (messages, choice) => {
      const runs = runsOf(messages);
      const chosen = messages[choice % messages.length]!.offset;
      const following = messages.filter(({ offset }) => way(messages, offset).includes(chosen));
      const expected = way(messages, following.at(-1)!.offset);
      assert.deepEqual(places(pathOf(runs, chosen).steps.map(({ run }) => run)), expected);
      const newest = pathOf(runs);
      assert.deepEqual(places(newest.steps.map(({ run }) => run)), way(messages, messages.at(-1)!.offset));
      assert.deepEqual([newest.isCut, pathOf(runs, chosen).isCut], [false, false]);
    }),
  );
});

test('the versions of a message are those with its parent, and a new one gets the same parent', () => {
  fc.assert(
    fc.property(anyTree, fc.nat(), (messages, choice) => {
      const runs = runsOf(messages);
      const path = pathOf(runs, messages[choice % messages.length]!.offset);
      for (const { run, versions } of path.steps) {
        const { offset, parent } = run.message as unknown as Message;
        const beside = messages.filter((other) => other.parent === parent).map((other) => other.offset);
        assert.deepEqual(versions, beside);
        assert.deepEqual(places(siblings({ runs } as never, run)), beside);
        assert.equal(parentOn(path, run), parent, `the parent of ${offset}`);
      }
      const last = path.steps.at(-1)!.run.message!.offset;
      assert.equal(parentAtEnd(runs, path) ?? messages.at(-1)!.offset, last, 'a new message follows the path that is shown');
    }),
  );
});

test('the branch of an agent is the way from the root, for every message', () => {
  fc.assert(
    fc.property(anyTree, (messages) => {
      const runs = runsOf(messages);
      for (const run of runs) {
        assert.deepEqual(places(branch({ runs } as never, run)), way(messages, run.message!.offset));
      }
    }),
  );
});

test('of a thread whose beginning is not loaded, the path ends where it is cut, and says so', () => {
  fc.assert(
    fc.property(anyTree, fc.nat(), (messages, choice) => {
      const from = choice % messages.length;
      const kept = messages.slice(from);
      const { steps, isCut } = pathOf(runsOf(messages).slice(from), null, false);
      const whole = way(messages, kept.at(-1)!.offset);
      const shown = whole.slice(whole.findLastIndex((offset) => offset < kept[0]!.offset) + 1);
      assert.deepEqual(places(steps.map(({ run }) => run)), shown);
      assert.equal(isCut, shown.length < whole.length);
    }),
  );
});
