//! One client from accept to verdict. Knows how a login flows, and nothing of a protocol's
//! grammar, of hashes or of databases.

pub mod answer;
pub mod header;
pub mod login;
pub mod offer;
pub mod record;
pub mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::request::Secret;
use auth::trace::Reason;
use auth::verdict::{Decision, Refusal, Verdict};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout_at;
use wire::protocols::Protocol;
use wire::{Answer, Event, Farewell, Fault, Front};

use crate::admit;
use crate::connection::Connection;
use crate::gate::Gate;
use crate::log::plainly;
use crate::proxy::{self, Backend};
use crate::relay::{self, Relay};
use crate::sessions::{Phase, Present};
use crate::stream::Stream;
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

/// What comes on a listener's connections before the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct First {
    /// A PROXY header, before TLS too.
    pub header: bool,
    /// TLS.
    pub tls: bool,
}

/// A connection that a listener has accepted.
pub struct Accepted {
    /// The socket.
    pub socket: TcpStream,
    /// What is spoken on it.
    pub protocol: &'static Protocol,
    /// What comes before it.
    pub first: First,
    /// The client's end.
    pub remote: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Counts the connection.
    pub present: Present,
}

/// One client before it is logged in.
pub struct Session {
    connection: Connection,
    phase: watch::Receiver<Phase>,
    started: Instant,
    deadline: tokio::time::Instant,
    /// Logins that failed, for the log.
    failures: u32,
    /// Logins that were referred to another server, for the log.
    referrals: u32,
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
    let Accepted { mut socket, protocol, first, remote, local, present } = accepted;
    let mut session = Session {
        phase: gate.shared.sessions.phase(),
        connection: Connection::new(gate, protocol, remote, local),
        started: Instant::now(),
        deadline: tokio::time::Instant::now() + LOGIN_TIMEOUT,
        failures: 0,
        referrals: 0,
    };
    if first.header {
        match header::take(&mut socket, &session.connection).await {
            Ok(client) => session.connection.balanced(client),
            Err(why) => {
                return session.log_disconnected(&format!("PROXY header from {}: {why}", remote.ip()));
            }
        }
    }
    let mut stream = Stream::plain(socket);
    if first.tls
        && let Err(why) = session.begin_tls(&mut stream).await
    {
        return session.log_disconnected(&format!("TLS handshaking: {why}"));
    }
    let front = (protocol.front)(offer::offer(&session.connection));
    let mut line = Line { stream, front, ahead: Vec::new() };
    match session.dialogue(&mut line).await {
        Ok(served) => session.hand_over(line, served, present),
        Err(end) => session.end(line, &end).await,
    }
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
                    self.connection.knows_capability = line.front.knows_capability();
                    let (decision, typed) = self.login(line, mechanism, initial).await?;
                    if !decision.wait.is_zero() {
                        tokio::time::sleep(decision.wait).await;
                    }
                    // What we took, `delay_until` above all, is not the client's slowness.
                    self.deadline = tokio::time::Instant::now() + LOGIN_TIMEOUT;
                    if let Some(served) = self.act(line, mechanism, decision, typed, begun).await? {
                        return Ok(served);
                    }
                    self.deadline = tokio::time::Instant::now() + LOGIN_TIMEOUT;
                }
                Event::StartTls => {
                    self.flush(line).await?;
                    line.ahead.clear();
                    self.begin_tls(&mut line.stream).await.map_err(End::Gone)?;
                    line.front.secured(offer::offer(&self.connection));
                }
                Event::Forwarded(facts) => self.connection.take(facts),
                Event::ClientId(id) => self.connection.take_client_id(id),
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
                    let target = answer::target(&referral, self.connection.protocol(), mechanism);
                    let text = referral.text.as_deref().unwrap_or(answer::TRY_INSTEAD);
                    line.front.answer(Answer::Referral { target, text });
                    return Ok(None);
                }
                Verdict::Proxy(route) => match proxy::connect(&self.connection, &route).await {
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
                        &self.connection,
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
                                (answer::target(referral, self.connection.protocol(), mechanism), text)
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
        let (code, text) =
            answer::refusal(refusal, self.connection.settings(), &self.connection.shared().hostname);
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

    /// TLS, and what changes with it.
    async fn begin_tls(&mut self, stream: &mut Stream) -> std::io::Result<()> {
        let gate = Arc::clone(self.connection.gate());
        let Some(tls) = &gate.server_tls else {
            return Err(std::io::Error::other("TLS is not configured"));
        };
        let upgrade = stream.begin_tls(tls, self.connection.protocol().name);
        match tokio::time::timeout(TLS_TIMEOUT, upgrade).await {
            Ok(upgraded) => upgraded?,
            Err(_) => return Err(std::io::Error::other("TLS handshake took too long")),
        }
        self.connection.secured(stream.tls().and_then(|facts| facts.server_name));
        Ok(())
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
