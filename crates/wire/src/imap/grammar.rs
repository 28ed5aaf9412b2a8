//! The grammar that all commands share (RFC 3501 §9): atoms, quoted strings, literals, and lists one
//! level deep, read line by line as they arrive; and how strings are written.

use secrecy::zeroize::Zeroizing;

use super::ARGUMENT_LIMIT;

/// An argument, or a parenthesis around some.
pub(super) enum Token {
    Open,
    Close,
    Atom(Zeroizing<Vec<u8>>),
    /// Quoted or literal: the two mean the same.
    String(Zeroizing<Vec<u8>>),
}

impl Token {
    /// The value of an astring: an atom or a string.
    pub(super) fn astring(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(value) | Self::String(value) => Some(value),
            Self::Open | Self::Close => None,
        }
    }

    /// The value of a string.
    pub(super) fn string(&self) -> Option<&[u8]> {
        match self {
            Self::String(value) => Some(value),
            Self::Open | Self::Close | Self::Atom(_) => None,
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Atom(value) if value.eq_ignore_ascii_case(b"NIL"))
    }
}

/// The line is not IMAP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The arguments of a command, as far as they have been read.
pub(super) struct Arguments {
    tokens: Vec<Token>,
    in_list: bool,
    /// Another argument may begin here.
    separated: bool,
}

impl Arguments {
    pub(super) fn new() -> Self {
        Self { tokens: Vec::new(), in_list: false, separated: true }
    }

    /// Reads the text of a line, or of the part of it before a literal.
    pub(super) fn text(&mut self, text: &[u8], literal_follows: bool) -> Result<(), Malformed> {
        // In a text line these can only be there to confuse someone further on.
        if memchr::memchr2(b'\r', b'\0', text).is_some() {
            return Err(Malformed);
        }
        let mut rest = text;
        while let Some((&first, tail)) = rest.split_first() {
            rest = match first {
                // RFC 3501 wants exactly one; telnet users and Dovecot take several.
                b' ' => {
                    self.separated = true;
                    tail
                }
                b')' => {
                    if !std::mem::take(&mut self.in_list) {
                        return Err(Malformed);
                    }
                    self.push(Token::Close)?;
                    tail
                }
                _ if !self.separated => return Err(Malformed),
                b'(' => {
                    if std::mem::replace(&mut self.in_list, true) {
                        return Err(Malformed);
                    }
                    self.push(Token::Open)?;
                    self.separated = true;
                    tail
                }
                b'"' => {
                    let (value, after) = quoted(tail).ok_or(Malformed)?;
                    self.push(Token::String(value))?;
                    after
                }
                _ => {
                    let end = rest.iter().position(|byte| !is_atom_byte(*byte)).unwrap_or(rest.len());
                    let (atom, after) = rest.split_at_checked(end).ok_or(Malformed)?;
                    if atom.is_empty() {
                        return Err(Malformed);
                    }
                    self.push(Token::Atom(Zeroizing::new(atom.to_vec())))?;
                    after
                }
            };
        }
        if literal_follows && !self.separated { Err(Malformed) } else { Ok(()) }
    }

    /// Takes a literal. What follows it must begin with a blank or a parenthesis.
    pub(super) fn literal(&mut self, value: Vec<u8>) -> Result<(), Malformed> {
        self.push(Token::String(Zeroizing::new(value)))
    }

    /// All of them, once the command is complete.
    pub(super) fn finish(self) -> Result<Vec<Token>, Malformed> {
        if self.in_list { Err(Malformed) } else { Ok(self.tokens) }
    }

    fn push(&mut self, token: Token) -> Result<(), Malformed> {
        if self.tokens.len() >= ARGUMENT_LIMIT {
            return Err(Malformed);
        }
        self.tokens.push(token);
        self.separated = false;
        Ok(())
    }
}

/// A literal announced at the end of a line (RFC 3501 §4.3, RFC 7888 §3).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    /// Bytes that follow; a number past all counting is the largest there is.
    pub(super) size: usize,
    /// The other side waits to be asked for them.
    pub(super) synchronising: bool,
}

/// Splits a line from the literal that it announces.
pub(super) fn announced_literal(line: &[u8]) -> (&[u8], Option<Announcement>) {
    let Some(inside) = line.strip_suffix(b"}") else { return (line, None) };
    let (inside, synchronising) = match inside.strip_suffix(b"+") {
        Some(inside) => (inside, false),
        None => (inside, true),
    };
    let Some(digits) = inside.iter().rev().position(|byte| !byte.is_ascii_digit()) else {
        return (line, None);
    };
    let Some((before, number)) = inside.split_at_checked(inside.len() - digits) else { return (line, None) };
    let Some(text) = before.strip_suffix(b"{") else { return (line, None) };
    if number.is_empty() {
        return (line, None);
    }
    let size = number
        .iter()
        .fold(0_usize, |size, digit| size.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    (text, Some(Announcement { size, synchronising }))
}

/// The first word of a line, and what follows the blank after it.
pub(super) fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end).unwrap_or((line, b""));
    (word, rest.get(1..).unwrap_or_default())
}

/// Whether a tag is one that we can repeat: ASTRING-CHAR without `+` (RFC 3501 §9).
pub(super) fn is_tag(tag: &[u8]) -> bool {
    (1..=super::TAG_LIMIT).contains(&tag.len())
        && tag.iter().all(|byte| is_atom_byte(*byte) && !b"%*\\]+".contains(byte))
}

/// Writes a quoted string. The text must be [`quotable`].
pub(super) fn push_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Whether every reader of quoted strings will read this one alike; else it is to be a literal.
pub(super) fn quotable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Writes text for people. It cannot end the line that it stands in, whoever wrote it.
pub(super) fn push_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().map(|byte| if breaks_lines(*byte) { b' ' } else { *byte }));
}

/// CR, LF and NUL: what no string before the end of login may hold.
pub(super) fn breaks_lines(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b'\0')
}

/// The value of a quoted string whose opening quote has been read, and what follows it. Bytes past
/// ASCII are let through: clients send UTF-8 user names this way, RFC 3501 or not.
fn quoted(text: &[u8]) -> Option<(Zeroizing<Vec<u8>>, &[u8])> {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    let (raw, rest) = text.split_at_checked(end)?;
    let mut value = Zeroizing::new(Vec::with_capacity(raw.len()));
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        value.push(if *byte == b'\\' { *bytes.next()? } else { *byte });
    }
    Some((value, rest.get(1..)?))
}

/// What may stand in an unquoted argument. Wider than RFC 3501's ASTRING-CHAR by `%`, `*` and `\`, which
/// people type in passwords and Dovecot takes.
fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){\"".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<String>, Malformed> {
        let mut arguments = Arguments::new();
        arguments.text(text, false)?;
        Ok(arguments.finish()?.iter().map(shown).collect())
    }

    fn shown(token: &Token) -> String {
        match token {
            Token::Open => "(".into(),
            Token::Close => ")".into(),
            Token::Atom(value) => format!("{}", value.escape_ascii()),
            Token::String(value) => format!("\"{}\"", value.escape_ascii()),
        }
    }

    #[test]
    fn arguments_are_atoms_strings_and_lists() {
        assert_eq!(read(b"").unwrap(), [""; 0]);
        assert_eq!(read(b" a  b ").unwrap(), ["a", "b"]);
        assert_eq!(read(br#"a%*\]}[ "" "x\"y\\z\n""#).unwrap(), [r"a%*\\]}[", "\"\"", r#""x\"y\\zn""#]);
        assert_eq!(read(b"(\"k\" NIL ) ()").unwrap(), ["(", "\"k\"", "NIL", ")", "(", ")"]);
        assert_eq!(read("\"ü\tx\"".as_bytes()).unwrap(), [r#""\xc3\xbc\tx""#]);
    }

    #[test]
    fn everything_else_is_malformed() {
        let cases: [&[u8]; 20] = [
            b"\"",
            b"\"a",
            b"\"a\\\"",
            b"\"a\\",
            b"\"a\"b",
            b"\"a\"\"b\"",
            b"a\"b",
            b"a(b",
            b"(a",
            b"a)",
            b"((a))",
            b"(a (b))",
            b"(a)b",
            b"a{b",
            b"{}",
            b"\x01",
            b"a\x7f",
            b"\xe9",
            b"a\rb",
            b"\"a\0b\"",
        ];
        for case in cases {
            assert_eq!(read(case), Err(Malformed), "{}", case.escape_ascii());
        }
    }

    #[test]
    fn arguments_are_counted() {
        assert_eq!(read(&b"a ".repeat(ARGUMENT_LIMIT)).unwrap().len(), ARGUMENT_LIMIT);
        assert_eq!(read(&b"a ".repeat(ARGUMENT_LIMIT + 1)), Err(Malformed));
    }

    #[test]
    fn a_literal_stands_where_a_string_may() {
        let mut arguments = Arguments::new();
        arguments.text(b"(", true).unwrap();
        arguments.literal(b"a\r\n".to_vec()).unwrap();
        arguments.text(b" b)", false).unwrap();
        let tokens = arguments.finish().unwrap();
        assert_eq!(tokens.iter().map(shown).collect::<Vec<_>>(), ["(", r#""a\r\n""#, "b", ")"]);

        assert_eq!(Arguments::new().text(b"a", true), Err(Malformed));
        let mut arguments = Arguments::new();
        arguments.literal(b"a".to_vec()).unwrap();
        assert_eq!(arguments.text(b"junk", false), Err(Malformed));
    }

    #[test]
    fn a_literal_is_announced_at_the_end_of_a_line() {
        let literal = |size, synchronising| Some(Announcement { size, synchronising });
        let cases: [(&[u8], &[u8], Option<Announcement>); 11] = [
            (b"{5}", b"", literal(5, true)),
            (b"a {0}", b"a ", literal(0, true)),
            (b"a {007+}", b"a ", literal(7, false)),
            (b"a {99999999999999999999999999}", b"a ", literal(usize::MAX, true)),
            (b"a {}", b"a {}", None),
            (b"a {+}", b"a {+}", None),
            (b"a {5x}", b"a {5x}", None),
            (b"a {5++}", b"a {5++}", None),
            (b"a 5}", b"a 5}", None),
            (b"5}", b"5}", None),
            (b"a {5} ", b"a {5} ", None),
        ];
        for (line, text, expected) in cases {
            assert_eq!(announced_literal(line), (text, expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_tag_is_what_we_can_repeat() {
        assert!(is_tag(b"a1}~!@#$^&-_=|:;'<>,./?`["));
        assert!(is_tag(&[b'x'; 127]) && !is_tag(&[b'x'; 128]) && !is_tag(b""));
        for byte in b"+*%\"\\(){]\t\x01\x7f\xe9\0 " {
            assert!(!is_tag(&[b'a', *byte]), "{}", byte.escape_ascii());
        }
    }

    /// Every string that may be quoted is read as it was written.
    #[test]
    fn what_is_quoted_is_read_back() {
        let text: Vec<u8> = (b' '..=b'~').collect();
        assert!(quotable(&text));
        let mut written = Vec::new();
        push_quoted(&text, &mut written);
        let mut arguments = Arguments::new();
        arguments.text(&written, false).unwrap();
        assert_eq!(arguments.finish().unwrap()[0].string(), Some(&text[..]));
        for byte in (0..=0x1f).chain(0x7f..=0xff) {
            assert!(!quotable(&[byte]));
        }
    }
}
