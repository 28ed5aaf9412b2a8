//! Whole decisions over databases made of answers, without a runtime.

use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use config::rows::passdb::{Rule, Skip};
use config::value::Place;

use super::*;
use crate::passdb::{BoxFuture, Busy, Job, UserAnswer};
use crate::scheme::SchemeError;

/// A user's name, password and fields.
type User = (&'static str, Option<&'static str>, Vec<(&'static str, &'static str)>);
type Users = Vec<User>;

/// A database that knows the users it was given, by name.
struct Fake {
    users: Users,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Passdb for Fake {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, Answer> {
        self.asked.lock().unwrap().push(request.identity.user.clone());
        let Some((_, password, fields)) = self.users.iter().find(|user| user.0 == request.identity.user)
        else {
            return Lookup::Now(Answer::Unknown);
        };
        let password = match password {
            Some(text) => Password::Stored(StoredHash::parse(text.as_bytes(), "PLAIN")),
            None => Password::Absent,
        };
        let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Lookup::Now(Answer::Found(Record { password, fields }))
    }
}

/// A database that cannot be asked.
struct Broken;

impl Passdb for Broken {
    fn lookup<'a>(&'a self, _: &'a Request<'a>) -> Lookup<'a, Answer> {
        Lookup::Now(Answer::Failed("the disk is on fire".into()))
    }
}

/// Pools that run everything at once, or whose hashing queue is full.
struct Inline {
    full: bool,
}

impl Workers for Inline {
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
        Box::pin(async { if self.full { Err(Busy) } else { Ok(check()) } })
    }
}

fn block() -> PassdbSettings {
    PassdbSettings {
        name: None,
        place: Place::default(),
        driver: "fake".into(),
        args: String::new(),
        default_fields: String::new(),
        override_fields: String::new(),
        deny: false,
        pass: false,
        master: false,
        skip: Skip::Never,
        mechanisms: Vec::new(),
        username_filter: Vec::new(),
        result_success: Rule::ReturnOk,
        result_failure: Rule::Continue,
        result_internalfail: Rule::Continue,
        auth_verbose: None,
    }
}

fn fake(users: Users) -> (Box<dyn Passdb>, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::default();
    (Box::new(Fake { users, asked: Arc::clone(&asked) }), asked)
}

fn decide(links: Vec<(PassdbSettings, Box<dyn Passdb>)>, user: &str, password: &str) -> Decision {
    decide_with(Inline { full: false }, links, user, password)
}

fn decide_with(
    workers: Inline,
    links: Vec<(PassdbSettings, Box<dyn Passdb>)>,
    user: &str,
    password: &str,
) -> Decision {
    let settings = AuthSettings {
        username_format: "%Lu".into(),
        master_user_separator: "*".into(),
        failure_delay: Duration::from_secs(2),
        ..AuthSettings::default()
    };
    let links = links.into_iter().enumerate();
    let links = links.map(|(at, (block, driver))| Link::new(at + 1, block, driver)).collect();
    let engine = Engine::new(Arc::new(settings), links, Arc::new(workers));
    let facts = Facts { service: "imap".into(), mechanism: "PLAIN".into(), now: 1000, ..Facts::default() };
    let claim = Claim { user: user.into(), login_as: None };
    let attempt = engine.attempt(facts);
    let mut decision = pin!(attempt.verify(claim, Secret::from(password.as_bytes().to_vec())));
    match decision.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(decision) => decision,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn one(user: &str, password: &str, fields: &[(&'static str, &'static str)]) -> Decision {
    decide(vec![(block(), fake(vec![("bob", Some("pw"), fields.to_vec())]).0)], user, password)
}

fn reason(decision: &Decision) -> Reason {
    match &decision.verdict {
        Verdict::Refuse(Refusal { reason, .. }) => *reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn four_kinds_of_no_stay_apart() {
    assert_eq!(reason(&one("bob", "x", &[])), Reason::WrongPassword);
    assert_eq!(reason(&one("nobody", "x", &[])), Reason::UnknownUser);
    assert_eq!(reason(&decide(vec![(block(), Box::new(Broken))], "bob", "pw")), Reason::LookupFailed);
    let deny = PassdbSettings { deny: true, ..block() };
    let (users, _) = fake(vec![("bob", None, vec![])]);
    assert_eq!(reason(&decide(vec![(deny, users)], "bob", "pw")), Reason::Denied);
}

// Behaviour of the original: an error in the log, and the default port.
#[test]
fn a_port_that_is_none_is_told_and_left_out() {
    for (port, told) in [("143", false), ("99999", true), ("0", true), ("x", true)] {
        let fields = [("proxy", ""), ("host", "h"), ("port", port)];
        let decision = one("bob", "pw", &fields);
        let note = format!("port={port} is not a port: the default is used");
        let step = Step::Note { passdb: 0, fault: true, text: note };
        assert_eq!(decision.trace.steps().contains(&step), told, "{port}");
        let Verdict::Proxy(route) = decision.verdict else { panic!("{port}: not proxied") };
        assert_eq!(route.port.is_none(), told, "{port}");
    }
}

// An outage is never told as a wrong password, wherever in the chain it was.
#[test]
fn could_not_ask_outlives_a_later_no() {
    let (users, _) = fake(vec![("bob", Some("other"), vec![])]);
    let decision = decide(vec![(block(), Box::new(Broken)), (block(), users)], "bob", "pw");
    assert_eq!(reason(&decision), Reason::LookupFailed);
}

// Whether somebody stands in a deny list that cannot be read is not known: nobody gets past it.
#[test]
fn a_deny_database_that_fails_stops_everybody() {
    let deny = PassdbSettings { deny: true, ..block() };
    let (users, asked) = fake(vec![("bob", Some("pw"), vec![])]);
    let decision = decide(vec![(deny, Box::new(Broken)), (block(), users)], "bob", "pw");
    assert_eq!(reason(&decision), Reason::LookupFailed);
    assert!(asked.lock().unwrap().is_empty());
}

// Neither the fields of the entry nor an earlier right password lead past a deny list.
#[test]
fn whoever_stands_in_a_deny_database_is_denied_whatever_its_fields_say() {
    let verified = || PassdbSettings { result_success: Rule::Continue, ..block() };
    let deny = || PassdbSettings { deny: true, ..block() };
    for fields in
        [vec![], vec![("fail", "")], vec![("noauthenticate", "")], vec![("allow_nets", "10.0.0.0/8")]]
    {
        let links = vec![
            (verified(), fake(vec![("bob", Some("pw"), vec![])]).0),
            (deny(), fake(vec![("bob", None, fields.clone())]).0),
            (block(), fake(vec![("bob", Some("pw"), vec![])]).0),
        ];
        assert_eq!(reason(&decide(links, "bob", "pw")), Reason::Denied, "{fields:?}");
    }
}

// A hash that we will not check says nothing about the password.
#[test]
fn a_hash_that_is_declined_is_no_wrong_password() {
    let (users, _) =
        fake(vec![("bob", Some("{PBKDF2}$1$salt$1000001$a302833e90db7b72ef930a53566b4b2e1dd22fbd"), vec![])]);
    let decision = decide(vec![(block(), users)], "bob", "pw");
    assert_eq!(reason(&decision), Reason::LookupFailed);
}

#[test]
fn a_full_hashing_queue_is_a_temporary_failure() {
    let hash = "{SHA512-CRYPT}$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";
    let (users, _) = fake(vec![("bob", Some(hash), vec![])]);
    let decision = decide_with(Inline { full: true }, vec![(block(), users)], "bob", "pw");
    assert_eq!(reason(&decision), Reason::Busy);
}

// "Forward all users to another server without authentication": good for a referral and for nothing else.
#[test]
fn a_null_password_refers_and_never_admits() {
    let decide = |fields: &[(&'static str, &'static str)]| {
        decide(vec![(block(), fake(vec![("bob", None, fields.to_vec())]).0)], "bob", "anything")
    };
    let referred = decide(&[("host", "h"), ("nologin", "Y"), ("nodelay", "Y")]);
    assert!(matches!(referred.verdict, Verdict::Refer(_)));
    assert!(!referred.authenticated);
    assert_eq!(referred.wait, Duration::ZERO);
    for fields in [
        &[("host", "h")][..],
        &[("nologin", "Y")],
        &[("host", "h"), ("nologin", "Y"), ("proxy", "y")],
        &[("host", "h"), ("nologin", "Y"), ("proxy_maybe", "y")],
        &[],
    ] {
        let refused = decide(fields);
        assert_eq!(reason(&refused), Reason::NoPassword, "{fields:?}");
        assert!(!refused.authenticated);
    }
}

// A field removed after the password was not asked for must not turn the referral into an admission.
#[test]
fn overriding_fields_cannot_turn_an_unproven_referral_into_an_admission() {
    let overriding = PassdbSettings { override_fields: "nologin:remove".into(), ..block() };
    let (users, _) = fake(vec![("bob", None, vec![("host", "h"), ("nologin", "")])]);
    assert_eq!(reason(&decide(vec![(overriding, users)], "bob", "x")), Reason::NoPassword);
}

#[test]
fn nopassword_counts_for_its_own_database_only() {
    let first = PassdbSettings { result_success: Rule::ContinueFail, ..block() };
    let (any, _) = fake(vec![("bob", None, vec![("nopassword", "")])]);
    let (real, _) = fake(vec![("bob", Some("pw"), vec![])]);
    assert_eq!(reason(&decide(vec![(first, any), (block(), real)], "bob", "x")), Reason::WrongPassword);
}

#[test]
fn nodelay_holds_for_a_wrong_password_of_a_user_who_was_found() {
    assert_eq!(one("bob", "x", &[("nodelay", "no")]).wait, Duration::ZERO);
    assert_eq!(one("bob", "x", &[]).wait, Duration::from_secs(2));
    assert_eq!(one("nobody", "x", &[("nodelay", "")]).wait, Duration::from_secs(2));
}

#[test]
fn a_delay_too_far_ahead_is_an_internal_failure() {
    assert_eq!(one("bob", "pw", &[("delay_until", "1010")]).wait, Duration::from_secs(10));
    assert_eq!(reason(&one("bob", "pw", &[("delay_until", "2000")])), Reason::DelayUntil);
}

#[test]
fn fields_of_a_database_that_refused_decide_nothing() {
    let (first, _) =
        fake(vec![("bob", Some("other"), vec![("proxy", ""), ("host", "evil"), ("userdb_x", "1")])]);
    let (second, _) = fake(vec![("bob", Some("pw"), vec![])]);
    let decision = decide(vec![(block(), first), (block(), second)], "bob", "pw");
    assert!(matches!(decision.verdict, Verdict::Admit(_)));
    assert!(decision.userdb.is_empty());
}

#[test]
fn a_master_logs_in_as_another_and_nobody_else_does() {
    let master = || PassdbSettings { master: true, ..block() };
    let masters = || fake(vec![("admin", Some("mpw"), vec![])]).0;
    let users = || fake(vec![("bob", Some("pw"), vec![])]).0;
    let links = || vec![(master(), masters()), (block(), users())];
    let admitted = decide(links(), "bob*admin", "mpw");
    assert_eq!(
        (admitted.identity.user.as_str(), admitted.identity.master.as_deref()),
        ("bob", Some("admin"))
    );
    // The user's own password does not make them a master, and a master's is none of the user's.
    assert_eq!(reason(&decide(links(), "bob*admin", "pw")), Reason::WrongPassword);
    assert_eq!(reason(&decide(links(), "admin*bob", "pw")), Reason::UnknownUser);
    assert_eq!(reason(&decide(links(), "admin", "mpw")), Reason::UnknownUser);
    assert_eq!(reason(&decide(vec![(block(), users())], "x*bob", "pw")), Reason::NoMaster);
    // With `pass = yes` the user has to exist, unknown ones are not authorized.
    let passing = || PassdbSettings { pass: true, ..master() };
    let links = || vec![(passing(), masters()), (block(), users())];
    assert!(decide(links(), "bob*admin", "mpw").authenticated);
    assert_eq!(reason(&decide(links(), "nobody*admin", "mpw")), Reason::NotAuthorized);
}

#[test]
fn the_trace_tells_the_story_without_secrets() {
    let decision = one("Bob", "typed-secret", &[("pass", "backend-secret"), ("host", "h")]);
    let story = format!("{:?}", decision.trace);
    for word in ["typed-secret", "backend-secret", "\"pw\""] {
        assert!(!story.contains(word), "{word} in {story}");
    }
    assert!(story.contains("Named { typed: \"Bob\", user: \"bob\" }"));
    assert!(story.contains("Answered { passdb: 1, outcome: Mismatch }"));
}

// Found by fuzzing: the value is the database's, and the stack is ours.
#[test]
fn imports_in_imports_are_left_out() {
    let deep: &'static str = Box::leak("passdb_import:protected=".repeat(50_000).into_boxed_str());
    let decision = one("bob", "pw", &[("passdb_import", deep), ("passdb_import", "passdb_import=x=1\ty=2")]);
    assert!(decision.authenticated);
    assert_eq!(decision.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["y"]);
}

// "Set this field only if it hasn't been set before", "Remove this field entirely": neither is a setting.
#[test]
fn a_field_that_is_removed_or_stays_does_not_act() {
    for name in ["fail:remove", "allow_nets:remove", "delay_until:remove", "login_user:remove"] {
        assert!(one("bob", "pw", &[(name, "")]).authenticated, "{name}");
    }
    let nets = [("allow_nets", "0.0.0.0/0,::/0,local"), ("allow_nets:protected", "192.0.2.1")];
    assert!(one("bob", "pw", &nets).authenticated);
    assert_eq!(reason(&one("bob", "pw", &nets[1..])), Reason::AllowNets);
}

// Whoever failed as a referral without a password has not failed to give one to the next database.
#[test]
fn a_referral_that_failed_leaves_the_next_database_its_say() {
    let links = || {
        let refers = fake(vec![("bob", None, vec![("host", "h"), ("nologin", ""), ("fail", "")])]).0;
        vec![(block(), refers), (block(), fake(vec![("bob", Some("pw"), vec![])]).0)]
    };
    assert!(decide(links(), "bob", "pw").authenticated);
    assert!(!decide(links(), "bob", "x").authenticated);
}
