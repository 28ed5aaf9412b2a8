//! Bytes into lines and counted literals, with limits, before any grammar.
//! Linear: no byte is looked at twice for its line end.

/// Input that arrived and has not been used, cut into lines on demand.
#[derive(Debug, Default)]
pub struct Cutter {
    buffer: Vec<u8>,
    start: usize,
    searched: usize,
    limit: usize,
}

/// The input grew past the limit without a line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Cutter {
    /// A cutter for lines of at most `limit` bytes, line end included.
    pub fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Takes bytes as they come.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            self.searched = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes not used yet.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Takes the next line without its LF or CRLF.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let from = self.searched.max(self.start);
        let unsearched = self.buffer.get(from..).unwrap_or_default();
        let Some(at) = memchr::memchr(b'\n', unsearched).map(|at| from + at) else {
            self.searched = self.buffer.len();
            return if self.pending() >= self.limit { Err(TooLong) } else { Ok(None) };
        };
        if at + 1 - self.start > self.limit {
            return Err(TooLong);
        }
        let line = self.buffer.get(self.start..at).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        self.start = at + 1;
        self.searched = self.start;
        Ok(Some(line))
    }

    /// Takes exactly `count` bytes, once they are all there.
    pub fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let end = self.start.checked_add(count)?;
        let taken = self.buffer.get(self.start..end)?.to_vec();
        self.start = end;
        self.searched = end;
        Some(taken)
    }

    /// Takes everything that is left, as it is.
    pub fn rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.start);
        *self = Self::new(self.limit);
        rest
    }

    /// Forgets everything that is left.
    pub fn discard(&mut self) {
        drop(self.rest());
    }
}
