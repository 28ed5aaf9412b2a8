//! The table of protocols: name, ports, and how to make a front and a back.

use crate::{Back, Errand, Front, Offer, imap, pop3};

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
pub static PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "imap",
        login_service: "imap-login",
        port: 143,
        tls_port: 993,
        front: imap::front::front,
        back: imap::back::back,
    },
    Protocol {
        name: "pop3",
        login_service: "pop3-login",
        port: 110,
        tls_port: 995,
        front: pop3::front::front,
        back: pop3::back::back,
    },
];

/// Finds a protocol by its service name.
pub fn find(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().find(|protocol| protocol.name == name)
}
