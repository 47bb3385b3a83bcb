// The transport under `useChat` of Vue and `Chat` of Svelte, as their users get them: reactive state, without a browser.
// Each has a copy of `ai` of its own, older than that of React; `ai-sdk.test.ts` has the cases of the transport itself.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { useChat } from '@ai-sdk/vue';
import type { Chat } from '@ai-sdk/svelte';
import { lastAssistantMessageIsCompleteWithApprovalResponses } from 'ai';
import { build } from 'esbuild';
import { QuintetChatTransport, type QuintetMessage } from 'quintet/ai-sdk';
import type { FakeAgent } from 'quintet/testing';
import { compileModule } from 'svelte/compiler';
import { effectScope, watchEffect } from 'vue';
import { gate, pair, until } from './harness.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** A chat of a framework, and what its components show. */
interface Shown {
  /** The messages that an effect of the framework saw last. */
  messages(): QuintetMessage[];
  status(): string;
  error(): Error | undefined;
  set(messages: QuintetMessage[]): void;
  chat: {
    sendMessage(message: { text: string }): Promise<void>;
    regenerate(): Promise<void>;
    stop(): Promise<void>;
    resumeStream(): Promise<void>;
    addToolApprovalResponse(answer: { id: string; approved: boolean; reason?: string }): void | PromiseLike<void>;
  };
  /** Removes the component. */
  unmount(): void;
}

type Mount = (transport: QuintetChatTransport) => Shown;

const options = (transport: QuintetChatTransport) => ({
  id: 't',
  transport,
  sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
});

function vue(transport: QuintetChatTransport): Shown {
  const scope = effectScope();
  return scope.run(() => {
    const chat = useChat(options(transport));
    let seen: QuintetMessage[] = [];
    watchEffect(() => void (seen = chat.messages.value as QuintetMessage[]), { flush: 'sync' });
    return {
      messages: () => seen,
      status: () => chat.status.value,
      error: () => chat.error.value,
      set: (messages: QuintetMessage[]) => void (chat.messages.value = messages),
      chat,
      unmount: () => scope.stop(),
    };
  })!;
}

type SvelteModule = {
  Chat: typeof Chat;
  observe(read: () => void): () => void;
};

/** Compiles the modules with runes, as the plugin of a bundler does. */
async function compileSvelte(folder: string): Promise<SvelteModule> {
  writeFileSync(`${folder}/observe.svelte.js`, 'export const observe = (read) => $effect.root(() => {\n  $effect.pre(read);\n});\n');
  await build({
    stdin: { contents: `export { Chat } from '@ai-sdk/svelte';\nexport { observe } from './observe.svelte.js';`, resolveDir: folder },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['svelte'],
    outfile: `${folder}/svelte.mjs`,
    logLevel: 'silent',
    plugins: [
      {
        name: 'runes',
        setup({ onLoad }) {
          onLoad({ filter: /\.svelte\.js$/ }, async ({ path }) => ({
            contents: compileModule(await readFile(path, 'utf8'), { filename: path, generate: 'client' }).js.code,
          }));
        },
      },
    ],
  });
  return (await import(pathToFileURL(`${folder}/svelte.mjs`).href)) as SvelteModule;
}

const svelte = ({ Chat, observe }: SvelteModule): Mount => (transport) => {
  const chat = new Chat(options(transport));
  let seen: QuintetMessage[] = [];
  const unmount = observe(() => void (seen = JSON.parse(JSON.stringify(chat.messages)) as QuintetMessage[]));
  return {
    messages: () => seen,
    status: () => chat.status,
    error: () => chat.error,
    set: (messages) => void (chat.messages = messages),
    chat,
    unmount,
  };
};

const textOf = (message: QuintetMessage | undefined) => message?.parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
/** Answers `a` to `j`, one delta each, the last ones when the gate is open. */
const letters = (opened: Promise<void>): FakeAgent => async (run) => {
  for (const letter of 'abcde') run.answer(letter);
  await opened;
  for (const letter of 'fghij') run.answer(letter);
};

for (const name of ['Vue', 'Svelte'] as const) {
  describe(`the AI SDK of ${name}`, { timeout: 60_000 }, () => {
    let mount: Mount = vue;
    let folder: string;
    before(async () => {
      folder = mkdtempSync(`${ROOT}/node_modules/.svelte-`);
      if (name === 'Svelte') mount = svelte(await compileSvelte(folder));
    });
    after(() => rmSync(folder, { recursive: true, force: true }));

    test('shows reasoning, a tool and text; regenerating is a branch', async () => {
      const { client, server } = pair({
        agent: async (run) => {
          run.think('Hm.');
          await run.tool('weather', { city: 'Oslo' }, () => ({ celsius: 7 }));
          run.answer('Rain.');
        },
      });
      const shown = mount(new QuintetChatTransport({ client }));
      await shown.chat.sendMessage({ text: 'Weather?' });
      await until(() => shown.status() === 'ready' && textOf(shown.messages()[1]) === 'Rain.');
      const types = shown.messages()[1]!.parts.map(({ type }) => type);
      assert.deepEqual(types.filter((type) => !type.startsWith('data-')), ['step-start', 'reasoning', 'dynamic-tool', 'text']);
      await shown.chat.regenerate();
      await until(() => shown.status() === 'ready');
      assert.deepEqual(shown.messages().map(textOf), ['Weather?', 'Rain.']);
      const [first, second] = server.log('ann').filter((entry) => entry.type === 'user_message');
      assert.deepEqual([second!.parent, second!.text], [first!.parent, first!.text]);
      shown.unmount();
      client.close();
    });

    test('run_11: no is no, and continues the same message', async () => {
      const { client, server } = pair({
        agent: async (run) => run.answer((await run.ask('approve', { what: 'deploy' })).status),
      });
      const shown = mount(new QuintetChatTransport({ client }));
      await shown.chat.sendMessage({ text: 'x' });
      const tool = () => shown.messages().at(-1)?.parts.find((part) => part.type === 'dynamic-tool');
      await until(() => shown.status() === 'ready' && tool()?.state === 'approval-requested');
      await shown.chat.addToolApprovalResponse({ id: tool()!.toolCallId, approved: false, reason: 'too late' });
      await until(() => shown.status() === 'ready' && textOf(shown.messages().at(-1)) === 'declined');
      assert.equal(shown.messages().length, 2);
      assert.equal(tool()?.state, 'output-denied');
      assert.equal(server.log('ann').filter((entry) => entry.type === 'user_message').length, 1);
      shown.unmount();
      client.close();
    });

    test('run_7: stop cancels the run, also one that was resumed', async () => {
      const { client, open } = pair({ agent: (run) => new Promise(() => run.answer('endless')) });
      const shown = mount(new QuintetChatTransport({ client }));
      void shown.chat.sendMessage({ text: 'x' });
      await until(() => textOf(shown.messages().at(-1)) === 'endless');
      await shown.chat.stop();
      const statuses = () => client.snapshot.conversations.threads.get('t')!.runs.map(({ status }) => status);
      await until(() => statuses()[0] === 'cancelled');
      void shown.chat.sendMessage({ text: 'y' });
      await until(() => statuses()[1] === 'active');
      const other = open();
      const reloaded = mount(new QuintetChatTransport({ client: other }));
      void reloaded.chat.resumeStream();
      await until(() => textOf(reloaded.messages().at(-1)) === 'endless');
      await reloaded.chat.stop();
      await until(() => statuses()[1] === 'cancelled');
      for (const { unmount } of [shown, reloaded]) unmount();
      client.close();
      other.close();
    });

    test('del_3: a page that holds half of a message and resumes shows the whole, once', async () => {
      const { open: go, opened } = gate();
      const { client, open } = pair({
        agent: async (run) => {
          run.answer('abcde');
          await run.tool('look_up', {}, () => opened);
          run.answer('fghij');
        },
      });
      client.connect();
      await client.send({ thread_id: 't', text: 'x' });
      const other = open();
      other.connect();
      await other.caughtUp();
      const transport = new QuintetChatTransport({ client: other });
      const shown = mount(transport);
      shown.set(transport.messages('t'));
      assert.equal(textOf(transport.messages('t').at(-1)), 'abcde');
      const resumed = shown.chat.resumeStream();
      go();
      await resumed;
      await until(() => shown.status() === 'ready' && textOf(shown.messages().at(-1)) === 'abcdefghij');
      assert.deepEqual(shown.messages().map(({ role }) => role), ['user', 'assistant']);
      assert.equal(shown.messages()[1]!.parts.filter(({ type }) => type === 'dynamic-tool').length, 1);
      shown.unmount();
      client.close();
      other.close();
    });

    test('del_2, del_3: a service that is lost and comes back, repeats and exchanges entries, is not seen', async () => {
      const { open: go, opened } = gate();
      const { client, server, timers, errors } = pair({ agent: letters(opened) });
      const shown = mount(new QuintetChatTransport({ client }));
      const sent = shown.chat.sendMessage({ text: 'x' });
      await until(() => textOf(shown.messages().at(-1)) === 'abcde');
      server.stop();
      go();
      await timers.advance(1_000);
      let kept: object | null = null;
      let faults = 2;
      server.options.outgoing = (frame) => {
        if (frame.type !== 'agent_thinking' || faults === 0) return [frame];
        // The first delta is sent twice, the second after the third.
        if (frame.delta === 'f') return [frame, frame];
        if (frame.delta === 'g') return ((kept = frame), []);
        faults -= Number(frame.delta === 'h');
        return kept ? [frame, kept as typeof frame] : [frame];
      };
      server.start();
      for (let i = 0; i < 5; i += 1) await timers.advance(31_000);
      await sent;
      await until(() => shown.status() === 'ready');
      assert.equal(textOf(shown.messages().at(-1)), 'abcdefghij');
      assert.deepEqual([shown.error(), errors], [undefined, []]);
      assert.ok(server.opened > 2, 'the exchange replaced the connection');
      shown.unmount();
      client.close();
    });

    test('run_6: a failed run is an error of the chat, and a component that goes away cancels nothing', async () => {
      const { open: go, opened } = gate();
      const { client } = pair({
        agent: async (run) => {
          run.answer('so far');
          if (run.message.text === 'fail') throw new Error('upstream is gone');
          await opened;
        },
      });
      const shown = mount(new QuintetChatTransport({ client }));
      await shown.chat.sendMessage({ text: 'fail' });
      await until(() => shown.status() === 'error');
      assert.match(shown.error()!.message, /upstream is gone/);
      void shown.chat.sendMessage({ text: 'go on' });
      const run = () => client.snapshot.conversations.threads.get('t')?.runs[1];
      await until(() => run()?.status === 'active');
      shown.unmount();
      go();
      await until(() => run()?.status === 'succeeded');
      client.close();
    });
  });
}
