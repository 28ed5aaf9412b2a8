//! What an administrator writes: `dovecot.conf`, the values in it, and the files and arguments of databases.

use std::path::Path;

use config::database;
use config::problem::Problem;
use config::show::Show;
use config::value::{self, Kind, Place};

/// Reading never fails but by telling why, and what is shown reads the same again.
pub(crate) fn configuration(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // Settings may name files; a device or a pipe could keep the reader waiting for ever.
    if ["/dev", "/proc", "/sys"].iter().any(|place| text.contains(place)) {
        return;
    }
    let loaded = config::load_text("dovecot.conf", &text);
    told(&loaded.problems);
    let Some(config) = loaded.config else {
        assert!(!loaded.problems.is_empty(), "refused without a word");
        return;
    };
    // All the settings are many, so only some inputs see them.
    for only_changed in [true, false].into_iter().take(if input.len().is_multiple_of(4) { 2 } else { 1 }) {
        let show = Show { only_changed, secrets: true };
        let shown = show.text(&config);
        let again = config::load_text("dovecot.conf", &shown);
        let problems = again.problems;
        let Some(again) = again.config else { panic!("what was shown is refused: {problems:?}\n{shown}") };
        assert_eq!(show.text(&again), shown);
    }
}

/// The file of the sql driver.
pub(crate) fn sql_file(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match database::sql_text(Path::new("dovecot-sql.conf.ext"), &text) {
        Ok((settings, warnings)) => {
            assert!(!settings.connect.as_os_str().is_empty());
            told(&warnings);
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            told(&problems);
        }
    }
}

/// `args` of the drivers that take words, which are one line of a file.
pub(crate) fn arguments(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let text = text.lines().next().unwrap_or_default();
    let place = Place { file: "dovecot.conf".into(), line: 1 };
    match database::passwd_file(text, &place) {
        Ok(read) => assert!(text.contains(&read.path) && !read.path.is_empty()),
        Err(problems) => told(&problems),
    }
    match database::fixed(text, &place) {
        Ok(read) => assert!(read.fields.iter().all(|field| !field.name.is_empty())),
        Err(problems) => told(&problems),
    }
}

/// Values by themselves: what is shown of one reads the same and is shown the same.
pub(crate) fn values(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for kind in KINDS {
        let shown = kind.show(&text);
        if kind.check(&text).is_ok() {
            assert_eq!(kind.check(&shown), Ok(()), "{kind:?} {shown}");
        }
        assert_eq!(kind.show(&shown), shown, "{kind:?}");
    }
    for (shown, read) in [
        (Kind::Time.show(&text), value::time(&text)),
        (Kind::Milliseconds.show(&text), value::milliseconds(&text)),
    ] {
        if let Ok(duration) = read {
            assert_eq!(value::milliseconds(&shown), Ok(duration));
        }
    }
    if let Ok(bytes) = value::size(&text) {
        assert_eq!(value::size(&value::show_size(bytes)), Ok(bytes));
    }
    if let Ok(mode) = value::mode(&text) {
        assert_eq!(value::mode(&value::show_mode(mode)), Ok(mode));
    }
    if let Ok(networks) = value::networks(&text) {
        let shown: Vec<_> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(value::networks(&shown.join(" ")), Ok(networks));
    }
}

const KINDS: [Kind; 11] = [
    Kind::Text,
    Kind::Boolean,
    Kind::Time,
    Kind::Milliseconds,
    Kind::Size,
    Kind::Number,
    Kind::Port,
    Kind::Mode,
    Kind::Networks,
    Kind::Addresses,
    Kind::Choice(&["yes", "no", "required"]),
];

/// Every problem can be told in one line, and there is an end to them.
fn told(problems: &[Problem]) {
    assert!(problems.len() <= 2000, "{} problems", problems.len());
    for problem in problems {
        let line = problem.to_string();
        assert!(!line.contains('\n'), "{line}");
    }
}
