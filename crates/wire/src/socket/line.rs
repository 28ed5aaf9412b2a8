//! A line of TAB-separated fields: the one writer that every line goes through, and its inverse.
//!
//! A field may hold any bytes. Those that would break the line are written as the byte 1 and a
//! letter, so a value can never become a second field or a second line.

use std::{borrow::Cow, io::Write};

use crate::base64;

/// The byte that begins an escape.
const ESCAPE: u8 = 1;

/// A line being written at the end of a buffer. [`Line::end`] completes it or takes it back.
#[must_use]
pub struct Line<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

/// A line would have been longer than peers are known to bear; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl<'a> Line<'a> {
    /// Begins a line with its command word.
    pub fn new(out: &'a mut Vec<u8>, command: &str) -> Self {
        let start = out.len();
        escape(command.as_bytes(), out);
        Self { out, start }
    }

    /// Adds a field.
    pub fn field(self, value: &[u8]) -> Self {
        self.out.push(b'\t');
        escape(value, self.out);
        self
    }

    /// Adds a number.
    pub fn number(self, value: u32) -> Self {
        // A vector takes every write.
        let _ = write!(self.out, "\t{value}");
        self
    }

    /// Adds `name=value`, or only the name when there is no value or an empty one. A name that is
    /// empty or holds a `=` could not be read back, and is left out.
    pub fn pair(self, name: &str, value: Option<&str>) -> Self {
        if name.is_empty() || name.contains('=') {
            return self;
        }
        let line = self.field(name.as_bytes());
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            line.out.push(b'=');
            escape(value.as_bytes(), line.out);
        }
        line
    }

    /// Adds bytes in base64, after `name=` when there is a name.
    pub fn encoded(self, name: Option<&str>, data: &[u8]) -> Self {
        self.out.push(b'\t');
        if let Some(name) = name {
            escape(name.as_bytes(), self.out);
            self.out.push(b'=');
        }
        base64::encode(data, self.out);
        self
    }

    /// Ends the line. One that grew past `limit` bytes, line end included, is taken back whole.
    pub fn end(self, limit: usize) -> Result<(), LineTooLong> {
        self.out.push(b'\n');
        if self.out.len() - self.start > limit {
            self.out.truncate(self.start);
            return Err(LineTooLong);
        }
        Ok(())
    }
}

/// Appends `value` so that it stays one field.
pub fn escape(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|&byte| escaped(byte).is_some()) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else { return };
        out.extend(escaped(byte).map(|letter| [ESCAPE, letter]).into_iter().flatten());
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// Reads a field back; `None` when it holds an escape that is never written.
pub fn unescape(field: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(first) = memchr::memchr(ESCAPE, field) else { return Some(Cow::Borrowed(field)) };
    let (plain, mut rest) = field.split_at(first);
    let mut value = plain.to_vec();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != ESCAPE {
            value.push(byte);
            continue;
        }
        let (&letter, after) = rest.split_first()?;
        rest = after;
        value.push(match letter {
            b'0' => 0,
            b'1' => ESCAPE,
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            _ => return None,
        });
    }
    Some(Cow::Owned(value))
}

/// The raw fields of a line, command word included.
pub fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b'\t')
}

/// Splits `name=value`; `None` as the value when there is no `=`.
pub fn split_pair(field: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', field) {
        Some(at) => {
            let (name, value) = field.split_at(at);
            (name, value.get(1..))
        }
        None => (field, None),
    }
}

/// Reads what a trusted front passes on about its client: TAB-separated `name=value` fields, each
/// escaped like a field of a line. A bare word is a name with an empty value. `None` when it is
/// malformed, no text, or holds NUL.
///
/// The names are the front's words: whoever uses them puts `forward_` before each, so that none can
/// be taken for a field of ours.
pub fn forwarded(text: &[u8]) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for field in fields(text).filter(|field| !field.is_empty()) {
        let (name, value) = split_pair(field);
        let name = text_of(name)?;
        if name.is_empty() {
            return None;
        }
        pairs.push((name, text_of(value.unwrap_or_default())?));
    }
    Some(pairs)
}

/// A field as text: unescaped, UTF-8, without NUL. `None` when it is not that.
pub fn text_of(field: &[u8]) -> Option<String> {
    let value = unescape(field)?;
    if value.contains(&0) {
        return None;
    }
    String::from_utf8(value.into_owned()).ok()
}

/// The letter that stands for a byte which may not stand for itself.
fn escaped(byte: u8) -> Option<u8> {
    match byte {
        0 => Some(b'0'),
        ESCAPE => Some(b'1'),
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        fields.iter().fold(Line::new(&mut out, "X"), |line, field| line.field(field)).end(100_000).unwrap();
        out
    }

    fn read(line: &[u8]) -> Vec<Vec<u8>> {
        let line = line.strip_suffix(b"\n").unwrap();
        fields(line).skip(1).map(|field| unescape(field).unwrap().into_owned()).collect()
    }

    #[test]
    fn what_was_written_is_read_back_whatever_the_bytes() {
        for first in 0..=255 {
            for second in 0..=255 {
                let field = [first, second];
                let line = written(&[&field, &field[..1], &[]]);
                assert_eq!(memchr::memchr_iter(b'\n', &line).count(), 1);
                assert_eq!(memchr::memchr_iter(b'\t', &line).count(), 3);
                assert!(!line.contains(&0) && !line.contains(&b'\r'));
                assert_eq!(read(&line), [&field[..], &field[..1], &[]]);
            }
        }
        let all: Vec<u8> = (0..=255).rev().chain(0..=255).collect();
        assert_eq!(read(&written(&[&all, b"", &all])), [&all[..], b"", &all[..]]);
    }

    #[test]
    fn only_five_bytes_are_escaped() {
        assert_eq!(
            written(&[b"\x01\t\r\n\0=\\\x7f\xff\x02"]),
            b"X\t\x011\x01t\x01r\x01n\x010=\\\x7f\xff\x02\n"
        );
    }

    #[test]
    fn escapes_that_are_never_written_are_not_read() {
        for letter in 0..=255u8 {
            let known = b"01tnr".contains(&letter);
            assert_eq!(unescape(&[b'a', 1, letter, b'b']).is_some(), known, "{letter}");
        }
        assert_eq!(unescape(b"a\x01"), None);
        assert_eq!(unescape(b"\x01\x01"), None);
    }

    #[test]
    fn pairs_that_could_not_be_read_back_are_left_out() {
        let mut out = Vec::new();
        Line::new(&mut out, "OK")
            .number(7)
            .pair("user", Some("b=b"))
            .pair("", Some("x"))
            .pair("a=b", Some("x"))
            .pair("nologin", None)
            .pair("empty", Some(""))
            .encoded(Some("resp"), b"x")
            .end(100)
            .unwrap();
        assert_eq!(out, b"OK\t7\tuser=b=b\tnologin\tempty\tresp=eA==\n");
        assert_eq!(split_pair(b"user=b=b"), (&b"user"[..], Some(&b"b=b"[..])));
        assert_eq!(split_pair(b"nologin"), (&b"nologin"[..], None));
    }

    #[test]
    fn a_line_that_is_too_long_leaves_no_trace() {
        let mut out = b"OK\t1\n".to_vec();
        assert_eq!(Line::new(&mut out, "OK").field(b"12345").end(9), Ok(()));
        assert_eq!(Line::new(&mut out, "OK").field(b"123456").end(9), Err(LineTooLong));
        assert_eq!(out, b"OK\t1\nOK\t12345\n");
    }

    #[test]
    fn forwarded_fields_are_names_and_texts() {
        let pairs = |pairs: &[(&str, &str)]| {
            Some(
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(forwarded(b""), Some(Vec::new()));
        assert_eq!(
            forwarded(b"a=1\tnopassword\t\tc=x\x01ty=z"),
            pairs(&[("a", "1"), ("nopassword", ""), ("c", "x\ty=z")])
        );
        for bad in [&b"=x"[..], b"a=\x010", b"a\0", b"a=\xff", b"a=\x01x"] {
            assert_eq!(forwarded(bad), None, "{}", bad.escape_ascii());
        }
    }
}
