//! What every server is given: a folder of its own, free ports, the certificate, the users, and the backend.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// How many users there are.
pub(crate) const USERS: u32 = 1000;
/// The password of every user.
pub(crate) const PASSWORD: &str = "pw";

/// The name of a user.
pub(crate) fn user(number: u32) -> String {
    format!("user{}", number % USERS)
}

/// A server's surroundings; the folder goes when dropped.
pub(crate) struct Place {
    folder: TempDir,
    /// A port for IMAP in the clear.
    pub(crate) imap: SocketAddr,
    /// A port for IMAP in TLS.
    pub(crate) imaps: SocketAddr,
    /// The mail server behind.
    pub(crate) backend: SocketAddr,
    /// What a client needs to trust the certificate.
    pub(crate) tls: Arc<ClientConfig>,
}

impl Place {
    /// A new folder with `certificate.pem`, `key.pem` and the password file `users`, and ports that are free now.
    pub(crate) fn new(backend: SocketAddr) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("gatepost-perf.").tempdir()?;
        // The servers' unprivileged processes have to reach their sockets in it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).map_err(io::Error::other)?;
        let tls = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        // Both at once, so that they differ.
        let (first, second) = (free_port()?, free_port()?);
        let place = Self { imap: first.local_addr()?, imaps: second.local_addr()?, folder, backend, tls };
        fs::write(place.path("certificate.pem"), made.cert.pem())?;
        fs::write(place.path("key.pem"), made.signing_key.serialize_pem())?;
        fs::write(place.path("users"), place.users())?;
        Ok(place)
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn users(&self) -> String {
        let (host, port) = (self.backend.ip(), self.backend.port());
        (0..USERS)
            .map(|number| {
                format!("{}:{{PLAIN}}{PASSWORD}::::::proxy=y host={host} port={port}\n", user(number))
            })
            .collect()
    }
}

fn free_port() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}
