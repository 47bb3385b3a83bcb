// The words of the model (clients/words, generated from it): every step that the model of a service can make towards
// one client, and every log of its small instances.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { applyEntries, callsOf, NO_CONVERSATIONS, type Conversations, type Entry, type Gap } from 'quintet';
import { ManualTimers } from 'quintet/testing';
import { Quintet } from 'quintet';
import { when } from './harness.js';

type Letter = 'accepted' | 'draining' | 'lost' | { connect: number } | { ready: number; head: number; gap: [number, number] | null } | { entries: [number, number] } | { caught_up: number };

interface Automaton {
  letters: Letter[];
  /** The steps out of each state: letter and state, by index. */
  states: [number, number][][];
}

interface Logs {
  entries: Omit<Entry, 'offset'>[];
  states: [run_id: string, status: string, open: string[]][][];
  /** Parent, entry, state. */
  nodes: [number, number, number][];
}

function read<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../words/${name}.json`, import.meta.url), 'utf8')) as T;
}

/** For each step of the automaton, a shortest word that ends with it. */
function words({ letters, states }: Automaton): Letter[][] {
  const ways: (Letter[] | undefined)[] = [[]];
  const found: Letter[][] = [];
  for (const queue = [0]; queue.length > 0; ) {
    const at = queue.shift()!;
    for (const [letter, to] of states[at]!) {
      const word = [...ways[at]!, letters[letter]!];
      found.push(word);
      if (ways[to]) continue;
      ways[to] = word;
      queue.push(to);
    }
  }
  return found;
}

/** Sockets that the test drives. */
class Wire {
  socket: ScriptedSocket | null = null;
  readonly WebSocket: never;

  constructor() {
    const open = (socket: ScriptedSocket) => (this.socket = socket);
    this.WebSocket = class extends ScriptedSocket {
      constructor() {
        super();
        open(this);
      }
    } as never;
  }
}

class ScriptedSocket extends EventTarget {
  readonly sent: Record<string, unknown>[] = [];
  isClosed = false;
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {
    this.isClosed = true;
  }
  deliver(frame: object): void {
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(frame) }));
  }
  end(code: number): void {
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason: '' }));
  }
}

const entry = (offset: number): Entry =>
  ({ type: 'agent_thinking', offset, user_id: 'ann', thread_id: 't', run_id: 'r', timestamp: 1, seq: offset, agent_name: 'a', kind: 'answer', delta: String(offset) }) as Entry;

/** Plays a word to a client. Returns what it delivered, and whether it replaced a connection by itself. */
async function play(word: Letter[]): Promise<{ delivered: number[]; gaps: Gap[]; distrusted: boolean }> {
  const wire = new Wire();
  const timers = new ManualTimers();
  const gaps: Gap[] = [];
  const client = new Quintet({ url: 'http://fake', credential: () => ({ token: 'ann' }), WebSocket: wire.WebSocket, timers, now: timers.now, random: () => 0.5, onGap: (gap) => gaps.push(gap) });
  const delivered: number[] = [];
  const loop = (async () => {
    for await (const { offset } of client.entries()) delivered.push(offset);
  })().catch(() => undefined);
  const ready = { protocol: 'quintet.v1', connection_id: 'c', user_id: 'ann', epoch: 'e', heartbeat_ms: 1_000_000, limits: {} };
  let distrusted = false;
  for (const letter of word) {
    const socket = wire.socket;
    if (letter !== 'lost' && typeof letter === 'object' && 'connect' in letter) {
      await when(client, ({ connection }) => connection.phase !== 'idle');
      if (client.state.phase === 'waiting') await timers.advance(client.state.retry_in_ms);
      for (let turn = 0; wire.socket === null; turn += 1) {
        assert.ok(turn < 100, `no socket in phase ${client.state.phase}`);
        await Promise.resolve();
      }
      wire.socket.dispatchEvent(new Event('open'));
      const hello = wire.socket.sent[0]!;
      assert.equal(hello['type'], 'hello');
      assert.equal(hello['after'] ?? 0, letter.connect, 'the cursor is the last entry applied');
    } else if (letter === 'lost') {
      wire.socket = null;
      socket!.end(1006);
    } else if (letter === 'draining') socket!.deliver({ type: 'draining', reconnect_after_ms: 1 });
    else if (letter === 'accepted') socket!.deliver({ type: 'accepted', message_id: 'm', run_id: 'r', message_offset: 1, duplicate: false });
    else if ('ready' in letter) {
      const gap = letter.gap && { from: letter.gap[0], to: letter.gap[1] };
      socket!.deliver({ type: 'ready', ...ready, resumed_after: letter.ready, head: letter.head, gap });
    } else if ('entries' in letter) {
      for (let offset = letter.entries[0]; offset <= letter.entries[1]; offset += 1) socket!.deliver(entry(offset));
    } else socket!.deliver({ type: 'caught_up', head: letter.caught_up });
    if (wire.socket?.isClosed) {
      distrusted = true;
      break;
    }
  }
  // Entries are handed over in batches: the loop has all of them once its queue is empty.
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  client.close();
  await loop;
  return { delivered, gaps, distrusted };
}

/** What a word delivers by the contract: the entries, in order, each once. */
function promised(word: Letter[]): number[] {
  return word.flatMap((letter) => (typeof letter === 'object' && 'entries' in letter ? Array.from({ length: letter.entries[1] - letter.entries[0] + 1 }, (_, i) => letter.entries[0] + i) : []));
}

const automaton = read<Automaton>('deliveries');

test('del_2, del_3: after every step that the model can make, the client has delivered each entry once, in order', async () => {
  const all = words(automaton);
  assert.ok(all.length > 200, `${all.length} steps`);
  for (const word of all) {
    const { delivered, gaps, distrusted } = await play(word);
    const what = JSON.stringify(word);
    assert.deepEqual(delivered, promised(word), what);
    assert.equal(distrusted, false, what);
    const named = word.flatMap((letter) => (typeof letter === 'object' && 'gap' in letter && letter.gap ? [letter.gap] : []));
    assert.deepEqual(gaps.map(({ from, to }) => [from, to]), named, what);
  }
});

test('del_2: a word in which entries are left out is refused, and nothing behind the hole is delivered', async () => {
  const spoiled = words(automaton).filter((word) => {
    const last = word.at(-1)!;
    return typeof last === 'object' && 'entries' in last && last.entries[1] > last.entries[0];
  });
  assert.ok(spoiled.length > 5, `${spoiled.length} words`);
  for (const word of spoiled) {
    const [first, last] = (word.at(-1) as { entries: [number, number] }).entries;
    const { delivered, distrusted } = await play([...word.slice(0, -1), { entries: [first + 1, last] }]);
    assert.equal(distrusted, true, JSON.stringify(word));
    assert.deepEqual(delivered, promised(word.slice(0, -1)));
  }
});

test('run_1 to run_12: every log of the model folds into the state that the contract gives its runs', () => {
  const { entries, states, nodes } = read<Logs>('logs');
  const folded: Conversations[] = [];
  const depth: number[] = [];
  assert.ok(nodes.length > 4_000, `${nodes.length} logs`);
  for (const [parent, entry, state] of nodes) {
    const offset = (depth[parent] ?? 0) + 1;
    const conversations = applyEntries(folded[parent] ?? NO_CONVERSATIONS, [{ ...entries[entry], offset } as Entry]);
    folded.push(conversations);
    depth.push(offset);
    const runs = [...conversations.threads.values()].flatMap(({ runs }) => runs).sort((a, b) => a.first_offset - b.first_offset);
    const found = runs.map((run) => [run.run_id, run.status === 'waiting' ? 'queued' : run.status, callsOf(run).filter(({ status }) => status === 'open').map(({ call_id }) => call_id)]);
    assert.deepEqual(found, states[state]);
  }
});
