// Sends one message and prints what its run does: node node.mjs "12*(3+4)" [http://127.0.0.1:8080]

import { Quintet } from 'quintet';
import { devLogin } from 'quintet/http';
import { WebSocket } from 'ws'; // Node.js 22 and later has its own

const [text = '12*(3+4)', url = 'http://127.0.0.1:8080'] = process.argv.slice(2);
const client = new Quintet({ url, credential: devLogin(url, 'ann'), WebSocket, start: 'head' });
const entries = client.entries();
const { run_id } = await client.send({ thread_id: 'script', text });

for await (const entry of entries) {
  if (!('run_id' in entry) || entry.run_id !== run_id) continue;
  if (entry.type === 'agent_thinking' && entry.kind === 'answer') process.stdout.write(entry.delta);
  if (entry.type === 'tool_executing') console.log(`[${entry.tool_name} ${JSON.stringify(entry.parameters)}]`);
  if (entry.type === 'agent_completed') {
    console.log(`\n(${entry.status})`);
    break;
  }
}
client.close();
