//! What becomes of a login that is let in: the local mail service of its protocol, reached as a
//! backend is, with the user's own password.

use std::path::PathBuf;
use std::time::Duration;

use auth::fields::Fields;
use auth::request::{Identity, Secret};
use auth::trace::Reason;
use auth::users::User;
use auth::verdict::{Admission, RouteTls};
use config::rows::login::LoginSettings;
use wire::Errand;
use wire::protocols::Protocol;

use crate::proxy::{self, Backend};
use crate::session::Session;
use crate::sessions::{Place, Sessions};

/// How long the local mail service may take to accept a login.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where admitted sessions of a protocol go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalService {
    /// `imap://HOST:PORT`, `pop3://HOST:PORT`.
    Address {
        /// Name or address.
        host: String,
        /// Port, the protocol's own by default.
        port: u16,
    },
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl LocalService {
    /// Reads `gatepost_local_PROTOCOL`. `Ok(None)`: not set.
    pub fn of(settings: &LoginSettings, protocol: &Protocol) -> Result<Option<Self>, String> {
        let written = match protocol.name {
            "imap" => &settings.local_imap,
            "pop3" => &settings.local_pop3,
            _ => return Ok(None),
        };
        if written.is_empty() {
            return Ok(None);
        }
        let fault = |what: &str| {
            format!(
                "gatepost_local_{}: {what} in {written:?} (write {}://127.0.0.1:PORT or unix:/PATH)",
                protocol.name, protocol.name
            )
        };
        if let Some(path) = written.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Some(Self::Unix(path.into()))),
                false => Err(fault("no absolute path")),
            };
        }
        let Some(rest) = written.strip_prefix(protocol.name).and_then(|rest| rest.strip_prefix("://")) else {
            return Err(fault("no address"));
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && (!host.contains(':') || host.ends_with(']')) => {
                (host, port.parse().map_err(|_| fault("no port number"))?)
            }
            _ => (rest, protocol.port),
        };
        if host.is_empty() || port == 0 {
            return Err(fault("no host or port"));
        }
        Ok(Some(Self::Address { host: host.to_owned(), port }))
    }
}

/// A login that the local mail service has taken.
pub struct Admitted {
    /// The connection to it.
    pub backend: Backend,
    /// Counts towards the user's limit.
    pub place: Place,
}

/// Why it has not.
pub struct Failure {
    /// The stable reason.
    pub reason: Reason,
    /// What happened, for the log.
    pub why: String,
    /// `address:port`, as far as known.
    pub backend: Option<String>,
}

/// Leads a login to the local mail service.
pub async fn admit(
    session: &Session,
    admission: &Admission,
    identity: &Identity,
    fields: &Fields,
    userdb: &Fields,
    typed: Option<&Secret>,
    mechanism: &str,
) -> Result<Admitted, Failure> {
    let fail = |reason, why: &str| Failure { reason, why: why.to_owned(), backend: None };
    let service = match LocalService::of(session.settings(), session.protocol()) {
        Ok(Some(service)) => service,
        Ok(None) => {
            let setting = format!("gatepost_local_{}", session.protocol().name);
            let why = format!("the login is right, but {setting} says nowhere to serve it: set {setting}");
            return Err(fail(Reason::NoLocalService, &why));
        }
        Err(why) => return Err(fail(Reason::NoLocalService, &why)),
    };
    let Some(password) = typed else {
        return Err(fail(Reason::ProxyNoPassword, "no password to log in to the local mail service with"));
    };
    let user = find_user(session, admission, identity, fields, userdb, mechanism).await?;
    let limit = session.settings().max_userip_connections;
    let remote = session.peer().remote;
    let place = Sessions::place(session.shared(), &user, remote, session.protocol().name, limit)
        .ok_or_else(|| fail(Reason::TooManyConnections, ""))?;
    let addresses;
    let (where_to, name) = match &service {
        LocalService::Unix(path) => (proxy::Place::Unix(path), ""),
        LocalService::Address { host, port } => {
            addresses = proxy::resolve(host, *port).await.map_err(|why| fail(Reason::BackendDown, &why))?;
            (proxy::Place::Tcp { addresses: &addresses, source: None }, host.as_str())
        }
    };
    let target = proxy::Target { place: where_to, tls: RouteTls::default(), name, timeout: TIMEOUT };
    let errand = || Errand {
        user: user.clone(),
        master: identity.master.clone(),
        password: password.clone(),
        mechanism: None,
        starttls: false,
        client_knows_capability: session.client_knows_capability(),
    };
    match proxy::reach(session, &target, &errand).await {
        Ok(backend) => Ok(Admitted { backend, place }),
        Err(proxy::Failure::Ours { reason, why, backend }) => Err(Failure { reason, why, backend }),
        Err(proxy::Failure::Refused { text, backend, .. }) => Err(Failure {
            reason: Reason::BackendFault,
            why: format!(
                "the local mail service refused a login that was right here: {}",
                String::from_utf8_lossy(&text)
            ),
            backend: Some(backend),
        }),
        Err(proxy::Failure::Here) => Err(fail(Reason::ProxyLoop, "the local mail service is this gate")),
    }
}

/// Asks the userdbs, when there are any, for the name that the user has here.
async fn find_user(
    session: &Session,
    admission: &Admission,
    identity: &Identity,
    fields: &Fields,
    userdb: &Fields,
    mechanism: &str,
) -> Result<String, Failure> {
    let deciding = session.deciding();
    if deciding.users.is_empty() {
        return Ok(userdb.value("user").unwrap_or(&admission.user).to_owned());
    }
    let facts = session.facts(mechanism);
    let fail = |reason, why| Failure { reason, why, backend: None };
    match deciding.users.find(&facts, identity, fields, userdb).await {
        User::Found(found) if found.has("tempfail") => {
            let why = format!("userdb answered tempfail: {}", found.value("reason").unwrap_or("no reason"));
            Err(fail(Reason::UserdbFailed, why))
        }
        User::Found(found) => Ok(found.value("user").unwrap_or(&admission.user).to_owned()),
        User::Unknown => Err(fail(Reason::UserdbUnknown, "no userdb knows the user".into())),
        User::Failed(why) => Err(fail(Reason::UserdbFailed, why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str) -> Result<Option<LocalService>, String> {
        let settings = LoginSettings { local_imap: written.into(), ..LoginSettings::default() };
        LocalService::of(&settings, wire::protocols::find("imap").unwrap())
    }

    #[test]
    fn addresses_and_paths() {
        let address = |host: &str, port| Ok(Some(LocalService::Address { host: host.into(), port }));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("imap://127.0.0.1:10143"), address("127.0.0.1", 10143));
        assert_eq!(read("imap://mail.example.com/"), address("mail.example.com", 143));
        assert_eq!(read("imap://[::1]:10143"), address("[::1]", 10143));
        assert_eq!(read("imap://[::1]"), address("[::1]", 143));
        assert_eq!(read("unix:/run/x"), Ok(Some(LocalService::Unix("/run/x".into()))));
        for bad in ["pop3://127.0.0.1", "imap://", "imap://h:0", "imap://h:x", "unix:x", "127.0.0.1"] {
            assert!(read(bad).unwrap_err().contains("gatepost_local_imap"), "{bad}");
        }
    }
}
