//! The facts of a login before anyone is asked, and what a driver sees of it.
//! Knows nothing of where the facts came from.

use std::borrow::Cow;
use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretSlice};

use crate::expand::Variables;
use crate::fields::Fields;

/// A password as bytes: never printed, wiped when dropped.
pub type Secret = SecretSlice<u8>;

/// Everything known about a login before a database is asked; never changed afterwards.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Service name as in `%s`: `imap`, `pop3`, `smtp` …
    pub service: String,
    /// Canonical upper-case SASL mechanism name; empty when a lookup has none.
    pub mechanism: String,
    /// Who talks to whom.
    pub peer: Peer,
    /// Session id, as logged.
    pub session: String,
    /// Wall clock in seconds since 1970, for `delay_until`.
    pub now: u64,
    /// A random number drawn for this login, for `delay_until=T+R`.
    pub random: u64,
    /// The client's IMAP ID, where it was retained.
    pub client_id: Option<String>,
    /// `forward_NAME` fields that a trusted front sent, names without the prefix.
    pub forwarded: Vec<(String, String)>,
    /// Process id of the asker (`%p`), 0 where it has none.
    pub client_pid: u32,
    /// This machine's name, `%{hostname}`.
    pub hostname: String,
}

/// The two ends of the client's connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Client address as we believe it (a trusted front may have said it). `None`: not known.
    pub remote: Option<IpAddr>,
    /// Client port, 0 when unknown.
    pub remote_port: u16,
    /// Our address as the client sees it.
    pub local: Option<IpAddr>,
    /// Our port as the client sees it, 0 when unknown.
    pub local_port: u16,
    /// Address of the TCP peer itself; `None` means the same as `remote`.
    pub real_remote: Option<IpAddr>,
    /// Port of the TCP peer itself.
    pub real_remote_port: u16,
    /// Our own end of the TCP connection; `None` means the same as `local`.
    pub real_local: Option<IpAddr>,
    /// Port of our own end.
    pub real_local_port: u16,
    /// What protects the bytes.
    pub transport: Transport,
    /// SNI name, when TLS brought one.
    pub local_name: Option<String>,
    /// A verified client certificate was presented.
    pub valid_certificate: bool,
}

/// What protects a client's bytes on their way to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Anybody on the way can read them.
    #[default]
    Plain,
    /// Same host or a trusted network: as good as TLS by the administrator's word (`%c` = `secured`).
    Trusted,
    /// TLS (`%c` = `TLS`).
    Tls,
}

/// Whose login it is. Names change on the way: fields `user`, `login_user`, master logins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The name asked for now: normalised, and as earlier fields left it.
    pub user: String,
    /// The name as the client typed it.
    pub original: String,
    /// The user that a master wants to log in as, until the master has been checked.
    pub login_user: Option<String>,
    /// The master's name, once a master login has succeeded.
    pub master: Option<String>,
}

/// One question to one database.
#[derive(Debug)]
pub struct Request<'a> {
    /// The unchanging facts.
    pub facts: &'a Facts,
    /// The names as they stand now.
    pub identity: &'a Identity,
    /// Extra fields that the chain has collected so far (`%{passdb:…}`).
    pub fields: &'a Fields,
    /// Fields collected for the userdb answer (`%{userdb:…}`).
    pub userdb: &'a Fields,
    /// The typed password, for mechanisms that carry one (`%w`, and databases that verify themselves).
    pub password: Option<&'a Secret>,
    /// Number of the database in the chain, from 1 (`%!`).
    pub passdb_id: usize,
}

impl Variables for Request<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        let who = self.identity;
        let peer = &self.facts.peer;
        let authenticated = who.master.as_deref().unwrap_or(&who.original);
        let text = |text: &'_ str| Some(Cow::Owned(text.to_owned()));
        let address = |first: Option<IpAddr>, second: Option<IpAddr>| {
            Some(Cow::Owned(first.or(second).map(|ip| ip.to_string()).unwrap_or_default()))
        };
        let port = |port: u16| Some(Cow::Owned(port.to_string()));
        let real_port = |real: Option<IpAddr>, real_port: u16, seen: u16| {
            port(if real.is_some() { real_port } else { seen })
        };
        match name {
            "user" => Some(Cow::Borrowed(&who.user)),
            "username" => Some(Cow::Borrowed(local_part(&who.user))),
            "domain" => Some(Cow::Borrowed(domain_part(&who.user))),
            "domain_first" => text(domain_part(&who.user).split('@').next().unwrap_or_default()),
            "domain_last" => text(domain_part(&who.user).rsplit('@').next().unwrap_or_default()),
            "service" => text(&self.facts.service),
            "lip" | "local_ip" => address(peer.local, None),
            "rip" | "remote_ip" => address(peer.remote, None),
            "lport" | "local_port" => port(peer.local_port),
            "rport" | "remote_port" => port(peer.remote_port),
            "real_lip" | "real_local_ip" => address(peer.real_local, peer.local),
            "real_rip" | "real_remote_ip" => address(peer.real_remote, peer.remote),
            "real_lport" | "real_local_port" => {
                real_port(peer.real_local, peer.real_local_port, peer.local_port)
            }
            "real_rport" | "real_remote_port" => {
                real_port(peer.real_remote, peer.real_remote_port, peer.remote_port)
            }
            "secured" => text(match peer.transport {
                Transport::Plain => "",
                Transport::Trusted => "secured",
                Transport::Tls => "TLS",
            }),
            "cert" => text(if peer.valid_certificate { "valid" } else { "" }),
            "mech" | "mechanism" => text(&self.facts.mechanism),
            "password" => Some(Cow::Owned(
                self.password
                    .map(|p| String::from_utf8_lossy(p.expose_secret()).into_owned())
                    .unwrap_or_default(),
            )),
            "passdb_id" => Some(Cow::Owned(self.passdb_id.to_string())),
            "pid" | "client_pid" => Some(Cow::Owned(self.facts.client_pid.to_string())),
            "home" => text(self.userdb.value("home").unwrap_or_default()),
            "session" => text(&self.facts.session),
            // The number of a session's own process: there is none.
            "session_pid" => text(""),
            "local_name" => text(peer.local_name.as_deref().unwrap_or_default()),
            "client_id" => text(self.facts.client_id.as_deref().unwrap_or_default()),
            "login_user" => text(who.login_user.as_deref().unwrap_or_default()),
            "login_username" => text(local_part(who.login_user.as_deref().unwrap_or_default())),
            "login_domain" => text(domain_part(who.login_user.as_deref().unwrap_or_default())),
            "master_user" => text(who.master.as_deref().unwrap_or_default()),
            "orig_user" | "original_user" => text(&who.original),
            "orig_username" | "original_username" => text(local_part(&who.original)),
            "orig_domain" | "original_domain" => text(domain_part(&who.original)),
            "auth_user" => text(authenticated),
            "auth_username" => text(local_part(authenticated)),
            "auth_domain" => text(domain_part(authenticated)),
            "hostname" => text(&self.facts.hostname),
            _ => None,
        }
    }

    fn field(&self, provider: &str, name: &str) -> Option<Option<Cow<'_, str>>> {
        let fields = match provider {
            "passdb" => self.fields,
            "userdb" => self.userdb,
            // Known, and empty: the environment is not shown to lookups.
            "env" => return Some(None),
            _ => return None,
        };
        Some(fields.value(name).map(Cow::Borrowed))
    }
}

/// What stands before the first `@`.
pub fn local_part(user: &str) -> &str {
    user.split_once('@').map_or(user, |(local, _)| local)
}

/// What stands after the first `@`, or nothing.
pub fn domain_part(user: &str) -> &str {
    user.split_once('@').map_or("", |(_, domain)| domain)
}
