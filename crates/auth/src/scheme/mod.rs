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
