//! `passdb { }` and `userdb { }` blocks.

use crate::value::Place;

/// When a database is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skip {
    /// Never.
    #[default]
    Never,
    /// When an earlier one has verified the password.
    Authenticated,
    /// When none has.
    Unauthenticated,
}

/// What a result leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Stop with the state as it is.
    Return,
    /// Stop with success.
    ReturnOk,
    /// Stop with failure.
    ReturnFail,
    /// Go on with the state as it is.
    Continue,
    /// Go on, successful so far.
    ContinueOk,
    /// Go on, failed so far.
    ContinueFail,
}

/// One `passdb { }` block.
#[derive(Clone, Debug)]
pub struct PassdbSettings {
    /// The block's name, when it has one.
    pub name: Option<String>,
    /// Where the block begins.
    pub place: Place,
    /// `driver`.
    pub driver: String,
    /// `args`.
    pub args: String,
    /// `default_fields`: applied before the database's own fields.
    pub default_fields: String,
    /// `override_fields`: applied after them.
    pub override_fields: String,
    /// `deny`: whoever is in it is refused.
    pub deny: bool,
    /// `pass`: go on after success.
    pub pass: bool,
    /// `master`: checks master users.
    pub master: bool,
    /// `skip`.
    pub skip: Skip,
    /// `mechanisms`, upper case; empty: all; `NONE`: never for a login.
    pub mechanisms: Vec<String>,
    /// `username_filter`: wildcard patterns, `!pattern` excludes.
    pub username_filter: Vec<String>,
    /// `result_success`.
    pub result_success: Rule,
    /// `result_failure`.
    pub result_failure: Rule,
    /// `result_internalfail`.
    pub result_internalfail: Rule,
    /// `auth_verbose` of this database; `None`: the global one.
    pub auth_verbose: Option<bool>,
}

/// One `userdb { }` block.
#[derive(Clone, Debug)]
pub struct UserdbSettings {
    /// The block's name, when it has one.
    pub name: Option<String>,
    /// Where the block begins.
    pub place: Place,
    /// `driver`.
    pub driver: String,
    /// `args`.
    pub args: String,
    /// `default_fields`.
    pub default_fields: String,
    /// `override_fields`.
    pub override_fields: String,
    /// `skip` (`found`/`notfound` are spelt like [`Skip`]'s).
    pub skip: UserdbSkip,
    /// `result_success`.
    pub result_success: Rule,
    /// `result_failure`.
    pub result_failure: Rule,
    /// `result_internalfail`.
    pub result_internalfail: Rule,
    /// `auth_verbose` of this database; `None`: the global one.
    pub auth_verbose: Option<bool>,
}

/// When a user database is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserdbSkip {
    /// Never.
    #[default]
    Never,
    /// When an earlier one found the user.
    Found,
    /// When none has.
    NotFound,
}
