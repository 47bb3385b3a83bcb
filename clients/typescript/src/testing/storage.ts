import type { Checkpoint, CheckpointStorage } from '../storage.js';

/** Creates a storage in memory. */
export function memoryStorage(checkpoint: Checkpoint | null = null): CheckpointStorage {
  let held = JSON.stringify(checkpoint);
  return {
    load: () => JSON.parse(held) as Checkpoint | null,
    save: (saved) => void (held = JSON.stringify(saved)),
  };
}
