//! What a connection is offered, from its settings and what protects it now.

use auth::mechanism;
use auth::request::Transport;
use config::rows::login::SslMode;
use wire::{MechanismOffer, Offer};

use crate::connection::Connection;

/// The offer for a connection as it stands.
pub(super) fn offer(connection: &Connection) -> Offer {
    let settings = connection.settings();
    let transport = connection.peer().transport;
    let (tls, secure) = (transport == Transport::Tls, transport != Transport::Plain);
    Offer {
        greeting: settings.greeting.clone(),
        mechanisms: mechanisms(&connection.deciding().engine.settings().mechanisms),
        starttls: !tls && settings.ssl != SslMode::No && connection.gate().server_tls.is_some(),
        tls,
        secure,
        plaintext: secure || !settings.disable_plaintext_auth,
        tls_required: connection.needs_tls(),
        capability: settings.imap_capability.clone(),
        id: id(&settings.imap_id_send),
        trusted: connection.trusts_peer(),
    }
}

/// The configured mechanisms that exist, in the order configured.
pub fn mechanisms(names: &[String]) -> Vec<MechanismOffer> {
    let rows = names.iter().filter_map(|name| mechanism::find(name));
    rows.map(|row| MechanismOffer { name: row.name, plaintext: row.plaintext }).collect()
}

/// `imap_id_send`: pairs of name and value, `*` standing for our own value of that name.
fn id(written: &str) -> Vec<(String, Option<String>)> {
    let mut words = written.split_whitespace();
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        let value = match (value, name) {
            ("*", "name") => Some("Gatepost".to_owned()),
            ("*", "version") => Some(env!("CARGO_PKG_VERSION").to_owned()),
            ("*", "os") => Some(std::env::consts::OS.to_owned()),
            ("*", _) => None,
            (value, _) => Some(value.trim_matches('"').to_owned()),
        };
        pairs.push((name.to_owned(), value));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_our_own_value() {
        assert_eq!(
            id("name * support-url http://x"),
            [("name".into(), Some("Gatepost".into())), ("support-url".into(), Some("http://x".to_owned()))]
        );
    }
}
