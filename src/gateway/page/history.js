// The log until now, read in pages over HTTP before the connection opens: one request for a thousand entries instead of
// a frame for each.

import { entries } from './api.js';
import { BROKEN, createLog, reduce } from './log.js';

/**
 * Returns a log with all entries that the service has now, or null if they cannot be read: then the connection replays
 * them. `onPage(log)` is called after each page.
 */
export async function readHistory({ token, user_id }, onPage) {
  const log = createLog();
  try {
    for (let after = 0; after !== null; ) {
      const page = await entries(token, after);
      if (log.epoch !== null && log.epoch !== page.epoch) return null;
      if (log.epoch === null || page.gap) {
        const resumed_after = page.gap?.to ?? after;
        reduce(log, { type: 'ready', user_id, epoch: page.epoch, resumed_after, head: page.head, gap: page.gap });
      }
      for (const entry of page.entries) if (BROKEN.includes(reduce(log, entry).verdict)) return null;
      onPage(log);
      after = page.next_after;
    }
  } catch {
    return null;
  }
  return log;
}
