//! A request that owns what it says, for a lookup that outlives the asking.

use auth::fields::Fields;
use auth::request::{Facts, Identity, Request, Secret};

/// A copy of a request.
pub(crate) struct Snapshot {
    facts: Facts,
    identity: Identity,
    fields: Fields,
    userdb: Fields,
    password: Option<Secret>,
    passdb_id: usize,
}

impl Snapshot {
    /// Copies everything a variable may need.
    pub(crate) fn of(request: &Request<'_>) -> Self {
        Self {
            facts: request.facts.clone(),
            identity: request.identity.clone(),
            fields: request.fields.clone(),
            userdb: request.userdb.clone(),
            password: request.password.cloned(),
            passdb_id: request.passdb_id,
        }
    }

    /// The request again.
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            facts: &self.facts,
            identity: &self.identity,
            fields: &self.fields,
            userdb: &self.userdb,
            password: self.password.as_ref(),
            passdb_id: self.passdb_id,
        }
    }
}
