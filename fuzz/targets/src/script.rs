//! How an input is taken apart: a first line that says what the other side does, and the bytes on the wire.

/// Stands between what is said in the clear and what is said under TLS.
const TLS_BEGINS: u8 = 0x1e;

/// An input of a wire target: `flags answers LF bytes`, the bytes up to a 0x1e in the clear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script<'a> {
    flags: &'a [u8],
    answers: &'a [u8],
    /// What arrives in the clear.
    pub(crate) clear: &'a [u8],
    /// What arrives once TLS is up.
    pub(crate) protected: &'a [u8],
}

impl<'a> Script<'a> {
    /// Takes an input apart. Every input is one.
    pub(crate) fn read(input: &'a [u8]) -> Self {
        let (head, bytes) = cut(input, b'\n');
        let (flags, answers) = cut(head, b' ');
        let (clear, protected) = cut(bytes, TLS_BEGINS);
        Self { flags, answers, clear, protected }
    }

    /// Whether a letter stands among the flags.
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags.contains(&flag)
    }

    /// The answers in order, over and over; NUL when there is none.
    pub(crate) fn answers(&self) -> impl Iterator<Item = u8> + use<'a> {
        let answers = if self.answers.is_empty() { &[0] } else { self.answers };
        answers.iter().copied().cycle()
    }

    /// What stands behind the flags.
    pub(crate) fn rest_of_head(&self) -> &'a [u8] {
        self.answers
    }
}

/// Cuts at the first `mark`; without one the rest is empty.
pub(crate) fn cut(bytes: &[u8], mark: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&byte| byte == mark) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// How bytes are cut into reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// As much as a session reads at once.
    Whole,
    /// One by one.
    Bytes,
    /// In pieces of 1 to 61 bytes, the same ones for the same bytes.
    Pieces,
}

impl Split {
    /// The reads, none of them empty.
    pub(crate) fn of(self, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = bytes;
        let mut state = bytes.len() as u64 ^ 0x9e37_79b9_7f4a_7c15;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let length = match self {
                Self::Whole => 16 * 1024,
                Self::Bytes => 1,
                Self::Pieces => {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(u64::from(rest[0]));
                    1 + (state >> 33) as usize % 61
                }
            };
            let (piece, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            Some(piece)
        })
    }
}

/// What a run said and did, in order: output between events is joined, so that it does not matter in
/// how many writes it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// Output and events; left empty when only sizes are asked for.
    pub(crate) entries: Vec<Entry>,
    /// Bytes of output in all.
    pub(crate) written: usize,
    only_sizes: bool,
}

/// One entry of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Bytes written.
    Output(String),
    /// Anything else, in words.
    Event(String),
}

impl Transcript {
    /// One that keeps nothing, for measuring memory.
    pub(crate) fn sizes() -> Self {
        Self { only_sizes: true, ..Self::default() }
    }

    /// Whether it keeps nothing.
    pub(crate) fn is_only_sizes(&self) -> bool {
        self.only_sizes
    }

    /// Takes output out of its buffer.
    pub(crate) fn output(&mut self, output: &mut Vec<u8>) {
        self.written += output.len();
        if !self.only_sizes && !output.is_empty() {
            let text = output.escape_ascii().to_string();
            match self.entries.last_mut() {
                Some(Entry::Output(before)) => before.push_str(&text),
                _ => self.entries.push(Entry::Output(text)),
            }
        }
        output.clear();
    }

    /// Notes an event.
    pub(crate) fn event(&mut self, event: impl FnOnce() -> String) {
        if !self.only_sizes {
            self.entries.push(Entry::Event(event()));
        }
    }
}

/// Panics unless output is lines that each end with CRLF and hold no other CR, LF or NUL.
pub(crate) fn assert_lines(output: &[u8]) {
    let mut lines = output.split(|&byte| byte == b'\n');
    let unfinished = lines.next_back().unwrap_or_default();
    assert!(unfinished.is_empty(), "an unfinished line: {}", unfinished.escape_ascii());
    for line in lines {
        let text = line.strip_suffix(b"\r");
        let whole = text.is_some_and(|text| !text.iter().any(|byte| matches!(byte, b'\r' | 0)));
        assert!(whole, "a broken line: {}", line.escape_ascii());
    }
}
