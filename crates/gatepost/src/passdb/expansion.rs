//! The fields of one record on their way from templates to values. `%{passdb:…}` and `%{userdb:…}` see the
//! fields before them in the same record; the user's name stays as it was asked for.

use std::borrow::Cow;

use auth::expand::{Template, Variables};
use auth::fields::Suffix;
use auth::request::Request;

/// Fields of a record that have their values already, and the request they are for.
pub(crate) struct Expansion<'r> {
    request: &'r Request<'r>,
    /// The provider that these fields belong to: `passdb` or `userdb`.
    own: &'static str,
    fields: Vec<(String, String)>,
}

impl<'r> Expansion<'r> {
    /// No field yet. Of `own` = `passdb` those named `userdb_…` belong to `userdb`.
    pub(crate) fn new(request: &'r Request<'r>, own: &'static str) -> Self {
        Self { request, own, fields: Vec::new() }
    }

    /// Adds a field with its value for this request.
    pub(crate) fn add(&mut self, name: &str, value: &Template) -> Result<(), String> {
        let value = value.expand(self).map_err(|fault| format!("field {name:?}: {fault}"))?;
        self.add_value(name, value);
        Ok(())
    }

    /// Adds a field whose value has no variables.
    pub(crate) fn add_value(&mut self, name: &str, value: String) {
        self.fields.push((name.to_owned(), value));
    }

    /// The fields in order, suffixes still on the names.
    pub(crate) fn finish(self) -> Vec<(String, String)> {
        self.fields
    }
}

impl Variables for Expansion<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self.request.variable(name)
    }

    fn field(&self, provider: &str, name: &str) -> Option<Option<Cow<'_, str>>> {
        let mut value = self.request.field(provider, name)?;
        let wanted = match provider {
            _ if provider == self.own => Cow::Borrowed(name),
            "userdb" => Cow::Owned(format!("userdb_{name}")),
            _ => return Some(value),
        };
        if matches!(&*wanted, "password" | "password_noscheme") {
            return Some(value);
        }
        for (name, own) in &self.fields {
            match Suffix::split(name) {
                (name, Suffix::None) if name == wanted => value = Some(Cow::Borrowed(own)),
                (name, Suffix::Protected) if name == wanted && value.is_none() => {
                    value = Some(Cow::Borrowed(own));
                }
                (name, Suffix::Remove) if name == wanted => value = None,
                _ => {}
            }
        }
        Some(value)
    }
}
