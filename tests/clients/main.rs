//! Real programs end to end: mail clients of several kinds log in through Gatepost to real Dovecots behind it. One
//! test per client and way of logging in. A test whose program is not installed is left out with a notice;
//! `REQUIRE_SUBJECTS=1` fails the run instead.

mod alpine;
mod curl;
mod gsasl;
mod haproxy;
mod house;
mod identity;
mod lifecycle;
mod log;
mod mbsync;
mod mutt;
mod program;
mod python;
mod screen;
mod session;
mod standin;

use std::env;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use gatepost_tests::{dovecot, gatepost};
use house::{Backends, Gate};
use libtest_mimic::{Arguments, Trial};

/// A test: its name, the programs it needs, and what it does with a gate of its own.
type Test = (&'static str, &'static [&'static str], fn(&mut Gate) -> Result<(), String>);

/// Backends are started by the first test that runs.
type Shared = Arc<OnceLock<Result<Arc<Backends>, String>>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They mostly wait for each other's processes.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    arguments.test_threads = arguments.test_threads.or(Some(2 * cores));

    let required = env::var_os("REQUIRE_SUBJECTS").is_some();
    let without_dovecot = !dovecot::missing().is_empty();
    let shared = Shared::default();
    let mut trials = Vec::new();
    let groups = [
        curl::TESTS,
        python::TESTS,
        mbsync::TESTS,
        mutt::TESTS,
        gsasl::TESTS,
        haproxy::TESTS,
        alpine::TESTS,
        session::TESTS,
        lifecycle::TESTS,
        identity::TESTS,
        log::TESTS,
    ];
    for &(name, programs, test) in groups.into_iter().flatten() {
        let mut missing: Vec<&str> =
            programs.iter().copied().filter(|name| !program::is_installed(name)).collect();
        if without_dovecot {
            missing.push("dovecot");
        }
        if !missing.is_empty() {
            let missing = missing.join(" ");
            if required {
                eprintln!("{name} needs programs that are not installed: {missing}");
                return ExitCode::FAILURE;
            }
            eprintln!("not run: {name}: not installed: {missing}");
        }
        let shared = Arc::clone(&shared);
        let run = move || run(&shared, test).map_err(Into::into);
        trials.push(Trial::test(name, run).with_ignored_flag(!missing.is_empty()));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(shared: &Shared, test: fn(&mut Gate) -> Result<(), String>) -> Result<(), String> {
    gatepost::program()?;
    let backends = shared.get_or_init(|| Backends::start().map(Arc::new)).clone()?;
    let mut gate = Gate::start(&backends)?;
    test(&mut gate).map_err(|fault| format!("{fault}\nthe gate:\n{}", gate.running.log_tail()))
}
