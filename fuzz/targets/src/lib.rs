//! Every parser as a function of bytes that panics when the parser breaks its word.
//!
//! The fuzzer runs one of them on what it makes up; this crate's test runs all of them on their corpora
//! and on mutations of those, so that they count without a fuzzing toolchain.
#![deny(unsafe_code)]

mod back;
mod bytes;
mod configuration;
mod credentials;
mod fields;
mod front;
mod haproxy;
mod login;
pub mod meter;
mod names;
mod passwd_file;
mod script;
mod socket;

/// A parser under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Runs it on one input. Panics when the input shows a fault.
    pub run: fn(&[u8]),
    /// Runs may take long: passwords are hashed slowly on purpose.
    pub slow: bool,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("allow-nets", names::networks),
    target("args", configuration::arguments),
    target("base64", bytes::base64),
    target("config", configuration::configuration),
    target("cutter", bytes::cutter),
    target("delay-until", names::delay),
    target("fields", fields::fields),
    target("haproxy", haproxy::header),
    target("imap-back", back::imap),
    target("imap-front", front::imap),
    target("login", login::login),
    target("mechanism", credentials::mechanism),
    target("passwd-file", passwd_file::table),
    target("pop3-back", back::pop3),
    target("pop3-front", front::pop3),
    Target { slow: true, ..target("scheme", credentials::stored) },
    target("socket-asker", socket::asker),
    target("socket-line", socket::tab_line),
    target("socket-server", socket::server),
    target("sql-file", configuration::sql_file),
    target("template", names::template),
    target("username", names::username),
    target("value", configuration::values),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, slow: false }
}

/// Finds a target by its name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
