//! `%` variables with their modifiers.

use std::borrow::Cow;

/// Where a template's variables come from.
pub trait Variables {
    /// Value of a variable by its long name (short ones are mapped first; `%!` is `passdb_id`,
    /// `%w` is `password`, `%p` is `pid`). `None`: no such variable.
    fn variable(&self, name: &str) -> Option<Cow<'_, str>>;
    /// Value of `%{provider:name}`. `None`: no such provider; `Some(None)`: the field is absent.
    fn field(&self, provider: &str, name: &str) -> Option<Option<Cow<'_, str>>>;
}
