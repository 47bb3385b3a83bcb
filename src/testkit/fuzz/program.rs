//! Bytes as a program: each instruction takes what it needs from the front.

/// The rest of a program. Past its end it reads as zeros.
pub struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `count`, from one byte.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    pub fn is_odd(&mut self) -> bool {
        !self.byte().is_multiple_of(2)
    }

    /// A small number, or one of those at which arithmetic breaks.
    pub fn number(&mut self) -> u64 {
        const EXTREMES: [u64; 8] = [
            u64::MAX,
            u64::MAX - 1,
            i64::MAX as u64,
            i64::MAX as u64 + 1,
            i64::MAX as u64 - 1,
            1 << 53,
            u32::MAX as u64,
            u32::MAX as u64 + 1,
        ];
        match self.byte() {
            small @ 0..=239 => small.into(),
            large => EXTREMES[usize::from(large) % EXTREMES.len()],
        }
    }

    /// At most `count` bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// The rest of the bytes.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
