//! The syntax of Dovecot 2.3: lines, blocks, quotes, comments, includes, `$variables` and `<FILE`
//! become a tree with a place on every node. Knows no setting; never stops at the first problem.

use std::path::{Path, PathBuf};

use crate::files::{MAX_FILES, beside, matching_files, read};
use crate::problem::{Problem, Severity};
use crate::value::Place;

/// What was read, as far as it could be.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// Settings and blocks in the order of the files.
    pub nodes: Vec<Node>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// The text of every file read, by the name used in places, in the order of reading.
    pub sources: Vec<(PathBuf, String)>,
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub enum Node {
    /// `key = value`.
    Setting(Setting),
    /// `kind name {` … `}`.
    Section(Section),
}

/// `key = value`.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The key as written.
    pub name: String,
    /// The value, `$variables` not replaced yet.
    pub value: Raw,
    /// Its line.
    pub place: Place,
}

/// A value before its `$variables` are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// Not quoted: words that begin with `$` are variables.
    Plain(String),
    /// It begins with a quote: nothing in it is special. Quotes around the whole are taken off.
    Quoted(String),
    /// `<FILE`, the file as written.
    File(String),
}

/// `kind name {` … `}`.
#[derive(Clone, Debug)]
pub struct Section {
    /// The first word.
    pub kind: String,
    /// The word after it; empty when there is none.
    pub name: String,
    /// What stands in it.
    pub nodes: Vec<Node>,
    /// The line that opens it.
    pub place: Place,
}

/// Reads a file and everything it includes.
pub fn parse_file(path: &Path) -> Parsed {
    let mut parser = Parser { includes: true, ..Parser::default() };
    match read(path) {
        Ok(text) => parser.file(path, &text),
        Err(why) => parser.parsed.problems.push(Problem {
            severity: Severity::Error,
            place: None,
            text: format!("{}: {why}", path.display()),
            hint: None,
        }),
    }
    parser.finish()
}

/// Reads text from memory; `name` stands for its file. Includes are problems here.
pub fn parse_text(name: &str, text: &str) -> Parsed {
    let mut parser = Parser::default();
    parser.file(Path::new(name), text);
    parser.finish()
}

/// Replaces the `$variables` of an unquoted value: words that begin with `$`, up to the next blank.
///
/// `lookup` gives the value of a setting so far. The error is the unknown variable.
pub fn replace_variables(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    if !text.contains('$') {
        return Ok(text.to_owned());
    }
    let mut replaced = String::new();
    // Once there is a '$', runs of blanks count as one.
    let words = text.split(' ').map(str::trim_start).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            replaced.push(' ');
        }
        match word.strip_prefix('$') {
            None => replaced.push_str(word),
            Some(name) => match name.strip_prefix("ENV:") {
                Some(variable) => replaced.push_str(&std::env::var(variable).unwrap_or_default()),
                None => replaced.push_str(&lookup(name).ok_or_else(|| word.to_owned())?),
            },
        }
    }
    Ok(replaced)
}

/// Blocks in blocks beyond this are refused: no setting of Dovecot needs more than five.
const MAX_DEPTH: usize = 16;
/// Files including files beyond this are refused.
const MAX_INCLUDES: usize = 32;
/// Problems kept; a binary file would give one a line.
pub(crate) const MAX_PROBLEMS: usize = 200;

#[derive(Default)]
struct Parser {
    parsed: Parsed,
    /// The open blocks, outermost first. A block may be closed in another file than it was opened in.
    open: Vec<Section>,
    /// How many blocks beyond [`MAX_DEPTH`] are open.
    too_deep: usize,
    /// The files being read, outermost first, to catch loops.
    reading: Vec<PathBuf>,
    files: usize,
    includes: bool,
}

impl Parser {
    fn finish(mut self) -> Parsed {
        while let Some(section) = self.open.pop() {
            let what = title(&section);
            self.error(&section.place.clone(), format!("missing '}}': {what} is never closed"), None);
            self.attach(Node::Section(section));
        }
        self.parsed
    }

    fn file(&mut self, path: &Path, text: &str) {
        self.files += 1;
        self.reading.push(path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if !self.parsed.sources.iter().any(|(known, _)| known == path) {
            self.parsed.sources.push((path.to_owned(), text.to_owned()));
        }

        let mut joined = String::new();
        let mut place = Place { file: path.to_owned(), line: 0 };
        for (index, line) in text.lines().enumerate() {
            if joined.is_empty() {
                place.line = index + 1;
            }
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                if !joined.is_empty() {
                    self.warning(
                        &place,
                        "the line continued by a '\\' ends at an empty line or a comment",
                        Some("take the last '\\' away"),
                    );
                    self.statement(std::mem::take(&mut joined).trim_end(), &place);
                }
                continue;
            }
            let (code, ambiguous) = without_comment(line);
            if ambiguous {
                let here = Place { line: index + 1, ..place.clone() };
                self.warning(
                    &here,
                    "the '#' after a letter begins a comment",
                    Some("put a blank before it, or quotes around the value"),
                );
            }
            match code.strip_suffix('\\') {
                Some(code) => {
                    joined.push_str(code.trim_end());
                    joined.push(' ');
                }
                None => {
                    joined.push_str(code);
                    self.statement(std::mem::take(&mut joined).trim(), &place);
                }
            }
        }
        if !joined.is_empty() {
            self.statement(joined.trim(), &place);
        }
        self.reading.pop();
    }

    /// One line without comment, continuation lines joined.
    fn statement(&mut self, line: &str, place: &Place) {
        if line.is_empty() {
            return;
        }
        if line == "}" {
            return self.close(place);
        }
        let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
        let (key, rest) = line.split_at(end);
        let rest = rest.trim_start();
        match key {
            "!include" => return self.include(rest, true, place),
            "!include_try" => return self.include(rest, false, place),
            _ => {}
        }
        if let Some(value) = rest.strip_prefix('=') {
            if key.is_empty() {
                return self.error(place, "the line begins with '=': the setting's name is missing", None);
            }
            return self.setting(key, value.trim(), place);
        }
        self.open(key, rest, place);
    }

    fn setting(&mut self, name: &str, value: &str, place: &Place) {
        if value.contains(['\u{fffd}', '\0']) {
            let text = format!("{name}: the value is not UTF-8 text");
            return self.error(place, text, Some("save the file as UTF-8"));
        }
        let value = match value.strip_prefix('<') {
            Some(file) => Raw::File(file.trim().to_owned()),
            None => match unquoted(value) {
                Some(inner) => Raw::Quoted(inner),
                // A quote that is not closed keeps the value from being anything but itself.
                None if value.starts_with(['"', '\'']) => Raw::Quoted(value.to_owned()),
                None => Raw::Plain(value.to_owned()),
            },
        };
        self.attach(Node::Setting(Setting { name: name.to_owned(), value, place: place.clone() }));
    }

    /// `kind {`, `kind name {` or `kind "name" {`, the kind already cut off.
    fn open(&mut self, kind: &str, rest: &str, place: &Place) {
        let (name, rest) = match rest.strip_prefix('"') {
            Some(quoted) => match end_of_quotes(quoted, '"') {
                Some(end) => (unescaped(&quoted[..end]), &quoted[end + 1..]),
                None => (quoted.to_owned(), ""),
            },
            None if rest.starts_with('{') => (String::new(), rest),
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        let Some(garbage) = rest.trim_start().strip_prefix('{') else {
            let text = format!("expecting '=' or '{{' after \"{kind}\"");
            let hint = if kind.ends_with('{') || name.ends_with('{') {
                "put a blank before the '{'"
            } else if kind.starts_with('}') {
                "let the '}' stand alone"
            } else {
                "write NAME = VALUE, or NAME {"
            };
            return self.error(place, text, Some(hint));
        };
        let garbage = garbage.trim();
        if !garbage.is_empty() {
            self.error(place, format!("\"{garbage}\" after '{{'"), Some("let the '{' end the line"));
            if garbage.ends_with('}') {
                return;
            }
        }
        if self.open.len() >= MAX_DEPTH {
            if self.too_deep == 0 {
                self.error(place, format!("{kind}: more than {MAX_DEPTH} blocks inside each other"), None);
            }
            self.too_deep += 1;
            return;
        }
        self.open.push(Section { kind: kind.to_owned(), name, nodes: Vec::new(), place: place.clone() });
    }

    fn close(&mut self, place: &Place) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        match self.open.pop() {
            Some(section) => self.attach(Node::Section(section)),
            None => self.error(place, "unexpected '}': no block is open", None),
        }
    }

    fn attach(&mut self, node: Node) {
        if self.too_deep > 0 {
            return;
        }
        match self.open.last_mut() {
            Some(section) => section.nodes.push(node),
            None => self.parsed.nodes.push(node),
        }
    }

    fn include(&mut self, pattern: &str, needed: bool, place: &Place) {
        if !self.includes {
            return self.error(place, "!include: nothing can be included here", None);
        }
        if pattern.is_empty() {
            return self.error(place, "!include: which file?", Some("write !include FILE"));
        }
        if self.reading.len() >= MAX_INCLUDES {
            return self.error(
                place,
                format!("!include: more than {MAX_INCLUDES} files inside each other"),
                None,
            );
        }
        let files = matching_files(&beside(&place.file, pattern));
        if files.is_empty() && needed {
            let text = format!("!include: no file matches \"{pattern}\"");
            return self.error(place, text, Some("write !include_try if it may be absent"));
        }
        for file in files {
            if self.files >= MAX_FILES {
                return self.error(place, format!("!include: more than {MAX_FILES} files"), None);
            }
            let real = file.canonicalize().unwrap_or_else(|_| file.clone());
            if self.reading.contains(&real) {
                self.error(place, format!("!include: {} includes itself", file.display()), None);
                continue;
            }
            match read(&file) {
                Ok(text) => self.file(&file, &text),
                Err(why) => self.error(place, format!("!include: {}: {why}", file.display()), None),
            }
        }
    }

    fn error(&mut self, place: &Place, text: impl Into<String>, hint: Option<&str>) {
        self.problem(Problem { hint: hint.map(str::to_owned), ..Problem::error(place, text) });
    }

    fn warning(&mut self, place: &Place, text: &str, hint: Option<&str>) {
        self.problem(Problem { hint: hint.map(str::to_owned), ..Problem::warning(place, text) });
    }

    fn problem(&mut self, problem: Problem) {
        match self.parsed.problems.len() {
            MAX_PROBLEMS => self.parsed.problems.push(too_many_problems(problem.place)),
            many if many > MAX_PROBLEMS => {}
            _ => self.parsed.problems.push(problem),
        }
    }
}

/// The last problem when there are more: an error, as what was not told may have been one.
pub(crate) fn too_many_problems(place: Option<Place>) -> Problem {
    let text = format!("more than {MAX_PROBLEMS} problems, the others are not told");
    Problem { severity: Severity::Error, place, text, hint: None }
}

/// A block as one would write it: `passdb`, `service auth`.
fn title(section: &Section) -> String {
    if section.name.is_empty() { section.kind.clone() } else { format!("{} {}", section.kind, section.name) }
}

/// The line without its comment, and whether the `#` stood at the end of a word.
///
/// Quotes anywhere in the line hide a `#`; a quote that is never closed hides the rest of the line.
fn without_comment(line: &str) -> (&str, bool) {
    let mut quote = None;
    let mut escaped = false;
    let mut before = ' ';
    for (index, c) in line.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '#' => return (line[..index].trim_end(), !before.is_whitespace()),
            None => {}
        }
        before = c;
    }
    (line, false)
}

/// The inside of a value that begins and ends with the same quote, escapes resolved.
fn unquoted(value: &str) -> Option<String> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    if !value.ends_with(quote) {
        return None;
    }
    // One lonely quote begins and ends the value: the original reads it as empty.
    let inner = value.get(1..value.len() - 1).unwrap_or("");
    Some(unescaped(inner))
}

/// Text with each backslash gone and the character after it kept.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            plain.push(c);
            escaped = false;
        }
    }
    plain
}

/// Where the first `quote` without a backslash before it stands.
fn end_of_quotes(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return Some(index);
        }
    }
    None
}
