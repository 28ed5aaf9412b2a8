//! The sql driver: a query to an SQLite database. Its columns are the fields.

mod database;
mod query;

use std::sync::Arc;

use auth::passdb::{Answer, Lookup, Passdb};
use auth::request::Request;
use config::database::SqlSettings;
use config::rows::passdb::PassdbSettings;
use config::value::Place;

use super::{Draft, Level, Log, Resources, first_error, known_scheme};
pub(crate) use database::{Database, FirstRow};
pub(crate) use query::Query;

/// Opens an sql passdb.
pub(super) fn open(settings: &PassdbSettings, resources: &Resources) -> Result<Box<dyn Passdb>, String> {
    let settings = read(&settings.args, &settings.place)?;
    known_scheme(&settings.default_pass_scheme)
        .map_err(|fault| format!("{}: default_pass_scheme: {fault}", settings.file.display()))?;
    let query = parse(&settings, "password_query", &settings.password_query)?;
    let users = Users::new(&settings, query, resources);
    Ok(Box::new(Sql {
        users: Arc::new(users),
        scheme: settings.default_pass_scheme.into(),
        log: Arc::clone(&resources.log),
    }))
}

/// The settings in the file that a block's `args` name.
pub(crate) fn read(args: &str, place: &Place) -> Result<SqlSettings, String> {
    match config::database::sql(args, place) {
        Ok((settings, _)) => Ok(settings),
        Err(problems) => Err(first_error(&problems)),
    }
}

/// A query of these settings.
pub(crate) fn parse(settings: &SqlSettings, name: &'static str, text: &str) -> Result<Query, String> {
    Query::parse(name, text).map_err(|fault| format!("{}: {fault}", settings.file.display()))
}

/// A database and the one query that is put to it.
pub(crate) struct Users {
    database: Database,
    query: Query,
}

impl Users {
    /// Tries the query and reports why it cannot be run; that is no error, since a database may come later.
    pub(crate) fn new(settings: &SqlSettings, query: Query, resources: &Resources) -> Self {
        let database = Database::new(settings.connect.clone(), Arc::clone(&resources.log));
        database.try_out(&query);
        Self { database, query }
    }

    /// The work of asking for this request, for a thread that may block.
    pub(crate) fn ask(
        self: &Arc<Self>,
        request: &Request<'_>,
    ) -> Result<impl FnOnce() -> Result<Option<FirstRow>, String> + Send + 'static, String> {
        let bound = self.query.bind(request)?;
        let users = Arc::clone(self);
        Ok(move || users.database.first_row(&users.query, &bound))
    }
}

struct Sql {
    users: Arc<Users>,
    scheme: Arc<str>,
    log: Log,
}

impl Passdb for Sql {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, Answer> {
        let ask = match self.users.ask(request) {
            Ok(ask) => ask,
            Err(why) => return Lookup::Now(Answer::Failed(why)),
        };
        let (scheme, log) = (Arc::clone(&self.scheme), Arc::clone(&self.log));
        Lookup::Blocking(Box::new(move || {
            ask().and_then(|row| answer(row, &scheme, &log)).unwrap_or_else(Answer::Failed)
        }))
    }
}

fn answer(row: Option<FirstRow>, scheme: &str, log: &Log) -> Result<Answer, String> {
    let Some(row) = row else { return Ok(Answer::Unknown) };
    if row.more {
        return Err("Password query returned multiple matches".to_owned());
    }
    if !row.columns.iter().any(|(name, _)| matches!(name.as_str(), "password" | "password_noscheme")) {
        return Err("Password query must return a field named 'password'".to_owned());
    }
    let mut draft = Draft::new(None);
    for (name, value) in row.columns {
        if let Some(value) = value {
            draft.add(&name, value, scheme).map_err(|fault| format!("password_query: {fault}"))?;
        }
    }
    if draft.password_repeated {
        log(Level::Error, "password_query: there is a second password, which is not used");
    }
    Ok(Answer::Found(draft.finish()))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
