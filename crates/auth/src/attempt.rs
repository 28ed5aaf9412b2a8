//! One login on its way: its facts, the fields found so far, its place in the chain. Asks the
//! drivers, without knowing which there are. Extra fields that act during a lookup act here;
//! those that decide the outcome act in [`verdict`].

use std::sync::Arc;
use std::time::Duration;

use config::rows::auth::AuthSettings;
use config::rows::passdb::PassdbSettings;
use secrecy::ExposeSecret;

use crate::chain::{Next, State};
use crate::fields::extra::Extra;
use crate::fields::{Fields, Origin, Suffix};
use crate::mechanism::Claim;
use crate::nets;
use crate::passdb::{Answer, Lookup, Passdb, Password, Record, Workers};
use crate::request::{Facts, Identity, Request, Secret, domain_part, local_part};
use crate::scheme::{self, Cost, StoredHash};
use crate::trace::{Outcome, Reason, Step, Trace};
use crate::username::Rules;
use crate::verdict::{self, Decision, Refusal, Verdict};

/// One password database in its place.
pub struct Link {
    /// Its number in the chain, from 1.
    pub id: usize,
    /// Its block.
    pub settings: PassdbSettings,
    /// Whom to ask.
    pub driver: Box<dyn Passdb>,
    defaults: Vec<Extra>,
    overrides: Vec<Extra>,
}

impl Link {
    /// A database with the settings of its block.
    pub fn new(id: usize, settings: PassdbSettings, driver: Box<dyn Passdb>) -> Self {
        let defaults = Extra::read(&settings.default_fields);
        let overrides = Extra::read(&settings.override_fields);
        Self { id, settings, driver, defaults, overrides }
    }
}

/// The deciding part of one protocol: its databases and the rules around them.
pub struct Engine {
    settings: Arc<AuthSettings>,
    rules: Rules,
    links: Vec<Link>,
    masters: Vec<Link>,
    workers: Arc<dyn Workers>,
}

impl Engine {
    /// An engine over databases in the order of `settings`.
    pub fn new(settings: Arc<AuthSettings>, all: Vec<Link>, workers: Arc<dyn Workers>) -> Self {
        let (masters, links) = all.into_iter().partition(|link| link.settings.master);
        Self { rules: Rules::new(&settings), settings, links, masters, workers }
    }

    /// The settings it was made from.
    pub fn settings(&self) -> &AuthSettings {
        &self.settings
    }

    /// Begins one login.
    pub fn attempt(&self, facts: Facts) -> Attempt<'_> {
        Attempt::new(self, facts)
    }

    /// The driver's name and number, for logs: `passwd-file`, or its block's name.
    pub fn link(&self, id: usize) -> Option<&Link> {
        self.masters.iter().chain(&self.links).find(|link| link.id == id)
    }
}

/// One login on its way.
#[must_use]
pub struct Attempt<'a> {
    engine: &'a Engine,
    facts: Facts,
    identity: Identity,
    fields: Fields,
    userdb: Fields,
    trace: Trace,
    lookup: LookupState,
    /// A field `nodelay` was seen with a user who was found, whatever became of it.
    nodelay: bool,
    /// What refused, when it was something more telling than the outcome.
    reason: Option<Reason>,
    /// Passed without a password (NULL beside `host` and `nologin`): good for a referral only.
    unproven: bool,
    delay: Duration,
}

/// What the fields of the lookup under way have said.
#[derive(Default)]
struct LookupState {
    /// The lookup is to fail like an unknown user, for this reason.
    fail: Option<Reason>,
    /// The lookup is to fail as "could not ask".
    broken: bool,
    /// Time until which a success waits.
    delay: Option<Duration>,
}

impl<'a> Attempt<'a> {
    fn new(engine: &'a Engine, facts: Facts) -> Self {
        let mut fields = Fields::default();
        for (name, value) in &facts.forwarded {
            fields.set(&format!("forward_{name}"), value, Origin::Forwarded);
        }
        fields.keep();
        Self {
            engine,
            facts,
            identity: Identity::default(),
            fields,
            userdb: Fields::default(),
            trace: Trace::default(),
            lookup: LookupState::default(),
            nodelay: false,
            reason: None,
            unproven: false,
            delay: Duration::ZERO,
        }
    }

    /// The facts it began with.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Checks a password through the whole chain: the usual end of a mechanism.
    pub async fn verify(mut self, claim: Claim, secret: Secret) -> Decision {
        if let Err(reason) = self.identify(claim) {
            return self.refuse(reason);
        }
        if secret.expose_secret().iter().any(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | 1)) {
            self.note(0, false, "Attempted login with password having illegal chars".into());
            return self.refuse(Reason::BadPassword);
        }
        if self.identity.login_user.is_some() && self.engine.masters.is_empty() {
            self.note(0, false, "Master user login attempted without master passdbs".into());
            return self.refuse(Reason::NoMaster);
        }
        let outcome = self.chain(&secret).await;
        self.conclude(outcome, Some(&secret))
    }

    /// Ends the login with a refusal that no database had a part in.
    pub fn refuse(self, reason: Reason) -> Decision {
        self.end(Verdict::refuse(reason), false)
    }

    /// Splits and normalises the names.
    fn identify(&mut self, claim: Claim) -> Result<(), Reason> {
        let rules = &self.engine.rules;
        let (user, login_as) = match claim.login_as {
            Some(login_as) => (claim.user, Some(login_as)),
            None => {
                let (login_as, user) = rules.split_master(&claim.user);
                (user.to_owned(), login_as.map(str::to_owned))
            }
        };
        self.identity.original.clone_from(&user);
        let normalise = |attempt: &Self, typed: &str| {
            let request = attempt.request(0, None);
            rules.normalise(typed, &request).map_err(|error| error.to_string())
        };
        let names = normalise(self, &user).and_then(|name| match &login_as {
            Some(typed) if *typed != user => Ok((name, Some(normalise(self, typed)?))),
            _ => Ok((name, None)),
        });
        match names {
            Ok((name, login_user)) => {
                self.trace.push(Step::Named { typed: user, user: name.clone() });
                self.identity.user = name;
                self.identity.login_user = login_user;
                Ok(())
            }
            Err(text) => {
                self.identity.user = user;
                self.note(0, false, text);
                Err(Reason::BadUsername)
            }
        }
    }

    /// Asks the databases in order, masters first for a master login.
    async fn chain(&mut self, secret: &Secret) -> Outcome {
        let engine = self.engine;
        let mut state = State::default();
        let mut last = Outcome::Unknown;
        if self.identity.login_user.is_some() {
            for link in &engine.masters {
                if self.skips(&state, link) {
                    continue;
                }
                let (outcome, next) = self.ask(link, &mut state, secret).await;
                last = outcome;
                if self.identity.login_user.is_none() {
                    // The master has been checked: from here on the other user's databases are asked.
                    if next == Next::Stop {
                        return state.end(last);
                    }
                    break;
                }
                if next == Next::Stop {
                    return state.end(last);
                }
            }
            if self.identity.login_user.is_some() {
                return state.end(last);
            }
        }
        for link in &engine.links {
            if self.skips(&state, link) {
                continue;
            }
            let (outcome, next) = self.ask(link, &mut state, secret).await;
            last = outcome;
            if next == Next::Stop {
                break;
            }
        }
        state.end(last)
    }

    fn skips(&mut self, state: &State, link: &Link) -> bool {
        match state.skips(&link.settings, &self.facts.mechanism, &self.identity.user) {
            Some(why) => {
                self.trace.push(Step::Skipped { passdb: link.id, why });
                true
            }
            None => false,
        }
    }

    /// Asks one database and applies its rule; fields of a lookup that failed are rolled back.
    async fn ask(&mut self, link: &Link, state: &mut State, secret: &Secret) -> (Outcome, Next) {
        self.trace.push(Step::Asked { passdb: link.id, user: self.identity.user.clone() });
        self.lookup = LookupState::default();
        let unproven = self.unproven;
        let login_user = self.identity.login_user.clone();
        let mut outcome = self.look_up(link, state.verified, secret).await;
        if outcome != Outcome::Failed && !self.extra_fields(link, &link.overrides, Origin::Override(link.id))
        {
            outcome = Outcome::Failed;
        }
        if self.lookup.broken {
            outcome = Outcome::Failed;
        }
        if link.settings.deny && !matches!(outcome, Outcome::Unknown | Outcome::Failed) {
            self.note(link.id, false, "User found from deny passdb".into());
            self.reason = Some(Reason::Denied);
            outcome = Outcome::Disabled;
        }
        if matches!(outcome, Outcome::Ok | Outcome::Next)
            && let Some(reason) = self.lookup.fail
        {
            self.reason = Some(reason);
            outcome = Outcome::Unknown;
        }
        if !matches!(outcome, Outcome::Unknown | Outcome::Failed) {
            self.nodelay |= self.fields.has("nodelay");
        }
        self.trace.push(Step::Answered { passdb: link.id, outcome });
        let (rule, mut next) = state.apply(outcome, &link.settings);
        if link.settings.deny && outcome == Outcome::Failed {
            // Whether the user is denied is not known, so nobody after it may say yes.
            next = Next::Stop;
        }
        if let Some(rule) = rule {
            self.trace.push(Step::Ruled { passdb: link.id, rule, success: state.success });
        }
        if matches!(outcome, Outcome::Ok | Outcome::Next) {
            if let Some(delay) = self.lookup.delay {
                self.delay = delay;
            }
            if outcome == Outcome::Ok
                && let Some(login_user) = self.identity.login_user.take()
            {
                self.become_user(login_user);
            }
            self.fields.keep();
            self.userdb.keep();
        } else {
            self.fields.roll_back();
            self.userdb.roll_back();
            // The name that a field gave stays, as it does in the original; a master login does not.
            self.identity.login_user = login_user;
            self.unproven = unproven;
        }
        (outcome, next)
    }

    /// A master was checked: the login goes on as the user asked for.
    fn become_user(&mut self, login_user: String) {
        let master = std::mem::replace(&mut self.identity.user, login_user);
        self.trace.push(Step::Master { master: master.clone(), user: self.identity.user.clone() });
        self.note(0, false, format!("Master user logging in as {}", self.identity.user));
        self.identity.master = Some(master);
    }

    async fn look_up(&mut self, link: &Link, verified: bool, secret: &Secret) -> Outcome {
        if !self.extra_fields(link, &link.defaults, Origin::Default(link.id)) {
            return Outcome::Failed;
        }
        let answer = {
            let request = self.request(link.id, Some(secret));
            match link.driver.lookup(&request) {
                Lookup::Now(answer) => Ok(answer),
                Lookup::Blocking(job) => self.engine.workers.blocking(job).await,
                Lookup::Later(future) => Ok(future.await),
            }
        };
        match answer {
            Ok(Answer::Found(record)) => self.found(link, record, verified, secret).await,
            Ok(Answer::Unknown) => Outcome::Unknown,
            Ok(Answer::Mismatch) => Outcome::Mismatch,
            Ok(Answer::Disabled) => Outcome::Disabled,
            Ok(Answer::Expired) => Outcome::Expired,
            Ok(Answer::Failed(why)) => {
                self.note(link.id, true, why);
                Outcome::Failed
            }
            Err(_) => {
                self.note(link.id, true, "Lookup queue is full".into());
                self.reason = Some(Reason::Busy);
                Outcome::Failed
            }
        }
    }

    async fn found(&mut self, link: &Link, record: Record, verified: bool, secret: &Secret) -> Outcome {
        for (name, value) in &record.fields {
            let (name, suffix) = Suffix::split(name);
            self.apply(link.id, name, suffix, value, Origin::Passdb(link.id));
        }
        let outcome = if self.fields.has("noauthenticate") {
            Outcome::Next
        } else if verified {
            Outcome::Ok
        } else if link.settings.deny {
            // Who stands in a deny database is denied whatever the password.
            Outcome::Mismatch
        } else {
            self.check(link, record.password, secret).await
        };
        self.fields.remove("nopassword");
        self.fields.remove("noauthenticate");
        outcome
    }

    /// Checks the typed password against what the database has.
    async fn check(&mut self, link: &Link, password: Password, secret: &Secret) -> Outcome {
        let any = self.fields.has("nopassword");
        match password {
            Password::Verified => Outcome::Ok,
            Password::Absent if any => Outcome::Ok,
            Password::Absent if self.refers_without_password() => {
                self.unproven = true;
                Outcome::Ok
            }
            Password::Absent => {
                self.note(link.id, false, "No password returned (and no nopassword)".into());
                self.reason = Some(Reason::NoPassword);
                Outcome::Mismatch
            }
            Password::Stored(stored) if any && stored.data.expose_secret().is_empty() => Outcome::Ok,
            Password::Stored(stored) => {
                if any {
                    self.note(link.id, true, "nopassword set but password is non-empty".into());
                }
                self.check_hash(link, stored, secret).await
            }
        }
    }

    async fn check_hash(&mut self, link: &Link, stored: StoredHash, secret: &Secret) -> Outcome {
        let right = match scheme::cost(&stored) {
            Cost::Cheap => scheme::verify(&stored, secret.expose_secret(), &self.identity.original),
            Cost::Costly => {
                let (secret, user) = (secret.clone(), self.identity.original.clone());
                let check = Box::new(move || scheme::verify(&stored, secret.expose_secret(), &user));
                match self.engine.workers.hashing(check).await {
                    Ok(right) => right,
                    Err(_) => {
                        self.note(link.id, true, "Hashing queue is full".into());
                        self.reason = Some(Reason::Busy);
                        return Outcome::Failed;
                    }
                }
            }
        };
        match right {
            Ok(true) => Outcome::Ok,
            Ok(false) => Outcome::Mismatch,
            Err(error) => {
                self.note(link.id, true, error.to_string());
                if error.declined { Outcome::Failed } else { Outcome::Mismatch }
            }
        }
    }

    /// The origin document's "without authentication": a NULL password may refer, and nothing else.
    fn refers_without_password(&self) -> bool {
        self.fields.has("host")
            && self.fields.has("nologin")
            && !self.fields.has("proxy")
            && !self.fields.has("proxy_maybe")
    }

    /// Applies `default_fields` or `override_fields`; `false`: a variable could not be expanded.
    fn extra_fields(&mut self, link: &Link, extras: &[Extra], origin: Origin) -> bool {
        for extra in extras {
            let value = {
                let request = self.request(link.id, None);
                extra.value.expand(&request)
            };
            match value {
                Ok(value) => self.apply(link.id, &extra.name, extra.suffix, &value, origin),
                Err(error) => {
                    self.note(link.id, true, format!("Failed to expand extra field {}: {error}", extra.name));
                    return false;
                }
            }
        }
        true
    }

    /// Sets one field and lets it act, if it is one that acts during a lookup.
    fn apply(&mut self, passdb: usize, name: &str, suffix: Suffix, value: &str, origin: Origin) {
        if name.is_empty() {
            self.note(passdb, true, "A field without a name was returned; it is ignored".into());
            return;
        }
        if let Some(name) = name.strip_prefix("userdb_") {
            if name.is_empty() {
                self.note(passdb, true, "A field named 'userdb_' was returned; it is ignored".into());
                return;
            }
            let change = self.userdb.apply(name, suffix, value, origin);
            self.trace.push(Step::Field {
                name: format!("userdb_{name}"),
                value: Some(value.to_owned()),
                origin,
                change,
            });
            return;
        }
        if suffix == Suffix::Remove || suffix == Suffix::Protected && self.fields.has(name) {
            // What goes, or stays as it was, has no effect of its own.
            let change = self.fields.apply(name, suffix, value, origin);
            self.trace.push(Step::Field { name: name.to_owned(), value: None, origin, change });
            return;
        }
        match name {
            "user" | "username" | "domain" => self.rename(passdb, name, value),
            "login_user" if !value.is_empty() => {
                self.identity.login_user = Some(value.to_owned());
            }
            "password" | "password_noscheme" => {
                self.note(passdb, true, "Multiple password values not supported".into());
                return;
            }
            "fail" => self.lookup.fail = Some(Reason::Fail),
            "allow_nets" => self.check_nets(passdb, name, value, self.facts.peer.remote),
            "allow_real_nets" => {
                let real = self.facts.peer.real_remote.or(self.facts.peer.remote);
                self.check_nets(passdb, name, value, real);
            }
            "delay_until" => match verdict::delay_until(value, self.facts.now, self.facts.random) {
                Ok(delay) => self.lookup.delay = Some(delay),
                Err(text) => {
                    self.note(passdb, true, text);
                    self.reason = Some(Reason::DelayUntil);
                    self.lookup.broken = true;
                }
            },
            "passdb_import" => {
                for part in value.split('\t').filter(|part| !part.is_empty()) {
                    let (name, value) = part.split_once('=').unwrap_or((part, ""));
                    let (name, suffix) = Suffix::split(name);
                    // Imports in imports would go as deep as a value is long.
                    if name != "passdb_import" {
                        self.apply(passdb, name, suffix, value, origin);
                    }
                }
                return;
            }
            _ => {}
        }
        let change = self.fields.apply(name, suffix, value, origin);
        let value = (name != "pass").then(|| value.to_owned());
        self.trace.push(Step::Field { name: name.to_owned(), value, origin, change });
    }

    /// The fields `user`, `username` and `domain`.
    fn rename(&mut self, passdb: usize, field: &str, value: &str) {
        let user = &self.identity.user;
        let name = match field {
            "user" => value.to_owned(),
            "username" if value.contains('@') || domain_part(user).is_empty() => value.to_owned(),
            "username" => format!("{value}@{}", domain_part(user)),
            _ => format!("{}@{value}", local_part(user)),
        };
        if name.is_empty() {
            self.note(passdb, true, "username attempted to be changed to empty".into());
            self.lookup.fail = Some(Reason::BadUsername);
            return;
        }
        if name != *user {
            self.note(passdb, false, format!("username changed {user} -> {name}"));
            self.identity.user = name;
        }
    }

    fn check_nets(&mut self, passdb: usize, field: &str, list: &str, address: Option<std::net::IpAddr>) {
        let mut invalid = Vec::new();
        let checked = nets::allowed(list, address, &mut |entry| invalid.push(entry.to_owned()));
        for entry in invalid {
            self.note(passdb, true, format!("{field}: Invalid network '{entry}'"));
        }
        if let Err(denied) = checked {
            self.note(passdb, false, format!("{field} check failed: {denied}"));
            self.lookup.fail = Some(Reason::AllowNets);
        }
    }

    fn conclude(mut self, outcome: Outcome, secret: Option<&Secret>) -> Decision {
        let reason = match outcome {
            Outcome::Ok => {
                let verdict = verdict::decide(&self.fields, &self.identity, secret);
                if let Some(port) = verdict::unusable_port(&self.fields) {
                    let text = format!("port={port} is not a port: the default is used");
                    self.note(0, true, text);
                }
                if self.unproven && !matches!(verdict, Verdict::Refer(_)) {
                    return self.end(Verdict::refuse(Reason::NoPassword), false);
                }
                if let Verdict::Refuse(Refusal { reason: Reason::ProxyNoHost, .. }) = &verdict {
                    let text = "proxy is set, but host is not: return the field host beside it";
                    self.note(0, true, text.into());
                }
                let authenticated = !self.unproven;
                return self.end(verdict, authenticated);
            }
            Outcome::Next => {
                let text = "Last passdb had noauthenticate field, cannot authenticate user";
                self.note(0, true, text.into());
                Reason::NoAuthenticator
            }
            Outcome::Failed => match self.reason {
                Some(reason @ (Reason::Busy | Reason::DelayUntil)) => reason,
                _ => Reason::LookupFailed,
            },
            Outcome::Disabled => match self.reason {
                Some(Reason::Denied) => Reason::Denied,
                _ => Reason::Disabled,
            },
            Outcome::Expired => Reason::Expired,
            Outcome::Unknown | Outcome::Mismatch if self.identity.master.is_some() => Reason::NotAuthorized,
            Outcome::Unknown | Outcome::Mismatch => match self.reason {
                Some(
                    reason @ (Reason::Fail | Reason::AllowNets | Reason::NoPassword | Reason::BadUsername),
                ) => reason,
                _ if outcome == Outcome::Unknown => Reason::UnknownUser,
                _ => Reason::WrongPassword,
            },
        };
        self.end(Verdict::refuse(reason), false)
    }

    fn end(mut self, verdict: Verdict, authenticated: bool) -> Decision {
        let wait = if authenticated {
            self.delay
        } else if self.nodelay {
            Duration::ZERO
        } else {
            self.engine.settings.failure_delay
        };
        if !wait.is_zero() {
            self.trace.push(Step::Wait(wait));
        }
        Decision {
            verdict,
            wait,
            nodelay: self.nodelay,
            authenticated,
            identity: self.identity,
            fields: self.fields,
            userdb: self.userdb,
            trace: self.trace,
        }
    }

    fn request<'r>(&'r self, passdb_id: usize, password: Option<&'r Secret>) -> Request<'r> {
        Request {
            facts: &self.facts,
            identity: &self.identity,
            fields: &self.fields,
            userdb: &self.userdb,
            password,
            passdb_id,
        }
    }

    fn note(&mut self, passdb: usize, fault: bool, text: String) {
        self.trace.push(Step::Note { passdb, fault, text });
    }
}

#[cfg(test)]
mod tests;
