//! How the final fields become one of four verdicts, and how long the answer waits.
//! Knows nothing of how a verdict is worded or carried out.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::fields::Fields;
use crate::request::{Identity, Secret};
use crate::trace::{Reason, Trace};

/// How one login ends.
#[must_use]
#[derive(Debug)]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
    /// How long the answer is held back.
    pub wait: Duration,
    /// A user who was found has the field `nodelay`: nobody need hold a refusal back.
    pub nodelay: bool,
    /// The password was right: what an asker on the auth socket is told, whatever the verdict. A
    /// referral of somebody who has no password (NULL beside `host` and `nologin`) is not.
    pub authenticated: bool,
    /// Whose login it was, names as they stand at the end.
    pub identity: Identity,
    /// The surviving extra fields.
    pub fields: Fields,
    /// Fields for the userdb answer, names without `userdb_`.
    pub userdb: Fields,
    /// How it came about.
    pub trace: Trace,
}

/// The four ways a login ends.
#[derive(Debug)]
pub enum Verdict {
    /// Let in: on to the local mail service.
    Admit(Admission),
    /// Handed on to another server.
    Proxy(Box<Route>),
    /// Told to log in elsewhere, and not let in.
    Refer(Referral),
    /// Sent away.
    Refuse(Refusal),
}

/// A login that may be served here.
#[derive(Debug)]
pub struct Admission {
    /// The user to be served.
    pub user: String,
    /// A suggestion to use another server all the same.
    pub referral: Option<Referral>,
    /// `forward_NAME` fields for the local mail service, names without the prefix.
    pub forwarded: Vec<(String, String)>,
}

/// Where a login is handed on to.
#[derive(Debug)]
pub struct Route {
    /// `host`: a name or an address.
    pub host: String,
    /// `hostip`: connect there, `host` being only a name.
    pub hostip: Option<IpAddr>,
    /// `port`; `None`: the protocol's default.
    pub port: Option<u16>,
    /// `destuser`, or the user's own name.
    pub user: String,
    /// `master`: authenticate as that one, act as `user`.
    pub master: Option<String>,
    /// `pass`, or the password the client typed.
    pub password: Secret,
    /// `ssl`, `starttls`.
    pub tls: RouteTls,
    /// `proxy_mech`.
    pub mechanism: Option<String>,
    /// `proxy_timeout`; `None`: `login_proxy_timeout`.
    pub timeout: Option<Duration>,
    /// `source_ip`.
    pub source: Option<IpAddr>,
    /// No `proxy_not_trusted`: the destination may be told whose login it is.
    pub trusted: bool,
    /// `proxy_nopipelining`: each reply is waited for before the next command.
    pub nopipelining: bool,
    /// `forward_NAME` fields for the destination, names without the prefix.
    pub forwarded: Vec<(String, String)>,
    /// The login is refused if the destination is this very server and the user is the same.
    pub own_user: bool,
    /// `proxy_maybe`: what becomes of the login if the destination is this very server.
    pub otherwise: Option<Verdict>,
}

/// How a backend is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTls {
    /// When TLS begins.
    pub start: TlsStart,
    /// Any certificate will do (`any-cert`).
    pub any_certificate: bool,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsStart {
    /// Never.
    #[default]
    Never,
    /// From the first byte (`ssl`).
    Immediately,
    /// By the protocol's own command (`starttls`).
    Command,
}

/// Where a client should go instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referral {
    /// Host name or address as the database gave it.
    pub host: String,
    /// Port there; `None`: the protocol's default.
    pub port: Option<u16>,
    /// `ssl` was given without a port: the protocol's TLS port.
    pub tls_port: bool,
    /// User there.
    pub user: String,
    /// Text from the field `reason`.
    pub text: Option<String>,
}

/// Why somebody is sent away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// Text from the field `reason`, where the client may see it.
    pub text: Option<String>,
}

impl Refusal {
    /// A refusal without a text of its own.
    pub fn new(reason: Reason) -> Self {
        Self { reason, text: None }
    }
}

impl Verdict {
    /// A refusal without a text of its own.
    pub fn refuse(reason: Reason) -> Self {
        Self::Refuse(Refusal::new(reason))
    }
}

/// Turns the fields of a login whose password was right into a verdict.
///
/// Precedence: `proxy`, then `host` with `nologin`, then `nologin`, then admission.
/// `password` is what the client typed, for the backend.
pub fn decide(fields: &Fields, identity: &Identity, password: Option<&Secret>) -> Verdict {
    if fields.has("proxy") || fields.has("proxy_maybe") {
        return proxy(fields, identity, password);
    }
    let referral = referral(fields, identity);
    match (fields.has("nologin"), referral) {
        (true, Some(referral)) => Verdict::Refer(referral),
        (true, None) => Verdict::Refuse(Refusal { reason: Reason::Nologin, text: reason(fields) }),
        (false, referral) => {
            Verdict::Admit(Admission { user: identity.user.clone(), referral, forwarded: forwarded(fields) })
        }
    }
}

fn reason(fields: &Fields) -> Option<String> {
    fields.value("reason").filter(|text| !text.is_empty()).map(str::to_owned)
}

fn port(fields: &Fields) -> Option<u16> {
    fields.value("port")?.parse().ok().filter(|&port| port != 0)
}

/// A `port` that is none, so that the default is taken.
pub(crate) fn unusable_port(fields: &Fields) -> Option<&str> {
    fields.value("port").filter(|_| port(fields).is_none())
}

fn destination_user<'a>(fields: &'a Fields, identity: &'a Identity) -> &'a str {
    fields.value("destuser").filter(|user| !user.is_empty()).unwrap_or(&identity.user)
}

fn referral(fields: &Fields, identity: &Identity) -> Option<Referral> {
    Some(Referral {
        host: fields.value("host")?.to_owned(),
        port: port(fields),
        tls_port: fields.has("ssl") && !fields.has("starttls"),
        user: destination_user(fields, identity).to_owned(),
        text: reason(fields),
    })
}

fn proxy(fields: &Fields, identity: &Identity, password: Option<&Secret>) -> Verdict {
    let maybe = !fields.has("proxy");
    let Some(host) = fields.value("host").filter(|host| !host.is_empty()) else {
        return Verdict::refuse(Reason::ProxyNoHost);
    };
    let password = match fields.value("pass") {
        Some(pass) => Secret::from(pass.as_bytes().to_vec()),
        None => match password {
            Some(typed) => Secret::from(typed.expose_secret().to_vec()),
            None => return Verdict::refuse(Reason::ProxyNoPassword),
        },
    };
    let user = destination_user(fields, identity);
    Verdict::Proxy(Box::new(Route {
        host: host.to_owned(),
        hostip: fields.value("hostip").and_then(|ip| ip.parse().ok()),
        port: port(fields),
        user: user.to_owned(),
        master: fields.value("master").filter(|master| !master.is_empty()).map(str::to_owned),
        password,
        tls: tls(fields),
        mechanism: fields
            .value("proxy_mech")
            .filter(|mechanism| !mechanism.is_empty())
            .map(str::to_ascii_uppercase),
        timeout: fields.value("proxy_timeout").and_then(timeout),
        source: fields.value("source_ip").and_then(|ip| ip.parse().ok()),
        trusted: !fields.has("proxy_not_trusted"),
        nopipelining: fields.has("proxy_nopipelining"),
        forwarded: forwarded(fields),
        own_user: user == identity.user,
        otherwise: maybe.then(|| decide(&without_route(fields), identity, None)),
    }))
}

/// The fields for the next server, in their order. The prefix is read in any case, as Dovecot reads it.
fn forwarded(fields: &Fields) -> Vec<(String, String)> {
    const PREFIX: &str = "forward_";
    let name = |name: &str| {
        let (prefix, name) = name.split_at_checked(PREFIX.len())?;
        prefix.eq_ignore_ascii_case(PREFIX).then(|| name.to_owned())
    };
    fields.iter().filter_map(|field| Some((name(&field.name)?, field.value.clone()))).collect()
}

/// What is left of the fields when the destination of a `proxy_maybe` is this very server.
fn without_route(fields: &Fields) -> Fields {
    let mut local = fields.clone();
    for name in ["proxy", "proxy_maybe", "host", "port", "destuser"] {
        local.remove(name);
    }
    local
}

fn tls(fields: &Fields) -> RouteTls {
    let wanted = |name: &str| fields.value(name).filter(|&value| value != "no");
    let start = if wanted("starttls").is_some() {
        TlsStart::Command
    } else if wanted("ssl").is_some() {
        TlsStart::Immediately
    } else {
        TlsStart::Never
    };
    let any = |name: &str| wanted(name) == Some("any-cert");
    RouteTls { start, any_certificate: any("ssl") || any("starttls") }
}

/// `proxy_timeout`: a plain number is seconds, `ms`/`msecs` and the other units are what they say.
fn timeout(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let unit = text.get(digits..)?.trim().to_ascii_lowercase();
    match unit.as_str() {
        "ms" | "msec" | "msecs" | "millisecs" | "milliseconds" => Some(Duration::from_millis(number)),
        "" | "s" | "sec" | "secs" | "second" | "seconds" => Some(Duration::from_secs(number)),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" | "hour" | "hours" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}

/// `delay_until=T[+R]`: how long to wait, in seconds from `now`, with `random` drawing from R.
///
/// More than five minutes ahead, or unreadable, is an error with its text for the log: an
/// internal, temporary failure of the login, as the origin document says.
pub fn delay_until(value: &str, now: u64, random: u64) -> Result<Duration, String> {
    const LIMIT: u64 = 5 * 60;
    let (time, extra) = match value.split_once('+') {
        Some((time, extra)) => (time, Some(extra)),
        None => (value, None),
    };
    let until: u64 = time.parse().map_err(|_| format!("Invalid delay_until timestamp '{time}'"))?;
    let extra: u64 = match extra {
        Some(extra) => {
            extra.parse().map_err(|_| format!("Invalid delay_until randomness number '{extra}'"))?
        }
        None => 0,
    };
    if until <= now {
        return Ok(Duration::ZERO);
    }
    let ahead = until - now;
    if ahead > LIMIT {
        return Err(format!("delay_until timestamp {until} is too much in the future, failing"));
    }
    let extra = if extra == 0 { 0 } else { random % extra };
    Ok(Duration::from_secs(ahead.saturating_add(extra).min(LIMIT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Origin;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in list {
            fields.set(name, value, Origin::Passdb(1));
        }
        fields
    }

    fn verdict(list: &[(&str, &str)]) -> Verdict {
        let identity = Identity { user: "bob".into(), original: "bob".into(), ..Identity::default() };
        decide(&fields(list), &identity, Some(&Secret::from(b"pw".to_vec())))
    }

    #[test]
    fn proxy_goes_before_referral_and_referral_before_nologin() {
        assert!(matches!(verdict(&[("proxy", ""), ("host", "h"), ("nologin", "")]), Verdict::Proxy(_)));
        assert!(matches!(verdict(&[("host", "h"), ("nologin", "")]), Verdict::Refer(_)));
        assert!(matches!(verdict(&[("nologin", "")]), Verdict::Refuse(_)));
    }

    // "Suggest the client to log into another server, but log it in anyway."
    #[test]
    fn host_alone_admits_and_suggests() {
        let Verdict::Admit(admission) = verdict(&[("host", "h"), ("reason", "Better there.")]) else {
            panic!("not admitted")
        };
        let referral = admission.referral.unwrap();
        assert_eq!((referral.host.as_str(), referral.text.as_deref()), ("h", Some("Better there.")));
    }

    #[test]
    fn a_proxy_without_host_or_password_is_a_temporary_failure() {
        let refused = |verdict| match verdict {
            Verdict::Refuse(refusal) => refusal.reason,
            _ => panic!("not refused"),
        };
        assert_eq!(refused(verdict(&[("proxy", "y")])), Reason::ProxyNoHost);
        assert_eq!(refused(verdict(&[("proxy", "y"), ("host", "")])), Reason::ProxyNoHost);
        let identity = Identity::default();
        let no_password = decide(&fields(&[("proxy", "y"), ("host", "h")]), &identity, None);
        assert_eq!(refused(no_password), Reason::ProxyNoPassword);
    }

    #[test]
    fn proxy_maybe_keeps_what_holds_when_the_destination_is_here() {
        let Verdict::Proxy(route) = verdict(&[("proxy_maybe", ""), ("host", "h"), ("nologin", "")]) else {
            panic!("not proxied")
        };
        assert!(matches!(route.otherwise, Some(Verdict::Refuse(Refusal { reason: Reason::Nologin, .. }))));
    }

    #[test]
    fn what_the_next_server_is_told_is_said_by_the_fields() {
        let list = [("forward_b", "2"), ("proxy", ""), ("host", "h"), ("FORWARD_a", ""), ("forwarded", "x")];
        let forwarded = [("b".to_owned(), "2".to_owned()), ("a".to_owned(), String::new())];
        let Verdict::Proxy(route) = verdict(&list) else { panic!("not proxied") };
        assert_eq!((route.trusted, route.nopipelining), (true, false));
        assert_eq!(route.forwarded, forwarded);
        let doubted = [list.as_slice(), &[("proxy_not_trusted", ""), ("proxy_nopipelining", "")]].concat();
        let Verdict::Proxy(route) = verdict(&doubted) else { panic!("not proxied") };
        assert_eq!((route.trusted, route.nopipelining), (false, true));
        let Verdict::Admit(admission) = verdict(&[("forward_b", "2"), ("forward_a", "")]) else {
            panic!("not admitted")
        };
        assert_eq!(admission.forwarded, forwarded);
    }

    #[test]
    fn proxy_timeout_units() {
        for (text, expected) in [
            ("5", Some(5000)),
            ("500ms", Some(500)),
            ("2 secs", Some(2000)),
            ("1m", Some(60000)),
            ("x", None),
        ] {
            assert_eq!(timeout(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn delay_until_waits_and_knows_its_limit() {
        let seconds = |value, random| delay_until(value, 1000, random).map(|wait| wait.as_secs());
        assert_eq!(seconds("1010", 0), Ok(10));
        assert_eq!(seconds("1010+10", 13), Ok(13));
        assert_eq!(seconds("990+10", 5), Ok(0));
        assert_eq!(seconds("1300", 0), Ok(300));
        assert_eq!(seconds("1290+100", 99), Ok(300));
        assert!(seconds("1301", 0).unwrap_err().contains("too much in the future"));
        assert_eq!(seconds("", 0).unwrap_err(), "Invalid delay_until timestamp ''");
        assert_eq!(seconds("1010+x", 0).unwrap_err(), "Invalid delay_until randomness number 'x'");
    }
}
