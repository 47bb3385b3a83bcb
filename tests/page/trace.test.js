// The trace of a run: its events with their numbers, and the rules that they break; and the wire's counts.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { applyToTrace, createTrace } from '../../src/gateway/page/trace.js';
import { Traces } from '../../src/gateway/page/traces.js';
import { pretty } from '../../src/gateway/page/json.js';
import { Wire } from '../../src/gateway/page/wire.js';
import { Journal } from './entries.js';

function traceOf([first, ...rest]) {
  const trace = createTrace(first);
  for (const entry of [first, ...rest]) applyToTrace(trace, entry);
  return trace;
}

test('a run is traced as its events, in order, each once', () => {
  const entries = new Journal().fiveEvents();
  const trace = traceOf(entries.flatMap((entry) => [entry, entry]));
  assert.deepEqual(trace.steps.map((step) => step.type), ['started', 'thinking', 'tool', 'thinking', 'completed']);
  assert.equal(trace.events, 6);
  assert.deepEqual(trace.faults, []);
});

test('deltas are joined by kind, and a reset withdraws the earlier ones of its kind only', () => {
  const journal = new Journal();
  const event = journal.message('main', 'r1');
  event('agent_started', { message_id: 'm-r1' });
  for (const [kind, delta, reset] of [['reasoning', 'a'], ['reasoning', 'b'], ['answer', 'old '], ['answer', 'answer'], ['answer', 'new', true], ['reasoning', 'c'], ['answer', ' one']]) {
    event('agent_thinking', { kind, delta, ...(reset && { reset }) });
  }
  const thoughts = traceOf(journal.entries).steps.filter((step) => step.type === 'thinking');
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
    assert.deepEqual(traceOf(journal.entries).faults.map((fault) => fault.rule), [rule]);
  }
  assert.deepEqual(traceOf(new Journal().fiveEvents().slice(3)).faults, [], 'the beginning lies in a gap');
});

test('a run that began before is traced from what the service keeps, and what arrives meanwhile', async () => {
  const entries = new Journal().fiveEvents();
  for (let cut = 1; cut <= entries.length; cut += 1) {
    let answer;
    const changed = Promise.withResolvers?.() ?? defer();
    const traces = new Traces(true, { entriesOf: () => new Promise((resolve) => (answer = resolve)), changed: changed.resolve });
    const run = { thread_id: 'main', run_id: 'r1' };
    assert.equal(traces.of(run), null);
    for (const entry of entries.slice(1)) traces.onEntry(entry);
    answer(entries.slice(0, cut));
    await changed.promise;
    assert.equal(traces.of(run).events, 6);
    assert.deepEqual(traces.of(run).faults, []);
  }
});

test('del_2, iso_1: the wire counts what repeats, is missing, or belongs to another user', () => {
  const journal = new Journal('ada');
  const wire = new Wire();
  const receive = (...frames) => frames.forEach((frame) => wire.parse(JSON.stringify(frame)));
  const entries = journal.fiveEvents();
  receive(journal.ready(), entries[0], entries[0], entries[2], new Journal('eve').fiveEvents()[1]);
  assert.deepEqual(wire.counts, { applied: 1, repeated: 1, holes: 1, foreign: 1 });
  assert.deepEqual(wire.faults.map(({ rule }) => rule), ['DEL-2', 'DEL-2', 'ISO-1']);
  receive(journal.ready(1), ...entries.slice(1), journal.caughtUp());
  assert.deepEqual([wire.offset, wire.head, wire.connections, wire.isCaughtUp], [7, 7, 2, true]);
  receive(journal.ready(7, { gap: { from: 3, to: 7 } }), { type: 'caught_up', head: 9 });
  assert.deepEqual([wire.isCaughtUp, wire.counts.holes, wire.gap], [false, 2, { from: 3, to: 7 }]);
});

test('the latest frames are kept, each cut to a length', () => {
  const wire = new Wire();
  for (let number = 0; number < 400; number += 1) wire.parse(JSON.stringify({ type: 'pong', nonce: 'x'.repeat(5_000) }));
  assert.equal(wire.frames.length, 300);
  assert.ok(wire.frames.every(({ text }) => text.length < 4_100));
  assert.equal(wire.frames.at(-1).number, 400);
});

test('displayed JSON is one short line, or indented', () => {
  assert.equal(pretty({ a: [1] }), '{ "a": [ 1 ] }');
  assert.equal(pretty(null), 'null');
  assert.ok(pretty({ a: 'x'.repeat(200) }).includes('\n'));
  assert.ok(pretty('x'.repeat(100), 20).endsWith('more characters'));
});

function defer() {
  const deferred = {};
  deferred.promise = new Promise((resolve) => (deferred.resolve = resolve));
  return deferred;
}
