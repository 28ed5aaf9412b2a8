//! What stands in a database's `args` and in the files they name.

use crate::problem::Problem;
use crate::value::Place;

/// What is wrong with the `args` of a passdb or userdb block at `place`.
pub fn check(_driver: &str, _args: &str, _place: &Place) -> Vec<Problem> {
    Vec::new()
}
