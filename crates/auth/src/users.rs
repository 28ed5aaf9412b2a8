//! The user databases in order: home, ids and the rest of a user who has been let in.
//! Knows no driver; the rules between databases are those of the passdb chain.

use std::sync::Arc;

use config::rows::passdb::{Rule, UserdbSettings, UserdbSkip};

use crate::fields::extra::Extra;
use crate::fields::{Fields, Origin, Suffix};
use crate::passdb::{Lookup, UserAnswer, Userdb, Workers};
use crate::request::{Facts, Identity, Request};

/// One user database in its place.
pub struct UserLink {
    id: usize,
    settings: UserdbSettings,
    driver: Box<dyn Userdb>,
    defaults: Vec<Extra>,
    overrides: Vec<Extra>,
}

impl UserLink {
    /// A database with the settings of its block.
    pub fn new(id: usize, settings: UserdbSettings, driver: Box<dyn Userdb>) -> Self {
        let defaults = Extra::read(&settings.default_fields);
        let overrides = Extra::read(&settings.override_fields);
        Self { id, settings, driver, defaults, overrides }
    }
}

/// The user databases of one protocol.
pub struct Users {
    links: Vec<UserLink>,
    workers: Arc<dyn Workers>,
}

/// What the user databases say together.
#[derive(Debug, PartialEq, Eq)]
pub enum User {
    /// The user's fields, what the passdbs collected for them first.
    Found(Fields),
    /// Nobody knows the user.
    Unknown,
    /// Could not ask, with the reason for the log.
    Failed(String),
}

impl Users {
    /// The databases in the order of the configuration.
    pub fn new(links: Vec<UserLink>, workers: Arc<dyn Workers>) -> Self {
        Self { links, workers }
    }

    /// Whether any is configured.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Asks the databases for the user of `identity`; `collected` is what the passdbs found out.
    pub async fn find(
        &self,
        facts: &Facts,
        identity: &Identity,
        fields: &Fields,
        collected: &Fields,
    ) -> User {
        let mut answer = collected.clone();
        answer.keep();
        let mut found = false;
        let mut failed: Option<String> = None;
        for link in &self.links {
            match link.settings.skip {
                UserdbSkip::Found if found => continue,
                UserdbSkip::NotFound if !found => continue,
                _ => {}
            }
            let outcome = self.ask(link, facts, identity, fields, &mut answer).await;
            let rule = match &outcome {
                User::Found(_) => link.settings.result_success,
                User::Unknown => link.settings.result_failure,
                User::Failed(_) => link.settings.result_internalfail,
            };
            match outcome {
                User::Found(with) => {
                    answer = with;
                    answer.keep();
                }
                User::Unknown => answer.roll_back(),
                User::Failed(why) => {
                    answer.roll_back();
                    failed = Some(why);
                }
            }
            match rule {
                Rule::Return => break,
                Rule::ReturnOk => {
                    found = true;
                    break;
                }
                Rule::ReturnFail => {
                    found = false;
                    break;
                }
                Rule::Continue => {}
                Rule::ContinueOk => found = true,
                Rule::ContinueFail => found = false,
            }
        }
        match (found, failed) {
            (true, _) => User::Found(answer),
            (false, Some(why)) => User::Failed(why),
            (false, None) => User::Unknown,
        }
    }

    async fn ask(
        &self,
        link: &UserLink,
        facts: &Facts,
        identity: &Identity,
        fields: &Fields,
        collected: &mut Fields,
    ) -> User {
        let expand = |list: &[Extra], origin, into: &mut Fields| {
            for extra in list {
                let request =
                    Request { facts, identity, fields, userdb: into, password: None, passdb_id: link.id };
                let value = extra.value.expand(&request).map_err(|error| error.to_string())?;
                into.apply(&extra.name, extra.suffix, &value, origin);
            }
            Ok::<(), String>(())
        };
        if let Err(why) = expand(&link.defaults, Origin::Default(link.id), collected) {
            return User::Failed(why);
        }
        let request =
            Request { facts, identity, fields, userdb: collected, password: None, passdb_id: link.id };
        let answer = match link.driver.lookup(&request) {
            Lookup::Now(answer) => answer,
            Lookup::Blocking(job) => match self.workers.users(job).await {
                Ok(answer) => answer,
                Err(_) => UserAnswer::Failed("Lookup queue is full".into()),
            },
            Lookup::Later(future) => future.await,
        };
        let mut with = collected.clone();
        match answer {
            UserAnswer::Found(list) => {
                for (name, value) in &list {
                    let (name, suffix) = Suffix::split(name);
                    if !name.is_empty() {
                        with.apply(name, suffix, value, Origin::Passdb(link.id));
                    }
                }
                match expand(&link.overrides, Origin::Override(link.id), &mut with) {
                    Ok(()) => User::Found(with),
                    Err(why) => User::Failed(why),
                }
            }
            UserAnswer::Unknown => User::Unknown,
            UserAnswer::Failed(why) => User::Failed(why),
        }
    }
}
