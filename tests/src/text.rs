//! `${…}` in scenario texts, and comparing a line with what was expected. Knows names, functions, wildcards and
//! captures; leaves connections to others.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;

use crate::sasl;

/// What `${name}` stands for.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<String, Vec<u8>>);

impl Names {
    /// Sets or replaces a name.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Replaces every `${…}` of `text`.
    pub fn expand(&self, text: &str) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        for part in split(text)? {
            match part {
                Part::Plain(plain) => out.extend_from_slice(plain.as_bytes()),
                Part::Braces(inner) => out.extend(self.value(inner)?),
            }
        }
        Ok(out)
    }

    /// Whether `line` is what `expected` describes; captures are kept when it is.
    pub fn matches(&mut self, expected: &str, line: &[u8]) -> Result<bool, String> {
        let pieces = self.pieces(expected)?;
        let mut captures = Vec::new();
        let fits = fit(&pieces, line, &mut captures);
        if fits {
            for (name, value) in captures {
                self.set(&name, value);
            }
        }
        Ok(fits)
    }

    fn pieces(&self, expected: &str) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::new();
        for part in split(expected)? {
            match part {
                Part::Plain(plain) => {
                    for (index, literal) in plain.split('…').enumerate() {
                        if index > 0 {
                            pieces.push(Piece::Any(None));
                        }
                        pieces.push(Piece::Literal(literal.as_bytes().to_vec()));
                    }
                }
                Part::Braces(name) if is_identifier(name) && self.builtin(name).is_none() => {
                    pieces.push(match self.0.get(name) {
                        Some(value) => Piece::Literal(value.clone()),
                        None => Piece::Any(Some(name.to_owned())),
                    });
                }
                Part::Braces(inner) => pieces.push(Piece::Literal(self.value(inner)?)),
            }
        }
        Ok(pieces)
    }

    fn value(&self, inner: &str) -> Result<Vec<u8>, String> {
        if let Some(value) = self.0.get(inner) {
            return Ok(value.clone());
        }
        if let Some(value) = self.builtin(inner) {
            return Ok(value);
        }
        let (function, argument) = inner.split_once(':').ok_or(format!("unknown name ${{{inner}}}"))?;
        let argument = self.expand(argument)?;
        match function {
            "base64" => Ok(BASE64.encode(&unescape(&argument)).into_bytes()),
            "cram-md5" => sasl::cram_md5(&argument),
            "apop" => sasl::apop(&argument),
            _ => Err(format!("unknown name ${{{inner}}}")),
        }
    }

    /// `${tab}`, `${x1f}`, `${now+5}`, `${a*300}`
    fn builtin(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            "tab" => return Some(b"\t".to_vec()),
            "sp" => return Some(b" ".to_vec()),
            "now" => return Some(now().to_string().into_bytes()),
            _ => {}
        }
        if let Some(digits) = name.strip_prefix('x').filter(|digits| digits.len() == 2) {
            return Some(vec![u8::from_str_radix(digits, 16).ok()?]);
        }
        if let Some(offset) = name.strip_prefix("now") {
            return Some(now().checked_add_signed(offset.parse().ok()?)?.to_string().into_bytes());
        }
        let (text, count) = name.split_once('*')?;
        Some(text.repeat(count.parse().ok()?).into_bytes())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Names of `${port:NAME}` in `text`.
pub fn ports(text: &str) -> impl Iterator<Item = &str> {
    text.split("${port:").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

enum Part<'a> {
    Plain(&'a str),
    Braces(&'a str),
}

fn split(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        parts.push(Part::Plain(&rest[..start]));
        let inner = &rest[start + 2..];
        let mut depth = 1;
        let end = inner
            .char_indices()
            .find(|&(_, c)| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth == 0
            })
            .map(|(at, _)| at)
            .ok_or(format!("no closing brace: {text}"))?;
        parts.push(Part::Braces(&inner[..end]));
        rest = &inner[end + 1..];
    }
    parts.push(Part::Plain(rest));
    Ok(parts)
}

/// `\0`, `\t`, `\r`, `\n`, `\\` and `\xHH` inside functions.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = if byte == b'\\' { after.split_first() } else { None };
        let Some((&letter, after)) = escaped else {
            out.push(byte);
            continue;
        };
        rest = after;
        match letter {
            b'0' => out.push(0),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b'x' if after.len() >= 2 => {
                let digits = String::from_utf8_lossy(&after[..2]).into_owned();
                out.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
                rest = &after[2..];
            }
            other => out.push(other),
        }
    }
    out
}

enum Piece {
    Literal(Vec<u8>),
    /// Any bytes, kept under a name when there is one.
    Any(Option<String>),
}

/// Shortest fit first; expectations are short, so going back is cheap.
fn fit(pieces: &[Piece], line: &[u8], captures: &mut Vec<(String, Vec<u8>)>) -> bool {
    let Some((piece, others)) = pieces.split_first() else {
        return line.is_empty();
    };
    match piece {
        Piece::Literal(literal) => {
            line.strip_prefix(literal.as_slice()).is_some_and(|rest| fit(others, rest, captures))
        }
        Piece::Any(name) => (0..=line.len()).any(|length| {
            let depth = captures.len();
            if let Some(name) = name {
                captures.push((name.clone(), line[..length].to_vec()));
            }
            let fits = fit(others, &line[length..], captures);
            if !fits {
                captures.truncate(depth);
            }
            fits
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_nest_and_escape() {
        let mut names = Names::default();
        names.set("pw", "s\\x}");
        assert_eq!(names.expand("a ${base64:\\0bob\\0${tab}x} b").unwrap(), b"a AGJvYgAJeA== b");
        assert!(names.expand("${nosuch}").is_err());
        assert_eq!(names.expand("${ab*3}").unwrap(), b"ababab");
    }

    #[test]
    fn wildcards_and_captures() {
        let mut names = Names::default();
        assert!(names.matches("+ ${challenge}", b"+ abc").unwrap());
        assert!(names.matches("x…${challenge}", b"x 123abc").unwrap());
        assert!(!names.matches("x…${challenge}", b"x 123ab").unwrap());
        assert!(names.matches("* OK …", b"* OK ").unwrap());
        assert!(!names.matches("* OK", b"* OK ").unwrap());
    }
}
