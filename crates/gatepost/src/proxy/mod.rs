//! From a route to a backend that has accepted the login. Knows nothing of databases.

mod dial;
mod handshake;

use std::net::SocketAddr;
use std::time::Duration;

use auth::trace::Reason;
use auth::verdict::{Route, TlsStart};
use tokio::time::Instant;
use wire::{BackRefusal, Errand};

pub(crate) use dial::resolve;

use crate::chance;
use crate::connection::Connection;
use crate::stream::Stream;

/// Between two tries at a backend.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A backend that has accepted the login.
pub struct Backend {
    /// The connection to it.
    pub stream: Stream,
    /// `address:port`, for the log.
    pub name: String,
    /// Its words after the OK, capabilities taken off.
    pub text: Vec<u8>,
    /// Its capabilities as last seen.
    pub capability: Option<Vec<u8>>,
    /// Untagged lines to pass on.
    pub untagged: Vec<u8>,
    /// What it has sent since.
    pub leftover: Vec<u8>,
}

/// Why there is none.
#[derive(Debug)]
pub enum Failure {
    /// The destination is this very server.
    Here,
    /// We could not get through to the login.
    Ours {
        /// The stable reason.
        reason: Reason,
        /// What happened, for the log.
        why: String,
        /// `address:port`, as far as known.
        backend: Option<String>,
    },
    /// The backend refused the login.
    Refused {
        /// Its words.
        text: Vec<u8>,
        /// What it meant.
        refusal: BackRefusal,
        /// `address:port`.
        backend: String,
    },
}

/// A backend to be reached, by whatever led there.
pub(crate) struct Target<'a> {
    /// Where to.
    pub(crate) place: Place<'a>,
    /// When TLS begins.
    pub(crate) tls: auth::verdict::RouteTls,
    /// The name that its certificate must have.
    pub(crate) name: &'a str,
    /// How long all tries together may take.
    pub(crate) timeout: Duration,
}

/// Where a backend listens.
pub(crate) enum Place<'a> {
    /// One of these addresses.
    Tcp {
        /// In the order they are tried.
        addresses: &'a [SocketAddr],
        /// Our own end.
        source: Option<std::net::IpAddr>,
    },
    /// A Unix socket.
    Unix(&'a std::path::Path),
}

/// Leads a login to where its route points.
pub async fn connect(connection: &Connection, route: &Route) -> Result<Backend, Failure> {
    let protocol = connection.protocol();
    let port = route.port.unwrap_or(match route.tls.start {
        TlsStart::Immediately => protocol.tls_port,
        TlsStart::Never | TlsStart::Command => protocol.port,
    });
    let ours = |reason, why| Failure::Ours { reason, why, backend: Some(format!("{}:{port}", route.host)) };
    let addresses = match route.hostip {
        Some(ip) => vec![SocketAddr::new(ip, port)],
        None => dial::resolve(&route.host, port).await.map_err(|why| ours(Reason::ProxyHostUnknown, why))?,
    };
    if addresses.iter().any(|&address| connection.is_own_address(address))
        && (route.own_user || route.otherwise.is_some())
    {
        return Err(if route.otherwise.is_some() {
            Failure::Here
        } else {
            ours(Reason::ProxyLoop, "Proxying loops to itself".into())
        });
    }
    // The next hop would be told 0.
    if !connection.may_hop() {
        return Err(ours(Reason::ProxyTtl, "TTL reached zero - proxies appear to be looping?".into()));
    }
    let settings = connection.settings();
    let source = route.source.or_else(|| {
        let turn = usize::try_from(chance::number()).unwrap_or_default();
        settings.source_ips.get(turn.checked_rem(settings.source_ips.len())?).copied()
    });
    let target = Target {
        place: Place::Tcp { addresses: &addresses, source },
        tls: route.tls,
        name: &route.host,
        timeout: route.timeout.unwrap_or(settings.proxy_timeout),
    };
    let errand = || Errand {
        user: route.user.clone(),
        master: route.master.clone(),
        password: route.password.clone(),
        mechanism: route.mechanism.clone(),
        starttls: route.tls.start == TlsStart::Command,
        client_knows_capability: connection.knows_capability,
        identity: route.trusted.then(|| connection.identity(&route.forwarded)),
        nopipelining: route.nopipelining,
    };
    reach(connection, &target, &errand).await
}

/// Tries a backend until it has answered the login, the time is up or trying again is useless.
pub(crate) async fn reach(
    connection: &Connection,
    target: &Target<'_>,
    errand: &(dyn Fn() -> Errand + Sync),
) -> Result<Backend, Failure> {
    let deadline = Instant::now() + target.timeout;
    let mut tries = 0;
    loop {
        let (failure, retry) = match handshake::once(connection, target, errand(), deadline).await {
            Ok(backend) => return Ok(backend),
            Err(failure) => failure,
        };
        tries += 1;
        let again = Instant::now() + RETRY_PAUSE;
        if !retry || tries > connection.settings().proxy_max_reconnects || again >= deadline {
            return Err(failure);
        }
        tokio::time::sleep_until(again).await;
    }
}
