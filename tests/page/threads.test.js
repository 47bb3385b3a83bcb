// Threads, links, the list of open questions, and a run's activity in one line.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { activityLine, hasActivity, isWorking, parametersLine, progressOf } from '../../src/gateway/page/activity.js';
import { parentAtEnd, pathOf } from '../../src/gateway/page/branches.js';
import { createLog, reduce } from '../../src/gateway/page/log.js';
import { isId, linkOf, threadOfLink } from '../../src/gateway/page/links.js';
import { dayOf, listThreads, scriptName, shortTime, waitingCalls } from '../../src/gateway/page/threads.js';
import { endWords, mayRetry, refusalWords } from '../../src/gateway/page/words.js';
import { Journal } from './entries.js';

const feed = (log, frames) => frames.map((frame) => reduce(log, frame).verdict);
const CALL = { call_id: 'c1', tool_name: 'lookup', parameters: {}, by: 'agent' };
const ANSWERED = { status: 'succeeded', final_response: '', error: null, duration_ms: 1 };

test('threads come by their last entry, and are found by first text and id', () => {
  const journal = new Journal();
  journal.message('one', 'r1', 'First question');
  journal.message('two', 'r2', 'Second question');
  journal.message('one', 'r3', 'more');
  const log = createLog();
  feed(log, [journal.ready(), ...journal.entries]);
  const ids = (more) => listThreads(log, more).map(({ thread_id }) => thread_id);
  assert.deepEqual(ids(), ['one', 'two']);
  assert.deepEqual(ids({ query: 'SECOND' }), ['two']);
  assert.deepEqual(ids({ query: 'one' }), ['one']);
  assert.deepEqual(ids({ query: 'nothing' }), []);
  assert.deepEqual(ids({ current: 'new' }), ['new', 'one', 'two']);
  assert.equal(listThreads(log)[0].title, 'First question');
});

test('the calls that wait for the user are found over all threads, until they are closed', () => {
  const journal = new Journal();
  const events = ['one', 'two'].map((thread) => journal.message(thread, `run-${thread}`));
  for (const event of events) {
    event('agent_started', {});
    event('agent_thinking', { kind: 'reasoning', delta: 'x' });
    event('tool_executing', CALL);
    event('tool_executing', { ...CALL, call_id: 'q1', by: 'client' });
  }
  const log = createLog();
  feed(log, [journal.ready(), ...journal.entries]);
  const waiting = () => waitingCalls(log).map(({ thread_id, call }) => [thread_id, call.call_id]);
  assert.deepEqual(waiting(), [['one', 'q1'], ['two', 'q1']]);
  assert.deepEqual(listThreads(log).map(({ state }) => state), ['waiting', 'waiting']);
  feed(log, [events[0]('tool_completed', { call_id: 'q1', tool_name: 'lookup', status: 'ok', results: null, error: null, duration_ms: 1 })]);
  assert.deepEqual(waiting(), [['two', 'q1']]);
  assert.deepEqual(listThreads(log).map(({ thread_id, state }) => [thread_id, state]), [['one', 'busy'], ['two', 'waiting']]);
});

test('an entry of a type that this page does not know moves the cursor and changes nothing else', () => {
  const journal = new Journal();
  const entries = journal.fiveEvents();
  const log = createLog();
  feed(log, [journal.ready(), ...entries]);
  const erased = { type: 'erased', offset: log.offset + 1, timestamp: 1 };
  const updated = { type: 'thread_updated', offset: log.offset + 2, user_id: 'ada', thread_id: 'other', timestamp: 1, title: 'x' };
  assert.deepEqual(feed(log, [erased, updated]), ['applied', 'applied']);
  assert.deepEqual([log.offset, log.faults, [...log.threads.keys()]], [updated.offset, [], ['main']]);
});

test('a log counts as changed with every entry but a delta', () => {
  const journal = new Journal();
  const log = createLog();
  feed(log, [journal.ready()]);
  const versions = journal.fiveEvents().map((entry) => (reduce(log, entry), log.version));
  assert.deepEqual(versions, [1, 2, 2, 3, 4, 4, 5]);
});

test('a link names any thread, and nothing else', () => {
  for (const id of ['main', 'a/b', 'x?y#z', '%41', '!~', 'a'.repeat(128)]) assert.equal(threadOfLink(linkOf(id)), id);
  for (const link of ['', '#', '#/t/', '#/t/a/b', '#/x/a', '#/t/%', '#/t/%20', '#/t/%C3%A9', `#/t/${'a'.repeat(129)}`]) assert.equal(threadOfLink(link), null, link);
  assert.equal(isId('a b'), false);
});

test('days in words', () => {
  const now = new Date(2026, 10, 27, 12).getTime();
  const day = 86_400_000;
  assert.equal(dayOf(now - 11 * 3_600_000, now, 'en'), 'Today');
  assert.equal(dayOf(now - 13 * 3_600_000, now, 'en'), 'Yesterday');
  assert.equal(dayOf(now - 3 * day, now, 'en'), 'Tuesday');
  assert.equal(dayOf(now - 10 * day, now, 'en'), 'Nov 17, 2026');
  assert.match(shortTime(now, now, 'en'), /12:00/);
  assert.equal(shortTime(now - day, now, 'en'), 'Yesterday');
});

test('scripts have names', () => {
  assert.equal(scriptName('what is 2 + 2?'), null);
  assert.equal(scriptName('{"steps": []}'), 'Rehearsal');
});

test('what a run did, in one line', () => {
  const journal = new Journal();
  const event = journal.message('main', 'r1');
  const log = createLog();
  feed(log, [journal.ready(), ...journal.entries]);
  const step = (type, more) => feed(log, [event(type, more)]);
  const run = () => log.runs.get('r1');
  step('agent_started', {});
  assert.deepEqual([hasActivity(run()), isWorking(run())], [false, false]);
  step('agent_thinking', { kind: 'reasoning', delta: 'x' });
  assert.deepEqual([activityLine(run()), isWorking(run())], ['Reasoning', true]);
  step('tool_executing', CALL);
  assert.equal(isWorking(run()), true, 'a call is open');
  step('agent_thinking', { kind: 'progress', delta: 'half\nway' });
  assert.deepEqual([activityLine(run()), progressOf(run())], ['Reasoned · using lookup', 'way']);
  step('tool_completed', { call_id: 'c1', tool_name: 'lookup', status: 'error', results: null, error: 'no', duration_ms: 1 });
  step('tool_executing', { ...CALL, call_id: 'q1', by: 'client' });
  assert.equal(activityLine(run()), 'Reasoned · used lookup · asked you · 1 failed');
  step('tool_completed', { call_id: 'q1', tool_name: 'lookup', status: 'ok', results: null, error: null, duration_ms: 1 });
  step('agent_thinking', { kind: 'answer', delta: 'x' });
  assert.deepEqual([isWorking(run()), progressOf(run())], [false, null]);
  for (const name of ['b', 'c', 'd']) {
    step('tool_executing', { ...CALL, call_id: name, tool_name: name });
    step('tool_completed', { call_id: name, tool_name: name, status: 'ok', results: null, error: null, duration_ms: 1 });
  }
  step('agent_completed', ANSWERED);
  assert.equal(activityLine(run()), 'Reasoned · used 4 tools · asked you · 1 failed');
  assert.equal(parametersLine({ a: 'x y', b: [1], c: null }), 'a: x y, b: [1], c: null');
  assert.ok(parametersLine({ a: 'x'.repeat(10_000) }).length < 130);
});

test('ends and refusals in words, with their codes', () => {
  assert.equal(endWords(ANSWERED), null);
  for (const code of ['upstream', 'limit_reached', 'violation', 'agent_error', 'agent_panic', 'step_timeout', 'run_timeout', 'invalid_script', 'resume_limit', 'node_lost', 'of the future']) {
    const { text, detail, isFailure } = endWords({ status: 'failed', error: { code, message: 'why' } });
    assert.ok(text.length > 10 && isFailure);
    assert.equal(detail, `${code}: why`);
  }
  assert.deepEqual(endWords({ status: 'cancelled', error: null }), { text: 'You stopped this answer.', detail: '', isFailure: false });
  for (const status of ['interrupted', 'timed_out', 'merged', 'of_the_future']) assert.ok(endWords({ status, error: null }).text.length > 0);
  assert.match(refusalWords({ code: 'thread_busy', message: 'busy' }), /still working.*\(thread_busy: busy\)/);
  assert.deepEqual(['thread_busy', 'too_large', 'unknown_agent'].map(mayRetry), [true, false, false]);
});

test('a thread is a tree: the path to the newest message, its versions, and the branches beside it', () => {
  const journal = new Journal();
  const put = (text, parent) => journal.put({ type: 'user_message', thread_id: 'main', run_id: `r-${text}`, agent_name: 'assistant', message_id: text, text, ...(parent !== undefined && { parent }) }).offset;
  const log = createLog();
  const first = put('first', 0);
  const second = put('second', first);
  const third = put('third');
  feed(log, [journal.ready(), ...journal.entries]);
  const thread = log.threads.get('main');
  const shown = (branch) => pathOf(thread, branch).map(({ turn, versions }) => `${turn.text} ${versions.indexOf(turn.offset) + 1}/${versions.length}`);
  const put_in = (text, parent) => {
    const offset = put(text, parent);
    feed(log, [journal.entries.at(-1)]);
    return offset;
  };
  assert.deepEqual(shown(), ['first 1/1', 'second 1/1', 'third 1/1']);
  assert.equal(parentAtEnd(thread, pathOf(thread)), undefined);
  const edited = put_in('edited', first);
  assert.deepEqual(shown(), ['first 1/1', 'edited 2/2']);
  assert.deepEqual(shown(second), ['first 1/1', 'second 1/2', 'third 1/1']);
  assert.equal(parentAtEnd(thread, pathOf(thread, second)), third, 'a message to an older branch names its parent');
  put_in('more', third);
  assert.deepEqual(shown(), ['first 1/1', 'second 1/2', 'third 1/1', 'more 1/1'], 'the newest message is shown by default');
  assert.deepEqual(shown(second), ['first 1/1', 'second 1/2', 'third 1/1', 'more 1/1']);
  assert.deepEqual(shown(edited), ['first 1/1', 'edited 2/2']);
  put_in('another start', 0);
  assert.deepEqual(shown(), ['another start 2/2']);
  put_in('of a parent that is not kept', 9_999);
  assert.deepEqual(shown(), ['another start 2/2', 'of a parent that is not kept 1/1']);
  assert.deepEqual(pathOf(undefined), []);
});
