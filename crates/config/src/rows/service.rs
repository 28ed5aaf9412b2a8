//! `service NAME { inet_listener … unix_listener … }`.

use std::path::PathBuf;

use super::Field::{Boolean, Mode, Port, Text, Unused, Words};
use super::Standing::{Honoured, Ignored};
use super::{Row, row};
use crate::value::{Kind, Place};

/// One `service NAME { }`: only its listeners matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Service name, such as `imap-login` or `auth`.
    pub name: String,
    /// TCP listeners with a port.
    pub inet: Vec<InetListener>,
    /// Unix socket listeners, those with `mode = 0` too.
    pub unix: Vec<UnixListener>,
}

/// One `inet_listener { }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

impl UnixListener {
    /// What an auth socket is for: its `type`, or else the last word of its name after a `-`.
    pub fn purpose(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if self.kind.is_empty() { name.rsplit('-').next().unwrap_or(name) } else { &self.kind }
    }

    /// Whether clients ask on it: an auth socket that is for nothing else.
    pub fn is_for_clients(&self) -> bool {
        !matches!(self.purpose(), "login" | "master" | "userdb" | "token" | "tokenlogin")
    }
}

/// The rows of `service { }`. One process serves all, so none of them has an effect.
pub const SERVICE: &[Row<ServiceSettings>] = &[
    row("chroot", "", Unused(Kind::Path), Ignored, PROCESS),
    row("client_limit", "0", Unused(Kind::Number), Ignored, PROCESS),
    row("drop_priv_before_exec", "no", Unused(Kind::Boolean), Ignored, PROCESS),
    row("executable", "", Unused(Kind::Text), Ignored, PROCESS),
    row("extra_groups", "", Unused(Kind::Text), Ignored, PROCESS),
    row("group", "", Unused(Kind::Text), Ignored, PROCESS),
    row("idle_kill", "0", Unused(Kind::Time), Ignored, PROCESS),
    row("privileged_group", "", Unused(Kind::Text), Ignored, PROCESS),
    row("process_limit", "0", Unused(Kind::Number), Ignored, PROCESS),
    row("process_min_avail", "0", Unused(Kind::Number), Ignored, PROCESS),
    row("protocol", "", Unused(Kind::Text), Ignored, PROCESS),
    row("service_count", "0", Unused(Kind::Number), Ignored, PROCESS),
    row("type", "", Unused(Kind::Text), Ignored, PROCESS),
    row("user", "", Unused(Kind::Text), Ignored, PROCESS),
    row("vsz_limit", "18446744073709551615 B", Unused(Kind::Size), Ignored, PROCESS),
];

const PROCESS: &str = "A service is no process of its own here";

/// The rows of [`InetListener`].
pub const INET_LISTENER: &[Row<InetListener>] = &[
    row(
        "address",
        "",
        Words(|s| &mut s.addresses),
        Honoured,
        "Addresses to listen on; empty: those of listen",
    ),
    row("port", "0", Port(|s| &mut s.port), Honoured, "The port; 0 switches the listener off"),
    row("ssl", "no", Boolean(|s| &mut s.ssl), Honoured, "Whether TLS begins with the first byte"),
    row("haproxy", "no", Boolean(|s| &mut s.haproxy), Honoured, "Whether a PROXY header comes first"),
    row(
        "reuse_port",
        "no",
        Unused(Kind::Boolean),
        Ignored,
        "One process listens, so nothing is to be shared",
    ),
];

/// The rows of [`UnixListener`].
pub const UNIX_LISTENER: &[Row<UnixListener>] = &[
    row("mode", "0600", Mode(|s| &mut s.mode), Honoured, "The socket's mode; 0 switches the listener off"),
    row("user", "", Text(|s| &mut s.user), Honoured, "The socket's owner; empty: the server's user"),
    row("group", "", Text(|s| &mut s.group), Honoured, "The socket's group; empty: the server's group"),
    row("type", "", Text(|s| &mut s.kind), Honoured, "What the socket speaks; empty: told from its name"),
];
