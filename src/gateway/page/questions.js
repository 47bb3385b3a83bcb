// Calls that wait for the user (RUN-11): how to ask, and which answer the user's input means.
//
// Pure: a call in, a question out; input in, a `complete_call` frame out.

import { fieldsOf, valuesOf } from './schema.js';

/**
 * Returns how to show a call: `{kind, title, details, fields}`. `approve` has two buttons and the
 * fields of a schema that asks for more than consent, `form` the fields of the
 * JSON Schema among the parameters, `text` one text field. `details` are the other parameters, to be read.
 */
export function questionOf({ tool_name, parameters }) {
  const { schema, rest } = split(parameters ?? {});
  const [titled, title] = Object.entries(rest).find(([name, value]) => TITLES.includes(name) && typeof value === 'string') ?? [];
  const details = Object.entries(rest).filter(([name]) => name !== titled);
  const fields = schema ? fieldsOf(schema) : null;
  if (APPROVALS.test(tool_name)) return { ...approval(rest, title, details), fields: furtherFields(fields) };
  if (fields) return { kind: 'form', title: title ?? schemaTitle(schema) ?? 'The agent needs a few details', details, fields };
  return { kind: 'text', title: title ?? `The agent asks: ${tool_name}`, details, fields: null };
}

/**
 * `approve` names the tool that waits for consent in `tool_name`, and its `parameters`. The name always stands in the
 * title, and everything else below it: no text of the agent hides what is approved.
 */
function approval(rest, title, details) {
  if (typeof rest.tool_name !== 'string') return { kind: 'approve', title: title ?? 'Do you approve?', details };
  const { tool_name, parameters, ...others } = rest;
  const inner = isObject(parameters) ? Object.entries(parameters) : parameters === undefined ? [] : [['parameters', parameters]];
  return { kind: 'approve', title: `Allow the agent to use ${tool_name}?`, details: [...inner, ...Object.entries(others)] };
}

/** The fields of an approval's schema besides the consent itself, which the buttons give. */
function furtherFields(fields) {
  const further = (fields ?? []).filter(({ name }) => name !== 'approved' && name !== 'reason');
  return further.length > 0 ? further : null;
}

const schemaTitle = ({ title }) => (typeof title === 'string' ? title : undefined);

function split(parameters) {
  const rest = { ...parameters };
  let schema = null;
  for (const name of SCHEMAS) {
    if (!isObject(rest[name])) continue;
    schema ??= rest[name];
    delete rest[name];
  }
  return { schema, rest };
}

/** Returns the frame for an answer: `{approved, values?}`, `{text}`, `{values}`, `{declined}` or `{status, results, error}`. */
export function answerFrame({ run_id, call_id }, answer) {
  const frame = { type: 'complete_call', run_id, call_id, status: 'ok' };
  if ('declined' in answer) {
    // A refusal is a status of its own; it has a reason and no results.
    return { ...frame, status: 'declined', results: null, ...(answer.declined && { error: answer.declined }) };
  }
  if ('approved' in answer) return { ...frame, results: { ...answer.values, approved: true } };
  if ('text' in answer) return { ...frame, results: { text: answer.text } };
  if ('values' in answer) return { ...frame, results: answer.values };
  const { status, results, error } = answer;
  if (status === 'declined') return answerFrame({ run_id, call_id }, { declined: error });
  return { ...frame, status, results, ...(status === 'error' && { error: error || 'the user reports an error' }) };
}

/** Describes the answer to a call in a few words. */
export function answeredWords({ tool_name, result }) {
  const approval = APPROVALS.test(tool_name);
  switch (result.status) {
    case 'ok':
      return approval ? 'You approved' : 'You answered';
    case 'declined':
      return 'You declined';
    case 'error':
      return 'You reported an error';
    case 'timed_out':
      return 'Not answered in time';
    default:
      return 'Not answered';
  }
}

/** Reads the values of a form: `{values}`, or `{problems}` by field name. */
export function readForm(fields, raw) {
  return valuesOf(fields, raw);
}

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
const APPROVALS = /(^|[/_.:-])(approve|approval|confirm)$/i;
const TITLES = ['question', 'message', 'prompt', 'title'];
const SCHEMAS = ['schema', 'requested_schema', 'requestedSchema', 'response_schema', 'responseSchema'];
