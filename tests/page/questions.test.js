// Questions to the user: how a call is asked, and which answer the user's input means.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { answerFrame, answeredWords, questionOf, readForm } from '../../src/gateway/page/questions.js';
import { fieldsOf } from '../../src/gateway/page/schema.js';

const CALL = { run_id: 'r1', call_id: 'q1' };
const kinds = (fields) => fields.map(({ name, type, required }) => [name, type, required]);

test('an approval of a tool names the tool and shows its parameters', () => {
  const question = questionOf({ tool_name: 'approve', parameters: { tool_name: 'files/write', parameters: { path: '/x', mode: 'append' } } });
  assert.equal(question.kind, 'approve');
  assert.equal(question.title, 'Allow the agent to use files/write?');
  assert.deepEqual(question.details, [['path', '/x'], ['mode', 'append']]);
});

test('an approval with its own question, or none, shows all parameters', () => {
  assert.deepEqual(questionOf({ tool_name: 'approve', parameters: { question: 'Go on?', cost: 3 } }), { kind: 'approve', title: 'Go on?', details: [['cost', 3]], fields: null });
  assert.deepEqual(questionOf({ tool_name: 'deploy/approve', parameters: {} }), { kind: 'approve', title: 'Do you approve?', details: [], fields: null });
  const misleading = questionOf({ tool_name: 'approve', parameters: { question: 'Say hello?', tool_name: 'files/delete', parameters: { path: '/x' } } });
  assert.equal(misleading.title, 'Allow the agent to use files/delete?');
  assert.deepEqual(misleading.details, [['path', '/x'], ['question', 'Say hello?']]);
  const more = questionOf({ tool_name: 'approve', parameters: { tool_name: 'pay', parameters: {}, response_schema: { type: 'object', properties: { approved: { type: 'boolean' }, limit: { type: 'integer' } } } } });
  assert.deepEqual([more.details, kinds(more.fields)], [[], [['limit', 'integer', false]]]);
  const odd = questionOf({ tool_name: 'approve', parameters: { tool_name: 7, parameters: 'text' } });
  assert.deepEqual(odd.details, [['tool_name', 7], ['parameters', 'text']], 'nothing that is approved is hidden');
  const named = questionOf({ tool_name: 'approve', parameters: { tool_name: 'pay', parameters: [1], note: 'n' } });
  assert.deepEqual(named.details, [['parameters', [1]], ['note', 'n']]);
});

test('other calls are a text field, or a form if there is a schema', () => {
  assert.deepEqual(questionOf({ tool_name: 'answer', parameters: { question: 'Which day?' } }), { kind: 'text', title: 'Which day?', details: [], fields: null });
  assert.equal(questionOf({ tool_name: 'pick', parameters: null }).title, 'The agent asks: pick');
  for (const name of ['schema', 'requested_schema', 'requestedSchema', 'response_schema']) {
    const question = questionOf({ tool_name: 'elicit', parameters: { message: 'Details', [name]: { type: 'object', properties: { city: { type: 'string' } } } } });
    assert.deepEqual([question.kind, question.title, question.details], ['form', 'Details', []]);
    assert.deepEqual(kinds(question.fields), [['city', 'text', false]]);
  }
  assert.equal(questionOf({ tool_name: 'elicit', parameters: { schema: { type: 'string' } } }).kind, 'text');
});

test('run_11: a refusal is the status `declined` without results, however it is given', () => {
  assert.deepEqual(answerFrame(CALL, { declined: '' }), { type: 'complete_call', ...CALL, status: 'declined', results: null });
  assert.deepEqual(answerFrame(CALL, { declined: 'no' }).error, 'no');
  assert.deepEqual(answerFrame(CALL, { status: 'declined', results: { approved: true }, error: 'no' }), { type: 'complete_call', ...CALL, status: 'declined', results: null, error: 'no' });
});

test('the other answers', () => {
  assert.deepEqual(answerFrame(CALL, { approved: true }), { type: 'complete_call', ...CALL, status: 'ok', results: { approved: true } });
  assert.deepEqual(answerFrame(CALL, { approved: true, values: { limit: 3, approved: false } }).results, { limit: 3, approved: true });
  assert.deepEqual(answerFrame(CALL, { text: 'x' }).results, { text: 'x' });
  assert.deepEqual(answerFrame(CALL, { values: { a: 1 } }).results, { a: 1 });
  assert.deepEqual(answerFrame(CALL, { status: 'error', results: null, error: '' }).error, 'the user reports an error');
  const words = (tool_name, status) => answeredWords({ tool_name, result: { status } });
  assert.deepEqual(['ok', 'declined', 'error', 'timed_out', 'cancelled'].map((status) => words('approve', status)), ['You approved', 'You declined', 'You reported an error', 'Not answered in time', 'Not answered']);
  assert.equal(words('answer', 'ok'), 'You answered');
});

test('fields of a JSON Schema', () => {
  const fields = fieldsOf({
    type: 'object',
    required: ['name', 'born'],
    properties: {
      name: { type: 'string' },
      mail: { type: 'string', format: 'email' },
      born: { type: 'string', format: 'date' },
      text: { type: 'string', maxLength: 5_000 },
      age: { type: ['integer', 'null'] },
      ok: { type: 'boolean' },
      size: { oneOf: [{ const: 1, title: 'small' }, { const: 2, title: 'large' }] },
      tags: { type: 'array', items: { enum: ['a', 'b'] } },
      free: { type: 'array', items: { type: 'string' } },
      inner: { type: 'object', properties: { note: { type: 'string' } } },
      odd: true,
    },
  });
  assert.deepEqual(kinds(fields), [
    ['name', 'text', true], ['mail', 'email', false], ['born', 'date', true], ['text', 'long', false], ['age', 'integer', false], ['ok', 'boolean', false],
    ['size', 'choice', false], ['tags', 'choices', false], ['free', 'json', false], ['inner', 'group', false], ['odd', 'json', false],
  ]);
  assert.deepEqual(fields[6].options, [{ value: 1, label: 'small' }, { value: 2, label: 'large' }]);
  for (const schema of [{}, { type: 'string' }, { type: 'object' }, { type: 'object', properties: {} }, { properties: null }]) assert.equal(fieldsOf(schema), null);
});

test('a schema that a hostile agent made is bounded and harms nothing', () => {
  const deep = (depth) => ({ type: 'object', properties: { next: depth === 0 ? { type: 'string' } : deep(depth - 1) } });
  let depth = 0;
  for (let [field] = fieldsOf(deep(50)); field.fields; [field] = field.fields) depth += 1;
  assert.ok(depth <= 2);
  const wide = fieldsOf({ type: 'object', properties: Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`p${index}`, {}])) });
  assert.equal(wide.length, 50);
  const own = fieldsOf({ type: 'object', properties: JSON.parse('{"__proto__": {"type": "string"}, "constructor": {"type": "string"}}') });
  const { values } = readForm(own, () => 'x');
  assert.deepEqual(Object.keys(values), ['__proto__', 'constructor']);
  assert.equal(Object.getPrototypeOf(values), Object.prototype);
});

test('a form is read into values, with a problem for each wrong field', () => {
  const fields = fieldsOf({
    type: 'object',
    required: ['city', 'seats'],
    properties: {
      city: { type: 'string', minLength: 2 },
      seats: { type: 'integer', minimum: 1, maximum: 9 },
      price: { type: 'number' },
      class: { enum: ['first', 2] },
      tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 1 },
      quiet: { type: 'boolean' },
      more: {},
      inner: { type: 'object', properties: { note: { type: 'string' } } },
    },
  });
  const read = (input) => readForm(fields, ({ path }) => input[path.join('.')] ?? { quiet: false, tags: [] }[path[0]] ?? '');
  assert.deepEqual(read({ city: 'Oslo', seats: '2' }).values, { city: 'Oslo', seats: 2, quiet: false });
  const full = { city: 'Oslo', seats: '2', price: '1.5', class: '1', tags: [1], quiet: true, more: '{"n": [1]}', 'inner.note': 'hi' };
  assert.equal(JSON.stringify(read(full).values), '{"city":"Oslo","seats":2,"price":1.5,"class":2,"tags":["b"],"quiet":true,"more":{"n":[1]},"inner":{"note":"hi"}}');
  const wrong = read({ city: 'O', seats: '1.5', price: 'x', tags: [0, 1], more: '{' });
  assert.deepEqual([...wrong.problems.keys()], ['city', 'seats', 'price', 'tags', 'more']);
  assert.deepEqual([...read({ seats: '10' }).problems], [['city', 'Needed.'], ['seats', 'At most 9.']]);
});
