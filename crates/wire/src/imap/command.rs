//! A command of a client that has not logged in, as far as it has been read.

use super::grammar::Arguments;

/// A command that may run over several lines because it holds literals.
pub(super) struct Command {
    pub(super) tag: Vec<u8>,
    pub(super) verb: Verb,
    pub(super) arguments: Arguments,
    /// Cannot be understood; what belongs to it is read over.
    pub(super) malformed: bool,
    /// Bytes so far.
    pub(super) size: usize,
    /// Bytes of the literal that comes next.
    pub(super) literal: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Capability,
    Noop,
    Id,
    Enable,
    StartTls,
    Logout,
    Login,
    Unknown,
}

impl Command {
    /// Takes the text of a line, up to the literal that follows.
    pub(super) fn take_text(&mut self, text: &[u8], literal_follows: bool) {
        if !self.malformed && self.arguments.text(text, literal_follows).is_err() {
            self.malformed = true;
        }
    }

    /// Takes the literal that was awaited.
    pub(super) fn take_literal(&mut self, literal: Vec<u8>) {
        self.literal = 0;
        if !self.malformed && self.arguments.literal(literal).is_err() {
            self.malformed = true;
        }
    }
}

impl Verb {
    /// The command of this name, in any case.
    pub(super) fn named(name: &[u8]) -> Self {
        match name.to_ascii_uppercase().as_slice() {
            b"CAPABILITY" => Self::Capability,
            b"NOOP" => Self::Noop,
            b"ID" => Self::Id,
            b"ENABLE" => Self::Enable,
            b"STARTTLS" => Self::StartTls,
            b"LOGOUT" => Self::Logout,
            b"LOGIN" => Self::Login,
            _ => Self::Unknown,
        }
    }
}
