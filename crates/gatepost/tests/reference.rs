//! The reference pages in `docs` are made from the tables, and say what those say.

use std::path::Path;

/// Rewrites the pages.
const UPDATE: &str = "UPDATE_REFERENCE=1 cargo test -p gatepost --test reference";

fn holds(page: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, made).unwrap_or_else(|error| panic!("docs/{page}: {error}"));
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let line = committed.lines().zip(made.lines()).position(|(old, new)| old != new);
    let line = line.unwrap_or(committed.lines().count().min(made.lines().count())) + 1;
    assert!(committed == made, "docs/{page}:{line} is not what the tables say; rewrite it with: {UPDATE}");
}

#[test]
fn settings() {
    holds("settings.md", &config::show::reference());
}

#[test]
fn extra_fields() {
    holds("extra-fields.md", &auth::fields::known::reference());
}

#[test]
fn reasons() {
    holds("reasons.md", &auth::trace::reference());
}

#[test]
fn databases() {
    holds("databases.md", &gatepost::passdb::reference());
}

#[test]
fn schemes() {
    holds("schemes.md", &auth::scheme::reference());
}
