// Forms from a JSON Schema: the flat schemas that questions of agents and MCP servers use.
//
// Pure. Supported: an object whose properties are strings (formats, enumerations), numbers, integers, booleans, lists of
// enumerated strings, and objects of these. A property of another shape is a field for JSON text.

import { decode } from './json.js';

/**
 * Returns the fields of an object schema, or null if it is not one: `{name, path, label, hint, required, type, initial,
 * options, fields}` with `type` `text` · `long` · `number` · `integer` · `boolean` · `choice` · `choices` · `group` · `json`
 * · or the HTML input type of a format.
 */
export function fieldsOf(schema, path = [], depth = 0) {
  const { properties } = schema;
  if (schema.type !== 'object' && schema.type !== undefined) return null;
  if (properties === null || typeof properties !== 'object' || Object.keys(properties).length === 0) return null;
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(properties).slice(0, FIELDS_MAX).map(([name, property]) => {
    const rules = property !== null && typeof property === 'object' ? property : {};
    return field(name, rules, required.includes(name), [...path, name], depth);
  });
}

function field(name, rules, required, path, depth) {
  const common = {
    name,
    path,
    label: typeof rules.title === 'string' ? rules.title : wordsOf(name),
    hint: typeof rules.description === 'string' ? rules.description : '',
    required,
    initial: rules.default ?? null,
    rules,
  };
  const options = optionsOf(rules);
  if (options) return { ...common, type: 'choice', options };
  const type = Array.isArray(rules.type) ? rules.type.find((kind) => kind !== 'null') : rules.type;
  switch (type) {
    case 'string':
      return { ...common, type: FORMATS[rules.format] ?? (rules.maxLength > LINE_CHARS_MAX ? 'long' : 'text') };
    case 'number':
    case 'integer':
    case 'boolean':
      return { ...common, type };
    case 'array': {
      const choices = optionsOf(rules.items ?? {});
      return choices ? { ...common, type: 'choices', options: choices } : { ...common, type: 'json' };
    }
    case 'object': {
      const fields = depth < DEPTH_MAX ? fieldsOf(rules, path, depth + 1) : null;
      return fields ? { ...common, type: 'group', fields } : { ...common, type: 'json' };
    }
    default:
      return { ...common, type: 'json' };
  }
}

/** Turns a name such as `departure_day` into words. */
export function wordsOf(name) {
  const words = name.replaceAll(/[_-]+/g, ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Returns the options of an enumeration: `enum` with `enumNames`, or `oneOf` / `anyOf` of `const` with `title`. */
function optionsOf(rules) {
  if (Array.isArray(rules.enum)) {
    return rules.enum.slice(0, OPTIONS_MAX).map((value, index) => ({ value, label: String(rules.enumNames?.[index] ?? value) }));
  }
  const variants = rules.oneOf ?? rules.anyOf;
  if (!Array.isArray(variants) || !variants.every((variant) => variant !== null && typeof variant === 'object' && 'const' in variant)) return null;
  return variants.slice(0, OPTIONS_MAX).map((variant) => ({ value: variant.const, label: String(variant.title ?? variant.const) }));
}

/**
 * Turns what the controls hold into values. `raw(field)` returns a control's content: text, a boolean, or the index or
 * indexes of the chosen options. Returns `{values, problems}`; `problems` maps the path of a field to what is wrong.
 */
export function valuesOf(fields, raw) {
  const values = {};
  const problems = new Map();
  for (const field of fields) {
    if (field.type === 'group') {
      const inner = valuesOf(field.fields, raw);
      for (const [path, problem] of inner.problems) problems.set(path, problem);
      if (Object.keys(inner.values).length > 0 || field.required) set(values, field.name, inner.values);
      continue;
    }
    const { value, problem } = read(field, raw(field));
    if (problem) problems.set(field.path.join('.'), problem);
    else if (value !== undefined) set(values, field.name, value);
  }
  return { values, problems };
}

/** Sets an own property of any name, also `__proto__`. */
function set(values, name, value) {
  Object.defineProperty(values, name, { value, enumerable: true, configurable: true, writable: true });
}

function read(field, content) {
  const { type, required, options, rules } = field;
  if (type === 'boolean') return { value: content };
  if (type === 'choices') {
    const value = content.map((index) => options[index].value);
    if (value.length < (rules.minItems ?? (required ? 1 : 0))) return { problem: 'Choose more.' };
    if (value.length > (rules.maxItems ?? Infinity)) return { problem: `Choose at most ${rules.maxItems}.` };
    return { value: value.length === 0 && !required ? undefined : value };
  }
  if (content === '' || content === null) return required ? { problem: 'Needed.' } : { value: undefined };
  if (type === 'choice') return { value: options[content].value };
  if (type === 'number' || type === 'integer') return number(content, type, rules);
  if (type === 'json') {
    try {
      return { value: decode(content) };
    } catch (error) {
      return { problem: `Not JSON: ${error.message}` };
    }
  }
  if (content.length < (rules.minLength ?? 0)) return { problem: `At least ${rules.minLength} characters.` };
  if (content.length > (rules.maxLength ?? Infinity)) return { problem: `At most ${rules.maxLength} characters.` };
  return { value: type === 'datetime-local' ? new Date(content).toISOString() : content };
}

function number(content, type, rules) {
  const value = Number(content);
  if (!Number.isFinite(value)) return { problem: 'Not a number.' };
  if (type === 'integer' && !Number.isInteger(value)) return { problem: 'Not a whole number.' };
  if (value < (rules.minimum ?? -Infinity)) return { problem: `At least ${rules.minimum}.` };
  if (value > (rules.maximum ?? Infinity)) return { problem: `At most ${rules.maximum}.` };
  return { value };
}

const FORMATS = { email: 'email', uri: 'url', date: 'date', 'date-time': 'datetime-local' };
const LINE_CHARS_MAX = 200;
const FIELDS_MAX = 50;
const OPTIONS_MAX = 500;
const DEPTH_MAX = 2;
