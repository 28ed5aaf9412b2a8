//! Password schemes: one row each, one family per file.
//! Knows nothing of users and databases.

use crate::request::Secret;

/// A password as a database stores it: the scheme's name as written (with its encoding suffix) and the data.
#[derive(Debug)]
pub struct StoredHash {
    /// Scheme name as written, such as `SSHA256.HEX`; matched without regard to case.
    pub scheme: String,
    /// What follows the `{SCHEME}` prefix.
    pub data: Secret,
}

/// Why a stored password cannot be checked at all, for the log; never holds the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeError(pub String);

impl std::fmt::Display for SchemeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
