//! The PROXY header that a balancer puts before its client's bytes: who may send one, how long it may
//! take, and that not a byte behind it is read.

use std::fmt;
use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use wire::haproxy::{self, Client, Header, Parsed};

use crate::connection::Connection;
use crate::tls;

/// Why there is no header to be believed.
#[derive(Debug)]
pub(super) enum Fault {
    Untrusted,
    Late,
    Malformed(&'static str),
    Socket(io::Error),
    /// By ALPN the client speaks something else, as a browser does that is sent here by a hostile page.
    Protocol(Vec<u8>),
}

/// Reads the header of a connection; `None`: the balancer speaks for itself.
pub(super) async fn take(socket: &mut TcpStream, connection: &Connection) -> Result<Option<Client>, Fault> {
    if !connection.trusts_balancer() {
        return Err(Fault::Untrusted);
    }
    let header = tokio::time::timeout(connection.settings().haproxy_timeout, read(socket));
    let Header::Client(client) = header.await.map_err(|_| Fault::Late)?? else { return Ok(None) };
    match client.alpn {
        Some(alpn) if alpn != tls::alpn(connection.protocol().name) => Err(Fault::Protocol(alpn)),
        _ => Ok(Some(client)),
    }
}

/// Looks at what has come before it takes it, so that TLS or the protocol finds all that follows.
async fn read(socket: &mut TcpStream) -> Result<Header, Fault> {
    let mut bytes = vec![0; haproxy::LONGEST];
    let mut taken = 0;
    loop {
        let seen = match socket.peek(&mut bytes[taken..]).await.map_err(Fault::Socket)? {
            0 => return Err(Fault::Socket(io::ErrorKind::UnexpectedEof.into())),
            count => taken + count,
        };
        let (header, end) = match haproxy::parse(&bytes[..seen]) {
            Parsed::NeedMore => (None, seen),
            Parsed::Header { header, used } => (Some(header), used),
            Parsed::Malformed(why) => return Err(Fault::Malformed(why)),
        };
        socket.read_exact(&mut bytes[taken..end]).await.map_err(Fault::Socket)?;
        taken = end;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted => f.write_str("the address is not in haproxy_trusted_networks"),
            Self::Late => f.write_str("it did not come within haproxy_timeout"),
            Self::Malformed(why) => write!(f, "{why}"),
            Self::Socket(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the connection was closed before its end")
            }
            Self::Socket(error) => write!(f, "{error}"),
            Self::Protocol(alpn) => {
                write!(
                    f,
                    "its client has agreed on \"{}\" by ALPN, which is not spoken here",
                    alpn.escape_ascii()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const LINE: &[u8] = b"PROXY TCP4 10.0.0.1 10.0.0.2 4000 143\r\n";

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        near.set_nodelay(true).unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn what_follows_the_header_is_left_in_the_socket() {
        for piece in [1, 7, LINE.len() + 2, usize::MAX] {
            let (mut near, mut far) = pair().await;
            let sent = tokio::spawn(async move {
                for part in [LINE, b"\x16\x03\x01"].concat().chunks(piece) {
                    near.write_all(part).await.unwrap();
                    tokio::task::yield_now().await;
                }
                near
            });
            let header = read(&mut far).await.unwrap();
            assert!(matches!(header, Header::Client(Client { ends: Some(_), .. })));
            let mut rest = [0; 3];
            far.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"\x16\x03\x01");
            drop(sent.await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_header_that_stops_is_none() {
        let (mut near, mut far) = pair().await;
        near.write_all(&LINE[..20]).await.unwrap();
        drop(near);
        let fault = read(&mut far).await.unwrap_err();
        assert_eq!(fault.to_string(), "the connection was closed before its end");
    }
}
