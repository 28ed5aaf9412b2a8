//! Settings of the decision itself. They follow `protocol` blocks, and no others.

use std::net::IpAddr;
use std::time::Duration;

use super::passdb::{PassdbSettings, UserdbSettings};

/// How passwords that were wrong appear in the log (`auth_verbose_passwords`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShowPasswords {
    /// Not at all.
    #[default]
    No,
    /// As their SHA1, cut to this many hex digits (40: whole).
    Sha1(u8),
    /// As they are, cut to this many characters (`u8::MAX`: whole).
    Plain(u8),
}

/// Everything about deciding a login for one protocol.
#[derive(Clone, Debug, Default)]
pub struct AuthSettings {
    /// `auth_mechanisms`, upper case, in order.
    pub mechanisms: Vec<String>,
    /// `auth_realms`.
    pub realms: Vec<String>,
    /// `auth_default_realm`.
    pub default_realm: String,
    /// `auth_username_chars`; empty allows all.
    pub username_chars: String,
    /// `auth_username_translation`: pairs of bytes, from and to.
    pub username_translation: String,
    /// `auth_username_format`.
    pub username_format: String,
    /// `auth_master_user_separator`; empty: none.
    pub master_user_separator: String,
    /// `auth_anonymous_username`.
    pub anonymous_username: String,
    /// `auth_failure_delay`.
    pub failure_delay: Duration,
    /// `auth_verbose`.
    pub verbose: bool,
    /// `auth_verbose_passwords`.
    pub verbose_passwords: ShowPasswords,
    /// `auth_debug`.
    pub debug: bool,
    /// `auth_proxy_self`.
    pub proxy_self: Vec<IpAddr>,
    /// `auth_worker_max_count`: threads of the blocking pool.
    pub worker_max_count: u32,
    /// `auth_ssl_require_client_cert`.
    pub ssl_require_client_cert: bool,
    /// `auth_ssl_username_from_cert`.
    pub ssl_username_from_cert: bool,
    /// The password databases in the order they are asked (masters among them).
    pub passdbs: Vec<PassdbSettings>,
    /// The user databases in the order they are asked.
    pub userdbs: Vec<UserdbSettings>,
}
