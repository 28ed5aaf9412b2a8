//! A scenario's own place: a private directory with the data files and a certificate, ports that nobody else
//! uses, fake backends, and what `${dir}` and `${port:…}` stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::backend::Backend;
use crate::scenario::{DataFile, Scenario, Subject};
use crate::text::{self, Names};

/// Ports of the doors, there in every scenario.
const DOORS: [&str; 4] = ["imap", "imaps", "pop3", "pop3s"];

/// Where one subject runs one scenario.
pub struct Workplace {
    directory: TempDir,
    ports: BTreeMap<String, u16>,
    /// Held so that nobody listens there: connections are refused.
    _closed: Option<Socket>,
    /// The fake backends that the scenario mentions.
    pub backends: Vec<Backend>,
    /// `${dir}`, `${port:…}` and what a dialogue adds.
    pub names: Names,
    /// The scenario's `dovecot.conf` for this subject, with names replaced.
    pub configuration: String,
}

impl Workplace {
    /// Makes the directory and everything in it.
    pub fn set_up(scenario: &Scenario, subject: Subject) -> Result<Workplace, String> {
        let directory = TempDir::with_prefix("gatepost-").map_err(|e| e.to_string())?;
        let mut place = Workplace {
            directory,
            ports: BTreeMap::new(),
            _closed: None,
            backends: Vec::new(),
            names: Names::default(),
            configuration: String::new(),
        };
        // The subject's processes are other users when the tests run as root.
        open_to_all(place.path(), 0o755)?;
        place.take_ports(scenario)?;
        let path = place.path().to_string_lossy().into_owned();
        place.names.set("dir", path);
        for (name, port) in &place.ports {
            place.names.set(&format!("port:{name}"), port.to_string());
        }
        place.write_certificate()?;
        for file in scenario.files.iter().filter(|file| file.only.is_none_or(|only| only == subject)) {
            place.write(file).map_err(|e| format!("[{}]: {e}", file.name))?;
        }
        Ok(place)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The port with this name.
    pub fn port(&self, name: &str) -> Result<u16, String> {
        self.ports.get(name).copied().ok_or_else(|| format!("no port \"{name}\""))
    }

    /// The fake backend with this name.
    pub fn backend(&mut self, name: &str) -> Result<&mut Backend, String> {
        self.backends
            .iter_mut()
            .find(|backend| backend.name == name)
            .ok_or_else(|| format!("${{port:{name}}} stands nowhere in the scenario"))
    }

    fn take_ports(&mut self, scenario: &Scenario) -> Result<(), String> {
        for door in DOORS {
            self.ports.insert(door.to_owned(), free_port()?);
        }
        let wanted: BTreeSet<&str> = scenario.files.iter().flat_map(|file| text::ports(&file.text)).collect();
        for name in wanted {
            if self.ports.contains_key(name) {
                continue;
            }
            let port = if name == "closed" {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(|e| e.to_string())?;
                socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).map_err(|e| e.to_string())?;
                let address = socket.local_addr().map_err(|e| e.to_string())?;
                self._closed = Some(socket);
                address.as_socket().map_or(0, |address| address.port())
            } else if name.starts_with("backend") {
                let backend = Backend::open(name)?;
                let port = backend.port()?;
                self.backends.push(backend);
                port
            } else {
                free_port()?
            };
            self.ports.insert(name.to_owned(), port);
        }
        Ok(())
    }

    fn write(&mut self, file: &DataFile) -> Result<(), String> {
        let text = String::from_utf8(self.names.expand(&file.text)?).map_err(|e| e.to_string())?;
        let path = self.file(&file.name);
        if file.name == "dovecot.conf" {
            self.configuration.push_str(&text);
        } else if file.database {
            let database = rusqlite::Connection::open(&path).map_err(|e| e.to_string())?;
            database.execute_batch(&text).map_err(|e| e.to_string())?;
            database.close().map_err(|(_, e)| e.to_string())?;
            open_to_all(&path, 0o644)?;
        } else {
            fs::write(&path, text).map_err(|e| e.to_string())?;
            open_to_all(&path, 0o644)?;
        }
        Ok(())
    }

    fn write_certificate(&self) -> Result<(), String> {
        let certificate = certificate()?;
        for (name, text) in
            [("cert.pem", certificate.cert.pem()), ("key.pem", certificate.signing_key.serialize_pem())]
        {
            let path = self.file(name);
            fs::write(&path, text).map_err(|e| e.to_string())?;
            open_to_all(&path, 0o644)?;
        }
        Ok(())
    }
}

/// TLS for fake backends, with the certificate that `${dir}/cert.pem` holds too.
pub fn tls() -> Result<Arc<ServerConfig>, String> {
    let certificate = certificate()?;
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der())?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .map_err(|e| e.to_string())?;
    Ok(Arc::new(config))
}

/// One certificate serves all scenarios of a run.
fn certificate() -> Result<&'static CertifiedKey<rcgen::KeyPair>, String> {
    static CERTIFICATE: OnceLock<Result<CertifiedKey<rcgen::KeyPair>, String>> = OnceLock::new();
    CERTIFICATE
        .get_or_init(|| {
            generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
                .map_err(|e| e.to_string())
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// A port below the range from which the kernel takes ports for outgoing connections, so that nothing grabs it
/// before the subject does; tests of one run count upwards together, runs begin at different places.
pub fn free_port() -> Result<u16, String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 11_000) as u16;
    for _ in 0..2_000 {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port".to_owned())
}

/// A loopback address that no other dialogue of this run comes from.
pub fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, high, middle, low] = (number + 1).to_be_bytes();
    Ipv4Addr::new(127, 100 + high % 100, middle, low)
}

fn open_to_all(path: &Path, mode: u32) -> Result<(), String> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|e| format!("{}: {e}", path.display()))
}
