//! The record of how a decision came about, free of secrets, and the closed list of reason codes.
//! Knows nothing of how either is shown.

use std::fmt::Write;
use std::time::Duration;

use config::rows::passdb::Rule;

use crate::fields::{Change, Origin};

/// What happened in one login, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    steps: Vec<Step>,
}

impl Trace {
    /// Adds a step.
    pub fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The typed name became this one.
    Named {
        /// As the client typed it.
        typed: String,
        /// As the databases are asked.
        user: String,
    },
    /// A database was left out.
    Skipped {
        /// Its number in the chain.
        passdb: usize,
        /// Why.
        why: &'static str,
    },
    /// A database was asked for this user.
    Asked {
        /// Its number in the chain.
        passdb: usize,
        /// The name it was asked for.
        user: String,
    },
    /// A database's lookup ended so.
    Answered {
        /// Its number in the chain.
        passdb: usize,
        /// How.
        outcome: Outcome,
    },
    /// A field was set, overridden, protected or removed.
    Field {
        /// Name without suffix.
        name: String,
        /// Its value now; `None` for secrets and for fields that went.
        value: Option<String>,
        /// Who wanted the change.
        origin: Origin,
        /// What became of it.
        change: Change,
    },
    /// A rule was applied to an outcome.
    Ruled {
        /// The database's number in the chain.
        passdb: usize,
        /// The rule of that outcome.
        rule: Rule,
        /// Whether the login counts as successful after it.
        success: bool,
    },
    /// A master was checked and goes on as another user.
    Master {
        /// The master's name.
        master: String,
        /// Whom they log in as.
        user: String,
    },
    /// The answer is held back.
    Wait(Duration),
    /// Something that an administrator may want to know.
    Note {
        /// Number of the database it is about, 0 for none.
        passdb: usize,
        /// Whether it is a fault of configuration or data.
        fault: bool,
        /// One line.
        text: String,
    },
}

/// How one database's lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Found, and the password is right (or need not be checked).
    Ok,
    /// Found, and the database has no opinion on the password (`noauthenticate`).
    Next,
    /// Not there.
    Unknown,
    /// There, and the password is wrong.
    Mismatch,
    /// There, and may not log in.
    Disabled,
    /// There, and the password has expired.
    Expired,
    /// Could not ask.
    Failed,
}

/// Why a login ended as it did: stable codes for logs and tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Leads to the local mail service.
    Admitted,
    /// Handed on.
    Proxied,
    /// Told to go elsewhere.
    Referred,
    /// No such user.
    UnknownUser,
    /// Wrong password.
    WrongPassword,
    /// No password stored.
    NoPassword,
    /// `fail` field.
    Fail,
    /// `allow_nets`.
    AllowNets,
    /// Deny database.
    Denied,
    /// Disabled account.
    Disabled,
    /// Expired password.
    Expired,
    /// `nologin`.
    Nologin,
    /// A chain rule ended in failure.
    ChainRule,
    /// Bad user name.
    BadUsername,
    /// Bad password bytes.
    BadPassword,
    /// Malformed SASL message.
    BadResponse,
    /// Client cancelled.
    Aborted,
    /// Master login without master databases.
    NoMaster,
    /// Master may not be that user.
    NotAuthorized,
    /// A database could not be asked.
    LookupFailed,
    /// Pools full.
    Busy,
    /// `noauthenticate` in the last database.
    NoAuthenticator,
    /// `delay_until` unusable.
    DelayUntil,
    /// Proxy without destination.
    ProxyNoHost,
    /// Proxy destination that does not resolve.
    ProxyHostUnknown,
    /// Proxy without password.
    ProxyNoPassword,
    /// Proxy leads back here.
    ProxyLoop,
    /// Proxies hand the login round in a circle.
    ProxyTtl,
    /// Backend unreachable.
    BackendDown,
    /// Backend refused.
    BackendRefused,
    /// Backend speaks badly.
    BackendFault,
    /// No local mail service.
    NoLocalService,
    /// Too many connections.
    TooManyConnections,
    /// userdb has no such user.
    UserdbUnknown,
    /// userdb could not be asked.
    UserdbFailed,
}

/// One reason code's row.
pub struct ReasonRow {
    /// The reason.
    pub reason: Reason,
    /// Its stable code.
    pub code: &'static str,
    /// What it means, in one sentence.
    pub doc: &'static str,
}

const fn row(reason: Reason, code: &'static str, doc: &'static str) -> ReasonRow {
    ReasonRow { reason, code, doc }
}

/// Every reason code.
pub static REASONS: &[ReasonRow] = &[
    row(Reason::Admitted, "admitted", "The login was right and leads to the local mail service."),
    row(Reason::Proxied, "proxied", "The login was handed on to another server, which accepted it."),
    row(Reason::Referred, "referred", "The client was told to log in at another server."),
    row(Reason::UnknownUser, "unknown_user", "No database knows the user."),
    row(Reason::WrongPassword, "wrong_password", "A database knows the user, and the password is wrong."),
    row(Reason::NoPassword, "no_password", "The user has no password stored and no `nopassword` field."),
    row(Reason::Fail, "field_fail", "A database returned the field `fail`."),
    row(Reason::AllowNets, "allow_nets", "The client's address is not in `allow_nets` or `allow_real_nets`."),
    row(Reason::Denied, "denied", "The user stands in a database with `deny = yes`."),
    row(Reason::Disabled, "user_disabled", "The database says that the account is disabled."),
    row(Reason::Expired, "password_expired", "The database says that the password has expired."),
    row(Reason::Nologin, "nologin", "The login was right, and the field `nologin` forbids it."),
    row(
        Reason::ChainRule,
        "chain_rule",
        "The password was right, and a `result_success` rule ended the login.",
    ),
    row(
        Reason::BadUsername,
        "bad_username",
        "The user name is empty, has forbidden characters or is not UTF-8.",
    ),
    row(Reason::BadPassword, "bad_password", "The password has TAB, CR, LF or 0x01 in it."),
    row(Reason::BadResponse, "bad_response", "The client's SASL message is malformed."),
    row(Reason::Aborted, "aborted", "The client cancelled the exchange or left in the middle of it."),
    row(
        Reason::NoMaster,
        "no_master_passdb",
        "Another user was asked for, and no master passdb is configured.",
    ),
    row(
        Reason::NotAuthorized,
        "not_authorized",
        "The master's password was right, but no database knows the user asked for.",
    ),
    row(Reason::LookupFailed, "lookup_failed", "A database could not be asked: a temporary failure."),
    row(Reason::Busy, "busy", "The hashing or lookup queue is full: a temporary failure."),
    row(
        Reason::NoAuthenticator,
        "noauthenticate_last",
        "The last database returned `noauthenticate`: a temporary failure.",
    ),
    row(
        Reason::DelayUntil,
        "delay_until",
        "The field `delay_until` is unreadable or over five minutes ahead: a temporary failure.",
    ),
    row(Reason::ProxyNoHost, "proxy_no_host", "`proxy` came without a usable `host`: a temporary failure."),
    row(
        Reason::ProxyHostUnknown,
        "proxy_host_unknown",
        "The proxy destination is no address, and its name does not resolve: a temporary failure.",
    ),
    row(
        Reason::ProxyNoPassword,
        "proxy_no_password",
        "There is no password to log in to the backend with: a temporary failure.",
    ),
    row(
        Reason::ProxyLoop,
        "proxy_loop",
        "The proxy destination is this server, and the user the same: a temporary failure.",
    ),
    row(
        Reason::ProxyTtl,
        "proxy_ttl",
        "The login has been handed on from proxy to proxy too often: a temporary failure.",
    ),
    row(
        Reason::BackendDown,
        "backend_down",
        "The backend could not be reached in time: a temporary failure.",
    ),
    row(Reason::BackendRefused, "backend_refused", "The backend refused the login."),
    row(
        Reason::BackendFault,
        "backend_fault",
        "The backend broke the protocol or lacks what is needed: a temporary failure.",
    ),
    row(
        Reason::NoLocalService,
        "no_local_service",
        "The login was right, and no local mail service is configured: a temporary failure.",
    ),
    row(
        Reason::TooManyConnections,
        "too_many_connections",
        "The user has too many connections from this address (`mail_max_userip_connections`).",
    ),
    row(
        Reason::UserdbUnknown,
        "userdb_unknown",
        "The password was right, and no userdb knows the user: a temporary failure.",
    ),
    row(
        Reason::UserdbFailed,
        "userdb_failed",
        "The password was right, and the userdb could not be asked: a temporary failure.",
    ),
];

impl Reason {
    /// The stable code, as it stands in logs.
    pub fn code(self) -> &'static str {
        REASONS.get(self as usize).map_or("", |row| row.code)
    }

    /// The verdict of a login that ends for this reason, as it stands in logs.
    pub fn verdict(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Proxied => "proxied",
            Self::Referred => "referred",
            _ => "refused",
        }
    }
}

/// The page "Reason codes", as Markdown.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    for row in REASONS {
        let _ = writeln!(page, "| `{}` | {} | {} |", row.code, row.reason.verdict(), row.doc);
    }
    page
}

const INTRODUCTION: &str = "\
# Reason codes

Every login ends with one of these codes, in the log line after `reason=` and in JSON as `reason`. Codes are
never renamed; new ones may come. What the client hears for each stands in [failures.md](failures.md).

| code | verdict | meaning |
|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_row_and_a_code_of_its_own() {
        for (at, row) in REASONS.iter().enumerate() {
            assert_eq!(row.reason as usize, at, "{}", row.code);
            assert!(REASONS.iter().filter(|other| other.code == row.code).count() == 1, "{}", row.code);
        }
        assert_eq!(REASONS.len(), Reason::UserdbFailed as usize + 1);
    }

    #[test]
    fn the_page_has_a_line_for_every_code() {
        let page = reference();
        for row in REASONS {
            assert!(page.contains(&format!("\n| `{}` | {} | ", row.code, row.reason.verdict())), "{page}");
        }
        assert_eq!(page.lines().filter(|line| line.starts_with("| `")).count(), REASONS.len());
    }
}
