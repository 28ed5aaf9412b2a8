//! `service NAME { inet_listener … unix_listener … }`.

use std::path::PathBuf;

use crate::value::Place;

/// One `service NAME { }`: only its listeners matter here.
#[derive(Clone, Debug, Default)]
pub struct ServiceSettings {
    /// Service name, such as `imap-login` or `auth`.
    pub name: String,
    /// TCP listeners with a port.
    pub inet: Vec<InetListener>,
    /// Unix socket listeners, those with `mode = 0` too.
    pub unix: Vec<UnixListener>,
}

/// One `inet_listener { }`.
#[derive(Clone, Debug, Default)]
pub struct InetListener {
    /// Listener name, such as `imap` or `imaps`; may be empty.
    pub name: String,
    /// Where it was written (defaults have an empty place).
    pub place: Place,
    /// `address` words, or the global `listen` ones: addresses, `*`, `::`, names.
    pub addresses: Vec<String>,
    /// `port`; 0 switches the listener off.
    pub port: u16,
    /// `ssl`: TLS from the first byte.
    pub ssl: bool,
    /// `haproxy`: a PROXY header comes first.
    pub haproxy: bool,
}

/// One `unix_listener { }`.
#[derive(Clone, Debug, Default)]
pub struct UnixListener {
    /// Path; relative ones are below `base_dir`.
    pub path: PathBuf,
    /// Where it was written.
    pub place: Place,
    /// `mode`; 0 switches the listener off.
    pub mode: u32,
    /// `user`; empty: the server's.
    pub user: String,
    /// `group`; empty: the server's.
    pub group: String,
    /// `type`; empty: told from the name.
    pub kind: String,
}
