//! `gatepost config`: says what is wrong with a configuration, or shows it. Needs no server.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::config::problem::{Problem, Severity};
use ::config::show::Show;
use ::config::value::Place;
use ::config::{Loaded, load};

use crate::local;

/// Check or show a configuration.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say everything that is wrong; silence and success mean all is well
    Check {
        /// The configuration file
        #[arg(
            short = 'c',
            long = "config",
            value_name = "FILE",
            default_value = "/etc/gatepost/gatepost.conf"
        )]
        file: PathBuf,
    },
    /// Write the configuration as it is understood
    Show {
        /// Only what differs from the defaults
        #[arg(short = 'n', long = "changed")]
        changed: bool,
        /// Show passwords and keys too
        #[arg(short = 'P', long = "secrets")]
        secrets: bool,
        /// The configuration file
        #[arg(
            short = 'c',
            long = "config",
            value_name = "FILE",
            default_value = "/etc/gatepost/gatepost.conf"
        )]
        file: PathBuf,
    },
}

/// Does what the arguments say; fails when the configuration has an error.
pub fn run(args: Args) -> ExitCode {
    let (file, show) = match args.action {
        Action::Check { file } => (file, None),
        Action::Show { changed, secrets, file } => (file, Some(Show { only_changed: changed, secrets })),
    };
    let loaded = load(&file);
    // Nobody is left to tell when the output is closed.
    let _ = std::io::stderr().write_all(report(&loaded, wants_colour()).as_bytes());
    let Some(config) = loaded.config else { return ExitCode::FAILURE };
    let faults = local::faults(&config);
    for fault in &faults {
        eprintln!("{}: {}", file.display(), printable(fault));
    }
    if !faults.is_empty() {
        return ExitCode::FAILURE;
    }
    match show.map(|show| std::io::stdout().write_all(show.text(&config).as_bytes())) {
        Some(Err(_)) => ExitCode::FAILURE,
        Some(Ok(())) | None => ExitCode::SUCCESS,
    }
}

/// Every problem on a line of its own, the line of the file beneath it.
pub fn report(loaded: &Loaded, colour: bool) -> String {
    let mut out = String::new();
    for problem in &loaded.problems {
        let text = printable(&problem.to_string());
        match (colour, problem.severity) {
            (true, Severity::Error) => out.push_str(&format!("\x1b[1;31m{text}\x1b[0m\n")),
            (true, Severity::Warning) => out.push_str(&format!("\x1b[33m{text}\x1b[0m\n")),
            (false, _) => out.push_str(&format!("{text}\n")),
        }
        if let Some((place, line)) = offending_line(loaded, problem) {
            out.push_str(&format!("{:>6} | {}\n", place.line, printable(line)));
        }
    }
    out
}

fn wants_colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The line that a problem is about, unless it may hold a secret: reports end up in logs and tickets.
fn offending_line<'a>(loaded: &'a Loaded, problem: &'a Problem) -> Option<(&'a Place, &'a str)> {
    let place = problem.place.as_ref()?;
    let (_, text) = loaded.sources.iter().find(|(file, _)| Path::new(file) == place.file)?;
    let line = text.lines().nth(place.line.checked_sub(1)?)?.trim_end();
    let lower = line.to_ascii_lowercase();
    let secret =
        ["pass=", "password", "_key", "secret", "token", "nonce"].iter().any(|word| lower.contains(word));
    (!secret && !line.is_empty()).then_some((place, line))
}

/// Text that cannot steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_shown_with_its_line() {
        let text = "protocols = imap\nssl = no\npassdb {\n  driver = sqll\n}\nauth_failure_delay = 5\n";
        let report = report(&::config::load_text("dovecot.conf", text), false);
        assert_eq!(
            report,
            "dovecot.conf:4: passdb: unknown driver \"sqll\" (did you mean \"sql\"?)\n\
             \u{20}    4 |   driver = sqll\n\
             dovecot.conf:6: auth_failure_delay: \"5\" is a time without a unit (write 5 secs if seconds are meant)\n\
             \u{20}    6 | auth_failure_delay = 5\n"
        );
    }

    #[test]
    fn a_line_that_may_hold_a_secret_is_not_repeated() {
        let text = "protocols = imap\nssl = no\npassdb {\n  driver = static\n  args = password=x $ecret\n}\n";
        let report = report(&::config::load_text("dovecot.conf", text), false);
        assert!(report.contains("dovecot.conf:5: "), "{report}");
        assert!(!report.contains("args ="), "{report}");
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        let report = report(&::config::load_text("dovecot.conf", "ssl = \x1b[2Jno\n"), false);
        assert!(!report.contains('\x1b'), "{report}");
    }
}
