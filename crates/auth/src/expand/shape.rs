//! What is done to a variable's value before it is used: modifiers, then offset and width.

use std::borrow::Cow;
use std::fmt::Write;

use md5::{Digest, Md5};

/// Offset, width and modifiers, as written between `%` and the variable.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// Bytes left out at the start; negative: counted from the end.
    offset: i64,
    /// Bytes kept, 0 for all; negative: left out at the end.
    width: i64,
    /// The width pads with zeros instead of cutting.
    zero: bool,
    modifiers: Vec<Modifier>,
}

impl Shape {
    /// Reads what stands before a variable's name, and returns what follows it.
    pub(super) fn parse(text: &str) -> (Self, &str) {
        let mut shape = Self::default();
        let (negative, rest) = strip(text, '-');
        let (zero, rest) = strip(rest, '0');
        let (first, rest) = number(rest);
        let mut rest = rest;
        if let Some(after) = rest.strip_prefix('.') {
            shape.offset = if negative { -first } else { first };
            let (zero, after) = strip(after, '0');
            let (negative, after) = strip(after, '-');
            let (second, after) = number(after);
            shape.zero = zero;
            shape.width = if negative { -second } else { second };
            rest = after;
        } else {
            shape.zero = zero;
            shape.width = first;
        }
        while shape.modifiers.len() < MODIFIERS {
            let Some((modifier, after)) = Modifier::parse(rest) else { break };
            shape.modifiers.push(modifier);
            rest = after;
        }
        (shape, rest)
    }

    /// Whether the value is used as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.offset == 0 && self.width == 0 && self.modifiers.is_empty()
    }

    /// Why this shape cannot be served: it asks for more zeros than any use has.
    pub(super) fn fault(&self) -> Option<String> {
        let hashes = self.modifiers.iter().any(|modifier| modifier.is_hash());
        let zeros = if hashes {
            self.offset
        } else if self.zero {
            self.width
        } else {
            0
        };
        (zeros > ZEROS).then(|| format!("Zero padding to {zeros} characters is too wide (at most {ZEROS})"))
    }

    /// The value after modifiers, offset and width.
    pub(super) fn apply<'v>(&self, value: Cow<'v, str>) -> Cow<'v, str> {
        if self.is_plain() {
            return value;
        }
        let (mut value, mut offset, mut width) = (value, self.offset, self.width);
        for modifier in &self.modifiers {
            value = Cow::Owned(match modifier {
                Modifier::Lower => value.to_ascii_lowercase(),
                Modifier::Upper => value.to_ascii_uppercase(),
                Modifier::Escape => escaped(&value),
                Modifier::Hex => format!("{:x}", decimal(&value)),
                Modifier::Reverse => value.chars().rev().collect(),
                Modifier::Md5 => hex(&Md5::digest(value.as_bytes())),
                Modifier::LdapDn => value.replace('.', ",dc="),
                Modifier::Trim => value.trim_end_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']).to_owned(),
                // A hash takes the width as its modulus and the offset as its number of digits.
                Modifier::Hash => hash_digits(string_hash(&value), &mut offset, &mut width),
                Modifier::NewHash => hash_digits(md5_hash(&value), &mut offset, &mut width),
            });
        }
        let kept = window(&value, offset, width, self.zero);
        let wanted = usize::try_from(width).unwrap_or_default();
        if self.zero && kept.len() < wanted {
            return Cow::Owned(format!("{}{kept}", "0".repeat(wanted - kept.len())));
        }
        if kept.len() == value.len() { value } else { Cow::Owned(kept.to_owned()) }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Modifier {
    Lower,
    Upper,
    Escape,
    Hex,
    Reverse,
    Md5,
    LdapDn,
    Trim,
    Hash,
    NewHash,
}

impl Modifier {
    fn parse(text: &str) -> Option<(Self, &str)> {
        MODIFIER_LETTERS
            .iter()
            .find_map(|(letter, modifier)| text.strip_prefix(*letter).map(|rest| (*modifier, rest)))
    }

    fn is_hash(self) -> bool {
        matches!(self, Self::Hash | Self::NewHash)
    }
}

const MODIFIER_LETTERS: &[(char, Modifier)] = &[
    ('L', Modifier::Lower),
    ('U', Modifier::Upper),
    ('E', Modifier::Escape),
    ('X', Modifier::Hex),
    ('R', Modifier::Reverse),
    ('M', Modifier::Md5),
    ('D', Modifier::LdapDn),
    ('T', Modifier::Trim),
    ('H', Modifier::Hash),
    ('N', Modifier::NewHash),
];

/// Modifiers of one variable; the letter after the last one is its name.
const MODIFIERS: usize = 10;
/// Zeros that padding may reach: no path or key needs more.
const ZEROS: i64 = 1024;

fn strip(text: &str, mark: char) -> (bool, &str) {
    text.strip_prefix(mark).map_or((false, text), |rest| (true, rest))
}

/// Digits as a number; too large a number counts as 2^32.
fn number(text: &str) -> (i64, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.get(..text.len() - rest.len()).unwrap_or_default();
    if digits.is_empty() {
        return (0, rest);
    }
    (digits.parse().unwrap_or(1 << 32).min(1 << 32), rest)
}

fn decimal(text: &str) -> u64 {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().unwrap_or(0) } else { 0 }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn hash_digits(hash: u64, offset: &mut i64, width: &mut i64) -> String {
    let hash = match u64::try_from(*width) {
        Ok(modulus) if modulus > 0 => hash % modulus,
        _ => hash,
    };
    let digits = usize::try_from(*offset).unwrap_or_default();
    (*offset, *width) = (0, 0);
    // Only the low half is shown, the modulus sees all.
    format!("{:0>digits$x}", hash & 0xffff_ffff)
}

/// The ELF hash.
fn string_hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    });
    u64::from(hash)
}

/// The first eight bytes of the MD5, as a number.
fn md5_hash(text: &str) -> u64 {
    Md5::digest(text.as_bytes()).iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// The part of a value that offset and width leave, whole characters only.
fn window(value: &str, offset: i64, width: i64, zero: bool) -> &str {
    let size = |number: i64| usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
    let mut start = match offset {
        ..0 if value.len() > size(offset) => value.len() - size(offset),
        ..0 => 0,
        _ => size(offset).min(value.len()),
    };
    while !value.is_char_boundary(start) {
        start += 1;
    }
    let rest = value.get(start..).unwrap_or_default();
    let mut end = match width {
        _ if zero => rest.len(),
        0 => rest.len(),
        ..0 => rest.len().checked_sub(size(width)).unwrap_or(rest.len()),
        _ => size(width).min(rest.len()),
    };
    while !rest.is_char_boundary(end) {
        end -= 1;
    }
    rest.get(..end).unwrap_or_default()
}
