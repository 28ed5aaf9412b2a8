//! TLS settings. They follow the connection like the login settings.

use crate::value::Content;

/// Certificates, keys and what is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SslSettings {
    /// `ssl_cert`; `None`: no TLS for clients.
    pub cert: Option<Content>,
    /// `ssl_key`.
    pub key: Option<Content>,
    /// `ssl_alt_cert`.
    pub alt_cert: Option<Content>,
    /// `ssl_alt_key`.
    pub alt_key: Option<Content>,
    /// `ssl_key_password`.
    pub key_password: String,
    /// `ssl_ca`: whom client certificates must come from.
    pub ca: Option<Content>,
    /// `ssl_verify_client_cert`.
    pub verify_client_cert: bool,
    /// `ssl_cert_username_field`.
    pub cert_username_field: String,
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
