//! One client from accept to verdict. Knows how a login flows, and nothing of a protocol's
//! grammar, of hashes or of databases.

pub mod answer;
pub mod login;
pub mod offer;
pub mod record;
pub mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::request::{Facts, Peer, Secret, Transport};
use auth::trace::Reason;
use auth::verdict::{Decision, Refusal, Verdict};
use config::rows::login::{LoginSettings, SslMode};
use config::scope::ConnectionKey;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout_at;
use wire::protocols::Protocol;
use wire::{Answer, Event, Farewell, Fault, Forwarded, Front};

use crate::admit;
use crate::gate::{Deciding, Gate, Shared};
use crate::log::{Level, plainly};
use crate::proxy::{self, Backend};
use crate::relay::{self, Relay};
use crate::sessions::{Phase, Present};
use crate::stream::Stream;
use crate::tls::ClientTls;
use record::Ended;

/// How long a client may take from one step of its login to the next. Bytes that complete no step
/// do not prolong it.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a TLS handshake may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes a front is fed at once, so that it never has to hold more than its own limits allow.
const FEED: usize = 4096;
/// How long the last words to a client may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that a listener has accepted.
pub struct Accepted {
    /// The socket.
    pub socket: TcpStream,
    /// What is spoken on it.
    pub protocol: &'static Protocol,
    /// TLS begins with the first byte.
    pub tls: bool,
    /// The client's end.
    pub remote: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Counts the connection.
    pub present: Present,
}

/// One client before it is logged in.
pub struct Session {
    gate: Arc<Gate>,
    settings: Arc<LoginSettings>,
    protocol: &'static Protocol,
    peer: Peer,
    id: String,
    ttl: Option<u32>,
    client_id: Option<String>,
    forwarded: Vec<(String, String)>,
    phase: watch::Receiver<Phase>,
    started: Instant,
    deadline: tokio::time::Instant,
    /// Logins that failed, for the log.
    failures: u32,
    /// Logins that were referred to another server, for the log.
    referrals: u32,
    /// The client has asked for the capabilities itself.
    knows_capability: bool,
}

/// Why a session ends before its client is logged in.
#[derive(Debug)]
enum End {
    /// The client said goodbye.
    Quit,
    /// The client went without a word.
    Gone(std::io::Error),
    /// We ended it.
    Fault(Fault),
    /// The client was too slow.
    Slow(Farewell),
    /// The server goes down.
    Shutdown,
    /// A limit or a refusal that ends the connection; it has been logged.
    Refused,
}

/// The two ends of a client's dialogue.
struct Line {
    stream: Stream,
    front: Box<dyn Front>,
    /// Read, and not fed to the front yet.
    ahead: Vec<u8>,
}

/// Serves one client up to the end of its login, and hands it to a relay.
pub async fn run(accepted: Accepted, gate: Arc<Gate>) {
    let Accepted { socket, protocol, tls, remote, local, present } = accepted;
    let peer = Peer {
        remote: Some(remote.ip().to_canonical()),
        remote_port: remote.port(),
        local: Some(local.ip().to_canonical()),
        local_port: local.port(),
        ..Peer::default()
    };
    let settings = settings(&gate, protocol, &peer);
    let mut session = Session {
        id: gate.shared.session_id(),
        phase: gate.shared.sessions.phase(),
        gate,
        settings,
        protocol,
        peer,
        ttl: None,
        client_id: None,
        forwarded: Vec::new(),
        started: Instant::now(),
        deadline: tokio::time::Instant::now() + LOGIN_TIMEOUT,
        failures: 0,
        referrals: 0,
        knows_capability: false,
    };
    let mut stream = Stream::plain(socket);
    if tls && let Err(why) = session.begin_tls(&mut stream).await {
        return session.log_disconnected(&format!("TLS handshaking: {why}"));
    }
    session.peer.transport = session.transport();
    let front = (protocol.front)(offer::offer(&session));
    let mut line = Line { stream, front, ahead: Vec::new() };
    match session.dialogue(&mut line).await {
        Ok(served) => session.hand_over(line, served, present),
        Err(end) => session.end(line, &end).await,
    }
}

/// What holds for a connection.
fn settings(gate: &Gate, protocol: &Protocol, peer: &Peer) -> Arc<LoginSettings> {
    gate.config.connection(&ConnectionKey {
        protocol: protocol.name,
        local: peer.local,
        remote: peer.real_remote.or(peer.remote),
        local_name: peer.local_name.as_deref(),
    })
}

/// A login that succeeded, ready to be relayed.
struct Served {
    backend: Backend,
    place: Option<crate::sessions::Place>,
    user: String,
}

impl Session {
    /// From the greeting to the first login that is let through.
    async fn dialogue(&mut self, line: &mut Line) -> Result<Served, End> {
        loop {
            match self.next_event(line).await? {
                Event::Login { mechanism, initial } => {
                    let begun = Instant::now();
                    self.knows_capability = line.front.knows_capability();
                    let (decision, typed) = self.login(line, mechanism, initial).await?;
                    if !decision.wait.is_zero() {
                        tokio::time::sleep(decision.wait).await;
                    }
                    if let Some(served) = self.act(line, mechanism, decision, typed, begun).await? {
                        return Ok(served);
                    }
                    self.deadline = tokio::time::Instant::now() + LOGIN_TIMEOUT;
                }
                Event::StartTls => {
                    self.flush(line).await?;
                    self.forget();
                    line.ahead.clear();
                    self.begin_tls(&mut line.stream).await.map_err(End::Gone)?;
                    line.front.secured(offer::offer(self));
                }
                Event::Forwarded(facts) => self.take(facts),
                Event::ClientId(id) => {
                    if self.settings.imap_id_retain {
                        self.client_id = Some(id);
                    }
                }
                Event::Rejected(rejected) => {
                    self.failures += 1;
                    record::rejected(self, rejected);
                }
                Event::Quit => return Err(End::Quit),
                Event::Fault(fault) => return Err(End::Fault(fault)),
            }
        }
    }

    /// Carries a verdict out. `Ok(None)`: the client was answered and may try again.
    async fn act(
        &mut self,
        line: &mut Line,
        mechanism: &'static str,
        decision: Decision,
        typed: Option<Secret>,
        begun: Instant,
    ) -> Result<Option<Served>, End> {
        let Decision { verdict, identity, fields, userdb, trace, .. } = decision;
        let mut ended = Ended { mechanism, identity: &identity, trace: &trace, begun, backend: None };
        let mut verdict = verdict;
        loop {
            match verdict {
                Verdict::Refuse(refusal) => {
                    return self.refuse(line, &refusal, &ended).await;
                }
                Verdict::Refer(referral) => {
                    self.referrals += 1;
                    record::referred(self, &ended, &referral);
                    let target = answer::target(&referral, self.protocol, mechanism);
                    let text = referral.text.as_deref().unwrap_or(answer::TRY_INSTEAD);
                    line.front.answer(Answer::Referral { target, text });
                    return Ok(None);
                }
                Verdict::Proxy(route) => match proxy::connect(self, &route).await {
                    Ok(backend) => {
                        ended.backend = Some(backend.name.clone());
                        record::proxied(self, &ended, &route);
                        answer::welcome(line.front.as_mut(), &backend, None);
                        return self
                            .flush(line)
                            .await
                            .map(|()| Some(Served { backend, place: None, user: identity.user.clone() }));
                    }
                    Err(proxy::Failure::Here) => match route.otherwise {
                        Some(otherwise) => verdict = otherwise,
                        None => verdict = Verdict::refuse(Reason::ProxyLoop),
                    },
                    Err(proxy::Failure::Ours { reason, why, backend }) => {
                        ended.backend = backend;
                        record::proxy_failed(self, &ended, &why);
                        verdict = Verdict::refuse(reason);
                    }
                    Err(proxy::Failure::Refused { text, refusal, backend }) => {
                        ended.backend = Some(backend);
                        self.failures += 1;
                        record::backend_refused(self, &ended, &text, refusal);
                        answer::backend_refusal(line.front.as_mut(), &text, refusal);
                        return Ok(None);
                    }
                },
                Verdict::Admit(admission) => {
                    let admitted = admit::admit(
                        self,
                        &admission,
                        &identity,
                        &fields,
                        &userdb,
                        typed.as_ref(),
                        mechanism,
                    );
                    match admitted.await {
                        Ok(admit::Admitted { backend, place }) => {
                            ended.backend = Some(backend.name.clone());
                            record::admitted(self, &ended, admission.referral.as_ref());
                            let referral = admission.referral.as_ref().map(|referral| {
                                let text = referral.text.as_deref().unwrap_or(answer::BETTER_THERE);
                                (answer::target(referral, self.protocol, mechanism), text)
                            });
                            answer::welcome(line.front.as_mut(), &backend, referral);
                            return self.flush(line).await.map(|()| {
                                Some(Served { backend, place: Some(place), user: identity.user.clone() })
                            });
                        }
                        Err(admit::Failure { reason, why, backend }) => {
                            ended.backend = backend;
                            if !why.is_empty() {
                                record::admit_failed(self, &ended, &why);
                            }
                            verdict = Verdict::refuse(reason);
                        }
                    }
                }
            }
        }
    }

    /// Tells the client no.
    async fn refuse(
        &mut self,
        line: &mut Line,
        refusal: &Refusal,
        ended: &Ended<'_>,
    ) -> Result<Option<Served>, End> {
        self.failures += 1;
        record::refused(self, ended, refusal);
        if refusal.reason == Reason::Aborted {
            return Ok(None);
        }
        let (code, text) = answer::refusal(refusal, &self.settings, &self.gate.shared.hostname);
        line.front.answer(Answer::Refusal { code, text: &text });
        if answer::ends_connection(refusal.reason) {
            self.flush(line).await?;
            return Err(End::Refused);
        }
        Ok(None)
    }

    /// Moves a client that is logged in to a relay: a new, small task.
    fn hand_over(self, mut line: Line, served: Served, present: Present) {
        let Served { backend, place, user } = served;
        let mut to_backend = line.front.leftover();
        to_backend.append(&mut line.ahead);
        let halt = present.halt();
        present.relayed();
        let relay = Relay::new(line.stream, backend.stream, to_backend, backend.leftover, halt);
        let farewell = record::Farewell::new(&self, &user, &backend.name);
        relay::start(relay, move |ended| {
            farewell.log(&ended);
            drop((place, present));
        });
    }

    /// The last words to a client that is not logged in.
    async fn end(&self, mut line: Line, end: &End) {
        match end {
            End::Slow(farewell) => line.front.farewell(*farewell),
            End::Shutdown => line.front.farewell(Farewell::Shutdown),
            _ => {}
        }
        let last = async {
            let _ = line.stream.write_all(line.front.output()).await;
            let _ = line.stream.shutdown().await;
        };
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, last).await;
        if !matches!(end, End::Refused) {
            self.log_disconnected(&end.to_string());
        }
    }

    fn log_disconnected(&self, why: &str) {
        record::disconnected(self, why);
    }

    /// The next thing to act upon; what the front says meanwhile is written.
    async fn next_event(&mut self, line: &mut Line) -> Result<Event, End> {
        loop {
            if let Some(event) = line.front.next() {
                if matches!(event, Event::Login { .. }) {
                    self.deadline = tokio::time::Instant::now() + LOGIN_TIMEOUT;
                }
                return Ok(event);
            }
            self.more(line, Farewell::Inactivity).await?;
        }
    }

    /// Writes what is to be written, or else reads once: a front may wait for its output to be taken
    /// before it goes on.
    async fn more(&mut self, line: &mut Line, farewell: Farewell) -> Result<(), End> {
        if !line.front.output().is_empty() {
            return self.flush(line).await;
        }
        if line.ahead.is_empty() {
            let read = timeout_at(self.deadline, line.stream.read(&mut line.ahead));
            let read = tokio::select! {
                biased;
                () = socket::closing(&mut self.phase) => return Err(End::Shutdown),
                read = read => read,
            };
            match read {
                Ok(Ok(0)) => return Err(End::Gone(std::io::ErrorKind::UnexpectedEof.into())),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(End::Gone(error)),
                Err(_) => return Err(End::Slow(farewell)),
            }
        }
        let rest = line.ahead.split_off(line.ahead.len().min(FEED));
        line.front.feed(&line.ahead);
        line.ahead = rest;
        Ok(())
    }

    /// Writes what the front has said.
    async fn flush(&self, line: &mut Line) -> Result<(), End> {
        let output = line.front.output();
        if output.is_empty() {
            return Ok(());
        }
        match timeout_at(self.deadline, line.stream.write_all(output)).await {
            Ok(Ok(())) => {
                output.clear();
                Ok(())
            }
            Ok(Err(error)) => Err(End::Gone(error)),
            Err(_) => Err(End::Slow(Farewell::Inactivity)),
        }
    }

    /// TLS, and what changes with it: the name asked for, and with that the settings.
    async fn begin_tls(&mut self, stream: &mut Stream) -> std::io::Result<()> {
        let Some(tls) = &self.gate.server_tls else {
            return Err(std::io::Error::other("TLS is not configured"));
        };
        let upgrade = stream.begin_tls(tls, self.protocol.name);
        match tokio::time::timeout(TLS_TIMEOUT, upgrade).await {
            Ok(upgraded) => upgraded?,
            Err(_) => return Err(std::io::Error::other("TLS handshake took too long")),
        }
        self.peer.local_name = stream.tls().and_then(|facts| facts.server_name);
        if self.peer.local_name.is_some() {
            self.settings = settings(&self.gate, self.protocol, &self.peer);
        }
        self.peer.transport = Transport::Tls;
        Ok(())
    }

    /// TLS, or as good as TLS: both ends on one address, or a client in `login_trusted_networks`.
    fn transport(&self) -> Transport {
        match self.peer.transport {
            Transport::Tls => Transport::Tls,
            _ if self.trusted() || self.peer.remote == self.peer.local => Transport::Trusted,
            _ => Transport::Plain,
        }
    }

    /// The TCP peer stands in `login_trusted_networks`.
    fn trusted(&self) -> bool {
        let peer = self.peer.real_remote.or(self.peer.remote);
        peer.is_some_and(|ip| self.settings.trusted_networks.iter().any(|net| net.contains(ip)))
    }

    /// What is spoken.
    pub(crate) fn protocol(&self) -> &'static Protocol {
        self.protocol
    }

    /// What holds for this connection.
    pub(crate) fn settings(&self) -> &LoginSettings {
        &self.settings
    }

    /// The two ends of the client's connection.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What outlives a reload.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.gate.shared
    }

    /// The databases of this protocol.
    pub(crate) fn deciding(&self) -> Arc<Deciding> {
        self.gate.deciding(self.protocol.name)
    }

    /// The client has asked for the capabilities itself before it logged in.
    pub(crate) fn client_knows_capability(&self) -> bool {
        self.knows_capability
    }

    /// Hops left, where a trusted front has said so.
    pub(crate) fn ttl(&self) -> Option<u32> {
        self.ttl
    }

    /// TLS towards backends, as this connection's settings say.
    pub(crate) fn client_tls(&self) -> Result<Arc<ClientTls>, Vec<String>> {
        self.gate.client_tls(&self.settings.tls)
    }

    /// Whether an address is where this very client connected to, or one of `auth_proxy_self`.
    pub(crate) fn is_own_address(&self, address: SocketAddr) -> bool {
        let own_port = self.peer.local_port;
        let ip = address.ip().to_canonical();
        address.port() == own_port
            && (Some(ip) == self.peer.local || self.deciding().engine.settings().proxy_self.contains(&ip))
    }

    /// What a trusted front says of its client.
    fn take(&mut self, facts: Forwarded) {
        if !self.trusted() {
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

    /// Forgets what was said before TLS, since anybody may have said it.
    fn forget(&mut self) {
        let peer = &mut self.peer;
        if let Some(real) = peer.real_remote.take() {
            (peer.remote, peer.remote_port) = (Some(real), peer.real_remote_port);
            (peer.local, peer.local_port) = (peer.real_local.take(), peer.real_local_port);
        }
        (self.client_id, self.ttl) = (None, None);
        self.forwarded.clear();
    }

    /// The facts of a login that begins now.
    pub(crate) fn facts(&self, mechanism: &str) -> Facts {
        Facts {
            service: self.protocol.name.to_owned(),
            mechanism: mechanism.to_owned(),
            peer: self.peer.clone(),
            session: self.id.clone(),
            now: login::now(),
            random: login::random(),
            client_id: self.client_id.clone(),
            forwarded: self.forwarded.clone(),
            client_pid: std::process::id(),
            hostname: self.gate.shared.hostname.clone(),
        }
    }

    /// Without TLS this connection may not log in at all.
    fn needs_tls(&self) -> bool {
        self.settings.ssl == SslMode::Required && self.peer.transport == Transport::Plain
    }

    /// A line in the log of this protocol's login service.
    fn say(&self, level: Level, text: String) {
        self.gate.shared.log.say(level, self.protocol.login_service, text);
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Quit => f.write_str("Logged out"),
            Self::Gone(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                f.write_str("Connection closed")
            }
            Self::Gone(error) => write!(f, "Connection closed: {}", plainly(error)),
            Self::Fault(Fault::BadCommands) => f.write_str("Too many bad commands"),
            Self::Fault(Fault::TooLong) => f.write_str("Input too long"),
            Self::Slow(Farewell::InactivityInLogin) => f.write_str("Inactivity during authentication"),
            Self::Slow(_) => f.write_str("Inactivity"),
            Self::Shutdown => f.write_str("Shutting down"),
            Self::Refused => f.write_str("Refused"),
        }
    }
}
