//! `%` variables: a text is parsed once into a template and expanded often, in a single pass;
//! a value is never read for variables again. Knows how variables are written, modified, hashed and
//! compared; where their values come from is the business of whoever implements [`Variables`].

mod condition;
mod digest;
mod names;
mod parse;
mod shape;

use std::borrow::Cow;
use std::fmt;

pub use condition::wildcard_matches;

use condition::Condition;
use digest::Digest;
use shape::Shape;

/// Where a template's variables come from.
pub trait Variables {
    /// Value of a variable by its long name (short ones are mapped first; `%!` is `passdb_id`,
    /// `%w` is `password`, `%p` is `pid`). `None`: no such variable.
    fn variable(&self, name: &str) -> Option<Cow<'_, str>>;
    /// Value of `%{provider:name}`. `None`: no such provider; `Some(None)`: the field is absent.
    fn field(&self, provider: &str, name: &str) -> Option<Option<Cow<'_, str>>>;
}

/// A text with `%` variables, read once.
///
/// Widths and offsets count bytes; a character that a cut would split is left out. Zero padding and the
/// digits of a hash stop at 1024 characters, digests at 100000 rounds, nesting at 16 levels.
#[derive(Clone, Debug, Default)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
    names: Vec<String>,
}

/// Why a template has no value. Displays as the text for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// There is no such variable.
    Unknown(String),
    /// A digest or condition is written wrongly, or compares what cannot be compared.
    Invalid(String),
}

impl Template {
    /// Reads a text. Never fails: a fault in it is reported by [`Template::faults`], and fails every expansion.
    pub fn parse(text: &str) -> Self {
        Self::nested(text, 0)
    }

    /// The template with every variable replaced by its value.
    pub fn expand(&self, variables: &dyn Variables) -> Result<String, ExpandError> {
        self.expand_with(variables, &mut |value, out| out.push_str(value))
    }

    /// As [`Template::expand`], but each variable's value, modifiers applied, goes through `escape`, which
    /// appends what is safe where the text will be used. Literal text is left as it is, the literal text
    /// of a condition's branches too, unless the condition as a whole has modifiers.
    pub fn expand_with(
        &self,
        variables: &dyn Variables,
        escape: &mut dyn FnMut(&str, &mut String),
    ) -> Result<String, ExpandError> {
        let mut out = String::with_capacity(self.text.len() + 16);
        self.write(variables, escape, &mut out)?;
        Ok(out)
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is no variable in it, so that it always expands to the same.
    pub fn is_literal(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Literal(_)))
    }

    /// The variables used anywhere in it, sorted, each once: long names, and `provider:name` for fields.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Everything that makes expansion fail, or not mean what it seems to, as far as it can be told beforehand.
    pub fn faults(&self) -> Vec<String> {
        self.faults_beyond(&[])
    }

    /// As [`Template::faults`], where some more variables (`$`) or providers (`ldap`) are known.
    pub fn faults_beyond(&self, also: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        self.walk(&mut |source| match source {
            Source::Named(name) if !names::is_known(name) && !also.contains(&name.as_str()) => {
                faults.push(ExpandError::Unknown(name.clone()).to_string());
            }
            Source::Field { provider, .. }
                if !names::is_provider(provider) && !also.contains(&provider.as_str()) =>
            {
                faults.push(ExpandError::Unknown(provider.clone()).to_string());
            }
            Source::Digest(digest) => faults.extend(digest.ignored()),
            Source::Broken(error) => faults.push(error.to_string()),
            Source::Percent
            | Source::Named(_)
            | Source::Field { .. }
            | Source::Size(_)
            | Source::Condition(_) => {}
        });
        faults
    }

    fn nested(text: &str, depth: usize) -> Self {
        let mut template =
            Self { text: text.to_owned(), pieces: parse::pieces(text, depth), names: Vec::new() };
        let mut names = Vec::new();
        template.walk(&mut |source| match source {
            Source::Named(name) => names.push(name.clone()),
            Source::Field { provider, name, .. } => names.push(format!("{provider}:{name}")),
            _ => {}
        });
        names.sort_unstable();
        names.dedup();
        template.names = names;
        template
    }

    fn write(
        &self,
        variables: &dyn Variables,
        escape: &mut dyn FnMut(&str, &mut String),
        out: &mut String,
    ) -> Result<(), ExpandError> {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Variable(Variable { shape, source: Source::Condition(condition) })
                    if shape.is_plain() =>
                {
                    condition.chosen(variables)?.write(variables, escape, out)?;
                }
                Piece::Variable(Variable { shape, source }) => {
                    escape(&shape.apply(source.value(variables)?), out);
                }
            }
        }
        Ok(())
    }

    fn walk<'t>(&'t self, visit: &mut dyn FnMut(&'t Source)) {
        for piece in &self.pieces {
            if let Piece::Variable(variable) = piece {
                variable.source.walk(visit);
            }
        }
    }
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "Unknown variable '%{name}'"),
            Self::Invalid(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ExpandError {}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Variable(Variable),
}

#[derive(Clone, Debug)]
struct Variable {
    shape: Shape,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// `%%`.
    Percent,
    Named(String),
    Field {
        provider: String,
        name: String,
        default: String,
    },
    Size(Box<Source>),
    Digest(Box<Digest>),
    Condition(Box<Condition>),
    Broken(ExpandError),
}

impl Source {
    fn value<'v>(&'v self, variables: &'v dyn Variables) -> Result<Cow<'v, str>, ExpandError> {
        match self {
            Self::Percent => Ok(Cow::Borrowed("%")),
            // A provider without a field name is an absent field.
            Self::Named(name) => variables
                .variable(name)
                .or_else(|| variables.field(name, "").map(Option::unwrap_or_default))
                .ok_or_else(|| ExpandError::Unknown(name.clone())),
            Self::Field { provider, name, default } => variables
                .field(provider, name)
                .map(|value| value.unwrap_or(Cow::Borrowed(default)))
                .ok_or_else(|| ExpandError::Unknown(provider.clone())),
            Self::Size(source) => Ok(Cow::Owned(format!("{:016x}", source.value(variables)?.len()))),
            Self::Digest(digest) => digest.value(variables).map(Cow::Owned),
            Self::Condition(condition) => condition.chosen(variables)?.expand(variables).map(Cow::Owned),
            Self::Broken(error) => Err(error.clone()),
        }
    }

    fn walk<'t>(&'t self, visit: &mut dyn FnMut(&'t Source)) {
        visit(self);
        match self {
            Self::Size(source) => source.walk(visit),
            Self::Digest(digest) => digest.walk(visit),
            Self::Condition(condition) => condition.walk(visit),
            Self::Percent | Self::Named(_) | Self::Field { .. } | Self::Broken(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
