//! What tests of connections share: certificates made on the spot, and both ends of a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use config::rows::ssl::SslSettings;
use config::value::Content;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::Stream;
use crate::tls::{ClientTls, ServerTls, Verify};

/// An authority, a directory for its files, and what it issued.
pub(crate) struct Authority {
    pub(crate) directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Of the same name, they would pass for each other until the signature is checked.
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    /// A certificate for `name`, as changed, and its key, as PEM.
    pub(crate) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Settings of a server called `name`.
    pub(crate) fn server(&self, name: &str) -> SslSettings {
        let (cert, key) = self.issue(name, |_| {});
        shown(cert, key)
    }

    /// Settings of a client that trusts this authority.
    pub(crate) fn client(&self) -> SslSettings {
        SslSettings {
            client_ca_file: self.directory.path().join("ca.pem").display().to_string(),
            client_require_valid_cert: true,
            ..SslSettings::default()
        }
    }
}

/// Settings of a server with a certificate and a key.
pub(crate) fn shown(cert: String, key: String) -> SslSettings {
    SslSettings { cert: Some(Content::Text(cert)), key: Some(Content::Text(key)), ..SslSettings::default() }
}

/// Two ends of a TCP connection over the loopback.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (near, accepted) = tokio::join!(connecting, listener.accept());
    let (near, (far, _)) = (near.unwrap(), accepted.unwrap());
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// Both ends of a plain connection.
pub(crate) async fn plain_pair() -> (Stream, Stream) {
    let (near, far) = tcp_pair().await;
    (Stream::plain(near), Stream::plain(far))
}

/// A server and a client that trust each other, for connections in TLS.
#[derive(Clone)]
pub(crate) struct Ends {
    pub(crate) server: ServerTls,
    pub(crate) client: ClientTls,
}

impl Ends {
    /// `least`: `ssl_min_protocol` of the server.
    pub(crate) fn new(least: &str) -> Self {
        let authority = Authority::new();
        let settings = SslSettings { min_protocol: least.to_owned(), ..authority.server("mail.example.com") };
        let client = ClientTls::load(&authority.client()).unwrap();
        Self { server: ServerTls::load(&settings, &[]).unwrap(), client }
    }

    /// Client and server end.
    pub(crate) async fn pair(&self) -> (Stream, Stream) {
        let (near, far) = plain_pair().await;
        let name = ServerName::try_from("mail.example.com").unwrap();
        let (near, far) = tokio::join!(
            near.connect_tls(&self.client, Verify::Fully, name),
            far.accept_tls(&self.server, "imap"),
        );
        (near.unwrap(), far.unwrap())
    }
}

/// Settings by name, as `ServerTls::load` takes them.
pub(crate) fn named(name: &str, settings: SslSettings) -> (String, Arc<SslSettings>) {
    (name.to_owned(), Arc::new(settings))
}

/// Reads until `length` bytes are there or the stream ends.
pub(crate) async fn read_up_to(stream: &mut Stream, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length && stream.read(&mut got).await.unwrap() > 0 {}
    got
}
