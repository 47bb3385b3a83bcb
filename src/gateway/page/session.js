// The login of this tab, and tickets for its connections.

import { login, ticket } from './api.js';
import { store } from './storage.js';

/**
 * Fetches a ticket. A token that has expired, or that a restarted `quintet dev` does not know any more, is replaced by
 * logging in again; `renewing` replaces it in any case.
 */
export async function freshTicket(session, renewing) {
  if (renewing || Date.now() > session.expires_at) await renew(session);
  try {
    return await ticket(session.token);
  } catch (error) {
    if (error.status !== 401) throw error;
    await renew(session);
    return ticket(session.token);
  }
}

async function renew(session) {
  const { token, expires_at } = await login(session.user_id);
  Object.assign(session, { token, expires_at });
  store('session', session);
}

/** Returns the time until a credential that expires then should be renewed. */
export function renewInMs(expires_at) {
  const left_ms = expires_at - Date.now();
  return Math.max(RENEW_MS_MIN, left_ms - Math.min(RENEW_MARGIN_MS, left_ms / 4));
}

const RENEW_MARGIN_MS = 60_000;
const RENEW_MS_MIN = 5_000;
