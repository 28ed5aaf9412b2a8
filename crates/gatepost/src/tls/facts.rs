//! What a TLS connection agreed on, in the words of logs and variables.

use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};

use super::session::Session;

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite by its OpenSSL name.
    pub cipher: &'static str,
    /// Bits of the cipher's key.
    pub bits: u16,
    /// The name the client asked for (SNI), lower case.
    pub server_name: Option<String>,
    /// The protocol agreed on by ALPN.
    pub protocol: Option<String>,
    /// A session was resumed: no certificate was shown.
    pub resumed: bool,
}

impl TlsFacts {
    pub(crate) fn of(session: &Session) -> Self {
        let agreed = session.agreed();
        let (cipher, bits) = cipher(agreed.negotiated_cipher_suite().map(|suite| suite.suite()));
        Self {
            version: match agreed.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "unknown",
            },
            cipher,
            bits,
            server_name: session.server_name.as_deref().map(str::to_ascii_lowercase),
            protocol: agreed.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            resumed: agreed.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

/// Administrators know the suites of TLS 1.2 by OpenSSL's names.
fn cipher(suite: Option<CipherSuite>) -> (&'static str, u16) {
    match suite {
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384) => ("TLS_AES_256_GCM_SHA384", 256),
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256) => ("TLS_AES_128_GCM_SHA256", 128),
        Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => ("TLS_CHACHA20_POLY1305_SHA256", 256),
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384) => ("ECDHE-ECDSA-AES256-GCM-SHA384", 256),
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) => ("ECDHE-ECDSA-AES128-GCM-SHA256", 128),
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256) => {
            ("ECDHE-ECDSA-CHACHA20-POLY1305", 256)
        }
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) => ("ECDHE-RSA-AES256-GCM-SHA384", 256),
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) => ("ECDHE-RSA-AES128-GCM-SHA256", 128),
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256) => {
            ("ECDHE-RSA-CHACHA20-POLY1305", 256)
        }
        _ => ("unknown", 0),
    }
}
