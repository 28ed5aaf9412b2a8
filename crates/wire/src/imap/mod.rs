//! IMAP up to the end of login (RFC 3501, with 2221, 2971, 4959, 5530 and 7888): the server side
//! towards clients, and the client side towards backends.

pub mod back;
mod command;
pub mod front;
mod grammar;
mod id;
#[cfg(test)]
mod tests;
mod url;
mod wording;

/// Longest line, line end included; a SASL reply is one line.
const LINE_LIMIT: usize = 8 * 1024;
/// Longest literal from a client that has not logged in.
const LITERAL_LIMIT: usize = 4 * 1024;
/// Longest command, its lines and literals together.
const COMMAND_LIMIT: usize = 16 * 1024;
/// Most arguments of a command, parentheses included.
const ARGUMENT_LIMIT: usize = 64;
/// Longest tag.
const TAG_LIMIT: usize = 127;
/// Which bad command is the last.
const BAD_COMMAND_LIMIT: u8 = 3;
/// Most bytes from a client that may wait to be used; a session reads less than that at once.
const INPUT_LIMIT: usize = 32 * 1024;
/// With this much output to be written, no further command is looked at.
const OUTPUT_PAUSE: usize = 8 * 1024;
/// Most bytes, and most lines, that a backend may say before the end of login.
const DIALOGUE_LIMIT: usize = 64 * 1024;
/// See [`DIALOGUE_LIMIT`].
const DIALOGUE_LINES: usize = 100;
