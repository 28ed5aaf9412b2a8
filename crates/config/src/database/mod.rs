//! What `args` of a database block may say, per driver, and the sql driver's own file.
//!
//! Reads that file and opens no database. Knows nothing of how a lookup is done.

mod args;
mod lines;
mod sql;

pub use args::{Field, PasswdFileSettings, StaticSettings, fixed, passwd_file};
pub use sql::{SqlSettings, sql};

use crate::problem::Problem;
use crate::value::Place;

/// Drivers of this version, as `driver = ` names them.
pub const DRIVERS: [&str; 4] = ["passwd-file", "prefetch", "sql", "static"];

/// Drivers of the original that this version does not have.
const ABSENT_DRIVERS: [&str; 14] = [
    "bsdauth",
    "checkpassword",
    "dict",
    "imap",
    "ldap",
    "lua",
    "nss",
    "oauth2",
    "pam",
    "passwd",
    "shadow",
    "sia",
    "vpopmail",
    "dict-async",
];

/// Reports everything that is wrong with a block's `driver` and `args`, both written at `place`.
pub fn check(driver: &str, args: &str, place: &Place) -> Vec<Problem> {
    match driver {
        "passwd-file" => passwd_file(args, place).err().unwrap_or_default(),
        "static" => fixed(args, place).err().unwrap_or_default(),
        "sql" => match sql(args, place) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems,
        },
        "prefetch" if args.trim().is_empty() => Vec::new(),
        "prefetch" => vec![Problem::error(place, "prefetch: args are not allowed").hint("remove them")],
        _ if ABSENT_DRIVERS.contains(&driver) => {
            vec![Problem::error(place, format!("driver \"{driver}\" is not part of this version"))]
        }
        _ => {
            let problem = Problem::error(place, format!("unknown driver \"{driver}\""));
            vec![with_nearest(problem, driver, &DRIVERS)]
        }
    }
}

/// Adds the known name that `name` was probably meant to be, when one is near.
fn with_nearest(problem: Problem, name: &str, known: &[&str]) -> Problem {
    let nearest = known.iter().map(|known| (distance(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 1 + known.len() / 4 => {
            problem.hint(format!("did you mean \"{known}\"?"))
        }
        _ => problem,
    }
}

/// Single-character edits that lead from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let edited = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = edited.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { file: "dovecot.conf".into(), line: 14 }
    }

    fn said(driver: &str, args: &str) -> Vec<String> {
        check(driver, args, &place()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misspelt_driver_gets_the_nearest_name() {
        assert_eq!(said("sqll", ""), ["dovecot.conf:14: unknown driver \"sqll\" (did you mean \"sql\"?)"]);
        assert_eq!(said("psswd-file", "x").len(), 1);
        assert_eq!(said("nosuchthing", ""), ["dovecot.conf:14: unknown driver \"nosuchthing\""]);
    }

    #[test]
    fn a_driver_of_the_original_is_told_apart_from_a_misspelling() {
        assert_eq!(said("ldap", "/x"), ["dovecot.conf:14: driver \"ldap\" is not part of this version"]);
    }

    #[test]
    fn prefetch_takes_no_args() {
        assert!(said("prefetch", " ").is_empty());
        assert_eq!(said("prefetch", "x"), ["dovecot.conf:14: prefetch: args are not allowed (remove them)"]);
    }
}
