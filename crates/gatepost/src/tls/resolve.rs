//! Which certificate a client is shown: the one of the name it asks for, in the kind it can verify.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by name.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Shown when no name matches or none is asked for.
    pub(super) default: Vec<Arc<CertifiedKey>>,
    /// Lower-case names, `*.` at the front standing for one label, each with its certificates.
    pub(super) names: Vec<(String, Vec<Arc<CertifiedKey>>)>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        REQUESTED.set(name.map(Into::into));
        let keys = name.and_then(|name| self.named(name)).unwrap_or(&self.default);
        // The client's order decides between an RSA and an ECDSA certificate.
        let wanted = hello.signature_schemes();
        let fitting = wanted
            .iter()
            .find_map(|scheme| keys.iter().find(|key| key.key.choose_scheme(&[*scheme]).is_some()));
        // Without a common scheme the handshake fails either way; with a certificate it says why.
        fitting.or(keys.first()).cloned()
    }
}

impl Resolver {
    /// Every certificate that may be shown.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        self.default.iter().chain(self.names.iter().flat_map(|(_, keys)| keys))
    }

    /// An exact name goes before a wildcard.
    fn named(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let exact = self.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let wildcard = || {
            self.names.iter().find(|(known, _)| {
                known
                    .strip_prefix("*.")
                    .zip(parent)
                    .is_some_and(|(known, parent)| known.eq_ignore_ascii_case(parent))
            })
        };
        exact.or_else(wildcard).map(|(_, keys)| keys)
    }
}

thread_local! {
    /// rustls tells the name to the resolver only, which all connections share. It asks from within
    /// `process_tls_records`, so whoever called that finds here what its own client said.
    static REQUESTED: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// The name that the client whose records were just processed on this thread asked for.
pub(super) fn take_requested_name() -> Option<Box<str>> {
    REQUESTED.take()
}
