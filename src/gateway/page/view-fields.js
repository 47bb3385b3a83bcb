// The controls of a form made from a JSON Schema (`schema.js`).

import { el, setText } from './dom.js';

export function makeFields(fields, id) {
  return fields.map((field) => {
    if (field.type === 'group') return el('fieldset', { class: 'group' }, el('legend', {}, field.label), ...makeFields(field.fields, id));
    return makeField(field, idOf(id, field));
  });
}

/** Returns a function that reads what the control of a field holds. */
export function rawOf(form, id) {
  return (field) => {
    const place = form.querySelector(`[data-field="${CSS.escape(idOf(id, field))}"]`);
    if (field.type === 'choices') return [...place.querySelectorAll('input:checked')].map((box) => Number(box.value));
    const control = place.querySelector('input, select, textarea');
    return field.type === 'boolean' ? control.checked : control.value.trim();
  };
}

/** Shows what is wrong at each field, and focuses the first. Returns whether there is nothing. */
export function showProblems(form, id, problems) {
  let first = null;
  for (const place of form.querySelectorAll('[data-field]')) {
    const problem = problems.get(place.dataset.path) ?? '';
    const control = place.querySelector('input, select, textarea');
    const shown = place.querySelector('.problem');
    shown.hidden = problem === '';
    setText(shown, problem);
    control.setAttribute('aria-invalid', String(problem !== ''));
    if (problem !== '') first ??= control;
  }
  first?.focus();
  return first === null;
}

const idOf = (id, field) => `${id}-field-${field.path.join('.')}`;

function makeField(field, id) {
  const label = `${field.label}${field.required ? '' : ' (optional)'}`;
  const about = { 'aria-describedby': `${id}-hint ${id}-problem`, name: field.path.join('.') };
  const body = BODY[field.type]?.(field, id, about, label) ?? [
    el('label', { for: id }, label),
    el('input', { id, type: INPUTS[field.type] ?? field.type, step: field.type === 'number' ? 'any' : null, dir: 'auto', autocomplete: 'off', value: textOf(field.initial), ...about }),
  ];
  return el('div', { class: 'field', data: { field: id, path: field.path.join('.') } },
    ...body,
    el('p', { id: `${id}-hint`, class: 'muted small', hidden: field.hint === '' }, field.hint),
    el('p', { id: `${id}-problem`, class: 'problem small', hidden: true }));
}

const BODY = {
  boolean: (field, id, about, label) => [
    el('label', { class: 'check' }, el('input', { id, type: 'checkbox', checked: field.initial === true, ...about }), ` ${field.label || label}`),
  ],
  choice: (field, id, about, label) => [
    el('label', { for: id }, label),
    el('select', { id, ...about },
      el('option', { value: '' }, 'choose …'),
      ...field.options.map((option, index) => el('option', { value: String(index), selected: option.value === field.initial }, option.label))),
  ],
  choices: (field, id, about, label) => [
    el('fieldset', {}, el('legend', {}, label),
      ...field.options.map((option, index) => el('label', { class: 'check' },
        el('input', { type: 'checkbox', value: String(index), checked: field.initial?.includes?.(option.value) === true, ...about }), ` ${option.label}`))),
  ],
  long: (field, id, about, label) => area(textOf(field.initial), id, about, label),
  json: (field, id, about, label) => area(field.initial === null ? '' : JSON.stringify(field.initial), id, about, `${label} as JSON`),
};

function area(text, id, about, label) {
  const control = el('textarea', { id, rows: '3', dir: 'auto', ...about });
  control.value = text;
  return [el('label', { for: id }, label), control];
}

const textOf = (value) => (value === null ? '' : String(value));
const INPUTS = { integer: 'number' };
