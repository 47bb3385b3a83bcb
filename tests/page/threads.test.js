// Threads, links, the list of open questions, and a run's activity in one line.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { activityLine, hasActivity, isWorking, parametersLine, progressOf } from '../../src/gateway/page/activity.js';
import { NO_CONVERSATIONS, applyEntries } from '../../src/gateway/page/quintet.js';
import { isId, linkOf, threadOfLink } from '../../src/gateway/page/links.js';
import { dayOf, listThreads, scriptName, shortTime, titleOf, waitingCalls } from '../../src/gateway/page/threads.js';
import { REHEARSALS } from '../../src/gateway/page/scripts.js';
import { endWords, mayRetry, refusalWords } from '../../src/gateway/page/words.js';
import { Journal } from './entries.js';

const CALL = { call_id: 'c1', tool_name: 'lookup', parameters: {}, by: 'agent' };
const ANSWERED = { status: 'succeeded', final_response: '', error: null, duration_ms: 1 };

const summary = (thread_id, more) => ({ thread_id, title: null, first_text: `First of ${thread_id}`, agent_name: 'assistant', archived: false, last_offset: 1, last_at: 1, open_runs: 0, ...more });
const historyOf = (summaries, calls = []) => ({
  threads: new Map(summaries.map((thread) => [thread.thread_id, thread])),
  waiting: new Map(calls.map((call) => [`${call.run_id} ${call.call_id}`, call])),
});

test('threads come by their last activity, and are found by title, first text and id', () => {
  const state = historyOf([summary('one', { last_offset: 9 }), summary('two', { last_offset: 5, title: 'A plan' }), summary('old', { archived: true })]);
  const ids = (more) => listThreads(state, more).map(({ thread_id }) => thread_id);
  assert.deepEqual(ids(), ['one', 'two']);
  assert.deepEqual(ids({ query: 'PLAN' }), ['two']);
  assert.deepEqual(ids({ query: 'first of two' }), ['two']);
  assert.deepEqual(ids({ query: 'one' }), ['one']);
  assert.deepEqual(ids({ query: 'nothing' }), []);
  assert.deepEqual(ids({ archived: true }), ['old']);
  assert.deepEqual(ids({ current: 'new' }), ['new', 'one', 'two']);
  assert.deepEqual(ids({ current: 'old' }), ['one', 'two', 'old'], 'the one on the screen is listed in any case');
});

test('the title of a thread is its own, or its first text, or what stands for it', () => {
  assert.deepEqual([summary('a', { title: 'Mine' }), summary('a'), summary('a', { first_text: null }), undefined].map(titleOf), ['Mine', 'First of a', 'Earlier conversation', 'New conversation']);
});

test('the calls that wait for the user, and the state of their threads', () => {
  const call = (thread_id, offset) => ({ run_id: `run-${thread_id}`, call_id: 'q1', thread_id, agent_name: 'a', tool_name: 'answer', parameters: {}, opened_offset: offset });
  const state = historyOf([summary('one', { open_runs: 1 }), summary('two', { open_runs: 1 }), summary('three', { open_runs: 1 }), summary('four')], [call('two', 8), call('one', 4)]);
  assert.deepEqual(waitingCalls(state).map((waiting) => [waiting.call.thread_id, waiting.title]), [['one', 'First of one'], ['two', 'First of two']]);
  assert.deepEqual(listThreads(state).map((thread) => thread.state), ['waiting', 'waiting', 'busy', 'idle']);
});

test('a link names any thread, and nothing else', () => {
  const address = (link) => threadOfLink(new URL(link, 'https://example.org'));
  for (const id of ['main', 'a/b', 'x?y#z', '%41', '!~', '.', '..', '...', 'a'.repeat(128)]) {
    assert.equal(address(linkOf(id)), id);
    assert.equal(address(`/#/t/${encodeURIComponent(id)}`), id, 'a link from before there were paths');
  }
  for (const link of ['/', '/t/', '/t/a/b', '/x/a', '/t/%', '/t/%20', '/t/%C3%A9', `/t/${'a'.repeat(129)}`, '/#', '/#/t/a/b', '/#/x/a']) assert.equal(address(link), null, link);
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
  const [, script] = REHEARSALS;
  assert.equal(scriptName(script.text), script.name);
  assert.equal(scriptName(`${script.text.slice(0, 100)}…`), script.name, 'a list shows its beginning');
});

test('what a run did, in one line', () => {
  const journal = new Journal();
  const event = journal.message('main', 'r1');
  const step = (type, more) => event(type, more);
  const run = () => applyEntries(NO_CONVERSATIONS, journal.entries).threads.get('main').runs[0];
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
