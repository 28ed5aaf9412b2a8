//! Sockets that clients come to: opened by the configuration, kept over a reload where nothing
//! about them changed. Knows protocols only as rows of the table.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use config::rows::service::UnixListener as UnixSettings;
use config::scope::Config;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::task::JoinHandle;
use wire::protocols::Protocol;

use crate::gate::Gate;
use crate::log::Level;
use crate::session::{self, Accepted, First};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How long accepting pauses when the process has no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// What tells one listener from another over a reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Inet { protocol: &'static str, address: SocketAddr, first: First },
    AuthInet { address: SocketAddr },
    AuthUnix { path: PathBuf, mode: u32, user: String, group: String },
}

/// Every open listener.
#[derive(Default)]
pub struct Listeners {
    open: HashMap<Key, Open>,
}

struct Open {
    task: JoinHandle<()>,
    path: Option<PathBuf>,
}

enum Bound {
    Client(TcpListener, &'static Protocol, First),
    Auth(TcpListener),
    AuthUnix(UnixListener),
}

impl Listeners {
    /// Opens what the configuration asks for and is not open, then closes what it no longer asks
    /// for. With faults nothing is changed; each names the listener and what is wrong.
    pub fn adopt(&mut self, gate: &Arc<ArcSwap<Gate>>, config: &Config) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        let wanted = wanted(config, &mut faults);
        let mut fresh = Vec::new();
        for key in &wanted {
            if !self.open.contains_key(key) {
                match bind(key) {
                    Ok(bound) => fresh.push((key.clone(), bound)),
                    Err(error) => faults.push(format!("{}: {error}", name(key))),
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.open.retain(|key, open| {
            let keep = wanted.contains(key);
            if !keep {
                open.close(wanted.iter().all(|other| path(other) != open.path.as_deref()));
            }
            keep
        });
        for (key, bound) in fresh {
            let path = path(&key).map(Path::to_owned);
            let task = tokio::spawn(accept(bound, Arc::clone(gate)));
            self.open.insert(key, Open { task, path });
        }
        Ok(())
    }

    /// Accepts no more.
    pub fn close(&mut self) {
        for (_, open) in self.open.drain() {
            open.close(true);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Open {
    fn close(&self, unlink: bool) {
        self.task.abort();
        if let Some(path) = self.path.as_ref().filter(|_| unlink) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn path(key: &Key) -> Option<&Path> {
    match key {
        Key::AuthUnix { path, .. } => Some(path),
        Key::Inet { .. } | Key::AuthInet { .. } => None,
    }
}

fn name(key: &Key) -> String {
    match key {
        Key::Inet { protocol, address, .. } => format!("listener {address} ({protocol})"),
        Key::AuthInet { address } => format!("listener {address} (auth)"),
        Key::AuthUnix { path, .. } => format!("listener {} (auth)", path.display()),
    }
}

fn wanted(config: &Config, faults: &mut Vec<String>) -> Vec<Key> {
    let mut keys = Vec::new();
    for service in config.services() {
        let protocol = wire::protocols::PROTOCOLS.iter().find(|p| p.login_service == service.name);
        for listener in service.inet.iter().filter(|listener| listener.port != 0) {
            for address in &listener.addresses {
                match addresses(address, listener.port) {
                    Ok(found) => keys.extend(found.into_iter().filter_map(|address| match protocol {
                        Some(protocol) if config.server().protocols.iter().any(|p| p == protocol.name) => {
                            let first = First { header: listener.haproxy, tls: listener.ssl };
                            Some(Key::Inet { protocol: protocol.name, address, first })
                        }
                        Some(_) => None,
                        None if service.name == "auth" => Some(Key::AuthInet { address }),
                        None => None,
                    })),
                    Err(error) => faults.push(format!(
                        "{}:{}: listener address {address:?}: {error}",
                        listener.place.file.display(),
                        listener.place.line
                    )),
                }
            }
        }
        if service.name == "auth" {
            keys.extend(service.unix.iter().filter(|l| l.mode != 0 && is_client(l)).map(|listener| {
                Key::AuthUnix {
                    path: config.server().base_dir.join(&listener.path),
                    mode: listener.mode,
                    user: listener.user.clone(),
                    group: listener.group.clone(),
                }
            }));
        }
    }
    let mut seen = std::collections::HashSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    keys
}

/// Whether an auth socket is one that clients ask on: its kind follows from the last word of its
/// name, unless it says so itself.
pub fn is_client(listener: &UnixSettings) -> bool {
    let name = listener.path.file_name().unwrap_or_default().to_string_lossy();
    let kind = match listener.kind.as_str() {
        "" => name.rsplit('-').next().unwrap_or(&name),
        kind => kind,
    };
    !matches!(kind, "login" | "master" | "userdb" | "token" | "tokenlogin")
}

fn addresses(written: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match written {
        "*" => Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into()]),
        "::" | "[::]" => Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into()]),
        text => {
            let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
            match bare.parse::<IpAddr>() {
                Ok(ip) => Ok(vec![(ip, port).into()]),
                Err(_) => (bare, port).to_socket_addrs().map(Iterator::collect),
            }
        }
    }
}

fn bind(key: &Key) -> io::Result<Bound> {
    match key {
        Key::Inet { protocol, address, first } => {
            let protocol = wire::protocols::find(protocol)
                .ok_or_else(|| io::Error::other(format!("unknown protocol {protocol}")))?;
            Ok(Bound::Client(bind_tcp(*address)?, protocol, *first))
        }
        Key::AuthInet { address } => Ok(Bound::Auth(bind_tcp(*address)?)),
        Key::AuthUnix { path, mode, user, group } => bind_unix(path, *mode, user, group).map(Bound::AuthUnix),
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets take this over: one call for all clients instead of one each.
    socket.set_nodelay(true)?;
    if address.is_ipv6() {
        socket2::SockRef::from(&socket).set_only_v6(true)?;
    }
    match socket.bind(address) {
        // A machine without IPv6 still has the other addresses.
        Err(error) => Err(explain(error)),
        Ok(()) => socket.listen(BACKLOG).map_err(explain),
    }
}

fn explain(error: io::Error) -> io::Error {
    let next = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: stop it or choose another port",
        io::ErrorKind::PermissionDenied => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {next}"))
}

/// A Unix socket with its final mode and owner before anybody can find it.
fn bind_unix(path: &Path, mode: u32, user: &str, group: &str) -> io::Result<UnixListener> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::other("something that is no socket stands there"));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there"));
        }
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let ids = (owner(user)?, group_id(group)?);
    let hidden = path.with_file_name(format!(".gatepost-{}", std::process::id()));
    let _ = std::fs::remove_file(&hidden);
    let listener = {
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(&hidden);
        nix::sys::stat::umask(before);
        listener?
    };
    let finish = || {
        if ids != (None, None) {
            nix::unistd::chown(&hidden, ids.0, ids.1)?;
        }
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&hidden, path)
    };
    finish().inspect_err(|_| {
        let _ = std::fs::remove_file(&hidden);
    })?;
    Ok(listener)
}

fn owner(name: &str) -> io::Result<Option<nix::unistd::Uid>> {
    if name.is_empty() {
        return Ok(None);
    }
    match nix::unistd::User::from_name(name)? {
        Some(user) => Ok(Some(user.uid)),
        None => Err(io::Error::other(format!("there is no user {name:?}"))),
    }
}

fn group_id(name: &str) -> io::Result<Option<nix::unistd::Gid>> {
    if name.is_empty() {
        return Ok(None);
    }
    match nix::unistd::Group::from_name(name)? {
        Some(group) => Ok(Some(group.gid)),
        None => Err(io::Error::other(format!("there is no group {name:?}"))),
    }
}

/// Accepts for as long as the listener is wanted.
async fn accept(bound: Bound, gate: Arc<ArcSwap<Gate>>) {
    let mut starved = false;
    loop {
        let accepted = match &bound {
            Bound::Client(listener, protocol, first) => listener
                .accept()
                .await
                .map(|(socket, remote)| client(&gate, socket, remote, protocol, *first)),
            Bound::Auth(listener) => listener.accept().await.map(|(socket, _)| {
                asker(&gate, crate::stream::Stream::plain(socket));
            }),
            Bound::AuthUnix(listener) => listener.accept().await.map(|(socket, _)| {
                asker(&gate, crate::stream::Stream::unix(socket));
            }),
        };
        match accepted {
            Ok(()) => starved = false,
            Err(error) => {
                if is_starved(&error) {
                    if !starved {
                        let text = format!("accept failed: {error}; raise the limit on open files");
                        gate.load().shared.log.say(Level::Error, "gatepost", text);
                    }
                    starved = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Out of descriptors or memory: accepting again at once would spin. Other errors are about one
/// connection only.
fn is_starved(error: &io::Error) -> bool {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}

fn client(
    gate: &ArcSwap<Gate>,
    socket: tokio::net::TcpStream,
    remote: SocketAddr,
    protocol: &'static Protocol,
    first: First,
) {
    // A client that is gone already has no local address.
    let Ok(local) = socket.local_addr() else { return };
    let gate = gate.load_full();
    let present = gate.shared.sessions.enter();
    tokio::spawn(session::run(Accepted { socket, protocol, first, remote, local, present }, gate));
}

fn asker(gate: &Arc<ArcSwap<Gate>>, stream: crate::stream::Stream) {
    tokio::spawn(session::socket::run(stream, Arc::clone(gate)));
}
