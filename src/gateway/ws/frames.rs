//! Tracks the frames of a byte stream by their headers (RFC 6455, section 5.2).
//!
//! Guarantee: each frame is counted as soon as its header is complete, regardless of fragmentation. The
//! WebSocket library only returns complete messages, so a peer could otherwise send any number of fragments
//! without being counted (ISO-6).

use tokio::time::Instant;

/// Parses frame headers in the bytes that a peer sends. Payloads are skipped, not stored.
#[derive(Debug, Default)]
pub struct Frames {
    header: FrameHeader,
    /// Remaining bytes of the current frame's payload.
    payload: u64,
    /// Whether the current frame has FIN set.
    last: bool,
    control: bool,
    /// Arrival of the current frame's first byte.
    frame_since: Option<Instant>,
    /// The incomplete data message.
    message: Option<PartialMessage>,
    /// Frames without FIN that [`Frames::take_fragment`] has not returned yet.
    fragments: u32,
}

/// The bytes of a header received so far, at most 14.
#[derive(Debug, Default)]
struct FrameHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
}

#[derive(Debug)]
struct PartialMessage {
    /// Sum of the payload lengths in its frame headers so far.
    bytes: u64,
    since: Instant,
}

impl Frames {
    /// Processes received bytes.
    pub fn see(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
                self.payload -= skipped as u64;
                bytes = &bytes[skipped..];
                if self.payload == 0 {
                    self.end_frame();
                }
                continue;
            }
            let (first, rest) = (bytes[0], &bytes[1..]);
            bytes = rest;
            let since = *self.frame_since.get_or_insert(now);
            if let Some(payload) = self.header.push(first) {
                self.begin_frame(payload, since);
            }
        }
    }

    fn begin_frame(&mut self, payload: u64, since: Instant) {
        let first = self.header.bytes[0];
        self.header.len = 0;
        self.last = first & FIN != 0;
        self.control = first & CONTROL != 0;
        if !self.control {
            let message = self.message.get_or_insert(PartialMessage { bytes: 0, since });
            message.bytes = message.bytes.saturating_add(payload);
        }
        if !self.last {
            self.fragments = self.fragments.saturating_add(1);
        }
        self.payload = payload;
        // An empty payload ends the frame now; no further byte will.
        if payload == 0 {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        self.frame_since = None;
        if self.last && !self.control {
            self.message = None;
        }
    }

    /// Returns the length of the incomplete message, as declared by its frame headers; 0 between messages.
    pub fn unfinished_bytes(&self) -> u64 {
        self.message.as_ref().map_or(0, |message| message.bytes)
    }

    /// Returns the time at which the incomplete message or frame began.
    pub fn unfinished_since(&self) -> Option<Instant> {
        self.message.as_ref().map(|message| message.since).or(self.frame_since)
    }

    /// Returns the number of fragments that were not taken yet.
    pub fn fragments(&self) -> u32 {
        self.fragments
    }

    /// Decrements the number of fragments. Returns false if it was 0.
    pub fn take_fragment(&mut self) -> bool {
        let left = self.fragments.checked_sub(1);
        self.fragments = left.unwrap_or(0);
        left.is_some()
    }
}

impl FrameHeader {
    /// Adds one byte. Returns the payload length once the header is complete.
    fn push(&mut self, byte: u8) -> Option<u64> {
        self.bytes[self.len] = byte;
        self.len += 1;
        if self.len < 2 {
            return None;
        }
        let length = self.bytes[1] & LENGTH;
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.bytes[1] & MASKED != 0 { 4 } else { 0 };
        if self.len < 2 + extended + mask {
            return None;
        }
        Some(match extended {
            0 => length.into(),
            _ => self.bytes[2..2 + extended].iter().fold(0, |n, byte| n << 8 | u64::from(*byte)),
        })
    }
}

const HEADER_BYTES_MAX: usize = 14;
const FIN: u8 = 0x80;
/// Set in the opcodes of control frames.
const CONTROL: u8 = 0x08;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload {
            0..=125 => bytes.push(MASKED | payload as u8),
            126..=0xffff => {
                bytes.push(MASKED | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(MASKED | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.resize(bytes.len() + payload, 0xff);
        bytes
    }

    fn state(frames: &Frames) -> (u64, bool, u32) {
        (frames.unfinished_bytes(), frames.unfinished_since().is_some(), frames.fragments())
    }

    #[tokio::test]
    async fn iso_6_frames_are_counted_the_same_for_any_split_of_their_bytes() {
        let ping = frame(0x89, 3);
        let stream = [
            frame(0x81, 70_000),
            frame(0x01, 300),
            ping.clone(),
            frame(0x00, 0),
            frame(0x80, 5),
            ping,
            frame(0x02, 0),
        ]
        .concat();
        let now = Instant::now();
        for step in [1, 2, 3, 7, 4_096, stream.len()] {
            let mut frames = Frames::default();
            stream.chunks(step).for_each(|bytes| frames.see(bytes, now));
            // The last message is incomplete and still empty; its start is recorded nevertheless.
            assert_eq!(state(&frames), (0, true, 3), "{step} bytes at a time");
            frames.see(&frame(0x80, 0), now);
            assert_eq!(state(&frames), (0, false, 3), "{step} bytes at a time");
        }
    }

    #[tokio::test]
    async fn iso_6_a_message_counts_with_its_declared_length_from_its_header_on() {
        let now = Instant::now();
        let mut frames = Frames::default();
        frames.see(&frame(0x81, 500_000)[..14], now);
        assert_eq!(state(&frames), (500_000, true, 0));
        let mut frames = Frames::default();
        frames.see(&[0x81, 0xff], now);
        assert_eq!(state(&frames), (0, true, 0), "a header that is not complete has a beginning");
        frames.see(&[0xff; 8], now);
        frames.see(&[0; 4], now);
        assert_eq!(frames.unfinished_bytes(), u64::MAX);
        frames.see(&[0; 100], now);
        frames.see(&frame(0x81, 9), now);
        assert_eq!(frames.unfinished_bytes(), u64::MAX, "no overflow");
    }

    #[tokio::test]
    async fn control_frame_between_fragments_ends_no_message() {
        let now = Instant::now();
        let mut frames = Frames::default();
        frames.see(&frame(0x01, 0), now);
        frames.see(&frame(0x89, 0), now);
        assert_eq!(state(&frames), (0, true, 1), "a first fragment without a byte opens a message");
        assert!(frames.take_fragment());
        frames.see(&frame(0x00, 10), now);
        frames.see(&frame(0x89, 0), now);
        frames.see(&frame(0x8a, 4), now);
        assert_eq!(state(&frames), (10, true, 1));
        assert!(frames.take_fragment() && !frames.take_fragment());
        frames.see(&frame(0x80, 10), now);
        assert_eq!(state(&frames), (0, false, 0));
    }
}
