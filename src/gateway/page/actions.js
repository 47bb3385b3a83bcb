// What the elements of the page do: each action of the user.

import { activeRun } from './log.js';
import { parentAtEnd, parentOn, pathOf } from './branches.js';
import { release } from './outbox.js';
import { linkOf } from './links.js';
import { byId } from './dom.js';
import { follow, growUpwards, notice, stay } from './view.js';

/** Turns drawn initially, and added each time. */
export const TURNS_STEP = 40;

/**
 * `page` has what the actions need of the entry point: `intend(frame)` records and sends an intent, `flush()` sends those
 * that wait, `show(thread_id)` shows a thread, `schedule()` and `drawNow()` draw, `storeOutbox()` keeps the intents.
 */
export function createActions(app, page) {
  const shownPath = () => pathOf(app.log.threads.get(app.thread_id), app.branches.get(app.thread_id));
  const act = {
    /** Opens a thread: its link becomes an entry of the browser's history, so that Back returns. */
    open(thread_id) {
      if (location.hash !== linkOf(thread_id)) location.hash = linkOf(thread_id);
      page.show(thread_id);
      app.composer.focus();
    },
    openCall(thread_id, call) {
      byId('waiting').hidePopover();
      page.show(thread_id);
      if (location.hash !== linkOf(thread_id)) location.hash = linkOf(thread_id);
      const { turns } = app.log.threads.get(thread_id);
      app.branches.set(thread_id, turns.find(({ run_id }) => run_id === call.run_id)?.offset);
      page.drawNow();
      const form = byId('turns').querySelector(`[data-run="${CSS.escape(call.run_id)}"] form[data-call="${CSS.escape(call.call_id)}"]`);
      form?.scrollIntoView({ block: 'center' });
      form?.querySelector('input, textarea, select, button')?.focus();
    },
    /** Sends a message to the end of the branch that is shown, or after `message.parent`. */
    send(message) {
      const { thread_id } = app;
      const thread = app.log.threads.get(thread_id);
      let { parent } = message;
      if (parent === undefined || parent === null) parent = thread && parentAtEnd(thread, shownPath());
      else app.branches.delete(thread_id);
      notice('');
      page.intend({ type: 'send_message', message_id: crypto.randomUUID(), thread_id, on_busy: 'enqueue', ...defined({ ...message, parent }) });
      follow();
    },
    /** Puts a message into the composer; sent from there, it becomes another version of it. */
    editTurn(turn) {
      const { agent_name } = app.log.runs.get(turn.run_id);
      act.write({ text: turn.text, agent_name: agent_name === app.composer.agent_name ? null : agent_name, parent: parentOn(shownPath(), turn) });
    },
    /** Asks for another answer to the same message. */
    again(turn, { agent_name }) {
      act.send({ text: turn.text, agent_name, parent: parentOn(shownPath(), turn) });
      app.composer.focus();
    },
    /** Shows the branch of a message. */
    branch(offset) {
      app.branches.set(app.thread_id, offset);
      stay();
      page.drawNow();
      byId('turns').querySelector(`[data-offset="${offset}"] .versions button:enabled`)?.focus();
    },
    play({ text, agent_name }) {
      act.send({ text, agent_name });
      app.composer.focus();
    },
    write(script) {
      app.composer.write(script);
      app.composer.focus();
    },
    stop() {
      const run = activeRun(app.log, app.thread_id);
      if (run && !act.cancelling(run.run_id)) act.cancel(run.run_id);
    },
    cancel: (run_id) => page.intend({ type: 'cancel_run', run_id }),
    cancelling: (run_id) => app.outbox.has(`cancel:${run_id}`),
    answer(frame) {
      app.refusals.delete(`answer:${frame.run_id}:${frame.call_id}`);
      page.intend(frame);
    },
    answering: (run_id, call_id) => app.outbox.get(`answer:${run_id}:${call_id}`),
    refusal: (run_id, call_id) => app.refusals.get(`answer:${run_id}:${call_id}`),
    /** Summarises the pending intents of a run as one comparable value. */
    pendingOf(run_id) {
      if (app.outbox.size === 0 && app.refusals.size === 0) return '';
      const under = [...app.outbox.values()].filter(({ frame }) => frame.run_id === run_id);
      const refused = [...app.refusals.keys()].filter((key) => key.includes(run_id)).length;
      return `${under.map(({ key, state }) => `${key}=${state}`).join()} ${refused}`;
    },
    retry(key) {
      release(app.outbox, [key]);
      page.flush();
      page.schedule();
    },
    discard(key) {
      app.outbox.delete(key);
      page.storeOutbox();
      page.schedule();
    },
    /** Puts a refused message back into the composer. */
    edit(key) {
      const { text, agent_name, parent = null } = app.outbox.get(key).frame;
      act.discard(key);
      act.write({ text, agent_name: agent_name === app.composer.agent_name ? null : agent_name, parent });
    },
    /** Draws after the reader opened or closed something, without scrolling. */
    redraw() {
      stay();
      page.schedule();
    },
    earlier: () =>
      growUpwards(() => {
        app.turns_shown += TURNS_STEP;
        page.drawNow();
      }),
  };
  return act;
}

const defined = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
