//! One client's connection: who talks to whom, what holds for it, what has been learnt about it.
//! Knows nothing of the dialogue on it.

use std::net::SocketAddr;
use std::sync::Arc;

use auth::request::{Facts, Peer, Transport};
use config::rows::login::{LoginSettings, SslMode};
use config::scope::ConnectionKey;
use wire::haproxy::Client;
use wire::protocols::Protocol;
use wire::{Forwarded, Identity};

use crate::chance;
use crate::gate::{Deciding, Gate, Shared};
use crate::log::Level;
use crate::tls::ClientTls;

/// Hops left for a login that comes straight from its client; the fifth proxy would have one left and refuses.
const HOPS: u32 = 5;

/// One client's connection.
pub struct Connection {
    gate: Arc<Gate>,
    settings: Arc<LoginSettings>,
    protocol: &'static Protocol,
    /// The two ends without what a front has forwarded in the dialogue.
    origin: Peer,
    peer: Peer,
    id: String,
    ttl: Option<u32>,
    client_id: Option<String>,
    forwarded: Vec<(String, String)>,
    /// The client has asked for the capabilities itself before it logged in.
    pub knows_capability: bool,
}

impl Connection {
    /// A connection as it was accepted.
    pub fn new(gate: Arc<Gate>, protocol: &'static Protocol, remote: SocketAddr, local: SocketAddr) -> Self {
        let origin = Peer {
            remote: Some(remote.ip().to_canonical()),
            remote_port: remote.port(),
            local: Some(local.ip().to_canonical()),
            local_port: local.port(),
            ..Peer::default()
        };
        let mut connection = Self {
            id: gate.shared.session_id(),
            settings: settings(&gate, protocol, &origin),
            gate,
            protocol,
            peer: origin.clone(),
            origin,
            ttl: None,
            client_id: None,
            forwarded: Vec::new(),
            knows_capability: false,
        };
        if connection.trusts_peer() || connection.peer.remote == connection.peer.local {
            connection.peer.transport = Transport::Trusted;
        }
        connection
    }

    /// A balancer has the connection, and says whom it speaks for; `None`: for itself. What holds for
    /// that client holds from now on.
    pub fn balanced(&mut self, client: Option<Client>) {
        let origin = &mut self.origin;
        if let Some(client) = client {
            if let Some(ends) = client.ends {
                (origin.real_remote, origin.real_remote_port) = (origin.remote, origin.remote_port);
                (origin.real_local, origin.real_local_port) = (origin.local, origin.local_port);
                (origin.remote, origin.remote_port) =
                    (Some(ends.remote.ip().to_canonical()), ends.remote.port());
                (origin.local, origin.local_port) = (Some(ends.local.ip().to_canonical()), ends.local.port());
            }
            if let Some(tls) = client.tls {
                origin.transport = Transport::Tls;
                origin.valid_certificate = tls.certificate.is_some();
            }
            origin.local_name = client.authority;
        }
        self.settings = settings(&self.gate, self.protocol, &self.origin);
        self.peer = self.origin.clone();
        // That the balancer runs on this machine says nothing about the way to it.
        if self.peer.transport == Transport::Plain && self.trusts_peer() {
            self.peer.transport = Transport::Trusted;
        }
    }

    /// TLS is up: what was said before it is forgotten, since anybody may have said it, and the
    /// name asked for may change the settings.
    pub fn secured(&mut self, name: Option<String>) {
        (self.client_id, self.ttl) = (None, None);
        self.forwarded.clear();
        // Without a name this may be the balancer's own TLS, and its client has asked it for one.
        let local_name = name.or_else(|| self.origin.local_name.clone());
        self.peer = Peer { transport: Transport::Tls, local_name, ..self.origin.clone() };
        self.settings = settings(&self.gate, self.protocol, &self.peer);
    }

    /// What a trusted front says of its client; nothing is believed from anybody else.
    pub fn take(&mut self, facts: Forwarded) {
        if !self.trusts_peer() {
            return;
        }
        let peer = &mut self.peer;
        if peer.real_remote.is_none() {
            (peer.real_remote, peer.real_remote_port) = (peer.remote, peer.remote_port);
            (peer.real_local, peer.real_local_port) = (peer.local, peer.local_port);
        }
        peer.remote = facts.remote.map(|ip| ip.to_canonical()).or(peer.remote);
        peer.remote_port = facts.remote_port.unwrap_or(peer.remote_port);
        peer.local = facts.local.map(|ip| ip.to_canonical()).or(peer.local);
        peer.local_port = facts.local_port.unwrap_or(peer.local_port);
        if let Some(session) = facts.session {
            self.id = session;
        }
        self.ttl = facts.ttl.or(self.ttl);
        for (name, value) in facts.fields {
            self.forwarded.retain(|(other, _)| *other != name);
            self.forwarded.push((name, value));
        }
    }

    /// The client's IMAP ID, where `imap_id_retain` wants it kept.
    pub fn take_client_id(&mut self, id: String) {
        if self.settings.imap_id_retain {
            self.client_id = Some(id);
        }
    }

    /// The facts of a login that begins now.
    pub fn facts(&self, mechanism: &str) -> Facts {
        Facts {
            service: self.protocol.name.to_owned(),
            mechanism: mechanism.to_owned(),
            peer: self.peer.clone(),
            session: self.id.clone(),
            now: chance::now(),
            random: chance::number(),
            client_id: self.client_id.clone(),
            forwarded: self.forwarded.clone(),
            client_pid: std::process::id(),
            hostname: self.gate.shared.hostname.clone(),
        }
    }

    /// The configuration in use for it.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// What outlives a reload.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.gate.shared
    }

    /// The databases of its protocol.
    pub fn deciding(&self) -> Arc<Deciding> {
        self.gate.deciding(self.protocol.name)
    }

    /// What holds for it.
    pub fn settings(&self) -> &LoginSettings {
        &self.settings
    }

    /// What is spoken on it.
    pub fn protocol(&self) -> &'static Protocol {
        self.protocol
    }

    /// Its two ends.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Its session id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Another proxy may follow this one.
    pub fn may_hop(&self) -> bool {
        self.ttl.unwrap_or(HOPS) > 1
    }

    /// Whose login the next server is asked for, with these `forward_` fields.
    pub fn identity(&self, fields: &[(String, String)]) -> Identity {
        let facts = Forwarded {
            remote: self.peer.remote,
            remote_port: Some(self.peer.remote_port),
            local: self.peer.local,
            local_port: Some(self.peer.local_port),
            session: Some(self.id.clone()),
            // The last one may serve the user, and may not hand the login on.
            ttl: Some(self.ttl.unwrap_or(HOPS).saturating_sub(1).max(1)),
            fields: fields.to_vec(),
        };
        Identity { facts, client_id: self.client_id.clone() }
    }

    /// The client, as TCP or a balancer tells its address, stands in `login_trusted_networks`.
    pub fn trusts_peer(&self) -> bool {
        let peer = self.origin.remote;
        peer.is_some_and(|ip| self.settings.trusted_networks.iter().any(|net| net.contains(ip)))
    }

    /// The TCP peer stands in `haproxy_trusted_networks`.
    pub fn trusts_balancer(&self) -> bool {
        let peer = self.origin.real_remote.or(self.origin.remote);
        peer.is_some_and(|ip| self.settings.haproxy_trusted_networks.iter().any(|net| net.contains(ip)))
    }

    /// Without TLS nobody may log in on it.
    pub fn needs_tls(&self) -> bool {
        self.settings.ssl == SslMode::Required && self.peer.transport == Transport::Plain
    }

    /// Whether an address is where this very client connected to, at a balancer or here, or one of
    /// `auth_proxy_self`.
    pub fn is_own_address(&self, address: SocketAddr) -> bool {
        let (ip, peer) = (address.ip().to_canonical(), &self.peer);
        [(peer.local, peer.local_port), (peer.real_local, peer.real_local_port)].into_iter().any(
            |(ours, port)| {
                address.port() == port
                    && (Some(ip) == ours || self.deciding().engine.settings().proxy_self.contains(&ip))
            },
        )
    }

    /// TLS towards backends, as its settings say.
    pub fn client_tls(&self) -> Result<Arc<ClientTls>, Vec<String>> {
        self.gate.client_tls(&self.settings.tls)
    }

    /// A line in the log of its protocol's login service.
    pub fn say(&self, level: Level, text: String) {
        self.gate.shared.log.say(level, self.protocol.login_service, text);
    }
}

/// What holds for a connection from and to these addresses.
fn settings(gate: &Gate, protocol: &Protocol, origin: &Peer) -> Arc<LoginSettings> {
    gate.config.connection(&ConnectionKey {
        protocol: protocol.name,
        local: origin.local,
        remote: origin.remote,
        local_name: origin.local_name.as_deref(),
    })
}
