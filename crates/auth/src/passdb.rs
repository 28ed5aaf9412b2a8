//! What a database driver fulfils, and the ways it may ask to be run.
//! Knows no file and no database.

use std::future::Future;
use std::pin::Pin;

use crate::request::Request;
use crate::scheme::{SchemeError, StoredHash};

/// A future without a runtime.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The bounded pools that costly work runs on.
pub trait Workers: Send + Sync {
    /// Runs a database lookup that blocks.
    fn blocking(&self, job: Job<Answer>) -> BoxFuture<'_, Result<Answer, Busy>>;
    /// Runs a userdb lookup that blocks.
    fn users(&self, job: Job<UserAnswer>) -> BoxFuture<'_, Result<UserAnswer, Busy>>;
    /// Checks a costly hash.
    fn hashing(
        &self,
        check: Job<Result<bool, SchemeError>>,
    ) -> BoxFuture<'_, Result<Result<bool, SchemeError>, Busy>>;
}

/// The pool's queue is full: the login is answered with a temporary failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// A password database: one configured `passdb { }` block.
pub trait Passdb: Send + Sync {
    /// Looks the user of `request` up, or says how the lookup wants to be run.
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, Answer>;
}

/// A user database: one configured `userdb { }` block.
pub trait Userdb: Send + Sync {
    /// Looks the user of `request` up: home, uid, gid and the rest.
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, UserAnswer>;
}

/// How a lookup runs. "Does this block?" is answered here, by type.
pub enum Lookup<'a, T> {
    /// The answer was at hand.
    Now(T),
    /// Must run on the blocking pool.
    Blocking(Job<T>),
    /// Waits without blocking a thread.
    Later(BoxFuture<'a, T>),
}

/// Work for the blocking pool.
pub type Job<T> = Box<dyn FnOnce() -> T + Send + 'static>;

/// What a password database said. The four kinds of "no" stay apart up to the client's response code.
#[derive(Debug)]
pub enum Answer {
    /// The user exists; the engine checks the password.
    Found(Record),
    /// There is no such user.
    Unknown,
    /// The user exists, and the database itself found the password wrong.
    Mismatch,
    /// The user exists and may not log in.
    Disabled,
    /// The user's password has expired.
    Expired,
    /// Could not ask, with the reason for the log: never a wrong password, never a yes.
    Failed(String),
}

/// A user as a password database knows them.
#[derive(Debug)]
pub struct Record {
    /// The password, or why there is none to check.
    pub password: Password,
    /// Extra fields in the order given, suffixes still on the names. An absent field (NULL) is left out.
    pub fields: Vec<(String, String)>,
}

/// The password side of a record.
#[derive(Debug)]
pub enum Password {
    /// None is stored (NULL, or no such column): only `nopassword` may pass.
    Absent,
    /// To be checked by the engine. Empty text counts as a password that is empty.
    Stored(StoredHash),
    /// The database has checked it already.
    Verified,
}

/// What a user database said.
#[derive(Debug)]
pub enum UserAnswer {
    /// The user's fields (`uid`, `gid`, `home`, …), in order.
    Found(Vec<(String, String)>),
    /// There is no such user.
    Unknown,
    /// Could not ask, with the reason for the log.
    Failed(String),
}
