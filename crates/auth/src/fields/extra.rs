//! The words of `default_fields` and `override_fields`, of passdbs and userdbs alike.

use super::Suffix;
use crate::expand::Template;

/// One word: a field to set, keep or remove, with variables in its value.
pub(crate) struct Extra {
    /// Name without suffix.
    pub(crate) name: String,
    /// What the suffix asks for.
    pub(crate) suffix: Suffix,
    /// The value as written.
    pub(crate) value: Template,
}

impl Extra {
    /// Reads blank-separated words; a word without `=` has an empty value.
    pub(crate) fn read(words: &str) -> Vec<Self> {
        let words = words.split_whitespace();
        words
            .map(|word| {
                let (name, value) = word.split_once('=').unwrap_or((word, ""));
                let (name, suffix) = Suffix::split(name);
                Self { name: name.to_owned(), suffix, value: Template::parse(value) }
            })
            .collect()
    }
}
