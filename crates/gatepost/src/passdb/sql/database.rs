//! One SQLite database: a few read-only connections with their prepared statements, for blocking threads.
//! A database that is absent, locked or broken fails the lookup at hand, and the next one tries again.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::query::{Bound, Query, Value};
use crate::passdb::{Level, Log};

/// How long a lookup waits for a writer to finish.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connections kept for later.
const KEPT: usize = 8;

/// Failures are logged at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How often the path is looked at, to notice that another file has taken the place of the open one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A database file and its connections.
pub(crate) struct Database {
    path: PathBuf,
    log: Log,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    /// Device and inode of the file that the idle connections have open.
    file: Option<(u64, u64)>,
    looked: Option<Instant>,
    /// The failure that was logged and has not been seen to end.
    outage: Option<String>,
    told: Option<Instant>,
}

/// The first row of a result.
#[derive(Debug)]
pub(crate) struct FirstRow {
    /// Columns by name in order; NULL is `None`.
    pub(crate) columns: Vec<(String, Option<Vec<u8>>)>,
    /// There is at least one more row.
    pub(crate) more: bool,
}

impl Database {
    /// A database at this path. Opens nothing yet.
    pub(crate) fn new(path: PathBuf, log: Log) -> Self {
        Self { path, log, pool: Mutex::default() }
    }

    /// Tries whether the query can be run, and reports why not.
    pub(crate) fn try_out(&self, query: &Query) {
        for fault in query.faults() {
            (self.log)(Level::Error, &format!("sql {}: {fault}", self.path.display()));
        }
        if let Some(statement) = query.statement() {
            let tried = self.with_connection(|connection| connection.prepare_cached(statement).map(|_| ()));
            // Reported as an outage already.
            let _ = self.told(query, tried);
        }
    }

    /// Runs a query and gives the first row, if there is one.
    pub(crate) fn first_row(&self, query: &Query, bound: &Bound) -> Result<Option<FirstRow>, String> {
        let found = self.with_connection(|connection| first_row(connection, bound));
        self.told(query, found)
    }

    fn with_connection<T>(
        &self,
        run: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, String> {
        let (connection, file) = self.connection()?;
        // After an error the connection is not used again: the next lookup starts afresh.
        let result = run(&connection).map_err(|fault| fault.to_string())?;
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.file == Some(file) && pool.idle.len() < KEPT {
            pool.idle.push(connection);
        }
        Ok(result)
    }

    fn connection(&self) -> Result<(Connection, (u64, u64)), String> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match (pool.file, pool.looked) {
            (Some(file), Some(looked)) if looked.elapsed() < LOOK_EVERY => file,
            _ => {
                let file = std::fs::metadata(&self.path).map(|file| (file.dev(), file.ino()));
                pool.looked = Some(Instant::now());
                if pool.file != file.as_ref().ok().copied() {
                    pool.idle.clear();
                    pool.file = file.as_ref().ok().copied();
                }
                file.map_err(|fault| format!("cannot be opened: {fault}"))?
            }
        };
        if let Some(connection) = pool.idle.pop() {
            return Ok((connection, file));
        }
        drop(pool);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)
            .map_err(|fault| format!("cannot be opened: {fault}"))?;
        connection.busy_timeout(PATIENCE).map_err(|fault| fault.to_string())?;
        Ok((connection, file))
    }

    /// Names the database and the query in a failure, and logs when failures begin and end; every login's
    /// own failure is for the caller to log.
    fn told<T>(&self, query: &Query, result: Result<T, String>) -> Result<T, String> {
        let result =
            result.map_err(|fault| format!("sql {}: {}: {fault}", self.path.display(), query.setting()));
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(_) if pool.outage.take().is_some() => {
                (self.log)(Level::Info, &format!("sql {} answers again", self.path.display()));
            }
            // The same failure is news only once, and a user's name may make ever new ones.
            Err(fault)
                if pool.outage.as_ref() != Some(fault)
                    && pool.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) =>
            {
                (self.log)(Level::Error, fault);
                pool.outage = Some(fault.clone());
                pool.told = Some(Instant::now());
            }
            _ => {}
        }
        result
    }
}

fn first_row(connection: &Connection, bound: &Bound) -> Result<Option<FirstRow>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(&bound.statement)?;
    for (index, value) in bound.values.iter().enumerate() {
        match value {
            Value::Text(text) => statement.raw_bind_parameter(index + 1, text)?,
            Value::Number(number) => statement.raw_bind_parameter(index + 1, number)?,
        }
    }
    let mut rows = statement.raw_query();
    let found = match rows.next()? {
        None => None,
        Some(row) => {
            let columns = columns(connection, row)?;
            Some(FirstRow { columns, more: rows.next()?.is_some() })
        }
    };
    drop(rows);
    // Passwords may be among the values.
    statement.clear_bindings();
    Ok(found)
}

type Columns = Vec<(String, Option<Vec<u8>>)>;

fn columns(connection: &Connection, row: &Row<'_>) -> Result<Columns, rusqlite::Error> {
    let statement = row.as_ref();
    let column = |index| {
        let value = match row.get_ref(index)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
            // SQLite's own notation is asked of SQLite.
            ValueRef::Real(number) => {
                let mut cast = connection.prepare_cached("SELECT CAST(?1 AS TEXT)")?;
                Some(cast.query_row([number], |row| row.get::<_, String>(0))?.into_bytes())
            }
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
        };
        Ok((statement.column_name(index)?.to_owned(), value))
    };
    (0..statement.column_count()).map(column).collect()
}
