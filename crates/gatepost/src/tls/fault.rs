//! What went wrong with TLS, in words for the log: whose fault it is, and what to do when it is the administrator's.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A mail client; we are the server.
    Client,
    /// A backend; we are the client.
    Server,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// A TLS error; inside the `io::Error` of a `Stream`.
#[derive(Clone, Debug)]
pub struct TlsFault {
    /// Who was at the other end.
    pub peer: Peer,
    /// What rustls says.
    pub error: Error,
}

impl std::error::Error for TlsFault {}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer;
        match &self.error {
            Error::InvalidCertificate(error) => write!(f, "certificate of the {peer} {}", Refusal(error)),
            Error::NoCertificatesPresented => write!(f, "{peer} has shown no certificate"),
            Error::AlertReceived(alert) => match (peer, alert) {
                (Peer::Client, AlertDescription::UnknownCA) => {
                    f.write_str("client does not know who issued our certificate (alert unknown_ca)")
                }
                (Peer::Client, AlertDescription::CertificateExpired) => {
                    f.write_str("client finds our certificate expired (alert certificate_expired)")
                }
                (Peer::Client, AlertDescription::BadCertificate | AlertDescription::CertificateUnknown) => {
                    write!(f, "client does not accept our certificate (alert {alert:?})")
                }
                (_, AlertDescription::ProtocolVersion) => {
                    write!(f, "{peer} shares no TLS version with us (alert protocol_version)")
                }
                (_, AlertDescription::HandshakeFailure) => {
                    write!(
                        f,
                        "{peer} shares no cipher suite, curve or certificate type with us (alert handshake_failure)"
                    )
                }
                _ => write!(f, "{peer} gave up TLS (alert {alert:?})"),
            },
            Error::NoApplicationProtocol => {
                write!(f, "{peer} asked by ALPN for another protocol than this one")
            }
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => {
                write!(f, "{peer} does not speak TLS")
            }
            Error::PeerIncompatible(
                // Every client of TLS 1.2 or later names its signature algorithms.
                PeerIncompatible::SignatureAlgorithmsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => write!(f, "{peer} shares no TLS version with us"),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
                write!(f, "{peer} shares no cipher suite with us")
            }
            Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => {
                write!(f, "{peer} shares no key exchange with us")
            }
            Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => {
                write!(f, "{peer} cannot verify our type of certificate")
            }
            Error::DecryptError => write!(f, "{peer} sent a TLS record that cannot be decrypted"),
            error => write!(f, "{peer} broke TLS: {error}"),
        }
    }
}

/// Why a certificate is not accepted, as what follows "certificate".
struct Refusal<'a>(&'a CertificateError);

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CertificateError::Expired => f.write_str("has expired"),
            CertificateError::ExpiredContext { time, not_after } => {
                let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
                write!(f, "has expired ({days} days ago)")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                f.write_str("is not valid yet (is the clock right?)")
            }
            CertificateError::NotValidForName => f.write_str("is for another name"),
            CertificateError::NotValidForNameContext { expected, presented } => {
                write!(f, "is not for {}", expected.to_str())?;
                match presented.as_slice() {
                    [] => f.write_str(" but names no host (subjectAltName is missing)"),
                    names => {
                        let names: Vec<_> = names.iter().map(|name| bare(name)).collect();
                        write!(f, " but for {}", names.join(", "))
                    }
                }
            }
            CertificateError::UnknownIssuer => {
                f.write_str("was issued by nobody we trust (see ssl_client_ca_file)")
            }
            CertificateError::BadSignature => f.write_str("has a wrong signature"),
            CertificateError::BadEncoding => f.write_str("cannot be parsed"),
            CertificateError::Revoked => f.write_str("was revoked"),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                f.write_str("is not meant for this purpose (extended key usage)")
            }
            error => write!(f, "is not accepted: {error}"),
        }
    }
}

/// rustls writes `DnsName("mail.example.com")`.
fn bare(name: &str) -> &str {
    name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")")).unwrap_or(name)
}

/// As an error of a stream.
pub(crate) fn error(peer: Peer, error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, TlsFault { peer, error })
}

/// The error of a stream whose TLS was broken before.
pub(crate) fn earlier() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "TLS was broken before")
}

/// The error of a stream whose handshake was abandoned: content must neither pass in the clear nor vanish.
pub(crate) fn unfinished() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the TLS handshake was not finished")
}

/// The peer or the network went away within the handshake.
pub(crate) fn left(peer: Peer, error: &io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), format!("{peer} left during the TLS handshake"))
        }
        kind => io::Error::new(kind, format!("{peer} left during the TLS handshake: {error}")),
    }
}
