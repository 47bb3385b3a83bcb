// A real service: the binary that AGUI_SERVER_BINARY names, started by a test and ended by a signal.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const left = new Set();

export class Service {
  static async start({ folder, listen = "127.0.0.1:0", flags = [] } = {}) {
    folder ??= await mkdtemp(join(tmpdir(), "quintet-agui-"));
    const all = ["dev", "--listen", listen, "--admin-listen", "127.0.0.1:0", "--data-dir", folder, ...flags];
    const child = spawn(process.env.AGUI_SERVER_BINARY, all, { stdio: ["ignore", "pipe", "ignore"] });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    const line = await new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).once("line", resolve);
      ended.then((code) => reject(new Error(`the service ended: ${code}`)));
    });
    const service = Object.assign(new Service(), { child, ended, folder, flags });
    service.url = `http://${JSON.parse(line).listen}`;
    left.add(service);
    return service;
  }

  signal(signal) {
    this.child.kill(signal);
    return this.ended;
  }

  // Starts it again with the same address and data.
  restart() {
    return Service.start({ folder: this.folder, listen: new URL(this.url).host, flags: this.flags });
  }

  async token(user) {
    const { token } = await this.json("/dev/login", { body: { user_id: user } });
    return token;
  }

  async headers(user) {
    return { authorization: `Bearer ${await this.token(user)}` };
  }

  async json(path, { body, headers } = {}) {
    const method = body === undefined ? "GET" : "POST";
    const all = { "content-type": "application/json", ...headers };
    const response = await fetch(this.url + path, { method, headers: all, body: body && JSON.stringify(body) });
    return { status: response.status, ...(await response.json()) };
  }

  // Returns the entries of a user, in order.
  async log(user) {
    const { entries } = await this.json("/v1/entries?limit=1000", { headers: await this.headers(user) });
    return entries;
  }

  // Waits until the log of a user has an entry, by reading the event stream.
  async entry(user, matches) {
    const response = await fetch(`${this.url}/v1/stream`, { headers: await this.headers(user) });
    let text = "";
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block);
        const entry = data && JSON.parse(data[1]);
        if (entry && matches(entry)) return entry;
      }
    }
    throw new Error("the stream ended");
  }
}

export async function cleanUp() {
  for (const { child, ended, folder } of left) {
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
}

// Returns a script for the agent `rehearsal`.
export const script = (...steps) => JSON.stringify({ steps });

export const completed = (entry) => entry.type === "agent_completed";
