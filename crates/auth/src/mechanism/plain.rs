//! PLAIN (RFC 4616): `[authzid] NUL authcid NUL passwd` in one message.

use super::{Claim, Mechanism, Step, name};
use crate::request::Secret;
use crate::trace::Reason;

/// One PLAIN login.
#[derive(Debug, Default)]
pub struct Plain;

impl Mechanism for Plain {
    fn step(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else { return Step::Challenge(Vec::new()) };
        let mut parts = response.split(|&byte| byte == 0);
        let (Some(login_as), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Step::Failed(Reason::BadResponse);
        };
        match (name(user), name(login_as)) {
            (Ok(user), Ok(login_as)) => {
                let login_as = Some(login_as).filter(|name| !name.is_empty());
                Step::Verify(Claim { user, login_as }, Secret::from(password.to_vec()))
            }
            (Err(reason), _) | (_, Err(reason)) => Step::Failed(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn claim(message: &[u8]) -> Option<(String, Option<String>, Vec<u8>)> {
        match Plain.step(Some(message)) {
            Step::Verify(claim, secret) => {
                Some((claim.user, claim.login_as, secret.expose_secret().to_vec()))
            }
            _ => None,
        }
    }

    // RFC 4616 §4.
    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(
            claim(b"\0tim\0tanstaaftanstaaf"),
            Some(("tim".into(), None, b"tanstaaftanstaaf".to_vec()))
        );
        assert_eq!(
            claim(b"Ursel\0Kurt\0xipj3plmq"),
            Some(("Kurt".into(), Some("Ursel".into()), b"xipj3plmq".to_vec()))
        );
    }

    #[test]
    fn anything_but_two_nuls_is_malformed() {
        for message in [&b""[..], b"tim", b"\0tim", b"\0tim\0a\0b", b"\0\xff\0pw"] {
            assert!(matches!(Plain.step(Some(message)), Step::Failed(_)));
        }
    }

    #[test]
    fn without_an_initial_response_it_asks_once() {
        assert!(matches!(Plain.step(None), Step::Challenge(challenge) if challenge.is_empty()));
        assert!(matches!(Plain.step(Some(b"")), Step::Failed(Reason::BadResponse)));
    }
}
