//! Dovecot's auth client protocol, so that Postfix and Exim can ask us: many requests share a
//! connection, each under an id of its own.
//!
//! [`Server`] is our side of such a connection, [`Asker`] the other one, [`Line`] the form of a line
//! that both use. Whom to believe and what to answer is the caller's to know.

pub mod asker;
pub mod client;
pub mod line;
mod lines;
mod request;

#[cfg(test)]
mod tests;

pub use asker::{Asker, Greeting, Reply};
pub use client::{Failure, Hello, OfferedMechanism, Server, SocketEvent};
pub use line::{Line, LineTooLong};
pub use request::{AuthRequest, Secured};

/// Longest line that we read, line end included (Dovecot's own limit).
pub const LINE_LIMIT: usize = 16_384;

/// Longest line that we write, line end included: mail servers that ask have been overrun by more.
pub const ANSWER_LIMIT: usize = 8_191;

/// Major version of the protocol; another one cannot be talked to.
const MAJOR: &[u8] = b"1";

/// Minor version that we speak.
const MINOR: u32 = 2;

/// Reads a decimal number without sign or blanks.
fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
