//! What is wrong with a configuration, each problem with its place and a hint.

use std::fmt;

use crate::value::Place;

/// One thing an administrator should know about their configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the configuration from being used.
    pub severity: Severity,
    /// Where it is; `None`: nowhere in particular (a setting that is missing).
    pub place: Option<Place>,
    /// The thing and what is wrong with it, with the offending text.
    pub text: String,
    /// The next step, such as the nearest known name; without parentheses.
    pub hint: Option<String>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth saying; the configuration works.
    Warning,
    /// The configuration cannot be used.
    Error,
}

impl Problem {
    /// An error at a place.
    pub fn error(place: &Place, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place: Some(place.clone()), text: text.into(), hint: None }
    }

    /// A warning at a place.
    pub fn warning(place: &Place, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, text) }
    }

    /// The same with a next step.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// `{:#}` leaves out how bad it is, for where that is said already.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:{}: ", place.file.display(), place.line)?;
        }
        if self.severity == Severity::Warning && !f.alternate() {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.text)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
