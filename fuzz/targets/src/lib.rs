//! Every parser as a function of bytes that panics when the parser breaks its word.
//!
//! The fuzzer runs one of them on what it makes up; this crate's test runs all of them on their corpora
//! and on mutations of those, so that they count without a fuzzing toolchain.
#![deny(unsafe_code)]

mod back;
mod bytes;
mod front;
pub mod meter;
mod script;
mod socket;

/// A parser under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Runs it on one input. Panics when the input shows a fault.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "base64", run: bytes::base64 },
    Target { name: "cutter", run: bytes::cutter },
    Target { name: "imap-back", run: back::imap },
    Target { name: "imap-front", run: front::imap },
    Target { name: "pop3-back", run: back::pop3 },
    Target { name: "pop3-front", run: front::pop3 },
    Target { name: "socket-asker", run: socket::asker },
    Target { name: "socket-line", run: socket::tab_line },
    Target { name: "socket-server", run: socket::server },
];

/// Finds a target by its name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
