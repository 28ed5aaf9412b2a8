//! SASL mechanisms: one row each, one per file. A mechanism is a dialogue that asks instead of
//! calling: it says what to verify, and never learns who asks over which protocol.

pub mod login;
pub mod plain;

use crate::request::Secret;
use crate::trace::Reason;

/// One login's side of a mechanism.
pub trait Mechanism: Send {
    /// Takes the client's next message. `None` comes once at most, first, and says that the client
    /// sent no initial response (an empty one is `Some`).
    fn step(&mut self, response: Option<&[u8]>) -> Step;
}

/// What a mechanism wants next.
#[derive(Debug)]
pub enum Step {
    /// Send this, and bring the reply.
    Challenge(Vec<u8>),
    /// Check a password.
    Verify(Claim, Secret),
    /// The message cannot be right.
    Failed(Reason),
}

/// Who the client says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose password is given (authentication identity), as typed.
    pub user: String,
    /// Whom to log in as (authorization identity), when the client named one.
    pub login_as: Option<String>,
}

/// One mechanism's row.
pub struct Row {
    /// Canonical upper-case name.
    pub name: &'static str,
    /// It carries the password in the clear.
    pub plaintext: bool,
    /// Its flags on the auth socket.
    pub flags: &'static [&'static str],
    /// Makes one login's side of it.
    pub begin: fn() -> Box<dyn Mechanism>,
}

/// Every mechanism.
pub static MECHANISMS: &[Row] = &[
    Row { name: "PLAIN", plaintext: true, flags: &["plaintext"], begin: || Box::new(plain::Plain) },
    Row {
        name: "LOGIN",
        plaintext: true,
        flags: &["plaintext"],
        begin: || Box::new(login::Login::default()),
    },
];

/// Finds a mechanism by its name, in any case.
pub fn find(name: &str) -> Option<&'static Row> {
    MECHANISMS.iter().find(|row| row.name.eq_ignore_ascii_case(name))
}

/// A user name as bytes from the client. Databases, logs and other servers get UTF-8 or nothing.
fn name(bytes: &[u8]) -> Result<String, Reason> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Reason::BadUsername)
}
