//! Settings of the server as a whole; no block narrows them.

use std::path::PathBuf;

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
#[derive(Clone, Debug, Default)]
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
    /// `shutdown_clients`: SIGTERM ends sessions.
    pub shutdown_clients: bool,
    /// `default_login_user`: whom the server becomes once its ports are bound (when started as root).
    pub default_login_user: String,
    /// `default_internal_user`.
    pub default_internal_user: String,
    /// `default_internal_group`.
    pub default_internal_group: String,
    /// `verbose_proctitle`.
    pub verbose_proctitle: bool,
}
