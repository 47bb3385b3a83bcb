// The activity of a run: one line, with its reasoning and its calls on demand. Nothing of the rest is built while it is closed.

import { activityLine, hasActivity, isWorking } from './activity.js';
import { clip } from './json.js';
import { el, growText, reconcile, setText, span } from './dom.js';
import { stepsOf } from './run.js';
import { makeCall, updateCall } from './view-call.js';
import { eventRow } from './view-event.js';

/** `redraw(isOpen)` is called when the reader opens or closes the line. */
export function makeActivity(redraw) {
  const summary = el('summary', {}, el('span', { class: 'activity-line' }));
  const details = el('details', { class: 'activity', hidden: true }, summary,
    el('p', { class: 'skipped muted small', hidden: true }), el('ol', { class: 'steps', 'aria-label': 'Steps' }));
  // A click, also one made with the keyboard: from now on the reader decides.
  summary.addEventListener('click', () => {
    details.dataset.chosen = details.open ? 'closed' : 'open';
    redraw(!details.open);
  });
  return details;
}

/** `trace` shows every event, for developers; null without. */
export function updateActivity(details, run, trace) {
  const events = trace !== null;
  details.hidden = !events && !hasActivity(run);
  const { chosen } = details.dataset;
  const working = isWorking(run);
  const open = events || (chosen ? chosen === 'open' : working);
  if (details.open !== open) details.open = open;
  // Long reasoning shows its end while it is written, unless the reader opened it.
  details.dataset.peek = String(working && !chosen && !events);
  setText(details.querySelector('.activity-line'), activityLine(run));
  if (!open) {
    // What was built while it was open goes, too.
    details.querySelector('.steps').replaceChildren();
    return;
  }

  const all = trace?.steps ?? stepsOf(run);
  const from = Math.max(0, all.length - STEPS_MAX);
  const steps = all.filter((step, index) => index >= from || (step.open && step.by === 'client'));
  const skipped = details.querySelector('.skipped');
  skipped.hidden = from === 0;
  if (from > 0) setText(skipped, `${from} earlier steps are not drawn.`);
  const origin = trace?.started_at ?? run.accepted_at;
  reconcile(details.querySelector('.steps'), steps, {
    key: (step) => `${trace ? 'event' : 'step'} ${step.call_id ?? `${step.index} ${step.kind ?? step.type}`}`,
    make: (step) => (step.type === 'tool' ? makeCall(step, origin) : makeStep(step, origin)),
    update: (element, step) => {
      if (step.type === 'tool') updateCall(element, step, origin, events);
      else if (step.type === 'thinking') updateThinking(element, step);
    },
  });
}

function makeStep(step, origin) {
  const after_ms = step.at - origin;
  switch (step.type) {
    case 'started':
      return el('li', { class: 'step started' }, eventRow('agent_started', step.seq, after_ms));
    case 'thinking':
      return el('li', { class: `step thinking ${step.kind}` },
        eventRow('agent_thinking', step.seq, after_ms,
          el('span', { class: 'kind' }, step.kind), el('span', { class: 'notes muted' })),
        step.kind === 'answer' ? null : el('div', { class: 'thought-box' }, el('p', { class: 'thought', dir: 'auto' })));
    default:
      return el('li', { class: 'step completed' },
        eventRow('agent_completed', step.seq, after_ms,
          el('span', { class: 'status', data: { status: step.status } }, step.status)));
  }
}

function updateThinking(element, step) {
  if (element.dataset.version === String(step.version)) return;
  element.dataset.version = step.version;
  element.dataset.withdrawn = step.withdrawn;
  const thought = element.querySelector('.thought');
  if (thought) growText(thought, clip(step.text, THOUGHT_CHARS_MAX));
  if (step.seq === undefined) return;
  const range = step.last_seq === step.seq ? String(step.seq) : `${step.seq}–${step.last_seq}`;
  setText(element.querySelector('.seq'), range);
  element.querySelector('.event').dataset.lastSeq = step.last_seq;
  const lasting = step.until > step.at ? `over ${span(step.until - step.at)}` : '';
  const notes = [lasting, step.restarted && 'starts over', step.withdrawn && 'withdrawn'].filter(Boolean);
  setText(element.querySelector('.notes'), notes.join(' · '));
}

/** Steps drawn per run: the latest, and every call that waits for the user. */
const STEPS_MAX = 200;
const THOUGHT_CHARS_MAX = 20_000;
