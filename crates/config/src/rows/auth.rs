//! Settings of the decision itself. They follow `protocol` blocks, and no others.

use std::net::IpAddr;
use std::time::Duration;

use super::Field::{Addresses, Boolean, Number, Other, Text, Time, Unused, UpperWords};
use super::Standing::{Honoured, Ignored, Refused};
use super::passdb::{PassdbSettings, UserdbSettings};
use super::{Row, row};
use crate::value::{Invalid, Kind};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthSettings {
    /// `auth_mechanisms`, upper case, in order.
    pub mechanisms: Vec<String>,
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

/// The rows of [`AuthSettings`].
pub const AUTH: &[Row<AuthSettings>] = &[
    row(
        "auth_mechanisms",
        "plain",
        UpperWords(|s| &mut s.mechanisms),
        Honoured,
        "SASL mechanisms, offered in this order",
    ),
    row("auth_realms", "", Unused(Kind::Words), Ignored, "No mechanism here has realms"),
    row(
        "auth_default_realm",
        "",
        Text(|s| &mut s.default_realm),
        Honoured,
        "Appended to user names without a domain",
    ),
    row(
        "auth_username_chars",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@",
        Text(|s| &mut s.username_chars),
        Honoured,
        "Characters a user name may have; empty: any",
    ),
    row(
        "auth_username_translation",
        "",
        Text(|s| &mut s.username_translation),
        Honoured,
        "Pairs of characters: the first becomes the second",
    ),
    row(
        "auth_username_format",
        "%Lu",
        Text(|s| &mut s.username_format),
        Honoured,
        "What becomes of the user name",
    ),
    row(
        "auth_master_user_separator",
        "",
        Text(|s| &mut s.master_user_separator),
        Honoured,
        "Between user and master user in a login name; empty: none",
    ),
    row("auth_anonymous_username", "anonymous", Unused(Kind::Text), Ignored, "Nobody logs in without a name"),
    row("auth_failure_delay", "2 secs", Time(|s| &mut s.failure_delay), Honoured, "How long a refusal waits"),
    row(
        "auth_verbose",
        "no",
        Boolean(|s| &mut s.verbose),
        Honoured,
        "Whether failed logins are logged with their reason",
    ),
    row(
        "auth_verbose_passwords",
        "no",
        Other("no, plain or sha1, with :LENGTH", |s, text| {
            s.verbose_passwords = show_passwords(text)?;
            Ok(())
        }),
        Ignored,
        "Passwords are never logged",
    ),
    row("auth_debug", "no", Boolean(|s| &mut s.debug), Honoured, "Whether each step of a login is logged"),
    row(
        "auth_proxy_self",
        "",
        Addresses(|s| &mut s.proxy_self),
        Honoured,
        "Addresses that are this server, for proxy_maybe",
    ),
    row(
        "auth_worker_max_count",
        "30",
        Number(|s| &mut s.worker_max_count),
        Honoured,
        "Lookups that may block at the same time",
    ),
    row(
        "auth_ssl_require_client_cert",
        "no",
        Boolean(|s| &mut s.ssl_require_client_cert),
        Refused("client certificates are not asked for in this version"),
        "Whether a login needs a valid client certificate",
    ),
    row(
        "auth_ssl_username_from_cert",
        "no",
        Boolean(|s| &mut s.ssl_username_from_cert),
        Refused("client certificates are not asked for in this version"),
        "Whether the client certificate gives the user name",
    ),
    row(
        "auth_policy_server_url",
        "",
        Unused(Kind::Text),
        Refused("the policy server that may turn logins away would not be asked"),
        "The policy server",
    ),
    row("auth_policy_server_api_header", "", Unused(Kind::Text), Ignored, POLICY),
    row("auth_policy_server_timeout_msecs", "2000", Unused(Kind::Number), Ignored, POLICY),
    row("auth_policy_hash_mech", "sha256", Unused(Kind::Text), Ignored, POLICY),
    row("auth_policy_hash_nonce", "", Unused(Kind::Text), Ignored, POLICY),
    row("auth_policy_hash_truncate", "12", Unused(Kind::Number), Ignored, POLICY),
    row("auth_policy_check_before_auth", "yes", Unused(Kind::Boolean), Ignored, POLICY),
    row("auth_policy_check_after_auth", "yes", Unused(Kind::Boolean), Ignored, POLICY),
    row("auth_policy_report_after_auth", "yes", Unused(Kind::Boolean), Ignored, POLICY),
    row("auth_policy_reject_on_fail", "no", Unused(Kind::Boolean), Ignored, POLICY),
    row("auth_policy_log_only", "no", Unused(Kind::Boolean), Ignored, POLICY),
    row(
        "auth_policy_request_attributes",
        "login=%{requested_username} pwhash=%{hashed_password} remote=%{rip} device_id=%{client_id} \
         protocol=%s session_id=%{session}",
        Unused(Kind::Text),
        Ignored,
        POLICY,
    ),
    row(
        "auth_use_winbind",
        "no",
        Unused(Kind::Boolean),
        Refused("winbind would not be asked"),
        "Whether winbind answers for NTLM and GSS-SPNEGO",
    ),
    row(
        "auth_winbind_helper_path",
        "/usr/bin/ntlm_auth",
        Unused(Kind::Path),
        Ignored,
        "winbind is not asked",
    ),
    row("auth_krb5_keytab", "", Unused(Kind::Path), Ignored, KERBEROS),
    row("auth_gssapi_hostname", "", Unused(Kind::Text), Ignored, KERBEROS),
    row("auth_cache_size", "0", Unused(Kind::Size), Ignored, CACHE),
    row("auth_cache_ttl", "1 hours", Unused(Kind::Time), Ignored, CACHE),
    row("auth_cache_negative_ttl", "1 hours", Unused(Kind::Time), Ignored, CACHE),
    row("auth_cache_verify_password_with_worker", "no", Unused(Kind::Boolean), Ignored, CACHE),
    row(
        "auth_debug_passwords",
        "no",
        Unused(Kind::Boolean),
        Ignored,
        "Passwords are never written to the debug log",
    ),
    row(
        "auth_socket_path",
        "auth-userdb",
        Unused(Kind::Path),
        Ignored,
        "Nothing here asks another auth server",
    ),
    row("auth_stats", "no", Unused(Kind::Boolean), Ignored, "Statistics of the original's auth process"),
];

const POLICY: &str = "No policy server is asked";
const KERBEROS: &str = "There is no Kerberos mechanism";
const CACHE: &str = "Answers are not cached in this version";

/// `no`, `yes`, `plain`, `plain:LENGTH`, `sha1`, `sha1:LENGTH`.
fn show_passwords(text: &str) -> Result<ShowPasswords, Invalid> {
    let invalid = || {
        Invalid::new(format!("\"{text}\" is no way to show passwords"))
            .hint("write no, plain, sha1, plain:LENGTH or sha1:LENGTH")
    };
    let (form, length) = match text.split_once(':') {
        Some((form, length)) => {
            (form, Some(length.parse::<u8>().ok().filter(|n| *n > 0).ok_or_else(invalid)?))
        }
        None => (text, None),
    };
    match (form, length) {
        ("no", None) => Ok(ShowPasswords::No),
        ("yes" | "plain", length) => Ok(ShowPasswords::Plain(length.unwrap_or(u8::MAX))),
        ("sha1", length) => Ok(ShowPasswords::Sha1(length.unwrap_or(40).min(40))),
        _ => Err(invalid()),
    }
}
