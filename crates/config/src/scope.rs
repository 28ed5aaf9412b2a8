//! `protocol`, `local`, `local_name` and `remote` blocks: which settings hold for one connection.
//! Narrower blocks win. Resolved settings are shared; nothing a client says is remembered.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

pub use crate::filter::ConnectionKey;
use crate::filter::Filter;
use crate::rows::auth::{AUTH, AuthSettings};
use crate::rows::login::{LOGIN, LoginSettings};
use crate::rows::passdb::{PASSDB, PassdbSettings, USERDB, UserdbSettings};
use crate::rows::server::{SERVER, ServerSettings};
use crate::rows::service::ServiceSettings;
use crate::rows::ssl::{SSL, SslSettings};
use crate::rows::{Row, Settings, defaults};
use crate::services::services;
use crate::written::{Block, Group, Said};

/// A whole configuration without errors.
pub struct Config {
    path: PathBuf,
    /// As written; the block without filter first.
    written: Vec<Block>,
    /// The same from wide to narrow, by index into `written`.
    by_width: Vec<usize>,
    server: ServerSettings,
    services: Vec<ServiceSettings>,
    local_names: Vec<String>,
    connections: Shared<LoginSettings>,
    auths: Shared<AuthSettings>,
}

/// Resolved settings by the blocks that matched. There are no more than the blocks allow, whatever
/// names clients send.
type Shared<S> = RwLock<HashMap<Vec<usize>, Arc<S>>>;

impl Config {
    /// Resolves what the files say; `written[0]` is the block without filter.
    pub(crate) fn new(path: &Path, written: Vec<Block>) -> Self {
        let mut by_width: Vec<usize> = (0..written.len()).collect();
        by_width.sort_by_key(|index| written[*index].filter.narrowness());
        let global = written.first();
        let server: ServerSettings = resolve(SERVER, global);
        let ssl = resolve::<LoginSettings>(LOGIN, global).ssl;
        let certificate = written.iter().any(|block| resolve::<SslSettings>(SSL, [block]).cert.is_some());
        let services = services(global, &server, ssl, certificate);
        let mut local_names: Vec<String> =
            written.iter().flat_map(|block| block.filter.local_names.iter().cloned()).collect();
        local_names.sort();
        local_names.dedup();
        Self {
            path: path.to_owned(),
            by_width,
            server,
            services,
            local_names,
            connections: RwLock::default(),
            auths: RwLock::default(),
            written,
        }
    }

    /// The file the configuration was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings that hold for a connection. Cheap when asked again.
    pub fn connection(&self, key: &ConnectionKey<'_>) -> Arc<LoginSettings> {
        self.shared(&self.connections, |filter| filter.matches(key), login)
    }

    /// How logins of a protocol are decided. Cheap when asked again.
    pub fn auth(&self, protocol: &str) -> Arc<AuthSettings> {
        self.shared(&self.auths, |filter| filter.follows_protocol_alone(protocol), auth)
    }

    /// What is set once.
    pub fn server(&self) -> &ServerSettings {
        &self.server
    }

    /// The services with their listeners: those of the protocols that run, and those that were written.
    pub fn services(&self) -> &[ServiceSettings] {
        &self.services
    }

    /// The names of all `protocol` blocks: every one may have databases of its own.
    pub fn protocols_named(&self) -> Vec<&str> {
        let named = self.written.iter().filter_map(|block| block.filter.protocol.as_ref());
        let mut names: Vec<&str> = named.map(|protocol| protocol.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The names of all `local_name` blocks, in lower case; a first label of `*` stands for any one label.
    pub fn local_names(&self) -> &[String] {
        &self.local_names
    }

    /// The settings of a connection that is of one block and of those around it, and of no other.
    pub(crate) fn resolved(&self, filter: &Filter) -> LoginSettings {
        let around = self.by_width.iter().map(|index| &self.written[*index]);
        let around: Vec<&Block> = around.filter(|block| block.filter.includes(filter)).collect();
        login(&around)
    }

    /// What was written, the block without filter first.
    pub(crate) fn written(&self) -> &[Block] {
        &self.written
    }

    fn shared<S>(
        &self,
        cache: &Shared<S>,
        matches: impl Fn(&Filter) -> bool,
        make: impl Fn(&[&Block]) -> S,
    ) -> Arc<S> {
        let matching: Vec<usize> =
            self.by_width.iter().copied().filter(|index| matches(&self.written[*index].filter)).collect();
        // A panic while the lock is held leaves the map whole, so a poisoned one is used on.
        if let Some(found) = cache.read().unwrap_or_else(PoisonError::into_inner).get(&matching) {
            return Arc::clone(found);
        }
        let blocks: Vec<&Block> = matching.iter().map(|index| &self.written[*index]).collect();
        let made = Arc::new(make(&blocks));
        let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cache.entry(matching).or_insert(made))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Defaults, then what each block says, the last one winning.
fn resolve<'a, S: Settings>(rows: &[Row<S>], blocks: impl IntoIterator<Item = &'a Block>) -> S {
    let mut settings = defaults(rows);
    for block in blocks {
        apply(rows, &block.settings, &mut settings);
    }
    settings
}

/// Sets what was written; every value passed the same setter when it was read.
pub(crate) fn apply<S: Settings>(rows: &[Row<S>], written: &BTreeMap<String, Said>, settings: &mut S) {
    for row in rows {
        if let Some(said) = written.get(row.name) {
            let taken = row.set(settings, &said.value);
            debug_assert!(taken.is_ok(), "{} was checked when it was read", row.name);
        }
    }
}

fn login(blocks: &[&Block]) -> LoginSettings {
    let mut settings: LoginSettings = resolve(LOGIN, blocks.iter().copied());
    settings.tls = Arc::new(resolve(SSL, blocks.iter().copied()));
    settings
}

fn auth(blocks: &[&Block]) -> AuthSettings {
    let mut settings: AuthSettings = resolve(AUTH, blocks.iter().copied());
    // Databases inside a protocol block come before the others and do not replace them.
    for group in blocks.iter().rev().flat_map(|block| &block.sections) {
        match group.kind.name {
            "passdb" => settings.passdbs.push(passdb(group)),
            "userdb" => settings.userdbs.push(userdb(group)),
            _ => {}
        }
    }
    settings
}

pub(crate) fn passdb(group: &Group) -> PassdbSettings {
    let mut settings: PassdbSettings = defaults(PASSDB);
    settings.name = Some(group.name.clone()).filter(|name| !name.is_empty());
    settings.place = group.place.clone();
    apply(PASSDB, &group.settings, &mut settings);
    settings.driver = driver(settings.driver);
    settings
}

pub(crate) fn userdb(group: &Group) -> UserdbSettings {
    let mut settings: UserdbSettings = defaults(USERDB);
    settings.name = Some(group.name.clone()).filter(|name| !name.is_empty());
    settings.place = group.place.clone();
    apply(USERDB, &group.settings, &mut settings);
    settings.driver = driver(settings.driver);
    settings
}

/// One name for each driver: `sqlite` is `sql`.
fn driver(name: String) -> String {
    if name == "sqlite" { "sql".to_owned() } else { name }
}
