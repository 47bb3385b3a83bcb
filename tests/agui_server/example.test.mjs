// `examples/agui/chat.mjs` as a user runs it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFile, mkdir } from "node:fs/promises";
import { after, before, it } from "node:test";
import { Service, cleanUp, completed, script } from "./service.mjs";

// Where Node.js finds the packages.
const folder = new URL("./node_modules/.example/", import.meta.url);
let service;

before(async () => {
  await mkdir(folder, { recursive: true });
  await copyFile(new URL("../../examples/agui/chat.mjs", import.meta.url), new URL("chat.mjs", folder));
  service = await Service.start();
});
after(cleanUp);

// Plays a conversation: each line is typed when the prompt appears. Returns what was shown.
async function play(lines) {
  const env = { ...process.env, QUINTET_URL: service.url };
  const child = spawn(process.execPath, ["chat.mjs", "ann", "t", "rehearsal"], { cwd: folder, env, stdio: ["pipe", "pipe", "inherit"] });
  let shown = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) {
    shown += chunk;
    while (shown.split("> ").length > lines.typed + 1) {
      if (lines.typed === lines.length) {
        child.stdin.end();
        break;
      }
      child.stdin.write(`${lines[lines.typed++]}\n`);
    }
  }
  return shown;
}

const typed = (...lines) => Object.assign(lines, { typed: 0 });

it("chats, asks, and continues the conversation", async () => {
  const ask = script({ think: "a" }, { ask: { call_id: "q", tool_name: "approve", parameters: { tool_name: "send_mail" } } }, { answer: "It is done." });
  const shown = await play(typed(script({ answer: "Hello." }), ask, "no"));
  assert.match(shown, /Hello\.[^]*Allow the call of send_mail\?[^]*It is done\./);
  const [result] = (await service.log("ann")).filter((entry) => entry.type === "tool_completed");
  assert.equal(result.status, "declined");
  const again = await play(typed());
  assert.match(again, /assistant: Hello\.[^]*assistant: It is done\./);
  assert.equal((await service.log("ann")).filter(completed).length, 2);
});
