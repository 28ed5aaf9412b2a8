//! A connection's input as lines that are read where they lie.
//!
//! [`crate::cut::Cutter`] gives each line away as a copy and gives its memory back between lines,
//! which suits a client that logs in once. Here a read brings hundreds of requests, and copying,
//! allocating and wiping each by itself cost more than understanding it.

use secrecy::zeroize::optimization_barrier;

use super::LINE_LIMIT;

/// Input that arrived and has not been used.
#[derive(Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    start: usize,
    searched: usize,
}

/// A line is longer than [`LINE_LIMIT`].
#[derive(Debug)]
pub(super) struct TooLong;

impl Lines {
    /// Takes bytes as they come.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.settle();
        if self.buffer.capacity() - self.buffer.len() < bytes.len() {
            // A fresh buffer, not a reallocation: that would leave a copy of the old one unwiped.
            let mut fresh = Vec::with_capacity(2 * self.buffer.len() + bytes.len());
            fresh.extend_from_slice(&self.buffer);
            wipe(&mut self.buffer);
            self.buffer = fresh;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line without its LF. When there is none, what was used so far is wiped.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unsearched) else {
            self.settle();
            self.searched = self.buffer.len();
            return if self.buffer.len() >= LINE_LIMIT { Err(TooLong) } else { Ok(None) };
        };
        let end = self.searched + found;
        let line = self.buffer.get(self.start..end).unwrap_or_default();
        self.start = end + 1;
        self.searched = self.start;
        if line.len() < LINE_LIMIT { Ok(Some(line)) } else { Err(TooLong) }
    }

    /// Forgets everything.
    pub(super) fn discard(&mut self) {
        wipe(&mut self.buffer);
        *self = Self::default();
    }

    /// Moves what is left to the front, and wipes what it leaves behind.
    fn settle(&mut self) {
        if self.start == 0 {
            return;
        }
        let left = self.buffer.len() - self.start;
        self.buffer.copy_within(self.start.., 0);
        wipe(self.buffer.get_mut(left..).unwrap_or_default());
        self.buffer.truncate(left);
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        wipe(&mut self.buffer);
    }
}

/// Overwrites all at once, which is many times faster than byte by byte, and keeps the compiler from
/// leaving it out.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    optimization_barrier(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"one\n\ntwo\r\n\nthree\nrest";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for chunk in text.chunks(size) {
                lines.feed(chunk);
                while let Some(line) = lines.next().unwrap() {
                    found.push(line.to_vec());
                }
            }
            assert_eq!(found, [&b"one"[..], b"", b"two\r", b"", b"three"]);
            assert_eq!(lines.buffer, b"rest");
        }
    }

    #[test]
    fn what_was_used_does_not_stay() {
        let mut lines = Lines::default();
        lines.feed(b"secret\nsecret\npartial");
        while lines.next().unwrap().is_some() {}
        assert_eq!((lines.buffer.as_slice(), lines.start), (&b"partial"[..], 0));
        lines.discard();
        assert_eq!(lines.buffer.capacity(), 0);
    }

    /// A partial line always left over must not keep what came before it alive.
    #[test]
    fn memory_is_bounded_by_what_waits_not_by_what_went_through() {
        let mut lines = Lines::default();
        for _ in 0..10_000 {
            lines.feed(b"tial\nline\npar");
            while lines.next().unwrap().is_some() {}
            assert!(lines.buffer.capacity() <= 64);
        }
    }

    #[test]
    fn bytes_fed_one_by_one_are_searched_once() {
        let mut lines = Lines::default();
        for count in 1..9_000 {
            lines.feed(b"x");
            assert!(lines.next().unwrap().is_none());
            assert_eq!((lines.searched, lines.buffer.len()), (count, count));
        }
    }
}
