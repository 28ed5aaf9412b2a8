//! TLS settings. They follow the connection like the login settings.

use std::fmt;

use super::Field::{Boolean, Choice, Content as FromFile, Text, Unused};
use super::Standing::{Honoured, Ignored, Refused};
use super::{Row, row};
use crate::value::{Content, Kind};

/// Certificates, keys and what is accepted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SslSettings {
    /// `ssl_cert`; `None`: no TLS for clients.
    pub cert: Option<Content>,
    /// `ssl_key`.
    pub key: Option<Content>,
    /// `ssl_alt_cert`.
    pub alt_cert: Option<Content>,
    /// `ssl_alt_key`.
    pub alt_key: Option<Content>,
    /// `ssl_ca`: whom client certificates must come from.
    pub ca: Option<Content>,
    /// `ssl_verify_client_cert`.
    pub verify_client_cert: bool,
    /// `ssl_min_protocol`.
    pub min_protocol: String,
    /// `ssl_prefer_server_ciphers`.
    pub prefer_server_ciphers: bool,
    /// `ssl_client_ca_file`.
    pub client_ca_file: String,
    /// `ssl_client_ca_dir`.
    pub client_ca_dir: String,
    /// `ssl_client_cert`.
    pub client_cert: Option<Content>,
    /// `ssl_client_key`.
    pub client_key: Option<Content>,
    /// `ssl_client_require_valid_cert`.
    pub client_require_valid_cert: bool,
}

impl fmt::Debug for SslSettings {
    /// Leaves out keys, which may be written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SslSettings")
            .field("cert", &self.cert)
            .field("client_cert", &self.client_cert)
            .field("min_protocol", &self.min_protocol)
            .finish_non_exhaustive()
    }
}

/// The rows of [`SslSettings`].
pub const SSL: &[Row<SslSettings>] = &[
    row(
        "ssl_cert",
        "",
        FromFile(|s| &mut s.cert),
        Honoured,
        "The certificate chain, PEM; none: no TLS for clients",
    ),
    row("ssl_key", "", FromFile(|s| &mut s.key), Honoured, "The key of ssl_cert, PEM"),
    row(
        "ssl_alt_cert",
        "",
        FromFile(|s| &mut s.alt_cert),
        Honoured,
        "A second certificate, of another kind of key",
    ),
    row("ssl_alt_key", "", FromFile(|s| &mut s.alt_key), Honoured, "The key of ssl_alt_cert"),
    row("ssl_key_password", "", Unused(Kind::Text), Ignored, "Encrypted keys are not read"),
    row("ssl_ca", "", FromFile(|s| &mut s.ca), Honoured, "Authorities of client certificates, PEM"),
    row(
        "ssl_verify_client_cert",
        "no",
        Boolean(|s| &mut s.verify_client_cert),
        Refused("client certificates are not asked for in this version"),
        "Whether clients are asked for a certificate",
    ),
    row(
        "ssl_cert_username_field",
        "commonName",
        Unused(Kind::Text),
        Ignored,
        "Client certificates are not asked for",
    ),
    row(
        "ssl_min_protocol",
        "TLSv1.2",
        Choice(&["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "ANY", "LATEST"], |s, chosen| {
            chosen.clone_into(&mut s.min_protocol);
        }),
        Honoured,
        "The oldest TLS version; never older than TLSv1.2",
    ),
    row(
        "ssl_prefer_server_ciphers",
        "no",
        Boolean(|s| &mut s.prefer_server_ciphers),
        Honoured,
        "Whether the server's order of ciphers counts",
    ),
    row(
        "ssl_client_ca_file",
        "",
        Text(|s| &mut s.client_ca_file),
        Honoured,
        "Authorities of the backends' certificates; empty with ssl_client_ca_dir: the system's",
    ),
    row(
        "ssl_client_ca_dir",
        "",
        Text(|s| &mut s.client_ca_dir),
        Honoured,
        "A directory of authorities of the backends' certificates",
    ),
    row(
        "ssl_client_cert",
        "",
        FromFile(|s| &mut s.client_cert),
        Honoured,
        "The certificate shown to backends",
    ),
    row("ssl_client_key", "", FromFile(|s| &mut s.client_key), Honoured, "The key of ssl_client_cert"),
    row(
        "ssl_client_require_valid_cert",
        "yes",
        Boolean(|s| &mut s.client_require_valid_cert),
        Honoured,
        "Whether a backend's certificate must be valid",
    ),
    row(
        "ssl_require_crl",
        "yes",
        Unused(Kind::Boolean),
        Ignored,
        "Revocation lists for client certificates, which are not asked for",
    ),
    row(
        "ssl_cipher_list",
        SSL_CIPHER_LIST,
        Unused(Kind::Text),
        Ignored,
        "The TLS library has its own safe list",
    ),
    row("ssl_cipher_suites", "", Unused(Kind::Text), Ignored, "The TLS library has its own safe list"),
    row("ssl_curve_list", "", Unused(Kind::Text), Ignored, "The TLS library has its own safe list"),
    row("ssl_dh", "", Unused(Kind::Content), Ignored, "No finite-field Diffie-Hellman is offered"),
    row("ssl_options", "", Unused(Kind::Text), Ignored, "Compression is never, tickets are always offered"),
    row("ssl_crypto_device", "", Unused(Kind::Text), Ignored, "No OpenSSL engine is used"),
    row("ssl_protocols", "", Unused(Kind::Text), Ignored, "Replaced by ssl_min_protocol in Dovecot 2.3"),
    row("ssl_dh_parameters_length", "", Unused(Kind::Text), Ignored, "Replaced by ssl_dh in Dovecot 2.3"),
];

/// Dovecot's default, so that writing it changes nothing.
const SSL_CIPHER_LIST: &str =
    "ALL:!kRSA:!SRP:!kDHd:!DSS:!aNULL:!eNULL:!EXPORT:!DES:!3DES:!MD5:!PSK:!RC4:!ADH:!LOW@STRENGTH";
