//! LOGIN (draft-murchison-sasl-login): the user name and the password, each after its prompt.

use super::{Claim, Mechanism, Step, name};
use crate::request::Secret;

/// One LOGIN login.
#[derive(Debug, Default)]
pub struct Login {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Start,
    AskedUser,
    AskedPassword(String),
}

impl Mechanism for Login {
    fn step(&mut self, response: Option<&[u8]>) -> Step {
        let response = response.unwrap_or_default();
        match std::mem::take(&mut self.state) {
            State::Start if response.is_empty() => {
                self.state = State::AskedUser;
                Step::Challenge(b"Username:".to_vec())
            }
            State::Start | State::AskedUser => match name(response) {
                Ok(user) => {
                    self.state = State::AskedPassword(user);
                    Step::Challenge(b"Password:".to_vec())
                }
                Err(reason) => Step::Failed(reason),
            },
            State::AskedPassword(user) => {
                Step::Verify(Claim { user, login_as: None }, Secret::from(response.to_vec()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initial_response_is_the_user_name() {
        let mut login = Login::default();
        assert!(matches!(login.step(Some(b"bob")), Step::Challenge(challenge) if challenge == b"Password:"));
        assert!(matches!(login.step(Some(b"pw")), Step::Verify(claim, _) if claim.user == "bob"));
    }

    #[test]
    fn without_one_it_asks_for_both() {
        let mut login = Login::default();
        assert!(matches!(login.step(None), Step::Challenge(challenge) if challenge == b"Username:"));
        assert!(matches!(login.step(Some(b"bob")), Step::Challenge(challenge) if challenge == b"Password:"));
        assert!(matches!(login.step(Some(b"")), Step::Verify(..)));
    }
}
