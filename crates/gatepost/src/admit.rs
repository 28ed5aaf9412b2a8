//! What becomes of a login that is let in: the local mail service of its protocol, reached as a
//! backend is, with the user's own password.

use std::time::Duration;

use auth::fields::Fields;
use auth::request::{Identity, Secret};
use auth::trace::Reason;
use auth::users::User;
use auth::verdict::{Admission, RouteTls};
use wire::Errand;

use crate::connection::Connection;
use crate::local::LocalService;
use crate::proxy::{self, Backend};
use crate::sessions::Place;

/// How long the local mail service may take to accept a login.
const TIMEOUT: Duration = Duration::from_secs(30);

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
    connection: &Connection,
    admission: &Admission,
    identity: &Identity,
    fields: &Fields,
    userdb: &Fields,
    typed: Option<&Secret>,
    mechanism: &str,
) -> Result<Admitted, Failure> {
    let fail = |reason, why: &str| Failure { reason, why: why.to_owned(), backend: None };
    let service = match LocalService::of(connection.settings(), connection.protocol()) {
        Ok(Some(service)) => service,
        Ok(None) => {
            let setting = format!("gatepost_local_{}", connection.protocol().name);
            let why = format!("the login is right, but {setting} says nowhere to serve it: set {setting}");
            return Err(fail(Reason::NoLocalService, &why));
        }
        Err(why) => return Err(fail(Reason::NoLocalService, &why)),
    };
    let Some(password) = typed else {
        return Err(fail(Reason::ProxyNoPassword, "no password to log in to the local mail service with"));
    };
    let user = find_user(connection, admission, identity, fields, userdb, mechanism).await?;
    let limit = connection.settings().max_userip_connections;
    let remote = connection.peer().remote;
    let place = connection
        .shared()
        .sessions
        .place(&user, remote, connection.protocol().name, limit)
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
        client_knows_capability: connection.knows_capability,
        identity: Some(connection.identity(&admission.forwarded)),
        nopipelining: false,
    };
    match proxy::reach(connection, &target, &errand).await {
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
    connection: &Connection,
    admission: &Admission,
    identity: &Identity,
    fields: &Fields,
    userdb: &Fields,
    mechanism: &str,
) -> Result<String, Failure> {
    let deciding = connection.deciding();
    if deciding.users.is_empty() {
        return Ok(userdb.value("user").unwrap_or(&admission.user).to_owned());
    }
    let facts = connection.facts(mechanism);
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
