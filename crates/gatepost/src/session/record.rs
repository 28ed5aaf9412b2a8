//! What the log says of a login: one line each, with its verdict, its stable reason code and
//! whoever was asked. Lines of failed guesses keep the shape that log watchers know.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;
use std::time::Instant;

use auth::request::{Facts, Identity, Peer, Transport};
use auth::trace::{Outcome, Reason, Step, Trace};
use auth::verdict::{Decision, Referral, Refusal, Route, Verdict};
use wire::{BackRefusal, Rejected};

use super::login::seconds;
use super::{Session, answer};
use crate::gate::{Deciding, Shared};
use crate::log::{Level, Record, plainly, value};
use crate::relay::{self, Side};

/// Room for a login's line, which is seldom longer.
const LINE: usize = 384;

/// A login that has come to its end.
pub(super) struct Ended<'a> {
    /// The mechanism used.
    pub(super) mechanism: &'a str,
    /// Whose it was.
    pub(super) identity: &'a Identity,
    /// How it came about.
    pub(super) trace: &'a Trace,
    /// When it began.
    pub(super) begun: Instant,
    /// The backend it led to, `host:port`.
    pub(super) backend: Option<String>,
}

pub(super) fn admitted(session: &Session, ended: &Ended<'_>, referral: Option<&Referral>) {
    // A line of its own: others read users and addresses off the line of the login.
    if let Some(referral) = referral {
        let text = format!("Login will be told of {}", there(session, ended, referral));
        session.connection.say(Level::Info, format!("{text}: session=<{}>", value(session.connection.id())));
    }
    write(session, ended, Level::Info, "Login", "admitted", Reason::Admitted);
}

pub(super) fn proxied(session: &Session, ended: &Ended<'_>, route: &Route) {
    let mut text = String::with_capacity(LINE);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "proxy({},{}): Started proxying to <{}>",
        value(&ended.identity.user),
        ended.backend.as_deref().unwrap_or_default(),
        value(&route.host),
    );
    if route.user != ended.identity.user {
        let _ = write!(text, " as user {}", value(&route.user));
    }
    if let Some(master) = &route.master {
        let _ = write!(text, " (master {})", value(master));
    }
    let _ = write!(text, " ({} secs)", seconds(ended.begun));
    write(session, ended, Level::Info, &text, "proxied", Reason::Proxied);
}

pub(super) fn referred(session: &Session, ended: &Ended<'_>, referral: &Referral) {
    let text = format!("Login referred to {}", there(session, ended, referral));
    write(session, ended, Level::Info, &text, "referred", Reason::Referred);
}

/// The place that a referral names.
fn there(session: &Session, ended: &Ended<'_>, referral: &Referral) -> String {
    let target = answer::target(referral, session.connection.protocol(), ended.mechanism);
    let port = target.port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("<{}{port}> as user {}", value(target.host), value(target.user))
}

pub(super) fn refused(session: &Session, ended: &Ended<'_>, refusal: &Refusal) {
    let reason = refusal.reason;
    let text = match kind(reason) {
        // The shape that fail2ban and its kin look for: only where a password may have been guessed.
        Kind::Guess => format!(
            "Aborted login (auth failed, {} attempts in {} secs)",
            session.failures,
            session.started.elapsed().as_secs()
        ),
        Kind::Policy => format!("Login refused ({})", reason.code()),
        Kind::Temporary => format!("Login failed temporarily ({})", reason.code()),
    };
    let level = if kind(reason) == Kind::Temporary { Level::Error } else { Level::Info };
    write(session, ended, level, &text, "refused", reason);
}

pub(super) fn proxy_failed(session: &Session, ended: &Ended<'_>, why: &str) {
    let text = format!(
        "proxy({},{}): {}",
        value(&ended.identity.user),
        ended.backend.as_deref().unwrap_or_default(),
        value(why)
    );
    session.connection.say(Level::Error, format!("{text}: session=<{}>", value(session.connection.id())));
}

pub(super) fn admit_failed(session: &Session, ended: &Ended<'_>, why: &str) {
    let text = format!("local({}): {}", value(&ended.identity.user), value(why));
    session.connection.say(Level::Error, format!("{text}: session=<{}>", value(session.connection.id())));
}

/// The backend said no. After our own check had said yes this is not a wrong password, and the line
/// says so.
pub(super) fn backend_refused(session: &Session, ended: &Ended<'_>, text: &[u8], refusal: BackRefusal) {
    let said = String::from_utf8_lossy(text);
    let said = value(&said);
    let what = match refusal {
        BackRefusal::Credentials => "Login rejected by the backend, though it was right here",
        BackRefusal::Coded => "Login refused by the backend",
        BackRefusal::Temporary => "Login refused by the backend for now",
    };
    let text = format!(
        "proxy({},{}): {what}: {said}",
        value(&ended.identity.user),
        ended.backend.as_deref().unwrap_or_default()
    );
    write(session, ended, Level::Info, &text, "refused", Reason::BackendRefused);
}

pub(super) fn rejected(session: &Session, rejected: Rejected) {
    let why = match rejected {
        Rejected::Plaintext => "tried to use disallowed plaintext auth",
        Rejected::TlsRequired => "tried to log in before TLS, which is required",
        Rejected::Mechanism => "tried to use a mechanism that is not offered",
        Rejected::Base64 => "sent an initial response that is not base64",
    };
    let text =
        format!("Aborted login ({why}): {}", place(session.connection.peer(), session.connection.id(), None));
    session.connection.say(Level::Info, text);
}

pub(super) fn disconnected(session: &Session, why: &str) {
    let tries = match (session.failures, session.referrals) {
        (0, 0) => "no auth attempts".to_owned(),
        (0, n) => format!("{n} logins referred"),
        (n, _) => format!("{n} failed attempts"),
    };
    let text = format!(
        "Disconnected: {} ({tries} in {} secs): {}",
        value(why),
        session.started.elapsed().as_secs(),
        place(session.connection.peer(), session.connection.id(), None)
    );
    session.connection.say(Level::Info, text);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Guess,
    Policy,
    Temporary,
}

/// What sort of "no" a reason is.
fn kind(reason: Reason) -> Kind {
    match reason {
        Reason::UnknownUser
        | Reason::WrongPassword
        | Reason::NoPassword
        | Reason::BadUsername
        | Reason::BadPassword
        | Reason::BadResponse
        | Reason::NoMaster
        | Reason::NotAuthorized
        | Reason::Denied
        | Reason::Disabled
        | Reason::Fail => Kind::Guess,
        Reason::Admitted
        | Reason::Proxied
        | Reason::Referred
        | Reason::AllowNets
        | Reason::Expired
        | Reason::Nologin
        | Reason::ChainRule
        | Reason::Aborted
        | Reason::BackendRefused
        | Reason::TooManyConnections => Kind::Policy,
        Reason::LookupFailed
        | Reason::Busy
        | Reason::NoAuthenticator
        | Reason::DelayUntil
        | Reason::ProxyNoHost
        | Reason::ProxyHostUnknown
        | Reason::ProxyNoPassword
        | Reason::ProxyLoop
        | Reason::ProxyTtl
        | Reason::BackendDown
        | Reason::BackendFault
        | Reason::NoLocalService
        | Reason::UserdbUnknown
        | Reason::UserdbFailed => Kind::Temporary,
    }
}

fn write(session: &Session, ended: &Ended<'_>, level: Level, text: &str, verdict: &str, reason: Reason) {
    let connection = &session.connection;
    let service = connection.protocol().login_service;
    let source =
        Source { protocol: connection.protocol().name, peer: connection.peer(), session: connection.id() };
    login(connection.shared(), service, &connection.deciding(), &source, ended, level, text, verdict, reason);
}

/// A login asked about on the auth socket.
pub(super) fn answered(
    shared: &Shared,
    deciding: &Deciding,
    facts: &Facts,
    decision: &Decision,
    begun: Instant,
) {
    let ended = Ended {
        mechanism: &facts.mechanism,
        identity: &decision.identity,
        trace: &decision.trace,
        begun,
        backend: None,
    };
    let (level, text, verdict, reason) = match &decision.verdict {
        Verdict::Admit(_) => (Level::Info, "Auth succeeded".to_owned(), "admitted", Reason::Admitted),
        Verdict::Proxy(_) => (Level::Info, "Auth succeeded".to_owned(), "proxied", Reason::Proxied),
        Verdict::Refer(_) => (Level::Info, "Auth referred".to_owned(), "referred", Reason::Referred),
        Verdict::Refuse(refusal) => {
            let level = if kind(refusal.reason) == Kind::Temporary { Level::Error } else { Level::Info };
            let text = format!("Auth refused ({})", refusal.reason.code());
            (level, text, "refused", refusal.reason)
        }
    };
    let text = format!("{text}: service={}", value(&facts.service));
    let source = Source { protocol: &facts.service, peer: &facts.peer, session: &facts.session };
    login(shared, "auth", deciding, &source, &ended, level, &text, verdict, reason);
}

/// Where a login came from.
struct Source<'a> {
    protocol: &'a str,
    peer: &'a Peer,
    session: &'a str,
}

/// The login's one line, and before it what the databases had to say.
#[expect(clippy::too_many_arguments, reason = "one call each for the two kinds of asker")]
fn login(
    shared: &Shared,
    service: &str,
    deciding: &Deciding,
    source: &Source<'_>,
    ended: &Ended<'_>,
    level: Level,
    text: &str,
    verdict: &str,
    reason: Reason,
) {
    notes(shared, deciding, source, ended.identity, ended.trace);
    let asked = asked(deciding, ended.trace);
    let time = seconds(ended.begun);
    let mut line = String::with_capacity(LINE);
    // Writing to a String cannot fail.
    let _ = write!(
        line,
        "{text}: user=<{}>, method={}, {}",
        value(&ended.identity.user),
        ended.mechanism,
        place(source.peer, source.session, Some((verdict, reason, &asked, &time)))
    );
    let values = || {
        let peer = source.peer;
        let address = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
        vec![
            ("event", "login".into()),
            ("verdict", verdict.into()),
            ("reason", reason.code().into()),
            ("user", ended.identity.user.clone()),
            ("original_user", ended.identity.original.clone()),
            ("master_user", ended.identity.master.clone().unwrap_or_default()),
            ("mechanism", ended.mechanism.into()),
            ("protocol", source.protocol.to_owned()),
            ("remote_ip", address(peer.remote)),
            ("remote_port", peer.remote_port.to_string()),
            ("local_ip", address(peer.local)),
            ("local_port", peer.local_port.to_string()),
            ("tls", (peer.transport == Transport::Tls).to_string()),
            ("databases", asked.clone()),
            ("backend", ended.backend.clone().unwrap_or_default()),
            ("session", source.session.to_owned()),
            ("seconds", time.clone()),
        ]
    };
    let values = if shared.log.takes_values() { values() } else { Vec::new() };
    shared.log.record(Record { level, service: service.to_owned(), text: line, values });
}

/// Addresses, protection, verdict and session id; the session id comes last.
struct Place<'a> {
    peer: &'a Peer,
    session: &'a str,
    verdict: Option<(&'a str, Reason, &'a str, &'a str)>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, session, verdict } = self;
        f.write_str("rip=")?;
        address(f, peer.remote)?;
        f.write_str(", lip=")?;
        address(f, peer.local)?;
        match peer.transport {
            Transport::Tls => f.write_str(", TLS")?,
            Transport::Trusted => f.write_str(", secured")?,
            Transport::Plain => {}
        }
        if let Some((verdict, reason, asked, time)) = verdict {
            write!(f, ", verdict={verdict}, reason={}, asked={asked}, time={time}", reason.code())?;
        }
        write!(f, ", session=<{}>", value(session))
    }
}

fn address(f: &mut fmt::Formatter<'_>, ip: Option<IpAddr>) -> fmt::Result {
    ip.map_or(Ok(()), |ip| ip.fmt(f))
}

fn place<'a>(
    peer: &'a Peer,
    session: &'a str,
    verdict: Option<(&'a str, Reason, &'a str, &'a str)>,
) -> Place<'a> {
    Place { peer, session, verdict }
}

/// Every database that was asked and what it said: `passwd-file:unknown,sql:ok`.
pub(super) fn asked(deciding: &Deciding, trace: &Trace) -> String {
    let mut words = Vec::new();
    for step in trace.steps() {
        if let Step::Answered { passdb, outcome } = step {
            words.push(format!("{}:{}", name(deciding, *passdb), word(*outcome)));
        }
    }
    if words.is_empty() { "none".into() } else { words.join(",") }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Next => "next",
        Outcome::Unknown => "unknown",
        Outcome::Mismatch => "mismatch",
        Outcome::Disabled => "disabled",
        Outcome::Expired => "expired",
        Outcome::Failed => "failed",
    }
}

/// A database's name for people: its block's, or its driver's.
fn name(deciding: &Deciding, passdb: usize) -> String {
    match deciding.engine.link(passdb) {
        Some(link) => link.settings.name.clone().unwrap_or_else(|| link.settings.driver.clone()),
        None => "auth".into(),
    }
}

/// Faults of data and configuration always, the rest with `auth_verbose`, which a database may have of
/// its own.
fn notes(shared: &Shared, deciding: &Deciding, source: &Source<'_>, identity: &Identity, trace: &Trace) {
    let verbose = |passdb: &usize| {
        let own = deciding.engine.link(*passdb).and_then(|link| link.settings.auth_verbose);
        own.unwrap_or(deciding.engine.settings().verbose)
    };
    let say = |level, passdb: usize, text: &str| {
        let remote = source.peer.remote.map(|ip| ip.to_string()).unwrap_or_default();
        let line = format!(
            "{}({},{remote},<{}>): {}",
            name(deciding, passdb),
            value(&identity.original),
            value(source.session),
            value(text)
        );
        shared.log.say(level, "auth", line);
    };
    for step in trace.steps() {
        match step {
            Step::Note { passdb, fault: true, text } => say(Level::Error, *passdb, text),
            Step::Note { passdb, fault: false, text } if verbose(passdb) => say(Level::Info, *passdb, text),
            Step::Answered { passdb, outcome: Outcome::Unknown } if verbose(passdb) => {
                say(Level::Info, *passdb, "unknown user");
            }
            Step::Answered { passdb, outcome: Outcome::Mismatch } if verbose(passdb) => {
                say(Level::Info, *passdb, "Password mismatch");
            }
            _ => {}
        }
    }
}

/// What is kept of a session while it is relayed, to say how it ended.
pub(super) struct Farewell {
    shared: std::sync::Arc<Shared>,
    service: &'static str,
    line: Box<str>,
}

impl Farewell {
    pub(super) fn new(session: &Session, user: &str, backend: &str) -> Self {
        let mut line = String::with_capacity(LINE);
        let place = place(session.connection.peer(), session.connection.id(), None);
        // Writing to a String cannot fail.
        let _ = write!(line, "user=<{}>, backend={backend}, {place}", value(user));
        Self {
            shared: std::sync::Arc::clone(session.connection.shared()),
            service: session.connection.protocol().login_service,
            line: line.into(),
        }
    }

    pub(super) fn log(&self, ended: &relay::Ended) {
        let why = match (ended.by, &ended.error) {
            (Side::Client, None) => "Connection closed by the client".to_owned(),
            (Side::Backend, None) => "Connection closed by the backend".to_owned(),
            (Side::Gate, None) => "Shutting down".to_owned(),
            (Side::Client, Some(error)) => format!("Connection to the client lost: {}", plainly(error)),
            (Side::Backend, Some(error)) => format!("Connection to the backend lost: {}", plainly(error)),
            (Side::Gate, Some(error)) => format!("Ended: {}", plainly(error)),
        };
        let text =
            format!("Disconnected: {why} in={} out={}: {}", ended.to_backend, ended.to_client, self.line);
        self.shared.log.say(Level::Info, self.service, text);
    }
}
