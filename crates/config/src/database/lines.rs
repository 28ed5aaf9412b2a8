//! Lines of a database driver's own settings file: comments, quotes, continuation.
//! The same lexical rules as in the main configuration, without sections. Knows no setting.

use std::path::Path;

use crate::problem::Problem;
use crate::value::Place;

/// One setting as written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it begins.
    pub(super) place: Place,
    /// What stands before the `=`.
    pub(super) key: String,
    /// What stands behind it, trimmed and unquoted.
    pub(super) value: String,
}

/// Reads `text`, the contents of `file`. What cannot be read is a problem and no line.
pub(super) fn lines(file: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Line> {
    let mut found = Vec::new();
    let mut begun: Option<(Place, String)> = None;
    for (index, raw) in text.lines().enumerate() {
        let here = Place { file: file.to_owned(), line: index + 1 };
        let bare = raw.trim();
        if bare.is_empty() || bare.starts_with('#') {
            // A blank or comment line ends a continuation.
            take(begun.take(), &mut found, problems);
            continue;
        }
        let (bare, ambiguous) = without_comment(bare);
        if ambiguous {
            problems.push(
                Problem::warning(&here, "\"#\" inside a word begins a comment").hint("quote the value"),
            );
        }
        let (bare, continues) = match bare.strip_suffix('\\') {
            Some(bare) => (bare, true),
            None => (bare, false),
        };
        let line = match begun.take() {
            Some((place, mut line)) => {
                line.push(' ');
                line.push_str(bare);
                (place, line)
            }
            None => (here, bare.to_owned()),
        };
        if continues {
            begun = Some(line);
        } else {
            take(Some(line), &mut found, problems);
        }
    }
    take(begun, &mut found, problems);
    found
}

/// Splits a whole line into key and value.
fn take(line: Option<(Place, String)>, found: &mut Vec<Line>, problems: &mut Vec<Problem>) {
    let Some((place, text)) = line else { return };
    let text = text.trim();
    match text.split_once('=') {
        _ if text.is_empty() => {}
        _ if text.starts_with('!') => problems.push(
            Problem::error(&place, format!("\"{text}\" is not read in this file"))
                .hint("write the settings themselves"),
        ),
        None => problems
            .push(Problem::error(&place, format!("\"{text}\" is no setting")).hint("write name = value")),
        Some((key, _)) if key.trim().is_empty() => problems.push(
            Problem::error(&place, "missing setting name before \"=\"")
                .hint("end the line before with \\ to continue it"),
        ),
        Some((key, value)) => {
            let (key, value) = (key.trim().to_owned(), unquoted(value.trim()));
            found.push(Line { place, key, value });
        }
    }
}

/// Cuts the comment off, and says whether its `#` stood inside a word. A `#` in quotes is none.
fn without_comment(line: &str) -> (&str, bool) {
    let mut quote = None;
    let mut escaped = false;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => return (line[..at].trim_end(), !before.is_whitespace()),
            _ => {}
        }
        before = c;
    }
    (line, false)
}

/// Takes off quotes that enclose the whole value; inside double ones `\` keeps the next character.
fn unquoted(value: &str) -> String {
    let inner = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    if let Some(inner) = inner('\'') {
        return inner.to_owned();
    }
    let Some(inner) = inner('"') else { return value.to_owned() };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            _ => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(usize, String, String)>, Vec<String>) {
        let mut problems = Vec::new();
        let found = lines(Path::new("sql.ext"), text, &mut problems);
        (
            found.into_iter().map(|l| (l.place.line, l.key, l.value)).collect(),
            problems.iter().map(ToString::to_string).collect(),
        )
    }

    fn value(text: &str) -> String {
        read(text).0.remove(0).2
    }

    #[test]
    fn continuation_joins_with_one_blank() {
        let (found, problems) = read("a = \\\n  SELECT x, \\\n\t y\\\nz\nb=1\n");
        assert_eq!(problems, [""; 0]);
        assert_eq!(found[0].2.split_whitespace().collect::<Vec<_>>(), ["SELECT", "x,", "y", "z"]);
        assert_eq!((found[0].0, found[1].0), (1, 5));
    }

    #[test]
    fn an_empty_or_comment_line_ends_a_continuation() {
        let (found, problems) = read("a = x \\\n# note\nb = 1\nc = y \\\n\nd = 2\n");
        let pairs: Vec<_> = found.iter().map(|f| (f.1.as_str(), f.2.as_str())).collect();
        assert_eq!(pairs, [("a", "x"), ("b", "1"), ("c", "y"), ("d", "2")]);
        assert!(problems.is_empty());
    }

    #[test]
    fn comments_and_quotes_follow_the_main_file() {
        assert_eq!(value("a = x # note"), "x");
        assert_eq!(value("a = \"x # y\""), "x # y");
        assert_eq!(value("a = \"say \\\"hi\\\" \\\\\""), "say \"hi\" \\");
        assert_eq!(value("a = 'x # y'"), "x # y");
        assert_eq!(value("a = WHERE x = '#' # note"), "WHERE x = '#'");
        assert_eq!(value("a = \"unterminated"), "\"unterminated");
        assert_eq!(value("a = \"x\" b"), "\"x\" b");
        assert_eq!(
            read("a = b#c").1,
            ["sql.ext:1: warning: \"#\" inside a word begins a comment (quote the value)"]
        );
    }

    #[test]
    fn what_is_no_setting_is_told_with_its_line() {
        assert_eq!(
            read("password_query = SELECT x WHERE userid\n= '%u'\nnonsense\n!include x\n").1,
            [
                "sql.ext:2: missing setting name before \"=\" (end the line before with \\ to continue it)",
                "sql.ext:3: \"nonsense\" is no setting (write name = value)",
                "sql.ext:4: \"!include x\" is not read in this file (write the settings themselves)",
            ]
        );
    }

    #[test]
    fn no_input_panics() {
        for text in ["=", "\\", "a=\\", "a=\"", "a='", "\"", "#", "a=\"\\", "a = \"\\\"", "\\\n\\\n", "é=#é"]
        {
            read(text);
        }
    }
}
