// What goes over the wire, for developers: the latest frames, and counts of the entries that arrived.

import { clip, decode } from './json.js';

export class Wire {
  frames = [];
  /** The number of frames so far. */
  count = 0;
  offset = 0;
  head = 0;
  resumed_after = 0;
  gap = null;
  epoch = null;
  user_id = null;
  isCaughtUp = false;
  connections = 0;
  counts = { applied: 0, repeated: 0, holes: 0, foreign: 0 };
  closing = null;
  faults = [];

  /** Returns a constructor of sockets whose frames and closes are recorded. */
  socketClass() {
    const wire = this;
    return function RecordedSocket(url, protocol) {
      const socket = new WebSocket(url, protocol);
      const send = socket.send.bind(socket);
      socket.send = (text) => {
        send(text);
        const frame = decode(text);
        wire.#record('out', frame.type, frame.ticket ? JSON.stringify({ ...frame, ticket: '…' }) : text);
      };
      socket.addEventListener('close', ({ code, reason }) => {
        wire.closing = { code, reason };
        wire.#record('close', 'close', `${code} ${reason}`.trim());
      });
      return socket;
    };
  }

  /** Parses a frame of the server, and records it. */
  parse = (text) => {
    const frame = decode(text);
    this.#record('in', String(frame?.type ?? ''), text);
    if (Number.isSafeInteger(frame?.offset)) this.#count(frame);
    else if (frame?.type === 'ready') this.#begin(frame);
    else if (frame?.type === 'caught_up') this.#catchUp(frame);
    return frame;
  };

  clear() {
    this.frames = [];
  }

  #record(direction, type, text) {
    this.count += 1;
    this.frames.push({ number: this.count, at: Date.now(), direction, type, text: clip(text, FRAME_CHARS_MAX) });
    if (this.frames.length > FRAMES_MAX) this.frames.shift();
  }

  #begin(ready) {
    const { resumed_after, head, gap, epoch, user_id } = ready;
    Object.assign(this, { resumed_after, offset: resumed_after, head: Math.max(head, resumed_after), gap, epoch, user_id, isCaughtUp: false });
    this.connections += 1;
  }

  #catchUp({ head }) {
    if (head > this.offset) this.#fault('holes', 'DEL-2', `caught_up at ${head}, but only ${this.offset} came`);
    this.isCaughtUp = head <= this.offset;
  }

  #count(entry) {
    const { offset } = this;
    if (this.user_id !== null && entry.user_id !== undefined && entry.user_id !== this.user_id) {
      return this.#fault('foreign', 'ISO-1', `entry ${entry.offset} belongs to another user`);
    }
    if (entry.offset <= offset) return this.#fault('repeated', 'DEL-2', `entry ${entry.offset} came again`);
    if (entry.offset !== offset + 1) return this.#fault('holes', 'DEL-2', `entry ${entry.offset} came after ${offset}`);
    this.offset = entry.offset;
    this.head = Math.max(this.head, entry.offset);
    this.counts.applied += 1;
  }

  #fault(count, rule, text) {
    this.counts[count] += 1;
    this.faults.push({ number: this.count, rule, text });
    if (this.faults.length > FAULTS_MAX) this.faults.shift();
  }
}

/** Frames are kept up to `FRAMES_MAX`, each up to `FRAME_CHARS_MAX`. */
const FRAMES_MAX = 300;
const FRAME_CHARS_MAX = 4_000;
const FAULTS_MAX = 100;
