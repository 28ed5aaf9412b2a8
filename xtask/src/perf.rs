//! `cargo xtask perf`: builds Gatepost and the program that measures it as they are released, and runs that program.

use crate::{cargo, run};

/// The arguments are those of `gatepost-perf`, which finds the server beside itself.
pub(crate) fn perf(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    run(cargo().args(["build", "--release", "--package", "gatepost", "--package", "gatepost-perf"]))?;
    run(cargo().args(["run", "--release", "--quiet", "--package", "gatepost-perf", "--"]).args(arguments))
}
