//! One test per scenario and subject. `SUBJECT=dovecot|gatepost|both` chooses; `REQUIRE_SUBJECTS=1` fails the
//! run instead of leaving out a subject that is not installed.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use gatepost_tests::scenario::{self, Subject};
use gatepost_tests::{dovecot, gatepost, run};
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Scenarios mostly wait: for start-up, for failure delays.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    arguments.test_threads = arguments.test_threads.or(Some(4 * cores));

    let trials = match subjects().and_then(|subjects| trials(&subjects)) {
        Ok(trials) => trials,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn subjects() -> Result<Vec<Subject>, String> {
    let chosen = env::var("SUBJECT").unwrap_or_else(|_| "both".to_owned());
    let mut subjects = match chosen.as_str() {
        "both" => vec![Subject::Dovecot, Subject::Gatepost],
        "dovecot" => vec![Subject::Dovecot],
        "gatepost" => vec![Subject::Gatepost],
        _ => return Err(format!("SUBJECT={chosen}: expected dovecot, gatepost or both")),
    };
    let missing = dovecot::missing();
    if subjects.contains(&Subject::Dovecot) && !missing.is_empty() {
        let missing = missing.join(" ");
        if env::var_os("REQUIRE_SUBJECTS").is_some() {
            return Err(format!("Dovecot is not complete, missing: {missing}"));
        }
        eprintln!("not run against Dovecot, missing: {missing}; Gatepost is held to what was recorded");
        subjects.retain(|&subject| subject != Subject::Dovecot);
    }
    Ok(subjects)
}

fn trials(subjects: &[Subject]) -> Result<Vec<Trial>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut trials = Vec::new();
    for scenario in scenario::read_all(&folder)? {
        for &subject in subjects {
            let scenario = scenario.clone();
            let name = format!("{}::{}", scenario.name, subject.name());
            trials.push(Trial::test(name, move || {
                if subject == Subject::Gatepost {
                    gatepost::program()?;
                }
                run::run(&scenario, subject).map_err(Into::into)
            }));
        }
    }
    Ok(trials)
}
