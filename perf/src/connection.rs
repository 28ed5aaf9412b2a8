//! A connection to a mail server, bare or in TLS, and as much of IMAP as a load needs. Knows no server and no measure.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::net::TcpStream;

/// As many bytes as one read may bring.
const READ: usize = 256 * 1024;
/// An answer's line is never so long.
const LONGEST_LINE: usize = 64 * 1024;

/// Where and how to connect.
#[derive(Clone)]
pub(crate) struct Target {
    /// The listener's address.
    pub(crate) address: SocketAddr,
    /// Set where TLS comes before the first byte of the protocol.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A connection and what has been read from it but not yet used.
pub(crate) struct Connection {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    heard: Vec<u8>,
}

impl Connection {
    /// Connects, finishes the TLS handshake if there is one, and reads the greeting.
    pub(crate) async fn open(target: &Target) -> io::Result<Self> {
        let socket = TcpStream::connect(target.address).await?;
        socket.set_nodelay(true)?;
        let mut connection = Self { socket, tls: None, heard: Vec::new() };
        if let Some(config) = &target.tls {
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
            connection.tls = Some(Box::new(tls));
            connection.flush().await?;
        }
        let greeting = connection.line().await?;
        if greeting.starts_with(b"* OK") { Ok(connection) } else { Err(unexpected("a greeting", &greeting)) }
    }

    /// Logs in and waits for the answer.
    pub(crate) async fn login(&mut self, user: &str, password: &str) -> io::Result<()> {
        self.send(format!("a LOGIN {user} {password}\r\n").as_bytes()).await?;
        self.answer(b"a ").await
    }

    /// Logs out and reads until the server has closed.
    pub(crate) async fn logout(&mut self) -> io::Result<()> {
        self.send(b"z LOGOUT\r\n").await?;
        let mut buffer = [0; 4096];
        while self.read(&mut buffer).await? > 0 {}
        Ok(())
    }

    /// Writes all the bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            return self.flush().await;
        }
        let mut left = bytes;
        while !left.is_empty() {
            match self.socket.try_write(left) {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is; 0 when the server has closed.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match &mut self.tls {
                None => self.socket.try_read(buffer),
                Some(tls) => {
                    let plain = tls.reader().read(buffer);
                    if plain.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                        match tls.read_tls(&mut Bare(&self.socket)) {
                            Ok(_) => {
                                tls.process_new_packets().map_err(io::Error::other)?;
                                self.flush().await?;
                                continue;
                            }
                            Err(error) => Err(error),
                        }
                    } else {
                        plain
                    }
                }
            };
            match result {
                // Servers that leave without a TLS farewell are common, and no concern of a load.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.readable().await?,
                result => return result,
            }
        }
    }

    /// Reads a message announced as a literal and throws it away, telling `progress` how many bytes have come.
    pub(crate) async fn message(&mut self, buffer: &mut [u8], progress: impl Fn(u64)) -> io::Result<()> {
        let line = self.line().await?;
        let mut left = literal(&line).ok_or_else(|| unexpected("a literal", &line))?;
        let early = self.heard.len().min(left);
        self.heard.drain(..early);
        left -= early;
        while left > 0 {
            let most = buffer.len().min(left);
            let count = self.read(buffer.get_mut(..most).unwrap_or_default()).await?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed within a message"));
            }
            progress(count as u64);
            left -= count;
        }
        Ok(())
    }

    /// Reads lines until the tagged one, which must be OK.
    pub(crate) async fn answer(&mut self, tag: &[u8]) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            if let Some(rest) = line.strip_prefix(tag) {
                return if rest.starts_with(b"OK") { Ok(()) } else { Err(unexpected("OK", &line)) };
            }
        }
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.heard) {
                return Ok(self.heard.drain(..=end).collect());
            }
            let count = self.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed instead of an answer"));
            }
            self.heard.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if self.heard.len() > LONGEST_LINE {
                return Err(io::Error::other("a line without end"));
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            match tls.write_tls(&mut Bare(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A buffer for reading much at once.
pub(crate) fn large_buffer() -> Vec<u8> {
    vec![0; READ]
}

/// How long the literal is that the line announces at its end.
fn literal(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?.trim_end().strip_suffix('}')?;
    text.rsplit_once('{')?.1.parse().ok()
}

fn unexpected(wanted: &str, line: &[u8]) -> io::Error {
    io::Error::other(format!(
        "{wanted} expected, the server said {:?}",
        String::from_utf8_lossy(line).trim_end()
    ))
}

/// The socket as rustls wants it.
struct Bare<'a>(&'a TcpStream);

impl Read for Bare<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Bare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
