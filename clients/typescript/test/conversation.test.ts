import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { afterGap, answerOf, applyEntries, callsOf, hasEnded, NO_CONVERSATIONS, openQuestions, type Conversations, type Entry } from 'quintet';
import { branch, siblings } from 'quintet/history';
import { answerIn, anyLog, logOf, wordsUpTo } from './words.js';

const fold = (entries: Entry[], from: Conversations = NO_CONVERSATIONS) => applyEntries(from, entries);
const saved = (state: Conversations): Conversations => {
  const { offset, threads } = JSON.parse(JSON.stringify({ ...state, threads: [...state.threads] })) as { offset: number; threads: [string, never][] };
  return { offset, threads: new Map(threads) };
};

test('run_1 to run_5: every legal word of up to seven events folds into the state that its letters define', () => {
  let words = 0;
  for (const word of wordsUpTo(7, 2)) {
    words += 1;
    const entries = logOf([{ thread_id: 't', word }], word.map(() => 0).concat(0));
    const run = fold(entries).threads.get('t')!.runs[0]!;
    const end = word.at(-1);
    assert.equal(run.status, end?.type === 'agent_completed' ? end.status : word.length > 0 ? 'active' : 'waiting');
    assert.equal(hasEnded(run), end?.type === 'agent_completed');
    assert.equal(answerOf(run), answerIn(word));
    assert.equal(run.seq, word.length);
    const opened = word.flatMap((letter) => (letter.type === 'tool_executing' ? [letter] : []));
    assert.deepEqual(callsOf(run).map(({ call_id, by }) => ({ call_id, by })), opened.map(({ call_id, by }) => ({ call_id, by })));
    for (const call of callsOf(run)) {
      const close = word.find((letter) => letter.type === 'tool_completed' && letter.call_id === call.call_id);
      assert.equal(call.status, close?.type === 'tool_completed' ? close.status : 'open');
    }
    const questions = callsOf(run).filter(({ by, status }) => by === 'client' && status === 'open');
    assert.deepEqual(openQuestions(fold(entries)).map(({ call }) => call), hasEnded(run) ? [] : questions);
  }
  assert.ok(words > 10_000, `${words} words`);
});

test('del_2: entries in batches of any size fold into the same state', () => {
  fc.assert(
    fc.property(anyLog, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (log, sizes) => {
      let state = NO_CONVERSATIONS;
      for (let at = 0, i = 0; at < log.length; i += 1) {
        const size = sizes[i % sizes.length] as number;
        state = fold(log.slice(at, at + size), state);
        at += size;
      }
      assert.deepEqual(state, fold(log));
    }),
  );
});

test('del_3: a saved state and a suffix that overlaps it give the whole log, each entry applied once', () => {
  fc.assert(
    fc.property(anyLog, fc.nat(80), fc.nat(80), (log, cut, overlap) => {
      const checkpoint = saved(fold(log.slice(0, cut)));
      assert.deepEqual(fold(log.slice(Math.max(0, cut - overlap)), checkpoint), fold(log));
    }),
  );
});

test('the state is never changed in place', () => {
  fc.assert(
    fc.property(anyLog, fc.nat(80), (log, cut) => {
      const state = fold(log.slice(0, cut));
      const before = structuredClone(state);
      fold(log.slice(cut), state);
      assert.deepEqual(state, before);
    }),
  );
});

test('what a batch does not touch keeps its identity', () => {
  fc.assert(
    fc.property(anyLog, (log) => {
      const last = log.at(-1);
      if (!last || !('run_id' in last)) return;
      const before = fold(log.slice(0, -1));
      const after = fold(log, before);
      for (const [id, thread] of before.threads) {
        if (id !== last.thread_id) assert.equal(after.threads.get(id), thread);
        for (const run of thread.runs) {
          if (run.run_id !== last.run_id) assert.ok([...after.threads.values()].some(({ runs }) => runs.includes(run)));
        }
      }
      assert.equal(fold([last], after), after);
    }),
  );
});

test('iso_2: equal run and call ids in two threads do not meet, and a thread may have any legal name', () => {
  const base = { user_id: 'ann', run_id: 'r', timestamp: 1, agent_name: 'a' };
  const entries = ['t-1', '__proto__', 'constructor'].flatMap((thread_id, i): Entry[] => [
    { ...base, type: 'user_message', offset: 3 * i + 1, thread_id, message_id: thread_id, text: thread_id },
    { ...base, type: 'agent_started', offset: 3 * i + 2, seq: 1, thread_id, message_id: thread_id },
    { ...base, type: 'agent_thinking', offset: 3 * i + 3, seq: 2, thread_id, kind: 'answer', delta: thread_id },
  ]);
  const { threads } = fold(entries);
  assert.deepEqual([...threads].map(([id, { runs }]) => [id, runs.map(answerOf)]), [['t-1', ['t-1']], ['__proto__', ['__proto__']], ['constructor', ['constructor']]]);
});

test('a gap leaves an open run with an unknown end, and a later event makes it active again', () => {
  const log = logOf([{ thread_id: 't', word: [{ type: 'agent_started' }, { type: 'agent_thinking', kind: 'answer', delta: 'a' }] }], [0, 0, 0]);
  const state = afterGap(fold(log));
  assert.deepEqual(state.threads.get('t')!.runs.map(({ status, partial }) => ({ status, partial })), [{ status: 'unknown', partial: true }]);
  const next = { ...log[2], offset: 9, seq: 8, delta: 'b' } as Entry;
  assert.equal(fold([next], { ...state, offset: 8 }).threads.get('t')!.runs[0]!.status, 'active');
});

test('parent: a thread is a tree; the path of a branch and its siblings are found', () => {
  const message = (offset: number, parent: number): Entry => ({
    type: 'user_message', offset, parent, user_id: 'ann', thread_id: 't', run_id: `r${offset}`, message_id: `m${offset}`, text: '', agent_name: 'a', timestamp: 0,
  });
  const thread = fold([message(1, 0), message(2, 1), message(3, 1), message(4, 3)]).threads.get('t')!;
  assert.deepEqual(branch(thread).map(({ run_id }) => run_id), ['r1', 'r3', 'r4']);
  assert.deepEqual(branch(thread, thread.runs[1]).map(({ run_id }) => run_id), ['r1', 'r2']);
  assert.deepEqual(siblings(thread, thread.runs[1]!).map(({ run_id }) => run_id), ['r2', 'r3']);
});

test('parent: a service without trees gives one path', () => {
  const log = logOf(['a', 'b'].map(() => ({ thread_id: 't', word: [] })), [0, 1]);
  const thread = fold(log).threads.get('t')!;
  assert.equal(branch(thread).length, 2);
});

test('del_8: an erased thread disappears, and its offsets do not', () => {
  const log = logOf([{ thread_id: 't', word: [{ type: 'agent_started' }, { type: 'agent_completed', status: 'failed' }] }], [0, 0, 0]);
  const erased: Entry = { type: 'thread_erased', offset: 4, user_id: 'ann', thread_id: 't', timestamp: 4, erased_through: 3, receipt: 'x' };
  assert.deepEqual(fold([...log, erased]), { offset: 4, threads: new Map() });
  const blank = log.map(({ offset, timestamp }): Entry => ({ type: 'erased', offset, timestamp }));
  assert.deepEqual(fold([...blank, erased]), { offset: 4, threads: new Map() });
});

test('titles, archive flags and unknown entries', () => {
  const updated: Entry = { type: 'thread_updated', offset: 1, user_id: 'ann', thread_id: 't', timestamp: 1, title: 'A title', archived: true };
  const unknown = { type: 'from_the_future', offset: 2, user_id: 'ann', timestamp: 2 } as unknown as Entry;
  const state = fold([updated, unknown]);
  assert.equal(state.offset, 2);
  assert.deepEqual([...state.threads.values()].map(({ title, archived }) => ({ title, archived })), [{ title: 'A title', archived: true }]);
});
