//! Whole logins through a chain of databases that answer anything: extra fields where they act.
//!
//! An input is lines: user, password, settings (the master separator, then `auth_username_format`), and
//! a line per database: `flags|answer|fields|default_fields|override_fields`, the fields of the answer
//! with `;` between. Flags: `d` deny, `m` master, `p` pass, `a` and `u` skip, `B` and `L` how the lookup
//! runs, `S`, `F` and `I` with a letter each a rule. Answers: `u` unknown, `m` mismatch, `d` disabled,
//! `e` expired, `f` failed, `v` verified by the database, `n` no password, `=` and a stored password.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use auth::attempt::{Engine, Link};
use auth::fields::Origin;
use auth::mechanism::Claim;
use auth::passdb::{Answer, BoxFuture, Busy, Job, Lookup, Passdb, Password, Record, UserAnswer, Workers};
use auth::request::{Facts, Peer, Request};
use auth::scheme::{self, SchemeError, StoredHash};
use auth::trace::{Outcome, Step};
use auth::verdict::{Decision, Verdict};
use config::rows::auth::AuthSettings;
use config::rows::passdb::{PassdbSettings, Rule, Skip};
use secrecy::SecretSlice;

/// Nobody gets in whom no database let in, and nothing stays of a lookup that failed.
pub(crate) fn login(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let mut lines = input.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (user, password, settings) = (line(), line(), line());
    let databases: Vec<_> = lines.take(MOST_DATABASES).map(Database::read).collect();
    if databases.iter().any(Database::is_slow) {
        return;
    }
    let decision = decide(user, password, settings, &databases);
    assert_nothing_failed_stays(&decision);
    let (separator, _) = settings_of(settings);
    let name = separator.and_then(|separator| user.split_once(separator)).map_or(user, |(_, name)| name);
    assert_somebody_let_them_in(&decision, name, password, &databases);
    assert_no_secret_is_told(&decision, input, password);
}

const MOST_DATABASES: usize = 6;

#[derive(Clone)]
struct Database {
    settings: PassdbSettings,
    flags: String,
    answer: String,
    fields: Vec<(String, String)>,
}

impl Database {
    fn read(line: &str) -> Self {
        let mut columns = line.split('|');
        let mut column = || columns.next().unwrap_or_default().to_owned();
        let (flags, answer, fields) = (column(), column(), column());
        let rule = |letter: char, default: Rule| match flags
            .split_once(letter)
            .and_then(|(_, rest)| rest.chars().next())
        {
            Some('c') => Rule::Continue,
            Some('C') => Rule::ContinueOk,
            Some('x') => Rule::ContinueFail,
            Some('r') => Rule::Return,
            Some('o') => Rule::ReturnOk,
            Some('f') => Rule::ReturnFail,
            _ => default,
        };
        let defaults = PassdbSettings::default();
        let settings = PassdbSettings {
            deny: flags.contains('d'),
            master: flags.contains('m'),
            pass: flags.contains('p'),
            skip: match (flags.contains('a'), flags.contains('u')) {
                (true, _) => Skip::Authenticated,
                (false, true) => Skip::Unauthenticated,
                (false, false) => Skip::Never,
            },
            result_success: rule('S', defaults.result_success),
            result_failure: rule('F', defaults.result_failure),
            result_internalfail: rule('I', defaults.result_internalfail),
            default_fields: column(),
            override_fields: column(),
            ..defaults
        };
        let fields = fields.split(';').filter(|field| !field.is_empty()).map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            (name.to_owned(), value.to_owned())
        });
        Self { settings, flags: flags.clone(), answer, fields: fields.collect() }
    }

    fn answer(&self) -> Answer {
        let found = |password| Answer::Found(Record { password, fields: self.fields.clone() });
        match self.answer.as_bytes().first() {
            Some(b'm') => Answer::Mismatch,
            Some(b'd') => Answer::Disabled,
            Some(b'e') => Answer::Expired,
            Some(b'f') => Answer::Failed("database is gone".to_owned()),
            Some(b'v') => found(Password::Verified),
            Some(b'n') => found(Password::Absent),
            Some(b'=') => found(Password::Stored(self.stored())),
            _ => Answer::Unknown,
        }
    }

    fn stored(&self) -> StoredHash {
        StoredHash::parse(self.answer.get(1..).unwrap_or_default().as_bytes(), "PLAIN")
    }

    /// Slow hashes have a target of their own.
    fn is_slow(&self) -> bool {
        let digests = [&self.settings.default_fields, &self.settings.override_fields];
        self.answer.starts_with('=') && scheme::cost(&self.stored()) == scheme::Cost::Costly
            || digests.iter().any(|fields| fields.contains("rounds") || fields.contains("pkcs5"))
    }

    fn mentions(&self, field: &str) -> bool {
        let named = |(name, value): &(String, String)| name.contains(field) || value.contains(field);
        self.settings.default_fields.contains(field) || self.fields.iter().any(named)
    }

    /// Whether this one, by itself, could let the user in with the typed password.
    fn could_let_in(&self, user: &str, password: &str) -> bool {
        match self.answer() {
            _ if self.settings.deny => false,
            Answer::Found(Record { password: Password::Verified, .. }) => true,
            Answer::Found(Record { password: Password::Absent, .. }) => self.mentions("nopassword"),
            Answer::Found(Record { password: Password::Stored(stored), .. }) => {
                scheme::verify(&stored, password.as_bytes(), user) == Ok(true) || self.mentions("nopassword")
            }
            _ => false,
        }
    }
}

impl Passdb for Database {
    fn lookup<'a>(&'a self, _: &'a Request<'a>) -> Lookup<'a, Answer> {
        if self.flags.contains('B') {
            let database = self.clone();
            Lookup::Blocking(Box::new(move || database.answer()))
        } else if self.flags.contains('L') {
            Lookup::Later(Box::pin(async { self.answer() }))
        } else {
            Lookup::Now(self.answer())
        }
    }
}

/// Runs every job in place.
struct InPlace;

impl Workers for InPlace {
    fn blocking(&self, job: Job<Answer>) -> BoxFuture<'_, Result<Answer, Busy>> {
        Box::pin(async { Ok(job()) })
    }

    fn users(&self, job: Job<UserAnswer>) -> BoxFuture<'_, Result<UserAnswer, Busy>> {
        Box::pin(async { Ok(job()) })
    }

    fn hashing(
        &self,
        check: Job<Result<bool, SchemeError>>,
    ) -> BoxFuture<'_, Result<Result<bool, SchemeError>, Busy>> {
        Box::pin(async { Ok(check()) })
    }
}

fn decide(user: &str, password: &str, settings: &str, databases: &[Database]) -> Decision {
    let (separator, format) = settings_of(settings);
    let settings = AuthSettings {
        master_user_separator: separator.map(String::from).unwrap_or_default(),
        username_format: format.to_owned(),
        ..AuthSettings::default()
    };
    let links = databases
        .iter()
        .enumerate()
        .map(|(index, database)| Link::new(index + 1, database.settings.clone(), Box::new(database.clone())));
    let engine = Engine::new(Arc::new(settings), links.collect(), Arc::new(InPlace));
    let facts = Facts {
        service: "imap".to_owned(),
        mechanism: "PLAIN".to_owned(),
        peer: Peer { remote: Some([192, 0, 2, 7].into()), ..Peer::default() },
        now: 1_700_000_000,
        random: 41,
        forwarded: vec![("nopassword".to_owned(), String::new())],
        ..Facts::default()
    };
    let claim = Claim { user: user.to_owned(), login_as: None };
    let mut login =
        std::pin::pin!(engine.attempt(facts).verify(claim, SecretSlice::from(password.as_bytes().to_vec())));
    match login.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(decision) => decision,
        Poll::Pending => panic!("a login waits though all its databases have answered"),
    }
}

/// The master separator and `auth_username_format`.
fn settings_of(line: &str) -> (Option<char>, &str) {
    let mut rest = line.chars();
    (rest.next(), rest.as_str())
}

fn assert_nothing_failed_stays(decision: &Decision) {
    let succeeded = |id: usize| {
        decision.trace.steps().iter().any(|step| {
            matches!(step, Step::Answered { passdb, outcome: Outcome::Ok | Outcome::Next } if *passdb == id)
        })
    };
    for field in decision.fields.iter().chain(decision.userdb.iter()) {
        match field.origin {
            Origin::Forwarded => assert!(field.name.starts_with("forward_")),
            Origin::Passdb(id) | Origin::Default(id) | Origin::Override(id) => {
                assert!(succeeded(id), "{} stays of database {id}, which failed", field.name);
            }
        }
    }
}

/// `name` is who authenticates, the master of a master login.
fn assert_somebody_let_them_in(decision: &Decision, name: &str, password: &str, databases: &[Database]) {
    let failure_counts_as_success = databases.iter().any(|database| {
        let rules = [database.settings.result_failure, database.settings.result_internalfail];
        rules.iter().any(|rule| matches!(rule, Rule::ReturnOk | Rule::ContinueOk))
    });
    // Who overrides with `nopassword` after a lookup that leaves the decision to the next has asked for it.
    let overridden =
        databases.iter().any(|database| database.settings.override_fields.contains("nopassword"))
            && databases.iter().any(|database| {
                database.mentions("noauthenticate")
                    || database.settings.override_fields.contains("noauthenticate")
            });
    if failure_counts_as_success
        || overridden
        || databases.iter().any(|database| database.could_let_in(name, password))
    {
        return;
    }
    assert!(!decision.authenticated, "authenticated by nobody");
    match &decision.verdict {
        Verdict::Refuse(_) => {}
        // The documents' example: nobody is let in by it, so no password is needed.
        Verdict::Refer(_) => {
            assert!(databases.iter().any(|database| database.answer.starts_with('n')), "referred by nobody");
        }
        verdict @ (Verdict::Admit(_) | Verdict::Proxy(_)) => panic!("let in by nobody: {verdict:?}"),
    }
}

/// A password that stands nowhere else in the input but in `=` answers stands nowhere in the record.
fn assert_no_secret_is_told(decision: &Decision, input: &str, password: &str) {
    let elsewhere = input.split('\n').enumerate().any(|(index, line)| match index {
        0 | 2 => line.contains(password),
        1 => false,
        _ => {
            let answer = line.split('|').nth(1).unwrap_or_default();
            let hidden = answer.starts_with('=');
            line.split('|')
                .enumerate()
                .any(|(column, text)| !(hidden && column == 1) && text.contains(password))
        }
    });
    // Only one that cannot be a piece of our own words tells anything.
    let telling =
        password.len() >= 8 && password.contains('-') && password.contains(|c: char| c.is_ascii_digit());
    if telling && !elsewhere {
        let told = format!("{:?} {:?}", decision.trace, decision.fields);
        assert!(!told.contains(password), "the password is told: {told}");
    }
}
