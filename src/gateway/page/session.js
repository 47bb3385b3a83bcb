// The login of this tab, and the client that is made with it.

import { History, Quintet, QuintetHttp, request } from './quintet.js';
import { decode } from './json.js';
import { store } from './storage.js';

const here = () => location.origin;

/** Logs in as any user without a password, under `quintet dev`. Returns `{token, user_id, expires_at}`. */
export function login(user_id) {
  return request(new URL('/dev/login', here()), { method: 'POST', body: { user_id } });
}

/** Creates the client of a session: it begins at the head of the log, and reads what lies before in pages. */
export function connectAs(session, { wire, onEntry, onError }) {
  const client = new Quintet({
    url: here(),
    credential: ({ reason }) => credential(session, reason),
    start: 'head',
    conversations: false,
    parse: wire.parse,
    WebSocket: wire.socketClass(),
    onError,
  });
  const token = async () => {
    if (Date.now() > session.expires_at) await renew(session);
    return session.token;
  };
  const http = new QuintetHttp({ url: here(), token, parse: decode });
  return { client, http, history: new History({ client, http, onEntry }) };
}

/** A token that has expired, or that a restarted `quintet dev` does not know any more, is replaced by logging in again. */
async function credential(session, reason) {
  if (reason !== 'connect' || Date.now() > session.expires_at) await renew(session);
  const issue = () => request(new URL('/v1/tickets', here()), { method: 'POST', token: session.token, body: {} });
  const { ticket } = await issue().catch(async (error) => {
    if (error.code !== 'unauthenticated') throw error;
    await renew(session);
    return issue();
  });
  return { ticket, expires_at: session.expires_at };
}

async function renew(session) {
  const { token, expires_at } = await login(session.user_id);
  Object.assign(session, { token, expires_at });
  store('session', session);
}
