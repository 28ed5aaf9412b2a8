//! Settings of one client connection. They follow `protocol`, `local`, `local_name` and `remote` blocks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Field::{Addresses, Boolean, Choice, Milliseconds, Networks, Number, Text, Time, Unused};
use super::Standing::{Honoured, Ignored, Refused};
use super::ssl::SslSettings;
use super::{Row, row};
use crate::value::{Kind, Net};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginSettings {
    /// `login_greeting`.
    pub greeting: String,
    /// `disable_plaintext_auth`.
    pub disable_plaintext_auth: bool,
    /// `ssl`.
    pub ssl: SslMode,
    /// `login_trusted_networks`.
    pub trusted_networks: Vec<Net>,
    /// `mail_max_userip_connections`; 0: no limit.
    pub max_userip_connections: u32,
    /// `login_proxy_timeout`.
    pub proxy_timeout: Duration,
    /// `login_proxy_max_reconnects`.
    pub proxy_max_reconnects: u32,
    /// `login_source_ips`.
    pub source_ips: Vec<IpAddr>,
    /// `imap_capability`: empty, a full list, or `+X`.
    pub imap_capability: String,
    /// `imap_id_send`, as written.
    pub imap_id_send: String,
    /// `imap_id_retain`.
    pub imap_id_retain: bool,
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

/// The rows of [`LoginSettings`].
pub const LOGIN: &[Row<LoginSettings>] = &[
    row("login_greeting", "Gatepost ready.", Text(|s| &mut s.greeting), Honoured, "The first line's text"),
    row(
        "disable_plaintext_auth",
        "yes",
        Boolean(|s| &mut s.disable_plaintext_auth),
        Honoured,
        "Whether passwords are refused on connections that are not secure",
    ),
    row(
        "ssl",
        "yes",
        Choice(&["no", "yes", "required"], |s, chosen| {
            s.ssl = match chosen {
                "no" => SslMode::No,
                "required" => SslMode::Required,
                _ => SslMode::Yes,
            };
        }),
        Honoured,
        "Whether TLS is offered to clients, or required before a login",
    ),
    row(
        "login_trusted_networks",
        "",
        Networks(|s| &mut s.trusted_networks),
        Honoured,
        "Clients that may say whom they speak for, and count as secure",
    ),
    row(
        "login_log_format_elements",
        "user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}>",
        Unused(Kind::Text),
        Ignored,
        "The line of a login is always the same",
    ),
    row("login_log_format", "%$: %s", Unused(Kind::Text), Ignored, "The line of a login is always the same"),
    row(
        "mail_max_userip_connections",
        "10",
        Number(|s| &mut s.max_userip_connections),
        Honoured,
        "Sessions of one user from one address; 0: any number",
    ),
    row(
        "login_proxy_timeout",
        "30 secs",
        Milliseconds(|s| &mut s.proxy_timeout),
        Honoured,
        "How long a backend may take until the session is up",
    ),
    row(
        "login_proxy_max_reconnects",
        "3",
        Number(|s| &mut s.proxy_max_reconnects),
        Honoured,
        "How often a backend that fails is tried again",
    ),
    row(
        "login_proxy_max_disconnect_delay",
        "0",
        Unused(Kind::Time),
        Ignored,
        "Clients of a lost backend are let go at once",
    ),
    row(
        "login_source_ips",
        "",
        Addresses(|s| &mut s.source_ips),
        Honoured,
        "Addresses to reach backends from, in turn; empty: the system chooses",
    ),
    row(
        "imap_capability",
        "",
        Text(|s| &mut s.imap_capability),
        Honoured,
        "IMAP capabilities: all, or +MORE",
    ),
    row(
        "imap_id_send",
        "name *",
        Text(|s| &mut s.imap_id_send),
        Honoured,
        "What an IMAP ID command is told; *: default",
    ),
    row(
        "imap_id_retain",
        "no",
        Boolean(|s| &mut s.imap_id_retain),
        Honoured,
        "Whether a client's IMAP ID becomes %{client_id}",
    ),
    row(
        "hostname",
        "",
        Unused(Kind::Text),
        Ignored,
        "Submission and LMTP are not served; elsewhere it names nothing",
    ),
    row(
        "haproxy_trusted_networks",
        "",
        Networks(|s| &mut s.haproxy_trusted_networks),
        Honoured,
        "Clients whose PROXY header is believed",
    ),
    row(
        "haproxy_timeout",
        "3 secs",
        Time(|s| &mut s.haproxy_timeout),
        Honoured,
        "How long a PROXY header may take",
    ),
    row(
        "gatepost_local_imap",
        "",
        Text(|s| &mut s.local_imap),
        Honoured,
        "Where admitted IMAP sessions go, such as imap://127.0.0.1:10143; empty: nowhere",
    ),
    row(
        "gatepost_local_pop3",
        "",
        Text(|s| &mut s.local_pop3),
        Honoured,
        "Where admitted POP3 sessions go, such as pop3://127.0.0.1:10110; empty: nowhere",
    ),
    row(
        "login_access_sockets",
        "",
        Unused(Kind::Text),
        Refused("the service that may turn clients away would not be asked"),
        "Services that are asked before a client is served",
    ),
    row(
        "login_plugins",
        "",
        Unused(Kind::Text),
        Refused("a plugin that may turn logins away would not be loaded"),
        "Plugins of the login processes",
    ),
    row(
        "login_plugin_dir",
        "/usr/lib/dovecot/modules/login",
        Unused(Kind::Path),
        Ignored,
        "No plugins are loaded",
    ),
    row(
        "login_proxy_notify_path",
        "proxy-notify",
        Unused(Kind::Path),
        Ignored,
        "No proxy notifications are sent",
    ),
    row("login_proxy_rawlog_dir", "", Unused(Kind::Path), Ignored, "No copy of the traffic is written"),
    row("imap_id_log", "", Unused(Kind::Text), Ignored, "What clients say in IMAP ID is not logged"),
    row(
        "imap_literal_minus",
        "no",
        Unused(Kind::Boolean),
        Ignored,
        "Capabilities after login are the backend's",
    ),
    row("verbose_ssl", "no", Unused(Kind::Boolean), Ignored, "TLS failures are always logged"),
];
