//! An auth socket's connection: many small sessions at once, one per request id. Knows nothing of
//! the lines, and leaves the decision to where every login is decided.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use auth::fields::known::{self, Shown};
use auth::mechanism::{self, Mechanism, Step};
use auth::request::{Facts, Peer, Transport};
use auth::trace::Reason;
use auth::verdict::{Decision, Verdict};
use secrecy::ExposeSecret;
use tokio::task::JoinSet;
use wire::socket::{AuthRequest, Failure, Hello, OfferedMechanism, Secured, Server, SocketEvent};

use super::{login, offer, record};
use crate::chance;
use crate::gate::{Gate, Shared};
use crate::log::{Level, value};
use crate::sessions::Phase;
use crate::stream::Stream;

/// How long an asker may leave our answers unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Fields that a failure does not show: where to, and with what, is nobody's business then.
const ROUTE: &[&str] = &[
    "nologin",
    "proxy",
    "proxy_maybe",
    "host",
    "hostip",
    "port",
    "destuser",
    "pass",
    "master",
    "ssl",
    "starttls",
];

/// A decision under way.
type Pending = Pin<Box<dyn Future<Output = Decision> + Send>>;

/// One connection of an asker.
struct Asker {
    gate: Arc<ArcSwap<Gate>>,
    server: Server,
    exchanges: HashMap<u32, Exchange>,
    running: JoinSet<(u32, u64, Decision)>,
    next_serial: u64,
}

/// One request that is not answered yet.
struct Exchange {
    /// Tells it from an earlier request with the same id.
    serial: u64,
    gate: Arc<Gate>,
    facts: Facts,
    penalty: bool,
    mechanism: Box<dyn Mechanism>,
    begun: Instant,
}

/// Serves one connection until the asker leaves or breaks the protocol.
pub async fn run(mut stream: Stream, gate: Arc<ArcSwap<Gate>>) {
    static CONNECTIONS: AtomicU32 = AtomicU32::new(1);
    let shared = Arc::clone(&gate.load().shared);
    let _present = shared.sessions.enter();
    let mut phase = shared.sessions.phase();
    let hello = Hello {
        mechanisms: mechanisms(&gate.load()),
        pid: std::process::id(),
        cuid: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
        cookie: chance::cookie(),
    };
    let mut asker = Asker {
        gate,
        server: Server::new(&hello),
        exchanges: HashMap::new(),
        running: JoinSet::new(),
        next_serial: 0,
    };
    let mut bytes = Vec::new();
    loop {
        let output = asker.server.output();
        if !output.is_empty() {
            match tokio::time::timeout(WRITE_TIMEOUT, stream.write_all(output)).await {
                Ok(Ok(())) => output.clear(),
                _ => return,
            }
        }
        bytes.clear();
        tokio::select! {
            read = stream.read(&mut bytes) => match read {
                Ok(count) if count > 0 => {
                    asker.server.feed(&bytes);
                    if let Err(why) = asker.take_events(&shared).await {
                        shared.log.say(Level::Error, "auth", format!("auth client disconnected: {}", value(&why)));
                        return;
                    }
                }
                _ => return,
            },
            Some(done) = asker.running.join_next(), if !asker.running.is_empty() => {
                match done {
                    Ok((id, serial, decision)) => asker.finish(id, serial, &decision),
                    Err(error) => {
                        // The asker is not left waiting: the connection ends, and it asks again.
                        let text = format!("a decision was lost, its connection is closed: {error}");
                        shared.log.say(Level::Error, "auth", text);
                        return;
                    }
                }
            }
            () = closing(&mut phase), if asker.exchanges.is_empty() => return,
        }
    }
}

/// Waits until the server is on its way out.
pub(super) async fn closing(phase: &mut tokio::sync::watch::Receiver<Phase>) {
    // An error means that the server is gone, which comes to the same.
    let _ = phase.wait_for(|phase| *phase >= Phase::Closing).await;
}

fn mechanisms(gate: &Gate) -> Vec<OfferedMechanism> {
    let deciding = gate.deciding("");
    let offered = offer::mechanisms(&deciding.engine.settings().mechanisms).into_iter();
    offered
        .filter_map(|offer| mechanism::find(offer.name))
        .map(|row| OfferedMechanism { name: row.name, flags: row.flags.to_vec() })
        .collect()
}

impl Asker {
    /// Acts upon everything that has come in. An error ends the connection.
    async fn take_events(&mut self, shared: &Shared) -> Result<(), String> {
        while let Some(event) = self.server.next() {
            match event {
                SocketEvent::Auth(request) => self.begin(*request).await,
                SocketEvent::Cont { id, data } => self.step(id, Some(data.expose_secret())).await,
                SocketEvent::Cancel { id } => {
                    self.exchanges.remove(&id);
                }
                SocketEvent::Notice(text) => shared.log.say(Level::Warning, "auth", value(&text)),
                SocketEvent::Fault(why) => return Err(why),
            }
        }
        Ok(())
    }

    async fn begin(&mut self, request: AuthRequest) {
        let Some(row) = mechanism::find(request.mechanism) else {
            self.fail(request.id, Failure { code: Some("temp_fail"), ..Failure::default() });
            return;
        };
        let gate = self.gate.load_full();
        let (id, penalty) = (request.id, !request.no_penalty);
        let initial = request.initial.clone();
        let facts = facts(request, &gate);
        let serial = self.next_serial;
        self.next_serial += 1;
        let exchange =
            Exchange { serial, gate, facts, penalty, mechanism: (row.begin)(), begun: Instant::now() };
        self.exchanges.insert(id, exchange);
        self.step(id, initial.as_ref().map(|secret| secret.expose_secret())).await;
    }

    /// Takes one mechanism a step further.
    async fn step(&mut self, id: u32, response: Option<&[u8]>) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let (gate, facts) = (Arc::clone(&exchange.gate), exchange.facts.clone());
        let deciding = gate.deciding(&facts.service);
        let serial = exchange.serial;
        let mut decision: Pending = match exchange.mechanism.step(response) {
            Step::Challenge(challenge) => {
                if self.server.challenge(id, &challenge).is_err() {
                    self.exchanges.remove(&id);
                }
                return;
            }
            Step::Verify(claim, secret) => {
                let penalty = exchange.penalty;
                Box::pin(async move {
                    let attempt = deciding.engine.attempt(facts);
                    held(login::decide(&gate, attempt, claim, secret, penalty).await).await
                })
            }
            Step::Failed(reason) => {
                Box::pin(async move { held(deciding.engine.attempt(facts).refuse(reason)).await })
            }
        };
        // Most answers are at hand: those cost no task.
        match poll_fn(|context| Poll::Ready(decision.as_mut().poll(context))).await {
            Poll::Ready(decision) => self.finish(id, serial, &decision),
            Poll::Pending => {
                self.running.spawn(async move { (id, serial, decision.await) });
            }
        }
    }

    /// Answers a request, unless it was cancelled.
    fn finish(&mut self, id: u32, serial: u64, decision: &Decision) {
        if self.exchanges.get(&id).is_none_or(|exchange| exchange.serial != serial) {
            return;
        }
        let Some(Exchange { gate, facts, begun, .. }) = self.exchanges.remove(&id) else { return };
        let deciding = gate.deciding(&facts.service);
        record::answered(&gate.shared, &deciding, &facts, decision, begun);
        if !decision.authenticated {
            return self.refuse(id, decision);
        }
        let identity = &decision.identity;
        let mut fields = shown(decision);
        if identity.original != identity.user {
            fields.push(("original_user", Some(&identity.original)));
        }
        if let Some(master) = &identity.master {
            fields.push(("auth_user", Some(master)));
        }
        if self.server.ok(id, &identity.user, &fields).is_err() {
            too_long(&gate.shared, &identity.user);
        }
    }

    fn refuse(&mut self, id: u32, decision: &Decision) {
        let reason = match &decision.verdict {
            Verdict::Refuse(refusal) => refusal.reason,
            Verdict::Refer(_) | Verdict::Proxy(_) | Verdict::Admit(_) => Reason::NoPassword,
        };
        let mut fields = shown(decision);
        fields.retain(|(name, _)| !ROUTE.contains(name) && !matches!(*name, "nodelay" | "reason"));
        let identity = &decision.identity;
        if identity.original != identity.user {
            fields.push(("original_user", Some(&identity.original)));
        }
        if let Some(master) = &identity.master {
            fields.push(("auth_user", Some(master)));
        }
        let failure = Failure {
            user: (reason != Reason::BadResponse).then_some(identity.user.as_str()),
            nodelay: decision.nodelay,
            code: code(reason),
            reason: (reason == Reason::Expired).then_some("Password expired"),
            fields: &fields,
        };
        self.fail(id, failure);
    }

    fn fail(&mut self, id: u32, failure: Failure<'_>) {
        if self.server.fail(id, failure).is_err() {
            too_long(&self.gate.load().shared, failure.user.unwrap_or_default());
        }
    }
}

fn too_long(shared: &Shared, user: &str) {
    let text =
        format!("the fields of {} are too long for one line: answered as a temporary failure", value(user));
    shared.log.say(Level::Error, "auth", text);
}

/// Holds an answer back as long as it has to wait.
async fn held(decision: Decision) -> Decision {
    if !decision.wait.is_zero() {
        tokio::time::sleep(decision.wait).await;
    }
    decision
}

/// The codes that tell an asker which kind of "no" it is.
fn code(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::LookupFailed | Reason::Busy | Reason::NoAuthenticator | Reason::DelayUntil => {
            Some("temp_fail")
        }
        Reason::NotAuthorized => Some("authz_fail"),
        Reason::Denied | Reason::Disabled => Some("user_disabled"),
        Reason::Expired => Some("pass_expired"),
        _ => None,
    }
}

/// The extra fields that an asker is shown, in the order first set.
fn shown(decision: &Decision) -> Vec<(&str, Option<&str>)> {
    let mut fields = Vec::new();
    for field in decision.fields.iter() {
        let value = Some(field.value.as_str()).filter(|value| !value.is_empty());
        match known::find(&field.name).map_or(Shown::Value, |known| known.shown) {
            Shown::Never => {}
            Shown::Bare => fields.push((field.name.as_str(), None)),
            Shown::Value => fields.push((field.name.as_str(), value)),
        }
    }
    fields
}

fn facts(request: AuthRequest, gate: &Gate) -> Facts {
    let peer = Peer {
        remote: request.rip.map(|ip| ip.to_canonical()),
        remote_port: request.rport.unwrap_or_default(),
        local: request.lip.map(|ip| ip.to_canonical()),
        local_port: request.lport.unwrap_or_default(),
        real_remote: request.real_rip.map(|ip| ip.to_canonical()),
        real_remote_port: request.real_rport.unwrap_or_default(),
        real_local: request.real_lip.map(|ip| ip.to_canonical()),
        real_local_port: request.real_lport.unwrap_or_default(),
        transport: match request.secured {
            Secured::No => Transport::Plain,
            Secured::Yes => Transport::Trusted,
            Secured::Tls => Transport::Tls,
        },
        local_name: request.local_name,
        valid_certificate: request.valid_client_cert,
    };
    Facts {
        service: request.service,
        mechanism: request.mechanism.to_owned(),
        peer,
        session: request.session.unwrap_or_default(),
        now: chance::now(),
        random: chance::number(),
        client_id: request.client_id,
        forwarded: request.forward_fields,
        client_pid: 0,
        hostname: gate.shared.hostname.clone(),
    }
}
