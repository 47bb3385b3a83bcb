// The reducer: entries become conversations, each offset exactly once.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BROKEN, activeRun, createLog, reduce } from '../../src/gateway/page/log.js';
import { answerOf, openCalls, stateOf } from '../../src/gateway/page/run.js';
import { Journal } from './entries.js';

const feed = (log, frames) => frames.map((frame) => reduce(log, frame).verdict);

/** Returns the parts of a log that a view shows. */
const seen = (log) => structuredClone({ threads: log.threads, runs: log.runs, messages: log.messages, offset: log.offset });

test('a run is drawn as its events, in order', () => {
  const journal = new Journal();
  const log = createLog();
  const entries = journal.fiveEvents();
  feed(log, [journal.ready(), ...entries, journal.caughtUp()]);
  const run = log.runs.get('r1');
  assert.deepEqual(run.steps.map((step) => step.type), ['started', 'thinking', 'tool', 'thinking', 'completed']);
  assert.equal(run.events, 6);
  assert.equal(stateOf(run), 'succeeded');
  assert.equal(answerOf(run), 'two');
  assert.deepEqual(run.faults, []);
  assert.deepEqual(log.faults, []);
  assert.equal(log.threads.get('main').turns.length, 1);
  assert.equal(log.caught_up, true);
});

test('del_2: a repeated entry changes nothing', () => {
  const journal = new Journal();
  const entries = journal.fiveEvents();
  const once = createLog();
  feed(once, [journal.ready(), ...entries]);
  const twice = createLog();
  const verdicts = feed(twice, [journal.ready(), ...entries.flatMap((entry) => [entry, entry])]);
  assert.equal(verdicts.filter((verdict) => verdict === 'repeated').length, entries.length);
  assert.deepEqual(seen(twice), seen(once));
  assert.equal(twice.counts.repeated, entries.length);
});

test('del_2: an entry after a hole is refused, and the cursor stays before the hole', () => {
  const journal = new Journal();
  const entries = journal.fiveEvents();
  for (let missing = 0; missing < entries.length - 1; missing += 1) {
    const log = createLog();
    const verdicts = feed(log, [journal.ready(), ...entries.toSpliced(missing, 1)]);
    assert.equal(verdicts[missing + 1], 'hole');
    assert.equal(log.offset, missing);
    assert.equal(log.faults[0].rule, 'DEL-2');
  }
});

test('del_2: caught_up before the last entry is a hole too', () => {
  const journal = new Journal();
  const entries = journal.fiveEvents();
  const log = createLog();
  const verdicts = feed(log, [journal.ready(), ...entries.slice(0, -1), journal.caughtUp()]);
  assert.equal(verdicts.at(-1), 'hole');
  assert.equal(log.caught_up, false);
});

test('del_3: a drop after any entry and a resume give the same log', () => {
  const journal = new Journal();
  const entries = journal.fiveEvents();
  const whole = createLog();
  feed(whole, [journal.ready(), ...entries]);
  for (let cut = 0; cut <= entries.length; cut += 1) {
    const log = createLog();
    feed(log, [journal.ready(), ...entries.slice(0, cut)]);
    feed(log, [journal.ready(log.offset), ...entries.slice(log.offset), journal.caughtUp()]);
    assert.deepEqual(seen(log), seen(whole), `cut after ${cut}`);
    assert.equal(log.counts.repeated + log.counts.holes, 0);
  }
});

test('del_3: a resume that skips entries without a gap is reported', () => {
  const journal = new Journal();
  journal.fiveEvents();
  const log = createLog();
  feed(log, [journal.ready(3)]);
  assert.equal(log.faults[0].rule, 'DEL-3');
});

test('del_3: a gap moves the cursor and is shown, and a partial run is not reported as a violation', () => {
  const journal = new Journal();
  const entries = journal.fiveEvents();
  const log = createLog();
  const verdicts = feed(log, [journal.ready(3, { gap: { from: 1, to: 3 } }), ...entries.slice(3), journal.caughtUp()]);
  assert.deepEqual([...new Set(verdicts)], ['ready', 'applied', 'caught_up']);
  assert.deepEqual(log.gap, { from: 1, to: 3 });
  assert.deepEqual(log.faults, []);
  assert.deepEqual(log.runs.get('r1').faults, []);
  assert.equal(log.threads.get('main').turns[0].text, null);
});

test('another epoch without a gap continues the log', () => {
  const journal = new Journal('ada', 'epoch-1');
  const log = createLog();
  feed(log, [journal.ready(), ...journal.fiveEvents('main', 'one')]);
  journal.epoch = 'epoch-2';
  const [verdict] = feed(log, [journal.ready(log.offset)]);
  assert.equal(verdict, 'ready');
  assert.deepEqual([[...log.runs.keys()], log.epoch, log.restarts], [['one'], 'epoch-2', 0]);
});

test('another epoch begins the log anew', () => {
  const first = new Journal('ada', 'epoch-1');
  const log = createLog();
  feed(log, [first.ready(), ...first.fiveEvents('main', 'old')]);
  const second = new Journal('ada', 'epoch-2');
  second.fiveEvents('main', 'new');
  const [verdict] = feed(log, [second.ready(0, { gap: { from: 0, to: 0 } }), ...second.entries]);
  assert.equal(verdict, 'restarted');
  assert.deepEqual([...log.runs.keys()], ['new']);
  assert.equal(log.epoch, 'epoch-2');
  assert.equal(log.restarts, 1);
});

test('a log that ends before the cursor is read again from its start', () => {
  const journal = new Journal();
  const entries = journal.fiveEvents();
  const log = createLog();
  feed(log, [journal.ready(), ...entries]);
  assert.deepEqual(feed(log, [journal.ready(4, { head: 4, gap: { from: 5, to: 7 } })]), ['shorter']);
  assert.ok(BROKEN.includes('shorter'));
  assert.deepEqual([log.epoch, log.offset, log.runs.size], [null, 0, 0]);
  feed(log, [journal.ready(0, { head: 4 }), ...entries.slice(0, 4)]);
  assert.equal(log.runs.get('r1').events, 3);
});

test('iso_1: an entry of another user is refused', () => {
  const journal = new Journal('ada');
  const log = createLog();
  feed(log, [journal.ready()]);
  const [entry] = new Journal('eve').fiveEvents();
  assert.deepEqual(feed(log, [entry]), ['foreign']);
  assert.equal(log.threads.size, 0);
  assert.equal(log.faults[0].rule, 'ISO-1');
});

test('deltas are joined by kind, and a reset withdraws the earlier ones of its kind only', () => {
  const journal = new Journal();
  const event = journal.message('main', 'r1');
  event('agent_started', { message_id: 'm-r1' });
  for (const [kind, delta, reset] of [
    ['reasoning', 'a'],
    ['reasoning', 'b'],
    ['answer', 'old '],
    ['answer', 'answer'],
    ['answer', 'new', true],
    ['reasoning', 'c'],
    ['answer', ' one'],
  ]) {
    event('agent_thinking', { kind, delta, ...(reset && { reset }) });
  }
  const log = createLog();
  feed(log, [journal.ready(), ...journal.entries]);
  const run = log.runs.get('r1');
  assert.deepEqual(run.texts, { reasoning: 'abc', answer: 'new one', progress: '' });
  assert.equal(answerOf(run), 'new one');
  const thoughts = run.steps.filter((step) => step.type === 'thinking');
  assert.deepEqual(
    thoughts.map(({ kind, text, withdrawn, seq, last_seq }) => [kind, text, withdrawn, seq, last_seq]),
    [
      ['reasoning', 'ab', false, 2, 3],
      ['answer', 'old answer', true, 4, 5],
      ['answer', 'new', false, 6, 6],
      ['reasoning', 'c', false, 7, 7],
      ['answer', ' one', false, 8, 8],
    ],
  );
});

test('parallel calls close in any order, each by its own id', () => {
  const journal = new Journal();
  const event = journal.message('main', 'r1');
  const log = createLog();
  const closed = (call_id) => ({ call_id, tool_name: 't', status: 'ok', results: call_id, error: null, duration_ms: 1 });
  event('agent_started', { message_id: 'm-r1' });
  event('agent_thinking', { kind: 'reasoning', delta: 'x' });
  for (const call_id of ['a', 'b', 'c']) event('tool_executing', { call_id, tool_name: 't', parameters: {}, by: call_id === 'c' ? 'client' : 'agent' });
  feed(log, [journal.ready(), ...journal.entries]);
  const run = log.runs.get('r1');
  assert.equal(stateOf(run), 'waiting');
  for (const call_id of ['b', 'c', 'a']) feed(log, [event('tool_completed', closed(call_id))]);
  assert.equal(stateOf(run), 'thinking');
  assert.deepEqual(openCalls(run), []);
  for (const call of run.calls.values()) assert.equal(call.result.results, call.call_id);
  assert.deepEqual(run.faults, []);
});

test('broken rules of a run are reported', () => {
  const cases = [
    ['RUN-1', (event) => event('agent_thinking', { kind: 'reasoning', delta: '' })],
    ['RUN-2', (event) => (event('agent_started', {}), event('agent_thinking', { kind: 'answer', delta: '', seq: 5 }))],
    ['RUN-4', (event) => (event('agent_started', {}), event('tool_completed', { call_id: 'x', status: 'ok' }))],
    ['RUN-5', (event) => (event('agent_started', {}), event('agent_completed', {}), event('agent_thinking', { kind: 'answer', delta: '' }))],
  ];
  for (const [rule, play] of cases) {
    const journal = new Journal();
    play(journal.message('main', 'r1'));
    const log = createLog();
    feed(log, [journal.ready(), ...journal.entries]);
    assert.deepEqual(log.runs.get('r1').faults.map((fault) => fault.rule), [rule]);
  }
});

test('threads keep their own turns, and the active run is the oldest that has not ended', () => {
  const journal = new Journal();
  journal.fiveEvents('one', 'r1');
  const second = journal.message('one', 'r2');
  journal.message('one', 'r3');
  journal.fiveEvents('two', 'r4');
  const log = createLog();
  feed(log, [journal.ready(), ...journal.entries]);
  assert.deepEqual(log.threads.get('one').turns.map((turn) => turn.run_id), ['r1', 'r2', 'r3']);
  assert.equal(activeRun(log, 'one').run_id, 'r2');
  assert.equal(activeRun(log, 'two'), null);
  assert.equal(stateOf(log.runs.get('r3')), 'queued');
  feed(log, [second('agent_started', { message_id: 'm-r2' }), second('agent_completed', { status: 'cancelled', final_response: null, error: null, duration_ms: 0 })]);
  assert.equal(activeRun(log, 'one').run_id, 'r3');
});
