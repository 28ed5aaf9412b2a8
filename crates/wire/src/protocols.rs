//! The table of protocols: name, ports, and how to make a front and a back.

use crate::{Back, Errand, Front, Offer};

/// A protocol that clients log in with.
pub struct Protocol {
    /// Service name, as in `protocol imap { }` and `%s`.
    pub name: &'static str,
    /// The Dovecot service whose listeners speak it.
    pub login_service: &'static str,
    /// Port without TLS from the first byte.
    pub port: u16,
    /// Port with TLS from the first byte.
    pub tls_port: u16,
    /// Makes the server side; its output holds the greeting.
    pub front: fn(Offer) -> Box<dyn Front>,
    /// Makes the client side.
    pub back: fn(Errand) -> Box<dyn Back>,
}

/// Every protocol, in the order of the default `protocols` setting.
pub static PROTOCOLS: &[Protocol] = &[];

/// Finds a protocol by its service name.
pub fn find(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().find(|protocol| protocol.name == name)
}
