//! `%{if;LEFT;OPERATOR;RIGHT;THEN;ELSE}`.

use regex_lite::{Regex, RegexBuilder};

use super::{ExpandError, Source, Template, Variables, parse};

/// A condition as written.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    left: Template,
    operator: Template,
    right: Template,
    yes: Template,
    no: Template,
    /// The right side compiled, when it is a regular expression without variables.
    pattern: Option<Regex>,
}

impl Condition {
    /// Reads the parameters, which begin with a semicolon. A colon outside nested variables ends them.
    pub(super) fn parse(text: &str, depth: usize) -> Result<Self, ExpandError> {
        let (text, _) = parse::split_outside(text, ':');
        let Some(text) = text.strip_prefix(';') else {
            return Err(fault("missing parameter(s)"));
        };
        let mut parameters = Vec::new();
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (parameter, after) = parse::split_outside(text, ';');
            rest = after;
            if rest.is_some() || !parameter.is_empty() {
                // A backslash only keeps the next character from ending a parameter; there is no way to
                // write one.
                parameters.push(Template::nested(&parameter.replace('\\', ""), depth));
            }
        }
        let count = parameters.len();
        let mut parameters = parameters.into_iter();
        let (4..=5, Some(left), Some(operator), Some(right), Some(yes)) =
            (count, parameters.next(), parameters.next(), parameters.next(), parameters.next())
        else {
            return Err(fault(&format!("requires four or five parameters, got {count}")));
        };
        let no = parameters.next().unwrap_or_default();
        let mut condition = Self { left, operator, right, yes, no, pattern: None };
        if condition.right.is_literal() && matches!(condition.operator.text(), "~" | "!~") {
            condition.pattern = compile(condition.right.text()).ok();
        }
        Ok(condition)
    }

    /// The branch that holds. The other one is expanded too, so that a fault in it does not wait for the
    /// one login in a thousand that meets it.
    pub(super) fn chosen(&self, variables: &dyn Variables) -> Result<&Template, ExpandError> {
        let (chosen, other) =
            if self.holds(variables)? { (&self.yes, &self.no) } else { (&self.no, &self.yes) };
        if !other.is_literal() {
            other.expand(variables)?;
        }
        Ok(chosen)
    }

    pub(super) fn walk<'t>(&'t self, visit: &mut dyn FnMut(&'t Source)) {
        for template in [&self.left, &self.operator, &self.right, &self.yes, &self.no] {
            template.walk(visit);
        }
    }

    fn holds(&self, variables: &dyn Variables) -> Result<bool, ExpandError> {
        let left = self.left.expand(variables)?;
        let operator = self.operator.expand(variables)?;
        let right = self.right.expand(variables)?;
        let numbers = || Ok((number(&left, "lhs")?, number(&right, "rhs")?));
        let matches = || match &self.pattern {
            Some(pattern) => Ok(pattern.is_match(&left)),
            None => compile(&right).map(|pattern| pattern.is_match(&left)),
        };
        Ok(match operator.as_str() {
            "==" => numbers().map(|(left, right)| left == right)?,
            "!=" => numbers().map(|(left, right)| left != right)?,
            "<" => numbers().map(|(left, right)| left < right)?,
            "<=" => numbers().map(|(left, right)| left <= right)?,
            ">" => numbers().map(|(left, right)| left > right)?,
            ">=" => numbers().map(|(left, right)| left >= right)?,
            "eq" => left == right,
            "ne" => left != right,
            "lt" => left < right,
            "le" => left <= right,
            "gt" => left > right,
            "ge" => left >= right,
            "*" => wildcard_matches(&right, &left),
            "!*" => !wildcard_matches(&right, &left),
            "~" => matches()?,
            "!~" => !matches()?,
            _ => return Err(fault(&format!("Unsupported comparator '{operator}'"))),
        })
    }
}

/// Whether all of a text matches a pattern where `*` stands for any bytes and `?` for any one byte.
/// Case matters.
pub fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // After the last `*`: the pattern behind it, and the text it has not swallowed yet.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => {
                again = Some((rest, text));
                pattern = rest;
            }
            ([b'?', rest @ ..], [_, after @ ..]) => (pattern, text) = (rest, after),
            ([wanted, rest @ ..], [found, after @ ..]) if wanted == found => (pattern, text) = (rest, after),
            ([], []) => return true,
            _ => match again {
                Some((rest, [_, after @ ..])) => {
                    again = Some((rest, after));
                    (pattern, text) = (rest, after);
                }
                _ => return false,
            },
        }
    }
}

/// Bytes that a compiled regular expression may take.
const PATTERN_SIZE: usize = 64 * 1024;

fn fault(text: &str) -> ExpandError {
    ExpandError::Invalid(format!("if: {text}"))
}

fn number(text: &str, side: &str) -> Result<i64, ExpandError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| fault(&format!("{text} ({side}) is not a number")))
}

fn compile(pattern: &str) -> Result<Regex, ExpandError> {
    RegexBuilder::new(&from_posix(pattern))
        .dot_matches_new_line(true)
        .size_limit(PATTERN_SIZE)
        .build()
        .map_err(|error| fault(&format!("regex failed: {error}")))
}

/// A POSIX extended expression in the syntax of our engine, which differs inside brackets: in POSIX an
/// opening bracket, a backslash and the signs of set operations are ordinary there.
fn from_posix(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        if c == '\\' {
            out.extend(rest.next());
        }
        if c != '[' {
            continue;
        }
        out.extend(rest.next_if_eq(&'^'));
        if rest.next_if_eq(&']').is_some() {
            out.push_str("\\]");
        }
        while let Some(c) = rest.next() {
            match c {
                ']' => {
                    out.push(c);
                    break;
                }
                '[' if rest.peek() == Some(&':') => {
                    out.push(c);
                    // Up to the `]` of `:]`.
                    for c in rest.by_ref() {
                        out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                }
                '[' | '\\' | '&' | '~' => out.extend(['\\', c]),
                _ => out.push(c),
            }
        }
    }
    out
}
