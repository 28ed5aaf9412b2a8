//! Settings of the sql driver: `args` names a file of `key = value` lines.

use std::path::{Path, PathBuf};

use super::with_nearest;
use crate::problem::{Problem, Severity};
use crate::syntax::{self, Node, Parsed, Raw, Setting};
use crate::value::Place;

/// The sql driver's file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlSettings {
    /// The file these settings stand in.
    pub file: PathBuf,
    /// `connect`: the SQLite database file.
    pub connect: PathBuf,
    /// `password_query`, variables unexpanded.
    pub password_query: String,
    /// `user_query`, variables unexpanded.
    pub user_query: String,
    /// Whether the file itself sets `user_query`.
    pub has_user_query: bool,
    /// `iterate_query`.
    pub iterate_query: String,
    /// `default_pass_scheme`: scheme of passwords that name none.
    pub default_pass_scheme: String,
    /// `userdb_warning_disable`: a `user_query` that no userdb uses is meant so.
    pub userdb_warning_disable: bool,
}

const KEYS: [&str; 8] = [
    "driver",
    "connect",
    "password_query",
    "user_query",
    "iterate_query",
    "update_query",
    "default_pass_scheme",
    "userdb_warning_disable",
];

/// Reads the file that `args` names. Gives the settings and what is worth a warning, or all problems.
pub fn sql(args: &str, place: &Place) -> Result<(SqlSettings, Vec<Problem>), Vec<Problem>> {
    let file = Path::new(args.trim());
    if file.as_os_str().is_empty() {
        let problem = Problem::error(place, "sql: args name no file");
        return Err(vec![problem.hint("write args = /path/to/dovecot-sql.conf.ext")]);
    }
    let parsed = syntax::parse_file(file);
    // Only a file that cannot be read at all has no place: the block that names it is the place then.
    if let Some(problem) = parsed.problems.iter().find(|problem| problem.place.is_none()) {
        return Err(vec![Problem::error(place, format!("sql: {}", problem.text))]);
    }
    settings(file, parsed)
}

/// Reads the same from `text` in memory; `file` stands for its name, and nothing can be included.
pub fn sql_text(file: &Path, text: &str) -> Result<(SqlSettings, Vec<Problem>), Vec<Problem>> {
    settings(file, syntax::parse_text(&file.to_string_lossy(), text))
}

/// Gives `parsed`, the contents of `file`, a type.
fn settings(file: &Path, parsed: Parsed) -> Result<(SqlSettings, Vec<Problem>), Vec<Problem>> {
    let mut problems = parsed.problems;
    let mut driver = None;
    let mut connect = None;
    let mut settings = SqlSettings {
        file: file.to_owned(),
        connect: PathBuf::new(),
        password_query: "SELECT username, domain, password FROM users \
                         WHERE username = '%n' AND domain = '%d'"
            .to_owned(),
        user_query: "SELECT home, uid, gid FROM users WHERE username = '%n' AND domain = '%d'".to_owned(),
        has_user_query: false,
        iterate_query: "SELECT username, domain FROM users".to_owned(),
        default_pass_scheme: "MD5".to_owned(),
        userdb_warning_disable: false,
    };
    for node in parsed.nodes {
        let (key, value, place) = match node {
            Node::Setting(Setting { name, value: Raw::Plain(value) | Raw::Quoted(value), place }) => {
                (name, value, place)
            }
            Node::Setting(Setting { name, value: Raw::File(_), place }) => {
                let problem = Problem::error(&place, format!("{name}: a value cannot come from a file here"));
                problems.push(problem.hint("write it into this file"));
                continue;
            }
            Node::Section(section) => {
                let text = format!("\"{} {{\": there are no blocks in this file", section.kind);
                problems.push(Problem::error(&section.place, text).hint("write name = value"));
                continue;
            }
        };
        match key.as_str() {
            "driver" => driver = Some((place, value)),
            "connect" => connect = Some((place, value)),
            "password_query" => settings.password_query = value,
            "user_query" => {
                settings.user_query = value;
                settings.has_user_query = true;
            }
            "iterate_query" => settings.iterate_query = value,
            "update_query" => problems.push(Problem::warning(&place, "update_query is not used")),
            "default_pass_scheme" => settings.default_pass_scheme = value,
            "userdb_warning_disable" => match crate::value::boolean(&value) {
                Ok(disabled) => settings.userdb_warning_disable = disabled,
                Err(_) => problems.push(
                    Problem::error(&place, format!("invalid boolean \"{value}\"")).hint("write yes or no"),
                ),
            },
            _ => {
                let problem = Problem::error(&place, format!("unknown setting \"{key}\""));
                problems.push(with_nearest(problem, &key, &KEYS));
            }
        }
    }
    let whole = Place { file: file.to_owned(), line: 1 };
    match driver {
        None => problems.push(Problem::error(&whole, "driver is not set").hint("write driver = sqlite")),
        Some((_, driver)) if driver == "sqlite" => match connect {
            Some((_, path)) if !path.is_empty() => settings.connect = path.into(),
            Some((place, _)) => problems.push(Problem::error(&place, "connect names no database file")),
            None => problems
                .push(Problem::error(&whole, "connect is not set").hint("write connect = /path/to/database")),
        },
        Some((place, driver)) if ["mysql", "pgsql", "cassandra"].contains(&driver.as_str()) => problems.push(
            Problem::error(&place, format!("driver \"{driver}\" is not part of this version"))
                .hint("use sqlite"),
        ),
        Some((place, driver)) => {
            let problem = Problem::error(&place, format!("unknown database driver \"{driver}\""));
            problems.push(with_nearest(problem, &driver, &["sqlite"]));
        }
    }
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        Err(problems)
    } else {
        Ok((settings, problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(SqlSettings, Vec<Problem>), Vec<Problem>> {
        settings(Path::new("sql.ext"), syntax::parse_text("sql.ext", text))
    }

    fn faults(text: &str) -> Vec<String> {
        read(text).expect_err("faults").iter().map(ToString::to_string).collect()
    }

    // Behaviour of 2.3: default queries and default scheme.
    #[test]
    fn defaults_are_those_of_the_original() {
        let (read, warnings) = read("driver = sqlite\nconnect = /var/db\n").unwrap();
        assert!(warnings.is_empty());
        assert_eq!(
            read.password_query,
            "SELECT username, domain, password FROM users WHERE username = '%n' AND domain = '%d'"
        );
        assert_eq!(
            read.user_query,
            "SELECT home, uid, gid FROM users WHERE username = '%n' AND domain = '%d'"
        );
        assert_eq!(read.iterate_query, "SELECT username, domain FROM users");
        assert_eq!(read.default_pass_scheme, "MD5");
        assert!(!read.has_user_query && !read.userdb_warning_disable);
    }

    #[test]
    fn the_query_of_the_referral_page_is_read_as_written() {
        let text = "driver=sqlite\nconnect=/db\npassword_query = \\\n  SELECT NULL AS password, \\\n  'imap2.example.com' AS host, \\\n  'This server is down, try another one.' AS reason, \\\n  'Y' as nologin, \\\n  'Y' as nodelay\n";
        let query = read(text).unwrap().0.password_query;
        let words: Vec<_> = query.split_whitespace().collect();
        assert_eq!(
            words.join(" "),
            "SELECT NULL AS password, 'imap2.example.com' AS host, \
             'This server is down, try another one.' AS reason, 'Y' as nologin, 'Y' as nodelay"
        );
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        assert_eq!(
            faults("driver = pgsql\npasword_query = SELECT 1\nuserdb_warning_disable = on\nfrobnicate = 1\n"),
            [
                "sql.ext:2: unknown setting \"pasword_query\" (did you mean \"password_query\"?)",
                "sql.ext:3: invalid boolean \"on\" (write yes or no)",
                "sql.ext:4: unknown setting \"frobnicate\"",
                "sql.ext:1: driver \"pgsql\" is not part of this version (use sqlite)",
            ]
        );
        assert_eq!(faults("connect = x\n"), ["sql.ext:1: driver is not set (write driver = sqlite)"]);
        assert_eq!(
            faults("driver = sqlite\n"),
            ["sql.ext:1: connect is not set (write connect = /path/to/database)"]
        );
        assert_eq!(
            faults("driver = sqllite\n"),
            ["sql.ext:1: unknown database driver \"sqllite\" (did you mean \"sqlite\"?)"]
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_told_at_the_block() {
        let place = Place { file: "dovecot.conf".into(), line: 9 };
        let problems = sql("/nonexistent/sql.ext", &place).unwrap_err();
        assert!(problems[0].to_string().starts_with("dovecot.conf:9: sql: /nonexistent/sql.ext: "));
        assert_eq!(sql(" ", &place).unwrap_err().len(), 1);
    }

    #[test]
    fn quotes_in_queries_hide_the_sign_of_a_comment() {
        let text = "driver=sqlite\nconnect = \"/my db\" # here\nuser_query = SELECT '#' AS home\n";
        let (read, warnings) = read(text).unwrap();
        assert_eq!(read.connect, Path::new("/my db"));
        assert_eq!(read.user_query, "SELECT '#' AS home");
        assert!(warnings.is_empty() && read.has_user_query);
    }

    #[test]
    fn blocks_and_values_from_files_are_refused() {
        assert_eq!(
            faults("driver = sqlite\nconnect = <db\nmap {\n}\n= x\n")[..2],
            [
                "sql.ext:5: the line begins with '=': the setting's name is missing",
                "sql.ext:2: connect: a value cannot come from a file here (write it into this file)",
            ]
        );
        assert!(faults("map {\n}\n")[0].contains("there are no blocks in this file"));
    }

    #[test]
    fn a_query_for_updates_is_only_warned_of() {
        let (_, warnings) = read("driver=sqlite\nconnect=/db\nupdate_query = UPDATE x\n").unwrap();
        assert_eq!(warnings[0].to_string(), "sql.ext:3: warning: update_query is not used");
    }
}
