//! Bytes into lines and counted literals, with limits, before any grammar.
//! Linear: no byte is looked at twice for its line end, and none is moved more often than a constant.
//! What was used is wiped: it may have been a password.

use std::fmt;

use secrecy::zeroize::Zeroizing;

/// Input that arrived and has not been used, cut into lines on demand.
#[derive(Default)]
pub struct Cutter {
    buffer: Zeroizing<Vec<u8>>,
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

    /// Takes bytes as they come; how many may wait is the caller's to say, by [`Cutter::pending`].
    pub fn feed(&mut self, bytes: &[u8]) {
        let pending = self.pending();
        let full = self.buffer.capacity() - self.buffer.len() < bytes.len();
        if full || self.start > pending {
            // A fresh buffer, not a reallocation: that would leave a copy of the old one unwiped.
            // Twice the room it needs, so that what is copied was paid for by what was fed or used.
            let room = if pending == 0 { bytes.len() } else { 2 * (pending + bytes.len()) };
            let mut fresh = Zeroizing::new(Vec::with_capacity(room));
            fresh.extend_from_slice(self.buffer.get(self.start..).unwrap_or_default());
            self.buffer = fresh;
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
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
        self.used(at + 1);
        Ok(Some(line))
    }

    /// Takes exactly `count` bytes, once they are all there.
    pub fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let end = self.start.checked_add(count)?;
        let taken = self.buffer.get(self.start..end)?.to_vec();
        self.used(end);
        Some(taken)
    }

    /// Takes everything that is left, as it is.
    pub fn rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.start);
        self.discard();
        rest
    }

    /// Forgets everything that is left.
    pub fn discard(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Everything before `end` has been taken. An empty buffer is given back at once: it is wiped, and
    /// a connection that waits holds none.
    fn used(&mut self, end: usize) {
        if end >= self.buffer.len() {
            self.discard();
        } else {
            self.start = end;
            self.searched = end;
        }
    }
}

/// Shows how much waits, never what.
impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cutter")
            .field("pending", &self.pending())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_in_lf_or_crlf_and_only_one_cr_goes() {
        let mut cutter = Cutter::new(100);
        cutter.feed(b"one\r\ntwo\n\r\n\nx\r\r\nlast");
        let mut lines = Vec::new();
        while let Some(line) = cutter.line().unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, [&b"one"[..], b"two", b"", b"", b"x\r"]);
        assert_eq!(cutter.rest(), b"last");
        assert_eq!(cutter.pending(), 0);
    }

    #[test]
    fn the_limit_counts_the_line_end_and_does_not_depend_on_splits() {
        for (line, fits) in [(&b"1234567\n"[..], true), (b"12345678\n", false), (b"123456\r\n", true)] {
            let mut whole = Cutter::new(8);
            whole.feed(line);
            assert_eq!(whole.line().is_ok(), fits);
            let mut split = Cutter::new(8);
            let mut outcome = Ok(None);
            for byte in line {
                split.feed(&[*byte]);
                outcome = split.line();
                if outcome != Ok(None) {
                    break;
                }
            }
            assert_eq!(outcome.is_ok(), fits);
        }
    }

    #[test]
    fn a_line_past_the_limit_is_known_before_its_end_arrives() {
        let mut cutter = Cutter::new(8);
        cutter.feed(b"1234567");
        assert_eq!(cutter.line(), Ok(None));
        cutter.feed(b"8");
        assert_eq!(cutter.line(), Err(TooLong));
        cutter.discard();
        cutter.feed(b"ok\n");
        assert_eq!(cutter.line(), Ok(Some(b"ok".to_vec())));
    }

    #[test]
    fn counted_bytes_are_taken_whole_and_may_hold_line_ends() {
        let mut cutter = Cutter::new(100);
        cutter.feed(b"a\nb");
        assert_eq!(cutter.line(), Ok(Some(b"a".to_vec())));
        assert_eq!(cutter.bytes(4), None);
        cutter.feed(b"\r\nc)\n");
        assert_eq!(cutter.bytes(4), Some(b"b\r\nc".to_vec()));
        assert_eq!(cutter.bytes(0), Some(Vec::new()));
        assert_eq!(cutter.line(), Ok(Some(b")".to_vec())));
        assert_eq!(cutter.bytes(usize::MAX), None);
    }

    /// A partial line always left over must not keep what came before it alive.
    #[test]
    fn memory_is_bounded_by_what_waits_not_by_what_went_through() {
        let mut cutter = Cutter::new(64);
        cutter.feed(b"par");
        for _ in 0..10_000 {
            cutter.feed(b"tial\r\nline\r\npar");
            assert_eq!(cutter.line(), Ok(Some(b"partial".to_vec())));
            assert_eq!(cutter.line(), Ok(Some(b"line".to_vec())));
            assert_eq!(cutter.line(), Ok(None));
            assert!(cutter.buffer.capacity() <= 128);
        }
    }

    /// Fed byte by byte, the search position follows the end: nothing is searched again.
    #[test]
    fn no_byte_is_searched_twice() {
        let mut cutter = Cutter::new(10_000);
        for count in 1..9_000 {
            cutter.feed(b"x");
            assert_eq!(cutter.line(), Ok(None));
            assert_eq!((cutter.searched, cutter.pending()), (count, count));
        }
    }

    #[test]
    fn an_empty_cutter_holds_no_memory() {
        let mut cutter = Cutter::new(100);
        cutter.feed(b"a LOGIN bob secret\r\n");
        cutter.line().unwrap().unwrap();
        assert_eq!(cutter.buffer.capacity(), 0);
    }

    #[test]
    fn what_waits_is_never_shown() {
        let mut cutter = Cutter::new(100);
        cutter.feed(b"secret");
        assert_eq!(format!("{cutter:?}"), "Cutter { pending: 6, limit: 100, .. }");
    }
}
