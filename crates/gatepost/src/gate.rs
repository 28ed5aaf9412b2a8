//! What all sessions share: one configuration made ready for use, replaced whole on reload, and
//! beside it what outlives a reload.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use auth::attempt::{Engine, Link};
use auth::penalty::Penalties;
use auth::users::{UserLink, Users};
use config::rows::ssl::SslSettings;
use config::scope::{Config, ConnectionKey};
use data_encoding::BASE64_NOPAD;

use crate::local;
use crate::log::Log;
use crate::sessions::Sessions;
use crate::tls::{ClientTls, ServerTls};
use crate::workers::Workers;
use crate::{passdb, userdb};

/// One configuration, ready for use. Sessions keep the one they began with.
pub struct Gate {
    /// Settings by scope.
    pub config: Config,
    /// Certificates for clients; `None`: no TLS.
    pub server_tls: Option<ServerTls>,
    /// Whether failures make an address wait (`anvil-auth-penalty` is not switched off).
    pub penalty: bool,
    /// What outlives a reload.
    pub shared: Arc<Shared>,
    /// TLS towards backends, made when first needed; as many as there are different settings.
    client_tls: Mutex<Vec<(Arc<SslSettings>, Arc<ClientTls>)>>,
    engines: HashMap<String, Arc<Deciding>>,
}

/// The databases of one protocol.
pub struct Deciding {
    /// Who may log in.
    pub engine: Engine,
    /// Where users live.
    pub users: Users,
}

/// What outlives a reload.
pub struct Shared {
    /// Where log lines go.
    pub log: Log,
    /// Who is here.
    pub sessions: Sessions,
    /// What database drivers share.
    pub resources: passdb::Resources,
    /// Bounded pools.
    pub workers: Arc<Workers>,
    /// The growing delay per address.
    pub penalties: Mutex<Penalties>,
    /// `auth_debug`.
    debug: Arc<AtomicBool>,
    /// The penalty's clock starts here.
    pub started: Instant,
    /// This machine's name.
    pub hostname: String,
    next_session: AtomicU64,
}

impl Shared {
    /// State for a server that starts.
    pub fn new(log: Log, workers: Arc<Workers>) -> Self {
        let mut key = [0; 32];
        // Without randomness there is no safe way on; it is there from boot on Linux.
        getrandom::fill(&mut key).expect("the kernel gives random bytes");
        let hostname = nix::unistd::gethostname()
            .map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned());
        let lines = log.clone();
        let debug = Arc::new(AtomicBool::new(false));
        let wanted = Arc::clone(&debug);
        let resources = passdb::Resources {
            log: Arc::new(move |level, text: &str| {
                if level > passdb::Level::Debug || wanted.load(Ordering::Relaxed) {
                    lines.say(level.into(), "auth", text);
                }
            }),
            files: passdb::Files::default(),
        };
        Self {
            log,
            resources,
            sessions: Sessions::default(),
            workers,
            debug,
            penalties: Mutex::new(Penalties::new(&key)),
            started: Instant::now(),
            hostname,
            next_session: AtomicU64::new(u64::from_le_bytes(*key.first_chunk().unwrap_or(&[0; 8]))),
        }
    }

    /// A new session id: unique in this run, and not to be guessed from another run's.
    pub fn session_id(&self) -> String {
        let number = self.next_session.fetch_add(1, Ordering::Relaxed);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&time.to_le_bytes()[..4]);
        bytes[4..].copy_from_slice(&number.to_le_bytes());
        BASE64_NOPAD.encode(&bytes)
    }

    /// The penalty table. A panic elsewhere cannot leave it half changed.
    pub fn penalties(&self) -> std::sync::MutexGuard<'_, Penalties> {
        self.penalties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Makes a configuration ready: opens databases, reads certificates. All faults are reported
    /// together; none of the old state is touched when there are any.
    pub fn open(config: Config, shared: Arc<Shared>) -> Result<Self, Vec<String>> {
        shared.log.set_debug(config.auth("").debug);
        let mut faults = Vec::new();
        let mut engines = HashMap::new();
        let mut known: Vec<(Arc<config::rows::auth::AuthSettings>, Arc<Deciding>)> = Vec::new();
        let ours = wire::protocols::PROTOCOLS.iter().map(|protocol| protocol.name);
        for protocol in ours.chain(config.protocols_named()).chain([""]) {
            let settings = config.auth(protocol);
            let deciding = match known.iter().find(|(other, _)| Arc::ptr_eq(other, &settings)) {
                Some((_, deciding)) => Arc::clone(deciding),
                None => {
                    let deciding = Arc::new(Deciding::open(&settings, &shared, &mut faults));
                    known.push((settings, Arc::clone(&deciding)));
                    deciding
                }
            };
            engines.insert(protocol.to_owned(), deciding);
        }
        let server_tls = server_tls(&config, &mut faults);
        faults.extend(local::faults(&config));
        if !faults.is_empty() {
            return Err(faults);
        }
        shared.debug.store(config.auth("").debug, Ordering::Relaxed);
        let penalty = !config.services().iter().filter(|service| service.name == "anvil").any(|service| {
            service
                .unix
                .iter()
                .any(|listener| listener.path.as_os_str() == "anvil-auth-penalty" && listener.mode == 0)
        });
        Ok(Self { config, server_tls, client_tls: Mutex::default(), penalty, shared, engines })
    }

    /// TLS towards backends, as a connection's settings say. Errors are one line each.
    pub fn client_tls(&self, settings: &Arc<SslSettings>) -> Result<Arc<ClientTls>, Vec<String>> {
        let mut made = self.client_tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tls)) = made.iter().find(|(other, _)| other == settings) {
            return Ok(Arc::clone(tls));
        }
        let tls = Arc::new(ClientTls::load(settings)?);
        made.push((Arc::clone(settings), Arc::clone(&tls)));
        Ok(tls)
    }

    /// The databases of a service; one that no `protocol` block names has the global ones.
    pub fn deciding(&self, service: &str) -> Arc<Deciding> {
        let engine = self.engines.get(service).or_else(|| self.engines.get(""));
        Arc::clone(engine.expect("the global engine is always there"))
    }
}

fn server_tls(config: &Config, faults: &mut Vec<String>) -> Option<ServerTls> {
    let key = |local_name| ConnectionKey { protocol: "", local: None, remote: None, local_name };
    let default = config.connection(&key(None));
    let names: Vec<_> = config
        .local_names()
        .iter()
        .map(|name| {
            let settings = config.connection(&key(Some(name)));
            (name.clone(), Arc::clone(&settings.tls))
        })
        .filter(|(_, tls)| tls.cert.is_some())
        .collect();
    if default.tls.cert.is_none() && names.is_empty() {
        return None;
    }
    match ServerTls::load(&default.tls, &names) {
        Ok(tls) => Some(tls),
        Err(all) => {
            faults.extend(all);
            None
        }
    }
}

impl Deciding {
    fn open(
        settings: &Arc<config::rows::auth::AuthSettings>,
        shared: &Arc<Shared>,
        faults: &mut Vec<String>,
    ) -> Self {
        let resources = &shared.resources;
        let mut links = Vec::new();
        for (at, block) in settings.passdbs.iter().enumerate() {
            match passdb::open(block, resources) {
                Ok(driver) => links.push(Link::new(at + 1, block.clone(), driver)),
                Err(fault) => faults.push(fault),
            }
        }
        let mut users = Vec::new();
        for (at, block) in settings.userdbs.iter().enumerate() {
            match userdb::open(block, resources) {
                Ok(opened) => users.push(UserLink::new(at + 1, block.clone(), opened.userdb)),
                Err(fault) => faults.push(fault),
            }
        }
        let workers: Arc<dyn auth::passdb::Workers> = Arc::clone(&shared.workers) as _;
        Self {
            engine: Engine::new(Arc::clone(settings), links, Arc::clone(&workers)),
            users: Users::new(users, workers),
        }
    }
}
