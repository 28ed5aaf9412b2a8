//! What is proven and against what: SASL mechanisms and stored passwords.

use auth::mechanism::{MECHANISMS, Step};
use auth::scheme::{self, StoredHash};
use secrecy::ExposeSecret;

use crate::meter;

/// The first byte chooses a mechanism, and whether there is an initial response; the client's messages
/// follow, with 0x1e between.
pub(crate) fn mechanism(input: &[u8]) {
    let Some((&first, messages)) = input.split_first() else { return };
    let row = &MECHANISMS[usize::from(first >> 1) % MECHANISMS.len()];
    let mut mechanism = (row.begin)();
    let none = (first & 1 == 1).then_some(None);
    let messages = none.into_iter().chain(messages.split(|&byte| byte == 0x1e).map(Some));
    for (count, message) in messages.enumerate() {
        match mechanism.step(message) {
            Step::Challenge(challenge) => {
                assert!(challenge.len() <= 4096);
                assert!(count < 4, "{} never comes to an end", row.name);
            }
            Step::Failed(_) => return,
            Step::Verify(claim, secret) => {
                let message = message.unwrap_or_default();
                if row.name == "PLAIN" {
                    let login_as = claim.login_as.as_deref().unwrap_or_default();
                    let parts = [login_as.as_bytes(), claim.user.as_bytes(), secret.expose_secret()];
                    assert_eq!(parts.join(&0), message);
                } else {
                    assert_eq!(secret.expose_secret(), message);
                }
                return;
            }
        }
    }
}

/// A typed password, a user name and a stored password, each on its line.
///
/// How long a check may take is the fuzzer's to watch (`-timeout`); what it may hold is asserted.
pub(crate) fn stored(input: &[u8]) {
    let mut lines = input.splitn(3, |&byte| byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (password, user, text) = (line(), String::from_utf8_lossy(line()), line());
    let stored = StoredHash::parse(text, "CRYPT");
    assert!(text.ends_with(stored.data.expose_secret()));
    let _ = stored.decode();
    let (right, peak) = meter::peak(|| scheme::verify(&stored, password, &user));
    assert!(peak <= MOST_MEMORY + 16 * input.len(), "{peak} bytes held");
    match right {
        Ok(right) => assert_eq!(scheme::verify(&stored, password, &user), Ok(right)),
        Err(error) => {
            let told = error.to_string();
            assert!(!told.contains(['\n', '\r', '\0']), "{told}");
        }
    }
}

/// The most that a scheme may ask for (argon2's limit), and a little.
const MOST_MEMORY: usize = (256 << 20) + (1 << 20);
