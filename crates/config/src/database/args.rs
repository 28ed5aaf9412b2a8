//! `args` of the drivers that have no file of their own for settings.

use super::with_nearest;
use crate::problem::Problem;
use crate::value::Place;

/// `args` of a passwd-file: `[scheme=S] [username_format=F] PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswdFileSettings {
    /// Scheme of passwords that name none; `CRYPT` unless said.
    pub scheme: String,
    /// What a line's name is compared with, variables unexpanded; `%u` unless said.
    pub username_format: String,
    /// The file, variables unexpanded. May hold blanks.
    pub path: String,
}

/// Reads the `args` of a passwd-file.
pub fn passwd_file(args: &str, place: &Place) -> Result<PasswdFileSettings, Vec<Problem>> {
    const OPTIONS: [&str; 2] = ["scheme", "username_format"];
    let mut settings = PasswdFileSettings {
        scheme: "CRYPT".to_owned(),
        username_format: "%u".to_owned(),
        path: String::new(),
    };
    let mut problems = Vec::new();
    let mut rest = args.trim();
    while let Some((name, after)) = option(rest) {
        let (value, after) = after.split_once(' ').unwrap_or((after, ""));
        let target = match name {
            "scheme" => &mut settings.scheme,
            "username_format" => &mut settings.username_format,
            _ => {
                let problem = Problem::error(place, format!("passwd-file: unknown option \"{name}\""));
                problems.push(with_nearest(problem, name, &OPTIONS));
                rest = after.trim_start();
                continue;
            }
        };
        if value.is_empty() {
            problems.push(Problem::error(place, format!("passwd-file: option \"{name}\" has no value")));
        }
        value.clone_into(target);
        rest = after.trim_start();
    }
    rest.clone_into(&mut settings.path);
    if rest.is_empty() {
        problems.push(
            Problem::error(place, "passwd-file: args name no file").hint("write args = /path/to/users"),
        );
    }
    if rest.contains('\0') {
        problems.push(Problem::error(place, "passwd-file: the path has a NUL byte"));
    }
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

/// A word `name=…` at the beginning, as the name and everything after the `=`. A path is none: it has
/// a `/`, a `.` or a `%` before any `=`.
fn option(args: &str) -> Option<(&str, &str)> {
    let (name, after) = args.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_name.then_some((name, after))
}

/// `args` of the static driver: fields separated by blanks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticSettings {
    /// The fields in the order written, values unexpanded.
    pub fields: Vec<Field>,
    /// `allow_all_users=yes`: the userdb need not ask the passdbs whether the user exists.
    pub allow_all_users: bool,
}

/// One field as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name, suffix included.
    pub name: String,
    /// Value with its variables; empty when none was written.
    pub value: String,
}

/// Reads the `args` of the static driver.
pub fn fixed(args: &str, place: &Place) -> Result<StaticSettings, Vec<Problem>> {
    let mut settings = StaticSettings::default();
    let mut problems = Vec::new();
    for word in words(args) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match (name, value) {
            ("", _) => {
                problems.push(Problem::error(place, format!("static: field \"{word}\" has no name")));
            }
            ("allow_all_users", "yes") => settings.allow_all_users = true,
            ("allow_all_users", "no") => settings.allow_all_users = false,
            ("allow_all_users", _) => problems.push(
                Problem::error(place, format!("static: invalid allow_all_users \"{value}\""))
                    .hint("use yes or no"),
            ),
            _ => settings.fields.push(Field { name: name.to_owned(), value: value.to_owned() }),
        }
    }
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

/// Words separated by blanks; the blanks inside a `%{…}` separate nothing.
fn words(args: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    let mut before = ' ';
    args.split(move |c: char| {
        match c {
            '{' if depth > 0 || before == '%' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = c;
        c == ' ' && depth == 0
    })
    .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { file: "dovecot.conf".into(), line: 3 }
    }

    fn faults<T>(result: Result<T, Vec<Problem>>) -> Vec<String> {
        result.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_path_is_what_follows_the_options_blanks_included() {
        let read = passwd_file("scheme=SHA256  username_format=%n /etc/my users/%d=x ", &place()).unwrap();
        assert_eq!(read.scheme, "SHA256");
        assert_eq!(read.username_format, "%n");
        assert_eq!(read.path, "/etc/my users/%d=x");
    }

    #[test]
    fn defaults_hold_where_nothing_is_said() {
        let read = passwd_file("/etc/users", &place()).unwrap();
        assert_eq!((read.scheme.as_str(), read.username_format.as_str()), ("CRYPT", "%u"));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        assert_eq!(
            faults(passwd_file("schema=PLAIN username_format= ", &place())),
            [
                "dovecot.conf:3: passwd-file: unknown option \"schema\" (did you mean \"scheme\"?)",
                "dovecot.conf:3: passwd-file: option \"username_format\" has no value",
                "dovecot.conf:3: passwd-file: args name no file (write args = /path/to/users)",
            ]
        );
    }

    #[test]
    fn static_fields_are_words() {
        let read = fixed(" password=a=b  nopassword proxy=y reason=%{if;%u;eq;a b;x;y} ", &place()).unwrap();
        let fields: Vec<_> = read.fields.iter().map(|f| (f.name.as_str(), f.value.as_str())).collect();
        assert_eq!(
            fields,
            [("password", "a=b"), ("nopassword", ""), ("proxy", "y"), ("reason", "%{if;%u;eq;a b;x;y}")]
        );
        assert!(!read.allow_all_users);
    }

    #[test]
    fn allow_all_users_is_no_field() {
        let read = fixed("uid=8 allow_all_users=yes", &place()).unwrap();
        assert!(read.allow_all_users);
        assert_eq!(read.fields.len(), 1);
        assert_eq!(
            faults(fixed("allow_all_users=maybe =x", &place())),
            [
                "dovecot.conf:3: static: invalid allow_all_users \"maybe\" (use yes or no)",
                "dovecot.conf:3: static: field \"=x\" has no name",
            ]
        );
    }
}
