//! Settings of the server as a whole; no block narrows them.

use std::path::PathBuf;

use super::Field::{Choice, Path, Text, Unused, Words};
use super::Standing::{Honoured, Ignored};
use super::{Row, row};
use crate::value::Kind;

/// How log lines look (`gatepost_log_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Dovecot's line style.
    #[default]
    Dovecot,
    /// One JSON object a line.
    Json,
}

/// Everything that is set once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSettings {
    /// `protocols`: which login services run.
    pub protocols: Vec<String>,
    /// `listen`: default addresses.
    pub listen: Vec<String>,
    /// `base_dir`.
    pub base_dir: PathBuf,
    /// `instance_name`.
    pub instance_name: String,
    /// `log_path`: a file, `/dev/stderr`, or `syslog`.
    pub log_path: String,
    /// `info_log_path`; empty: `log_path`.
    pub info_log_path: String,
    /// `debug_log_path`; empty: the info log.
    pub debug_log_path: String,
    /// `log_timestamp` (strftime).
    pub log_timestamp: String,
    /// `syslog_facility`.
    pub syslog_facility: String,
    /// `gatepost_log_format`.
    pub log_format: LogFormat,
}

/// The rows of [`ServerSettings`].
pub const SERVER: &[Row<ServerSettings>] = &[
    row("protocols", "", Words(|s| &mut s.protocols), Honoured, "The login services that run: imap, pop3"),
    row(
        "listen",
        "*, ::",
        Words(|s| &mut s.listen),
        Honoured,
        "Addresses of listeners that name none themselves",
    ),
    row(
        "base_dir",
        "/run/gatepost",
        Path(|s| &mut s.base_dir),
        Honoured,
        "Where sockets with a relative path are made",
    ),
    row(
        "instance_name",
        "gatepost",
        Text(|s| &mut s.instance_name),
        Honoured,
        "This server's name among several",
    ),
    row("log_path", "syslog", Text(|s| &mut s.log_path), Honoured, "The log: a file, /dev/stderr or syslog"),
    row(
        "info_log_path",
        "",
        Text(|s| &mut s.info_log_path),
        Honoured,
        "The log for ordinary lines; empty: log_path",
    ),
    row(
        "debug_log_path",
        "",
        Text(|s| &mut s.debug_log_path),
        Honoured,
        "The log for debug lines; empty: info_log_path",
    ),
    row(
        "log_timestamp",
        "%b %d %H:%M:%S ",
        Text(|s| &mut s.log_timestamp),
        Honoured,
        "The time before each line of a log file, as in strftime(3)",
    ),
    row("syslog_facility", "mail", Text(|s| &mut s.syslog_facility), Honoured, "The syslog facility"),
    row(
        "gatepost_log_format",
        "dovecot",
        Choice(&["dovecot", "json"], |s, chosen| {
            s.log_format = if chosen == "json" { LogFormat::Json } else { LogFormat::Dovecot };
        }),
        Honoured,
        "How log lines look: as Dovecot's, or one JSON object each",
    ),
    row("shutdown_clients", "yes", Unused(Kind::Boolean), Ignored, "Sessions end with the server"),
    row(
        "default_login_user",
        "dovenull",
        Unused(Kind::Text),
        Ignored,
        "The server stays the user it was started as",
    ),
    row(
        "default_internal_user",
        "dovecot",
        Unused(Kind::Text),
        Ignored,
        "Sockets belong to whom their listener names",
    ),
    row(
        "default_internal_group",
        "dovecot",
        Unused(Kind::Text),
        Ignored,
        "Sockets belong to whom their listener names",
    ),
    row(
        "verbose_proctitle",
        "no",
        Unused(Kind::Boolean),
        Ignored,
        "There is one process for all sessions, so its title could not show one",
    ),
];
