//! From text to pieces.
//!
//! ```text
//! variable = "%" [number "."] [number] *10(modifier) ( letter / "{" long "}" )
//! long     = name / provider ":" name [":" default] / digest [";" options] ":" long
//!          / "size:" long / "if;" left ";" operator ";" right ";" then [";" else]
//! ```

use super::condition::Condition;
use super::digest::{Algorithm, Digest};
use super::names;
use super::shape::Shape;
use super::{ExpandError, Piece, Source, Variable};

/// The pieces of a text that stands inside `depth` others. What follows a fault is not read.
pub(super) fn pieces(text: &str, depth: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        let Some((variable, tail)) = variable(after, depth) else {
            // The text ends inside a variable: it stands for nothing.
            rest = "";
            break;
        };
        rest = tail;
        if matches!(variable.source, Source::Percent) && variable.shape.is_plain() {
            literal.push('%');
            continue;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        let broken = matches!(variable.source, Source::Broken(_));
        pieces.push(Piece::Variable(variable));
        if broken {
            return pieces;
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    pieces
}

/// What stands between the braces of `%{…}`.
pub(super) fn long(key: &str, depth: usize) -> Source {
    if depth > DEPTH {
        return Source::Broken(ExpandError::Invalid(format!(
            "Variables are nested too deeply (at most {DEPTH} levels)"
        )));
    }
    if let Some(parameters) = key.strip_prefix("if")
        && (parameters.is_empty() || parameters.starts_with([';', ':']))
    {
        return match Condition::parse(parameters, depth + 1) {
            Ok(condition) => Source::Condition(Box::new(condition)),
            Err(error) => Source::Broken(error),
        };
    }
    let (head, field) = split_outside(key, ':');
    let (function, options) = head.split_once(';').unwrap_or((head, ""));
    if function == "size" {
        return match long(field.unwrap_or_default(), depth + 1) {
            broken @ Source::Broken(_) => broken,
            source => Source::Size(Box::new(source)),
        };
    }
    if let Some(algorithm) = Algorithm::named(function) {
        return match Digest::parse(algorithm, options, field.unwrap_or_default(), depth + 1) {
            Ok(digest) => Source::Digest(Box::new(digest)),
            Err(error) => Source::Broken(error),
        };
    }
    match field {
        None => Source::Named(key.to_owned()),
        Some(field) => {
            let (name, default) = field.split_once(':').unwrap_or((field, ""));
            Source::Field { provider: head.to_owned(), name: name.to_owned(), default: default.to_owned() }
        }
    }
}

/// Cuts at the first `mark` that stands outside nested `%{…}` and is not escaped with a backslash.
pub(super) fn split_outside(text: &str, mark: char) -> (&str, Option<&str>) {
    let mut nested = 0_usize;
    let mut before = ' ';
    for (at, now) in text.char_indices() {
        let escaped = before == '\\';
        match now {
            _ if escaped => {}
            '{' if nested > 0 || before == '%' => nested += 1,
            '}' => nested = nested.saturating_sub(1),
            _ if now == mark && nested == 0 => {
                return (
                    text.get(..at).unwrap_or_default(),
                    Some(text.get(at + now.len_utf8()..).unwrap_or_default()),
                );
            }
            _ => {}
        }
        before = if escaped { ' ' } else { now };
    }
    (text, None)
}

/// How deep conditions, digests and salts may stand in each other.
const DEPTH: usize = 16;

/// The variable at the start of a text (its `%` taken off), and what follows it.
fn variable(text: &str, depth: usize) -> Option<(Variable, &str)> {
    let (shape, rest) = Shape::parse(text);
    let letter = rest.chars().next()?;
    let tail = rest.get(letter.len_utf8()..).unwrap_or_default();
    let (source, tail) = match letter {
        '%' => (Source::Percent, tail),
        '{' => match braced(tail) {
            Some((key, tail)) => (long(key, depth), tail),
            None => (Source::Broken(ExpandError::Unknown("{".to_owned())), tail),
        },
        letter => (Source::Named(names::long(letter)), tail),
    };
    let source = match shape.fault() {
        Some(fault) => Source::Broken(ExpandError::Invalid(fault)),
        None => source,
    };
    Some((Variable { shape, source }, tail))
}

/// Cuts after the brace that closes an already opened one. Braces inside are counted; when they do not
/// match, the whole rest belongs to the variable.
fn braced(text: &str) -> Option<(&str, &str)> {
    if !text.contains('}') {
        return None;
    }
    let mut open = 1_usize;
    let mut escaped = false;
    for (at, now) in text.bytes().enumerate() {
        match now {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => open += 1,
            b'}' if open == 1 => return Some((text.get(..at)?, text.get(at + 1..)?)),
            b'}' => open -= 1,
            _ => {}
        }
    }
    Some((text, ""))
}
