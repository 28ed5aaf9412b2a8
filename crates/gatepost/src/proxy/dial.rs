//! Names to addresses, addresses to connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Place, Target};
use crate::log::plainly;
use crate::stream::Stream;

/// How long a name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESS_LIMIT: usize = 16;

/// The addresses of `host`, which may be an address itself, in brackets or not.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if !is_host_name(host) {
        return Err(format!("host {host:?} is neither an address nor a host name"));
    }
    let addresses = match timeout(RESOLVE_TIMEOUT, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.take(ADDRESS_LIMIT).collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(format!("host {host} does not resolve: {error}")),
        Err(_) => return Err(format!("host {host} did not resolve in {} secs", RESOLVE_TIMEOUT.as_secs())),
    };
    if addresses.is_empty() {
        return Err(format!("host {host} has no address"));
    }
    Ok(addresses)
}

/// Letters, digits, `-`, `_` and dots: what a resolver may be asked for.
fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Connects to the first address that answers before the deadline.
pub(super) async fn dial(
    target: &Target<'_>,
    deadline: Instant,
) -> Result<(Stream, String), (String, String)> {
    match &target.place {
        Place::Unix(path) => {
            let name = path.display().to_string();
            match timeout_at(deadline, UnixStream::connect(path)).await {
                Ok(Ok(socket)) => Ok((Stream::unix(socket), name)),
                Ok(Err(error)) => {
                    Err((name, format!("connect({}) failed: {}", path.display(), plainly(&error))))
                }
                Err(_) => Err((name, format!("connect({}) timed out", path.display()))),
            }
        }
        Place::Tcp { addresses, source } => {
            let mut last = (target.name.to_owned(), "no address to connect to".to_owned());
            for (at, &address) in addresses.iter().enumerate() {
                // Each address gets its share of what is left, so that a dead one does not take it all.
                let left = deadline.saturating_duration_since(Instant::now());
                let share = left / u32::try_from(addresses.len() - at).unwrap_or(1);
                match timeout(share, connect(address, *source)).await {
                    Ok(Ok(socket)) => return Ok((Stream::plain(socket), address.to_string())),
                    Ok(Err(error)) => {
                        last =
                            (address.to_string(), format!("connect({address}) failed: {}", plainly(&error)));
                    }
                    Err(_) => last = (address.to_string(), format!("connect({address}) timed out")),
                }
            }
            Err(last)
        }
    }
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(ip) = source {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.set_keepalive(true)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_names_reach_the_resolver() {
        assert!(is_host_name("imap2.example.com"));
        for bad in ["", "a b", "a\r\nb", "a/b", "ü.example", &"x".repeat(300)] {
            assert!(!is_host_name(bad), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn addresses_need_no_resolver() {
        for (text, address) in [("127.0.0.1", "127.0.0.1:143"), ("[::1]", "[::1]:143"), ("::1", "[::1]:143")]
        {
            assert_eq!(resolve(text, 143).await.unwrap(), [address.parse().unwrap()]);
        }
    }
}
