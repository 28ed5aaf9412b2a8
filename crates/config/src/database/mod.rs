//! What `args` of a database block may say, per driver, and the sql driver's own file.
//! Reads that file and opens no database. Knows nothing of how a lookup is done.

mod args;
mod sql;

pub use args::{Field, PasswdFileSettings, StaticSettings, fixed, passwd_file};
pub use sql::{SqlSettings, sql, sql_text};

use crate::nearest::nearest;
use crate::problem::Problem;
use crate::value::Place;

/// Reports everything that is wrong with a block's `args`, written at `place`.
pub fn check(driver: &str, args: &str, place: &Place) -> Vec<Problem> {
    match driver {
        "passwd-file" => passwd_file(args, place).err().unwrap_or_default(),
        "static" => fixed(args, place).err().unwrap_or_default(),
        "sql" | "sqlite" => match sql(args, place) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems,
        },
        "prefetch" if args.trim().is_empty() => Vec::new(),
        "prefetch" => vec![Problem::error(place, "prefetch: args are not allowed").hint("take them away")],
        _ => vec![Problem::error(place, format!("unknown driver \"{driver}\""))],
    }
}

/// Adds the known name that `name` was probably meant to be, when one is near.
fn with_nearest(problem: Problem, name: &str, known: &[&str]) -> Problem {
    Problem { hint: nearest(name, known.iter().copied()), ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_without_args_takes_none() {
        let place = Place { file: "dovecot.conf".into(), line: 14 };
        let said = |driver, args| -> Vec<String> {
            check(driver, args, &place).iter().map(ToString::to_string).collect()
        };
        assert!(said("prefetch", " ").is_empty());
        assert_eq!(
            said("prefetch", "x"),
            ["dovecot.conf:14: prefetch: args are not allowed (take them away)"]
        );
        assert_eq!(said("sqll", ""), ["dovecot.conf:14: unknown driver \"sqll\""]);
    }
}
