//! A connection to a client or a backend: a TCP or unix socket, with or without TLS on top.
//! Holds no buffer while idle; deadlines are the caller's.

pub(crate) mod scratch;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};

use crate::tls::facts::TlsFacts;
use crate::tls::fault::{self, Peer};
use crate::tls::session::Session;
use crate::tls::{ClientTls, ServerTls, Verify};
use scratch::CHUNK;

/// A connection.
pub struct Stream {
    socket: Socket,
    tls: Option<Box<Session>>,
}

impl Stream {
    /// A TCP connection without TLS.
    pub fn plain(socket: TcpStream) -> Self {
        Self { socket: Socket::Tcp(socket), tls: None }
    }

    /// A unix socket connection.
    pub fn unix(socket: UnixStream) -> Self {
        Self { socket: Socket::Unix(socket), tls: None }
    }

    /// Waits for bytes and appends what came, at most about 64 KiB; 0: the peer sends nothing more.
    /// Cancel-safe: what was not returned comes with the next call.
    ///
    /// # Errors
    /// Those of the socket; `InvalidData` when the peer breaks TLS, with the cause in words.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| {
            scratch::plain(|content| {
                let count = ready!(self.poll_read(cx, content))?;
                into.extend_from_slice(content);
                Poll::Ready(Ok(count))
            })
        })
        .await
    }

    /// Waits for bytes and appends at most `most` of them; what follows stays in the socket. Only without TLS: for a
    /// header after which TLS may begin.
    ///
    /// # Errors
    /// Those of the socket; `Unsupported` over TLS.
    pub async fn read_at_most(&mut self, into: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        if self.tls.is_some() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "TLS content cannot be read in part"));
        }
        let mut part = Vec::with_capacity(most.min(CHUNK));
        let count = match &mut self.socket {
            Socket::Tcp(socket) => (&mut *socket).take(most as u64).read_buf(&mut part).await?,
            Socket::Unix(socket) => (&mut *socket).take(most as u64).read_buf(&mut part).await?,
        };
        into.extend_from_slice(&part);
        Ok(count)
    }

    /// Sends all of `bytes`. Not cancel-safe: a part may have left.
    ///
    /// # Errors
    /// Those of the socket; `BrokenPipe` after `shutdown`.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        poll_fn(|cx| {
            while !rest.is_empty() {
                let count = ready!(self.poll_write(cx, rest))?;
                rest = &rest[count..];
            }
            self.poll_flush(cx)
        })
        .await
    }

    /// Says that nothing more will be sent: close_notify when there is TLS, then the half-close of the socket.
    /// Reading goes on.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }

    /// Does the server's part of a TLS handshake. `protocol` is the service name, such as `imap`: a client that
    /// offers other protocols by ALPN is refused.
    ///
    /// What the client sent before must not count afterwards: bytes that were read already are the caller's to drop,
    /// and bytes still in the socket are taken for TLS, which they are not.
    ///
    /// # Errors
    /// `InvalidData` with the cause in words; `UnexpectedEof` when the client left; those of the socket.
    pub async fn begin_tls(&mut self, tls: &ServerTls, protocol: &str) -> io::Result<()> {
        let session =
            Session::server(tls.config(protocol)).map_err(|error| fault::error(Peer::Client, error))?;
        self.handshake(session, Peer::Client).await
    }

    /// [`Stream::begin_tls`] on a stream that is moved.
    pub async fn accept_tls(mut self, tls: &ServerTls, protocol: &str) -> io::Result<Self> {
        self.begin_tls(tls, protocol).await?;
        Ok(self)
    }

    /// Does the client's part of a TLS handshake with the server called `name`.
    ///
    /// # Errors
    /// `InvalidData` with the cause in words, certificate errors among them; `UnexpectedEof` when the server left;
    /// those of the socket.
    pub async fn connect_tls(
        mut self,
        tls: &ClientTls,
        verify: Verify,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let session =
            Session::client(tls.config(verify), name).map_err(|error| fault::error(Peer::Server, error))?;
        self.handshake(session, Peer::Server).await?;
        Ok(self)
    }

    async fn handshake(&mut self, session: Session, peer: Peer) -> io::Result<()> {
        if self.tls.is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "TLS is already active"));
        }
        self.tls = Some(Box::new(session));
        poll_fn(|cx| self.poll_handshake(cx, peer)).await
    }

    /// What TLS agreed on; `None`: no TLS.
    pub fn tls(&self) -> Option<TlsFacts> {
        self.tls.as_deref().map(TlsFacts::of)
    }

    /// Whether TLS is on.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The other end's address; `None`: a unix socket, or no longer connected.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(socket) => socket.peer_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// This end's address; `None`: a unix socket, or no longer connected.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(socket) => socket.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// Appends what came to `into`, which should have room; 0: end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let Self { socket, tls } = self;
        let Some(session) = tls else {
            into.reserve(1);
            return socket.poll_receive(cx, into);
        };
        if session.agreed().is_handshaking() {
            return Poll::Ready(Err(fault::unfinished()));
        }
        let before = into.len();
        into.append(&mut session.early);
        session.early = Vec::new();
        while into.len() == before {
            // The peer may be waiting for what we owe it, such as tickets or an answer to a renegotiation. If it is
            // gone, reading tells.
            session.held_back = false;
            if let Poll::Ready(Err(_)) = socket.poll_flush(cx, &mut session.unsent) {
                session.unsent = Vec::new();
            }
            if session.ended {
                return Poll::Ready(if session.failed { Err(fault::earlier()) } else { Ok(0) });
            }
            ready!(scratch::received(|records| {
                records.extend_from_slice(&session.received);
                if ready!(socket.poll_receive(cx, records))? == 0 {
                    // Mail protocols end with a word of their own, and clients often leave without close_notify.
                    session.ended = true;
                    return Poll::Ready(Ok(()));
                }
                let opened = session.open(records, into);
                Poll::Ready(opened.map_err(|error| {
                    let _ = socket.poll_flush(cx, &mut session.unsent);
                    fault::error(session.peer(), error)
                }))
            }))?;
        }
        Poll::Ready(Ok(into.len() - before))
    }

    /// Takes some of `bytes`. With TLS they may wait here until `poll_flush`.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { socket, tls } = self;
        let Some(session) = tls else { return socket.poll_send(cx, bytes) };
        if !session.held_back {
            ready!(socket.poll_flush(cx, &mut session.unsent))?;
        }
        session.held_back = false;
        if session.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if session.agreed().is_handshaking() {
            return Poll::Ready(Err(fault::unfinished()));
        }
        let content = &bytes[..bytes.len().min(CHUNK)];
        scratch::records(|records| {
            let length =
                session.seal(content, records).map_err(|error| fault::error(session.peer(), error))?;
            let mut sealed = &records[..length];
            if session.unsent.is_empty() {
                while !sealed.is_empty() {
                    match socket.poll_send(cx, sealed) {
                        Poll::Ready(count) => sealed = &sealed[count?..],
                        Poll::Pending => break,
                    }
                }
            }
            session.unsent.extend_from_slice(sealed);
            if let Poll::Ready(Err(error)) = socket.poll_flush(cx, &mut session.unsent) {
                return Poll::Ready(Err(error));
            }
            Poll::Ready(Ok(content.len()))
        })
    }

    /// Sends what `poll_write` took and still holds.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.tls {
            Some(session) => self.socket.poll_flush(cx, &mut session.unsent),
            None => Poll::Ready(Ok(())),
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(session) = &mut self.tls {
            session.close().map_err(|error| fault::error(session.peer(), error))?;
            ready!(self.socket.poll_flush(cx, &mut session.unsent))?;
        }
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>, peer: Peer) -> Poll<io::Result<()>> {
        let Self { socket, tls: Some(session) } = self else { return Poll::Ready(Ok(())) };
        loop {
            let done = !session.agreed().is_handshaking();
            if done && session.hold_tickets_back() {
                return Poll::Ready(Ok(()));
            }
            ready!(socket.poll_flush(cx, &mut session.unsent)).map_err(|error| fault::left(peer, &error))?;
            if done {
                return Poll::Ready(Ok(()));
            }
            ready!(scratch::received(|records| {
                records.extend_from_slice(&session.received);
                match ready!(socket.poll_receive(cx, records)) {
                    Ok(0) => {
                        return Poll::Ready(Err(fault::left(peer, &io::ErrorKind::UnexpectedEof.into())));
                    }
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Err(fault::left(peer, &error))),
                }
                let mut early = std::mem::take(&mut session.early);
                let opened = session.open(records, &mut early);
                session.early = early;
                Poll::Ready(opened.map_err(|error| {
                    let _ = socket.poll_flush(cx, &mut session.unsent);
                    fault::error(peer, error)
                }))
            }))?;
        }
    }

    /// The socket, when bytes may be moved past this process because nothing encrypts them.
    pub(crate) fn bare(&self) -> Option<&Socket> {
        match self.tls {
            None => Some(&self.socket),
            Some(_) => None,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("socket", &self.socket).field("tls", &self.tls.is_some()).finish()
    }
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Appends to `into` as much as it has room for.
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        // tokio takes a short read for the end of what is there and saves the call that would tell.
        match self {
            Self::Tcp(socket) => pin!(socket.read_buf(into)).poll(cx),
            Self::Unix(socket) => pin!(socket.read_buf(into)).poll(cx),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = ready!(match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
        })?;
        if sent == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        Poll::Ready(Ok(sent))
    }

    /// Sends all of `unsent` and gives its memory back.
    fn poll_flush(&mut self, cx: &mut Context<'_>, unsent: &mut Vec<u8>) -> Poll<io::Result<()>> {
        while !unsent.is_empty() {
            let count = ready!(self.poll_send(cx, unsent))?;
            unsent.drain(..count);
        }
        *unsent = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Waits until `work` on the socket does not answer `WouldBlock`.
    pub(crate) fn poll_try<R>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut work: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(match (self, interest.is_readable()) {
                (Self::Tcp(socket), true) => socket.poll_read_ready(cx),
                (Self::Tcp(socket), false) => socket.poll_write_ready(cx),
                (Self::Unix(socket), true) => socket.poll_read_ready(cx),
                (Self::Unix(socket), false) => socket.poll_write_ready(cx),
            })?;
            let result = match self {
                Self::Tcp(socket) => socket.try_io(interest, || work(socket.as_fd())),
                Self::Unix(socket) => socket.try_io(interest, || work(socket.as_fd())),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}
