// A real service: the binary named by CLIENTS_TEST_BINARY, started by a test and stopped by a signal.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Quintet, type Entry, type QuintetOptions } from 'quintet';
import { devLogin, QuintetHttp, request } from 'quintet/http';
import { WebSocket } from 'ws';

/** The binary; undefined if the tests run without one. */
export const BINARY = process.env['CLIENTS_TEST_BINARY'];

/** A running service. */
export class Service {
  readonly url: string;
  readonly folder: string;
  #child: ChildProcess;
  #ended: Promise<unknown>;

  private constructor(url: string, folder: string, child: ChildProcess, ended: Promise<unknown>) {
    this.url = url;
    this.folder = folder;
    this.#child = child;
    this.#ended = ended;
  }

  static async start(folder?: string, listen = '127.0.0.1:0'): Promise<Service> {
    const data = folder ?? (await mkdtemp(join(tmpdir(), 'quintet-clients-')));
    const flags = ['dev', '--listen', listen, '--admin-listen', '127.0.0.1:0', '--data-dir', data];
    const child = spawn(BINARY!, flags, { stdio: ['ignore', 'pipe', 'ignore'] });
    running.add(child);
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
    const line = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout! }).once('line', resolve);
      void ended.then((code) => reject(new Error(`the service ended: ${code}`)));
    });
    return new Service(`http://${(JSON.parse(line) as { listen: string }).listen}`, data, child, ended);
  }

  /** Sends a signal and waits for the end. Returns the exit code or the signal. */
  stop(signal: NodeJS.Signals): Promise<unknown> {
    this.#child.kill(signal);
    return this.#ended;
  }

  /** Starts the service again on the same address and data. */
  restart(): Promise<Service> {
    return Service.start(this.folder, new URL(this.url).host);
  }

  /** Creates a client of a user. */
  client(user_id: string, options: Partial<QuintetOptions> = {}): Quintet {
    const client = new Quintet({ url: this.url, credential: devLogin(this.url, user_id), WebSocket, ...options });
    clients.add(client);
    return client;
  }

  /** Reads a user's whole log over HTTP. */
  async log(user_id: string): Promise<Entry[]> {
    const { token } = await request<{ token: string }>(new URL('/dev/login', this.url), { method: 'POST', body: { user_id } });
    const entries: Entry[] = [];
    for await (const entry of new QuintetHttp({ url: this.url, token: () => token }).allEntries({ limit: 1_000 })) entries.push(entry);
    return entries;
  }

  /** Reads what a user's log has before an offset, backwards, in small pages. */
  async before(user_id: string, offset: number): Promise<Entry[]> {
    const { token } = await request<{ token: string }>(new URL('/dev/login', this.url), { method: 'POST', body: { user_id } });
    const http = new QuintetHttp({ url: this.url, token: () => token });
    const entries: Entry[] = [];
    for (let before: number | null = offset; before !== null; ) {
      const page = await http.entriesBefore({ before, limit: 7 });
      entries.unshift(...page.entries);
      before = page.next_before;
    }
    return entries;
  }
}

const running = new Set<ChildProcess>();
const clients = new Set<Quintet>();

/** Ends every service and client that a test left, and removes a folder. */
export async function cleanUp(folders: string[]): Promise<void> {
  for (const client of clients) client.close();
  for (const child of running) child.kill('SIGKILL');
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
}

/** Writes a script for the agent `rehearsal`. */
export function script(...steps: object[]): string {
  return JSON.stringify({ steps });
}
