//! One end of a connection, in the clear or under TLS, read line by line with a deadline. Knows sockets; leaves
//! what is said to [`crate::talk`] and [`crate::backend`].

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme,
    StreamOwned,
};
use socket2::{Domain, Socket, Type};

/// How long anything may take before it counts as not happening.
pub const PATIENCE: Duration = Duration::from_secs(10);

enum Socketlike {
    Tcp(TcpStream),
    Unix(UnixStream),
    TlsClient(Box<StreamOwned<ClientConnection, TcpStream>>),
    TlsServer(Box<StreamOwned<ServerConnection, TcpStream>>),
    /// Only while a handshake takes the socket out.
    Gone,
}

impl Read for Socketlike {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socketlike::Tcp(socket) => socket.read(buffer),
            Socketlike::Unix(socket) => socket.read(buffer),
            Socketlike::TlsClient(stream) => stream.read(buffer),
            Socketlike::TlsServer(stream) => stream.read(buffer),
            Socketlike::Gone => Ok(0),
        }
    }
}

impl Write for Socketlike {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socketlike::Tcp(socket) => socket.write(bytes),
            Socketlike::Unix(socket) => socket.write(bytes),
            Socketlike::TlsClient(stream) => stream.write(bytes),
            Socketlike::TlsServer(stream) => stream.write(bytes),
            Socketlike::Gone => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Socketlike::Tcp(socket) => socket.flush(),
            Socketlike::Unix(socket) => socket.flush(),
            Socketlike::TlsClient(stream) => stream.flush(),
            Socketlike::TlsServer(stream) => stream.flush(),
            Socketlike::Gone => Ok(()),
        }
    }
}

/// What reading a line gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A line without its end.
    Line(Vec<u8>),
    /// The peer hung up; bytes after the last line end, if any.
    End(Vec<u8>),
    /// Nothing more came in time; bytes after the last line end, if any.
    Silence(Vec<u8>),
}

/// A connection cut into lines.
pub struct Stream {
    socket: Socketlike,
    pending: Vec<u8>,
    bare_newline: bool,
}

impl Stream {
    /// Connects to 127.0.0.1 from the given loopback address.
    pub fn connect(from: Ipv4Addr, port: u16) -> io::Result<Stream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into(), PATIENCE)?;
        Stream::accepted(socket.into())
    }

    /// Connects to a Unix socket, where lines end in LF alone.
    pub fn connect_unix(path: &Path) -> io::Result<Stream> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Stream { socket: Socketlike::Unix(socket), pending: Vec::new(), bare_newline: true })
    }

    /// Takes over a TCP connection.
    pub fn accepted(socket: TcpStream) -> io::Result<Stream> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Stream { socket: Socketlike::Tcp(socket), pending: Vec::new(), bare_newline: false })
    }

    /// The TLS handshake as a client that trusts everybody.
    pub fn start_tls(&mut self) -> Result<(), String> {
        let config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustEverybody::default()))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").map_err(|e| e.to_string())?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())?;
        let mut stream = StreamOwned::new(connection, self.take_tcp()?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|e| format!("TLS handshake: {e}"))?;
        }
        self.socket = Socketlike::TlsClient(Box::new(stream));
        Ok(())
    }

    /// The TLS handshake as a server.
    pub fn accept_tls(&mut self, config: Arc<ServerConfig>) -> Result<(), String> {
        let connection = ServerConnection::new(config).map_err(|e| e.to_string())?;
        let mut stream = StreamOwned::new(connection, self.take_tcp()?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|e| format!("TLS handshake: {e}"))?;
        }
        self.socket = Socketlike::TlsServer(Box::new(stream));
        Ok(())
    }

    fn take_tcp(&mut self) -> Result<TcpStream, String> {
        match std::mem::replace(&mut self.socket, Socketlike::Gone) {
            Socketlike::Tcp(socket) if self.pending.is_empty() => Ok(socket),
            Socketlike::Tcp(_) => Err("text came before the TLS handshake".to_owned()),
            _ => Err("TLS needs a plain TCP connection".to_owned()),
        }
    }

    /// Sends bytes as they are; with `SPLIT=1` one by one, because where a read ends must not matter.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        static PIECE: LazyLock<usize> =
            LazyLock::new(|| if env::var_os("SPLIT").is_some() { 1 } else { usize::MAX });
        for piece in bytes.chunks(*PIECE) {
            match self.socket.write_all(piece).and_then(|()| self.socket.flush()) {
                // A peer may hang up before it has heard everything; what it said is still to be read.
                Err(e) if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => break,
                other => other?,
            }
        }
        Ok(())
    }

    /// Sends a line and its end.
    pub fn send_line(&mut self, line: &[u8]) -> io::Result<()> {
        let end: &[u8] = if self.bare_newline { b"\n" } else { b"\r\n" };
        self.send(&[line, end].concat())
    }

    /// The next line, or why there is none.
    pub fn line(&mut self) -> Heard {
        loop {
            if let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.pending.drain(..=end).collect();
                line.pop();
                if !self.bare_newline && line.pop_if(|last| *last == b'\r').is_none() {
                    line.extend_from_slice(b"<no CR>");
                }
                return Heard::Line(line);
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => return Heard::End(std::mem::take(&mut self.pending)),
                Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Heard::Silence(std::mem::take(&mut self.pending));
                }
                // A reset, or TLS cut off without a farewell: gone all the same.
                Err(_) => return Heard::End(std::mem::take(&mut self.pending)),
            }
        }
    }

    /// What has come unasked, if anything: nothing is waited for beyond a moment.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        let moment = Some(Duration::from_millis(20));
        let _ = match &self.socket {
            Socketlike::Tcp(socket) => socket.set_read_timeout(moment),
            Socketlike::Unix(socket) => socket.set_read_timeout(moment),
            Socketlike::TlsClient(stream) => stream.sock.set_read_timeout(moment),
            Socketlike::TlsServer(stream) => stream.sock.set_read_timeout(moment),
            Socketlike::Gone => Ok(()),
        };
        match self.line() {
            Heard::Line(line) => Some(line),
            Heard::End(rest) | Heard::Silence(rest) => Some(rest).filter(|rest| !rest.is_empty()),
        }
    }
}

/// The subjects show self-signed certificates.
#[derive(Debug)]
struct TrustEverybody(Arc<CryptoProvider>);

impl Default for TrustEverybody {
    fn default() -> Self {
        TrustEverybody(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
    }
}

impl ServerCertVerifier for TrustEverybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
