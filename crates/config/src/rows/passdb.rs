//! `passdb { }` and `userdb { }` blocks.

use std::fmt;

use super::Field::{Boolean, Choice, Other, Text, UpperWords, Words};
use super::Standing::{Honoured, Ignored};
use super::{Row, row};
use crate::value::{self, Invalid, Place};

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
#[derive(Clone, PartialEq, Eq)]
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
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for PassdbSettings {
    /// Leaves out `args` and the fields, which may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassdbSettings")
            .field("name", &self.name)
            .field("place", &self.place)
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}

impl Default for PassdbSettings {
    /// One without name or driver, its rules those of the original.
    fn default() -> Self {
        Self {
            name: None,
            place: Place::default(),
            driver: String::new(),
            args: String::new(),
            default_fields: String::new(),
            override_fields: String::new(),
            deny: false,
            pass: false,
            master: false,
            skip: Skip::Never,
            mechanisms: Vec::new(),
            username_filter: Vec::new(),
            result_success: Rule::ReturnOk,
            result_failure: Rule::Continue,
            result_internalfail: Rule::Continue,
            auth_verbose: None,
        }
    }
}

impl fmt::Debug for UserdbSettings {
    /// Leaves out `args` and the fields, which may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserdbSettings")
            .field("name", &self.name)
            .field("place", &self.place)
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}

impl Default for UserdbSettings {
    /// One without name or driver, its rules those of the original.
    fn default() -> Self {
        Self {
            name: None,
            place: Place::default(),
            driver: String::new(),
            args: String::new(),
            default_fields: String::new(),
            override_fields: String::new(),
            skip: UserdbSkip::Never,
            result_success: Rule::ReturnOk,
            result_failure: Rule::Continue,
            result_internalfail: Rule::Continue,
            auth_verbose: None,
        }
    }
}

/// The rows of [`PassdbSettings`].
pub const PASSDB: &[Row<PassdbSettings>] = &[
    row(
        "name",
        "",
        Other("text", |s, text| named(&mut s.name, text)),
        Honoured,
        "Its name in logs; the block's own",
    ),
    row("driver", "", Text(|s| &mut s.driver), Honoured, "The kind of database"),
    row("args", "", Text(|s| &mut s.args), Honoured, "What the driver needs to know, often a file"),
    row(
        "default_fields",
        "",
        Text(|s| &mut s.default_fields),
        Honoured,
        "Extra fields that the database may replace",
    ),
    row(
        "override_fields",
        "",
        Text(|s| &mut s.override_fields),
        Honoured,
        "Extra fields that replace the database's",
    ),
    row("deny", "no", Boolean(|s| &mut s.deny), Honoured, "Whether a user found in it is refused"),
    row("pass", "no", Boolean(|s| &mut s.pass), Honoured, "Whether the next one is asked after success"),
    row("master", "no", Boolean(|s| &mut s.master), Honoured, "Whether it holds master users"),
    row(
        "skip",
        "never",
        Choice(&["never", "authenticated", "unauthenticated"], |s, chosen| {
            s.skip = match chosen {
                "authenticated" => Skip::Authenticated,
                "unauthenticated" => Skip::Unauthenticated,
                _ => Skip::Never,
            };
        }),
        Honoured,
        "When it is left out",
    ),
    row(
        "mechanisms",
        "",
        UpperWords(|s| &mut s.mechanisms),
        Honoured,
        "Mechanisms it is asked for; empty: all; none: not for logins",
    ),
    row(
        "username_filter",
        "",
        Words(|s| &mut s.username_filter),
        Honoured,
        "Wildcard patterns of the users it is asked for; !PATTERN leaves out",
    ),
    row(
        "result_success",
        "return-ok",
        Choice(RULES, |s, chosen| s.result_success = rule(chosen)),
        Honoured,
        "What follows when the password is right",
    ),
    row(
        "result_failure",
        "continue",
        Choice(RULES, |s, chosen| s.result_failure = rule(chosen)),
        Honoured,
        "What follows when the user or the password is not",
    ),
    row(
        "result_internalfail",
        "continue",
        Choice(RULES, |s, chosen| s.result_internalfail = rule(chosen)),
        Honoured,
        "What follows when it cannot be asked",
    ),
    row(
        "auth_verbose",
        "default",
        Other("default, yes or no", |s, text| unless_default(&mut s.auth_verbose, text)),
        Honoured,
        "Whether its answers are logged; default: the global auth_verbose",
    ),
];

/// The rows of [`UserdbSettings`].
pub const USERDB: &[Row<UserdbSettings>] = &[
    row(
        "name",
        "",
        Other("text", |s, text| named(&mut s.name, text)),
        Honoured,
        "Its name in logs; the block's own",
    ),
    row("driver", "", Text(|s| &mut s.driver), Honoured, "The kind of database"),
    row("args", "", Text(|s| &mut s.args), Honoured, "What the driver needs to know, often a file"),
    row(
        "default_fields",
        "",
        Text(|s| &mut s.default_fields),
        Honoured,
        "Fields that the database may replace",
    ),
    row(
        "override_fields",
        "",
        Text(|s| &mut s.override_fields),
        Honoured,
        "Fields that replace the database's",
    ),
    row(
        "skip",
        "never",
        Choice(&["never", "found", "notfound"], |s, chosen| {
            s.skip = match chosen {
                "found" => UserdbSkip::Found,
                "notfound" => UserdbSkip::NotFound,
                _ => UserdbSkip::Never,
            };
        }),
        Honoured,
        "When it is left out",
    ),
    row(
        "result_success",
        "return-ok",
        Choice(RULES, |s, chosen| s.result_success = rule(chosen)),
        Honoured,
        "What follows when the user is found",
    ),
    row(
        "result_failure",
        "continue",
        Choice(RULES, |s, chosen| s.result_failure = rule(chosen)),
        Honoured,
        "What follows when the user is not found",
    ),
    row(
        "result_internalfail",
        "continue",
        Choice(RULES, |s, chosen| s.result_internalfail = rule(chosen)),
        Honoured,
        "What follows when it cannot be asked",
    ),
    row(
        "auth_verbose",
        "default",
        Other("default, yes or no", |s, text| unless_default(&mut s.auth_verbose, text)),
        Ignored,
        "The global auth_verbose counts",
    ),
];

const RULES: &[&str] = &["return", "return-ok", "return-fail", "continue", "continue-ok", "continue-fail"];

/// The rule called `name`, one of [`RULES`].
fn rule(name: &str) -> Rule {
    match name {
        "return" => Rule::Return,
        "return-ok" => Rule::ReturnOk,
        "continue" => Rule::Continue,
        "continue-ok" => Rule::ContinueOk,
        "continue-fail" => Rule::ContinueFail,
        // The strictest for what cannot be: names are checked against RULES before.
        _ => Rule::ReturnFail,
    }
}

fn named(name: &mut Option<String>, text: &str) -> Result<(), Invalid> {
    *name = Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(())
}

fn unless_default(setting: &mut Option<bool>, text: &str) -> Result<(), Invalid> {
    *setting = match text {
        "default" => None,
        _ => Some(value::boolean(text)?),
    };
    Ok(())
}
