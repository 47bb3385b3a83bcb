// One conversation, in any runtime: a run, a lost connection, a resume. Returns what `runtimes.test.ts` compares.

/** Plays it with the modules of the package. `WebSocket` is for a runtime that has none. */
export async function smoke({ answerOf, Quintet }, { devLogin }, { url, user, WebSocket }) {
  const client = new Quintet({ url, credential: devLogin(url, user), ...(WebSocket && { WebSocket }) });
  const offsets = [];
  const entries = client.entries();
  await client.send({ thread_id: 't', text: '12*(3+4)' });
  for (let ends = 0; ends < 2; ) {
    const { value } = await entries.next();
    offsets.push(value.offset);
    if (value.type !== 'agent_completed' || ++ends === 2) continue;
    // The next message is written without a connection.
    client.disconnect();
    const sent = client.send({ thread_id: 't', text: '1+1' });
    client.connect();
    await sent;
  }
  const runs = client.snapshot.conversations.threads.get('t').runs.map((run) => [run.status, answerOf(run)]);
  client.close();
  return { offsets, runs };
}
