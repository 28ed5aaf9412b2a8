//! Sockets that clients come to: opened by the configuration, and kept over a reload whatever it
//! changes about who is served on them. Knows protocols only as rows of the table.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use config::scope::Config;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::task::JoinHandle;
use wire::protocols::Protocol;

use crate::gate::Gate;
use crate::log::Level;
use crate::session::{self, Accepted, First};
use crate::stream::Stream;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How long accepting pauses when the process has no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// Where a listener is: what tells one from another over a reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Inet(SocketAddr),
    Unix(PathBuf),
}

/// What a listener's clients get. A reload may change it while the socket stays open.
#[derive(Clone, Copy)]
enum Role {
    Client(&'static Protocol, First),
    Auth,
}

/// Who may use a Unix socket; empty names leave it to the server's own user and group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Access {
    mode: u32,
    user: String,
    group: String,
}

/// A listener that the configuration asks for.
struct Wanted {
    place: Place,
    role: Role,
    access: Access,
}

/// Every open listener.
#[derive(Default)]
pub struct Listeners {
    open: HashMap<Place, Open>,
}

struct Open {
    task: JoinHandle<()>,
    role: Arc<ArcSwap<Role>>,
    access: Access,
}

enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listeners {
    /// Opens what the configuration asks for and is not open, then closes what it no longer asks
    /// for. With faults nothing is changed; each names the listener and what is wrong.
    pub fn adopt(&mut self, gate: &Arc<ArcSwap<Gate>>, config: &Config) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        let wanted = wanted(config, &mut faults);
        let mut fresh = Vec::new();
        for want in &wanted {
            let done = match self.open.get(&want.place) {
                Some(open) if open.access == want.access => Ok(None),
                Some(_) => want.permit().map(|()| None),
                None => want.bind().map(Some),
            };
            match done {
                Ok(bound) => fresh.push(bound),
                Err(error) if want.is_without_ipv6(&error) => fresh.push(None),
                Err(error) => faults.push(format!("{}: {error}", want.name())),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.open.retain(|place, open| {
            let keep = wanted.iter().any(|want| want.place == *place);
            if !keep {
                open.close(place);
            }
            keep
        });
        for (want, bound) in wanted.into_iter().zip(fresh) {
            match (self.open.get_mut(&want.place), bound) {
                (Some(open), _) => {
                    open.role.store(Arc::new(want.role));
                    open.access = want.access;
                }
                (None, Some(bound)) => {
                    let role = Arc::new(ArcSwap::from_pointee(want.role));
                    let task = tokio::spawn(accept(bound, Arc::clone(&role), Arc::clone(gate)));
                    self.open.insert(want.place, Open { task, role, access: want.access });
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Accepts no more.
    pub fn close(&mut self) {
        for (place, open) in self.open.drain() {
            open.close(&place);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Open {
    fn close(&self, place: &Place) {
        self.task.abort();
        if let Place::Unix(path) = place {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Wanted {
    fn name(&self) -> String {
        let what = match self.role {
            Role::Client(protocol, _) => protocol.name,
            Role::Auth => "auth",
        };
        match &self.place {
            Place::Inet(address) => format!("listener {address} ({what})"),
            Place::Unix(path) => format!("listener {} ({what})", path.display()),
        }
    }

    fn bind(&self) -> io::Result<Bound> {
        match &self.place {
            Place::Inet(address) => bind_tcp(*address).map(Bound::Tcp),
            Place::Unix(path) => bind_unix(path, &self.access).map(Bound::Unix),
        }
    }

    /// Lets those use a socket that is open whom the new configuration lets.
    fn permit(&self) -> io::Result<()> {
        match &self.place {
            Place::Inet(_) => Ok(()),
            Place::Unix(path) => self.access.apply(path),
        }
    }

    /// `listen = *, ::` is the default, and a machine without IPv6 still has the other half.
    fn is_without_ipv6(&self, error: &io::Error) -> bool {
        let everywhere = Place::Inet((Ipv6Addr::UNSPECIFIED, self.place.port()).into());
        self.place == everywhere
            && (error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT)
                || error.kind() == io::ErrorKind::AddrNotAvailable)
    }
}

impl Place {
    fn port(&self) -> u16 {
        match self {
            Self::Inet(address) => address.port(),
            Self::Unix(_) => 0,
        }
    }
}

impl Access {
    fn apply(&self, path: &Path) -> io::Result<()> {
        let (user, group) = (owner(&self.user)?, group_id(&self.group)?);
        if (user, group) != (None, None) {
            nix::unistd::chown(path, user, group)?;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(self.mode))
    }
}

fn wanted(config: &Config, faults: &mut Vec<String>) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    let mut want = |place, role, access| {
        if all.iter().all(|other| other.place != place) {
            all.push(Wanted { place, role, access });
        }
    };
    for service in config.services() {
        let protocol = wire::protocols::PROTOCOLS.iter().find(|p| p.login_service == service.name);
        for listener in service.inet.iter().filter(|listener| listener.port != 0) {
            let role = match protocol {
                Some(protocol) if config.server().protocols.iter().any(|p| p == protocol.name) => {
                    Role::Client(protocol, First { header: listener.haproxy, tls: listener.ssl })
                }
                None if service.name == "auth" => Role::Auth,
                _ => continue,
            };
            for address in &listener.addresses {
                match addresses(address, listener.port) {
                    Ok(found) => {
                        found.into_iter().for_each(|at| want(Place::Inet(at), role, Access::default()));
                    }
                    Err(error) => faults.push(format!(
                        "{}:{}: listener address {address:?}: {error}",
                        listener.place.file.display(),
                        listener.place.line
                    )),
                }
            }
        }
        if service.name == "auth" {
            for listener in service.unix.iter().filter(|l| l.mode != 0 && l.is_for_clients()) {
                let (user, group) = (listener.user.clone(), listener.group.clone());
                let path = config.server().base_dir.join(&listener.path);
                want(Place::Unix(path), Role::Auth, Access { mode: listener.mode, user, group });
            }
        }
    }
    all
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

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets take this over: one call for all clients instead of one each.
    socket.set_nodelay(true)?;
    if address.is_ipv6() {
        socket2::SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.bind(address).and_then(|()| socket.listen(BACKLOG)).map_err(explain)
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
fn bind_unix(path: &Path, access: &Access) -> io::Result<UnixListener> {
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
    let hidden = path.with_file_name(format!(".gatepost-{}", std::process::id()));
    let _ = std::fs::remove_file(&hidden);
    let listener = {
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(&hidden);
        nix::sys::stat::umask(before);
        listener?
    };
    access.apply(&hidden).and_then(|()| std::fs::rename(&hidden, path)).inspect_err(|_| {
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
async fn accept(bound: Bound, role: Arc<ArcSwap<Role>>, gate: Arc<ArcSwap<Gate>>) {
    let mut starved = false;
    loop {
        let accepted = match &bound {
            Bound::Tcp(listener) => listener.accept().await.map(|(socket, remote)| match **role.load() {
                Role::Client(protocol, first) => client(&gate, socket, remote, protocol, first),
                Role::Auth => asker(&gate, Stream::plain(socket)),
            }),
            Bound::Unix(listener) => {
                listener.accept().await.map(|(socket, _)| asker(&gate, Stream::unix(socket)))
            }
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

fn asker(gate: &Arc<ArcSwap<Gate>>, stream: Stream) {
    tokio::spawn(session::socket::run(stream, Arc::clone(gate)));
}
