//! Settings of one client connection. They follow `protocol`, `local`, `local_name` and `remote` blocks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::ssl::SslSettings;
use crate::value::Net;

/// `ssl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    No,
    /// TLS is offered.
    #[default]
    Yes,
    /// No login without TLS.
    Required,
}

/// Everything about serving one client before and at login.
#[derive(Clone, Debug, Default)]
pub struct LoginSettings {
    /// `login_greeting`.
    pub greeting: String,
    /// `disable_plaintext_auth`.
    pub disable_plaintext_auth: bool,
    /// `ssl`.
    pub ssl: SslMode,
    /// `login_trusted_networks`.
    pub trusted_networks: Vec<Net>,
    /// `login_log_format_elements`, words.
    pub log_format_elements: String,
    /// `login_log_format`.
    pub log_format: String,
    /// `mail_max_userip_connections`; 0: no limit.
    pub max_userip_connections: u32,
    /// `login_proxy_timeout`.
    pub proxy_timeout: Duration,
    /// `login_proxy_max_reconnects`.
    pub proxy_max_reconnects: u32,
    /// `login_proxy_max_disconnect_delay`.
    pub proxy_max_disconnect_delay: Duration,
    /// `login_source_ips`.
    pub source_ips: Vec<IpAddr>,
    /// `imap_capability`: empty, a full list, or `+X`.
    pub imap_capability: String,
    /// `imap_id_send`, as written.
    pub imap_id_send: String,
    /// `imap_id_retain`.
    pub imap_id_retain: bool,
    /// `hostname`; empty: the machine's.
    pub hostname: String,
    /// `haproxy_trusted_networks`.
    pub haproxy_trusted_networks: Vec<Net>,
    /// `haproxy_timeout`.
    pub haproxy_timeout: Duration,
    /// `gatepost_local_imap`: where admitted IMAP sessions go; empty: nowhere.
    pub local_imap: String,
    /// `gatepost_local_pop3`: where admitted POP3 sessions go; empty: nowhere.
    pub local_pop3: String,
    /// TLS towards the client and towards backends.
    pub tls: Arc<SslSettings>,
}
