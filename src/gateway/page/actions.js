// What the elements of the page do: each action of the user.

import { hasEnded, openRun, parentAtEnd, parentOn, pathOf, placeOf } from './quintet.js';
import { answerKey, cancelKey } from './intents.js';
import { linkOf } from './links.js';
import { byId } from './dom.js';
import { follow, notice, stay } from './view.js';

/**
 * `page` has what the actions need of the entry point: `show(thread_id)` shows a thread, `schedule()` and `drawNow()`
 * draw.
 */
export function createActions(app, page) {
  const opened = () => app.history.state.opened.get(app.thread_id);
  const runs = () => opened()?.thread?.runs ?? [];
  const shownPath = () => pathOf(runs(), app.branches.get(app.thread_id) ?? null, opened()?.next_before === null);
  /** The parent of another version of a run's message: the same; none if the message before it is no longer kept. */
  const parentOfVersion = (run) => {
    const parent = parentOn(shownPath(), run);
    return opened()?.next_before === null && !runs().some((held) => placeOf(held) === parent) ? 0 : parent;
  };
  const act = {
    /** Opens a thread: its link becomes an entry of the browser's history, so that Back returns. */
    open(thread_id) {
      if (thread_id !== app.thread_id) history.pushState(null, '', linkOf(thread_id));
      page.show(thread_id);
      app.composer.focus();
    },
    /** Opens the thread of a call that waits; the view moves to it once it is drawn. */
    openCall({ thread_id, run_id, call_id }) {
      byId('waiting').hidePopover();
      if (thread_id !== app.thread_id) history.pushState(null, '', linkOf(thread_id));
      page.show(thread_id);
      app.sought = { run_id, call_id };
      page.drawNow();
    },
    /** Moves to the call that is sought; loads older pages until it is found. */
    seek() {
      const { run_id, call_id } = app.sought;
      const run = runs().find((held) => held.run_id === run_id);
      if (run && !shownPath().steps.some((step) => step.run === run)) {
        app.branches.set(app.thread_id, placeOf(run));
        return page.schedule();
      }
      const form = byId('turns').querySelector(`[data-run="${CSS.escape(run_id)}"] form[data-call="${CSS.escape(call_id)}"]`);
      if (!run && opened()?.next_before !== null) return void app.history.older(app.thread_id);
      app.sought = null;
      stay();
      form?.scrollIntoView({ block: 'center' });
      form?.querySelector('input, textarea, select, button')?.focus();
    },
    /** Sends a message to the end of the branch that is shown, or after `message.parent`. */
    send(message) {
      const { thread_id } = app;
      let { parent } = message;
      if (parent === undefined || parent === null) parent = parentAtEnd(runs(), shownPath());
      else app.branches.delete(thread_id);
      notice('');
      app.intents.add({ type: 'send_message', message_id: crypto.randomUUID(), thread_id, on_busy: 'enqueue', ...defined({ ...message, parent }) });
      follow();
    },
    /** Puts a message into the composer; sent from there, it becomes another version of it. */
    editTurn(run) {
      const { agent_name } = run;
      act.write({ text: run.message.text, agent_name: agent_name === app.composer.agent_name ? null : agent_name, parent: parentOfVersion(run) });
    },
    /** Asks for another answer to the same message. */
    again(run) {
      act.send({ text: run.message.text, agent_name: run.agent_name, parent: parentOfVersion(run) });
      app.composer.focus();
    },
    /** Shows the branch of a message. */
    branch(place) {
      app.branches.set(app.thread_id, place);
      stay();
      page.drawNow();
      byId('turns').querySelector(`[data-offset="${place}"] .versions button:enabled`)?.focus();
    },
    play({ text, agent_name }) {
      act.send({ text, agent_name });
      app.composer.focus();
    },
    write(message) {
      app.composer.write(message);
      app.composer.focus();
    },
    /** The open run of the thread that is shown, or null. */
    openRun() {
      const thread = opened()?.thread;
      return thread ? openRun(thread) : null;
    },
    stop() {
      const run = act.openRun();
      if (run && !act.cancelling(run.run_id)) act.cancel(run.run_id);
    },
    cancel: (run_id) => app.intents.add({ type: 'cancel_run', run_id }),
    cancelling: (run_id) => app.intents.has(cancelKey(run_id)),
    answer(frame) {
      app.refusals.delete(answerKey(frame.run_id, frame.call_id));
      app.intents.add(frame);
    },
    answering: (run_id, call_id) => app.intents.get(answerKey(run_id, call_id)),
    refusal: (run_id, call_id) => app.refusals.get(answerKey(run_id, call_id)),
    /** Summarises the pending intents of a run as one comparable value. */
    pendingOf(run_id) {
      if (app.intents.size === 0 && app.refusals.size === 0) return '';
      const under = app.intents.all().filter(({ frame }) => frame.run_id === run_id);
      const refused = [...app.refusals.keys()].filter((key) => key.includes(run_id)).length;
      return `${under.map(({ key, state }) => `${key}=${state}`).join()} ${refused}`;
    },
    retry: (key) => app.intents.retry(key),
    discard: (key) => app.intents.delete(key),
    /** Puts a refused message back into the composer; at the end of the thread, if its parent is not there any more. */
    edit(key) {
      const { frame, error } = app.intents.get(key);
      const { text, agent_name } = frame;
      const parent = error?.code === 'not_found' ? null : (frame.parent ?? null);
      act.discard(key);
      act.write({ text, agent_name: agent_name === app.composer.agent_name ? null : agent_name, parent });
    },
    rename: (thread_id, title) => app.intents.add({ type: 'update_thread', thread_id, title: title === '' ? null : title }),
    archive: (thread_id, archived) => app.intents.add({ type: 'update_thread', thread_id, archived }),
    erase: (thread_id) => app.intents.add({ type: 'erase_thread', thread_id }),
    /** Draws after the reader opened or closed something, without scrolling. Reads the steps of a folded run. */
    redraw(run, isOpen) {
      stay();
      if (isOpen && run.folded && hasEnded(run)) app.history.entriesOf(run.thread_id, run.run_id).catch((error) => notice(`The steps cannot be read: ${error.message}`));
      page.schedule();
    },
    /** Loads older messages, until some of the branch that is shown are among them. */
    async earlier() {
      const { thread_id } = app;
      const before = shownPath().steps.length;
      stay();
      for (let page_ = 0; page_ < PAGES_MAX; page_ += 1) {
        await app.history.older(thread_id);
        const { error, isLoading, next_before } = opened() ?? {};
        if (error || isLoading || next_before === null || app.thread_id !== thread_id || shownPath().steps.length > before) break;
      }
    },
  };
  return act;
}

const defined = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
/** Pages that one scroll to the top reads at most, if they hold other branches only. */
const PAGES_MAX = 50;
