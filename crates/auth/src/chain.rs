//! The rules between password databases, as pure functions: who is left out, what a result
//! leads to, and what the whole chain says in the end. Knows no driver and no field.

use config::rows::passdb::{PassdbSettings, Rule, Skip};

use crate::expand::wildcard_matches;
use crate::trace::Outcome;

/// What the databases asked so far amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The login counts as successful.
    pub success: bool,
    /// The password has been checked and need not be checked again.
    pub verified: bool,
    /// Some database could not be asked: a final "no" is not to be believed.
    failed: bool,
    /// The most telling "no" so far.
    refusal: Option<Outcome>,
}

/// Where to go after a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the next one.
    Continue,
    /// The chain has ended.
    Stop,
}

impl State {
    /// Takes one database's outcome in, and applies the rule that its settings give for it.
    ///
    /// A disabled or expired user ends the chain whatever the rules say. So does everybody whom a
    /// deny database knows: the caller has turned that into [`Outcome::Disabled`].
    pub fn apply(&mut self, outcome: Outcome, settings: &PassdbSettings) -> (Option<Rule>, Next) {
        let rule = match outcome {
            Outcome::Disabled | Outcome::Expired => {
                self.success = false;
                self.failed = false;
                self.refusal = Some(outcome);
                return (None, Next::Stop);
            }
            Outcome::Ok if settings.pass => Rule::Continue,
            Outcome::Ok => settings.result_success,
            Outcome::Next => Rule::Continue,
            Outcome::Failed => settings.result_internalfail,
            Outcome::Unknown | Outcome::Mismatch => settings.result_failure,
        };
        match outcome {
            Outcome::Failed => self.failed = true,
            Outcome::Mismatch => self.refusal = Some(outcome),
            Outcome::Unknown if self.refusal.is_none() => self.refusal = Some(outcome),
            _ => {}
        }
        let next = match rule {
            Rule::Return => Next::Stop,
            Rule::ReturnOk => {
                self.success = true;
                Next::Stop
            }
            Rule::ReturnFail => {
                self.success = false;
                Next::Stop
            }
            Rule::Continue => {
                self.verified |= outcome == Outcome::Ok;
                Next::Continue
            }
            Rule::ContinueOk => {
                self.success = true;
                self.verified = true;
                Next::Continue
            }
            Rule::ContinueFail => {
                self.success = false;
                Next::Continue
            }
        };
        (Some(rule), next)
    }

    /// What the chain as a whole says, once it has stopped.
    ///
    /// [`Outcome::Next`] stands for: the last database had no opinion. [`Outcome::Ok`] with
    /// `success` unset cannot come out; a chain that a rule ended in failure after the right
    /// password gives [`Outcome::Mismatch`], told apart by [`State::verified`] or the caller.
    pub fn end(&self, last: Outcome) -> Outcome {
        if matches!(self.refusal, Some(Outcome::Disabled | Outcome::Expired)) {
            return self.refusal.unwrap_or(last);
        }
        if last == Outcome::Next {
            return Outcome::Next;
        }
        if self.success {
            return Outcome::Ok;
        }
        if self.failed {
            return Outcome::Failed;
        }
        match self.refusal {
            Some(refusal) => refusal,
            None => Outcome::Mismatch,
        }
    }

    /// Why this database is left out, if it is.
    pub fn skips(&self, settings: &PassdbSettings, mechanism: &str, user: &str) -> Option<&'static str> {
        match settings.skip {
            Skip::Authenticated if self.verified => return Some("skip = authenticated"),
            Skip::Unauthenticated if !self.verified => return Some("skip = unauthenticated"),
            _ => {}
        }
        if !mechanism.is_empty()
            && !settings.mechanisms.is_empty()
            && !settings.mechanisms.iter().any(|allowed| allowed.eq_ignore_ascii_case(mechanism))
        {
            return Some("mechanisms");
        }
        if !matches_filter(&settings.username_filter, user) {
            return Some("username_filter");
        }
        None
    }
}

/// Whether a name passes `username_filter`: no `!pattern` matches it, and some positive one does if
/// there are any.
fn matches_filter(patterns: &[String], user: &str) -> bool {
    let mut has_positive = false;
    let mut matched = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negative) if wildcard_matches(negative, user) => return false,
            Some(_) => {}
            None => {
                has_positive = true;
                matched |= wildcard_matches(pattern, user);
            }
        }
    }
    matched || !has_positive
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::value::Place;

    fn settings(success: Rule, failure: Rule, internal: Rule) -> PassdbSettings {
        PassdbSettings {
            name: None,
            place: Place::default(),
            driver: "static".into(),
            args: String::new(),
            default_fields: String::new(),
            override_fields: String::new(),
            deny: false,
            pass: false,
            master: false,
            skip: Skip::Never,
            mechanisms: Vec::new(),
            username_filter: Vec::new(),
            result_success: success,
            result_failure: failure,
            result_internalfail: internal,
            auth_verbose: None,
        }
    }

    fn plain() -> PassdbSettings {
        settings(Rule::ReturnOk, Rule::Continue, Rule::Continue)
    }

    /// Runs outcomes through links; the second database checks no password once one was verified.
    fn run(first: (&PassdbSettings, Outcome), second: Outcome) -> Outcome {
        let mut state = State::default();
        let (_, next) = state.apply(first.1, first.0);
        if next == Next::Stop {
            return state.end(first.1);
        }
        let second = if state.verified && second == Outcome::Mismatch { Outcome::Ok } else { second };
        state.apply(second, &plain());
        state.end(second)
    }

    // The three tables of the original: the first database with the rule, the second with defaults.
    #[test]
    fn result_success_rules() {
        use Outcome::{Mismatch, Ok, Unknown};
        for (rule, both, only_first, second_differs) in [
            (Rule::ReturnOk, Ok, Ok, Ok),
            (Rule::Return, Mismatch, Mismatch, Mismatch),
            (Rule::ReturnFail, Mismatch, Mismatch, Mismatch),
            (Rule::Continue, Ok, Unknown, Ok),
            (Rule::ContinueOk, Ok, Ok, Ok),
            (Rule::ContinueFail, Ok, Unknown, Mismatch),
        ] {
            let first = settings(rule, Rule::Continue, Rule::Continue);
            assert_eq!(run((&first, Ok), Ok), both, "{rule:?} both");
            assert_eq!(run((&first, Ok), Unknown), only_first, "{rule:?} only the first");
            assert_eq!(run((&first, Ok), Mismatch), second_differs, "{rule:?} second differs");
        }
    }

    #[test]
    fn result_failure_rules() {
        use Outcome::{Mismatch, Ok, Unknown};
        for (rule, wrong_in_both, right_in_second, unknown) in [
            (Rule::Continue, Mismatch, Ok, Unknown),
            (Rule::ContinueFail, Mismatch, Ok, Unknown),
            (Rule::Return, Mismatch, Mismatch, Unknown),
            (Rule::ReturnFail, Mismatch, Mismatch, Unknown),
            (Rule::ReturnOk, Ok, Ok, Ok),
            (Rule::ContinueOk, Ok, Ok, Ok),
        ] {
            let first = settings(Rule::ReturnOk, rule, Rule::Continue);
            assert_eq!(run((&first, Mismatch), Mismatch), wrong_in_both, "{rule:?}");
            assert_eq!(run((&first, Mismatch), Ok), right_in_second, "{rule:?}");
            assert_eq!(run((&first, Unknown), Unknown), unknown, "{rule:?}");
        }
    }

    #[test]
    fn result_internalfail_rules() {
        use Outcome::{Failed, Mismatch, Ok};
        for (rule, right, wrong) in [
            (Rule::Continue, Ok, Failed),
            (Rule::ContinueFail, Ok, Failed),
            (Rule::Return, Failed, Failed),
            (Rule::ReturnFail, Failed, Failed),
            (Rule::ContinueOk, Ok, Ok),
            (Rule::ReturnOk, Ok, Ok),
        ] {
            let first = settings(Rule::ReturnOk, Rule::Continue, rule);
            assert_eq!(run((&first, Failed), Ok), right, "{rule:?}");
            assert_eq!(run((&first, Failed), Mismatch), wrong, "{rule:?}");
        }
    }

    #[test]
    fn a_disabled_user_ends_the_chain_whatever_the_rules() {
        let mut state = State::default();
        let lenient = settings(Rule::ContinueOk, Rule::ContinueOk, Rule::ContinueOk);
        state.apply(Outcome::Ok, &lenient);
        assert_eq!(state.apply(Outcome::Disabled, &lenient), (None, Next::Stop));
        assert_eq!(state.end(Outcome::Disabled), Outcome::Disabled);
    }

    #[test]
    fn username_filter_wants_a_positive_match_if_there_is_one() {
        let filter = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(matches_filter(&[], "bob"));
        assert!(matches_filter(&filter("*@a.example *@b.example"), "bob@b.example"));
        assert!(!matches_filter(&filter("*@a.example"), "bob@b.example"));
        assert!(!matches_filter(&filter("* !bob*"), "bob@a.example"));
        assert!(matches_filter(&filter("!bob*"), "alice"));
    }
}
