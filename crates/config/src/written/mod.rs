//! From the tree to written settings: which row each setting is, in which block it holds, its
//! `$variables` replaced, its value read by its row's setter. Finds unknown names and wrong values.

mod filters;
mod sections;

use std::collections::{BTreeMap, BTreeSet};

use crate::files;
use crate::filter::Filter;
use crate::nearest::nearest;
use crate::problem::{Problem, Severity};
use crate::rows::{self, Known, Reach, SectionKind, Standing};
use crate::syntax::{self, MAX_PROBLEMS, Node, Raw, Setting};
use crate::value::{Invalid, Kind, Place, Value};
use filters::FILTERS;
use sections::top_sections;

/// What stands in one filter block, or outside of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    pub(crate) filter: Filter,
    /// The filter as written, from the outermost block inwards: kind and name.
    pub(crate) titles: Vec<(String, String)>,
    pub(crate) settings: BTreeMap<String, Said>,
    pub(crate) sections: Vec<Group>,
}

/// A section that is no filter.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) kind: &'static SectionKind,
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) settings: BTreeMap<String, Said>,
    pub(crate) groups: Vec<Group>,
    /// Whether something in it could not be read, so that what is missing may have been meant.
    pub(crate) faulty: bool,
}

/// A value and where it was said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) value: Value,
    /// `<FILE` when `value` is what the file holds.
    pub(crate) shown: Option<String>,
    pub(crate) place: Place,
}

/// Reads the tree. The first block is the one without filter.
pub(crate) fn read(nodes: &[Node]) -> (Vec<Block>, Vec<Problem>) {
    let mut reader = Reader {
        blocks: vec![Block::default()],
        problems: Vec::new(),
        full: false,
        ignored: BTreeSet::new(),
    };
    reader.nodes(nodes, &[0]);
    if !reader.ignored.is_empty() {
        let names: Vec<String> = reader.ignored.into_iter().collect();
        reader.problems.push(Problem {
            severity: Severity::Warning,
            place: None,
            text: format!("settings without effect here: {}", names.join(", ")),
            hint: Some("they are accepted so that existing files load".to_owned()),
        });
    }
    (reader.blocks, reader.problems)
}

/// The longest value once its variables are replaced: `$x $x` in a chain would grow without end.
const MAX_VALUE: usize = 64 * 1024;

/// What is known while the tree is walked.
struct Reader {
    blocks: Vec<Block>,
    problems: Vec<Problem>,
    /// Whether there are more problems than are told.
    full: bool,
    /// What was used and has no effect.
    ignored: BTreeSet<String>,
}

impl Reader {
    /// Nodes inside the filter blocks `path`, outermost first.
    fn nodes(&mut self, nodes: &[Node], path: &[usize]) {
        for node in nodes {
            if self.is_full(node.place()) {
                return;
            }
            match node {
                Node::Setting(setting) => self.setting(setting, path),
                Node::Section(section) if FILTERS.contains(&section.kind.as_str()) => {
                    self.filter(section, path);
                }
                Node::Section(section) => self.section(section, path),
            }
        }
    }

    /// Whether there are so many problems that reading on would tell nothing.
    fn is_full(&mut self, place: &Place) -> bool {
        if !self.full && self.problems.len() >= MAX_PROBLEMS {
            self.full = true;
            self.problems.push(syntax::too_many_problems(Some(place.clone())));
        }
        self.full
    }

    fn setting(&mut self, setting: &Setting, path: &[usize]) {
        let Some((reach, row)) = rows::global().get(setting.name.as_str()).copied() else {
            let sections = top_sections();
            return if sections.contains(&setting.name.as_str()) || FILTERS.contains(&setting.name.as_str()) {
                let text = format!("\"{}\" is a block, not a setting", setting.name);
                self.error(&setting.place, text, Some(format!("write {} {{", setting.name)));
            } else {
                let hint = nearest(&setting.name, rows::global().keys().copied());
                self.error(&setting.place, format!("unknown setting \"{}\"", setting.name), hint);
            };
        };
        let Some(said) = self.value(setting, row, "", path) else { return };
        let block = self.innermost(path);
        match reach {
            Reach::Auth if !block.filter.only_protocol() && row.standing() == Standing::Honoured => {
                let text = format!(
                    "{}: auth settings do not follow local, local_name and remote blocks",
                    row.name()
                );
                let hint = "move it out of them; protocol blocks are followed".to_owned();
                return self.error(&setting.place, text, Some(hint));
            }
            Reach::Server if !block.filter.is_global() && row.standing() == Standing::Honoured => {
                // The original's other programs (lda, doveadm …) do follow their protocol block.
                let elsewhere = block
                    .filter
                    .protocol
                    .as_ref()
                    .is_some_and(|p| !p.negated && !matches!(&*p.name, "imap" | "pop3"));
                if !elsewhere {
                    let text =
                        format!("{}: set once for the whole server, it has no effect in a block", row.name());
                    let hint = Some("move it out of the block".to_owned());
                    self.problems.push(Problem { hint, ..Problem::warning(&setting.place, text) });
                }
            }
            _ if row.standing() == Standing::Ignored && changes(row, &said) => {
                self.ignored.insert(row.name().to_owned());
            }
            _ => {}
        }
        self.innermost(path).settings.insert(row.name().to_owned(), said);
    }

    /// The value that a row takes; `None` after a problem.
    fn value(&mut self, setting: &Setting, row: &dyn Known, context: &str, path: &[usize]) -> Option<Said> {
        let mut shown = None;
        let value = match &setting.value {
            Raw::Quoted(text) => Value::Text(text.clone()),
            Raw::Plain(text) => Value::Text(self.replaced(text, setting, context, path)?),
            Raw::File(written) => {
                let file = files::beside(&setting.place.file, written);
                let kept = row.kind() == Kind::Content || row.standing() == Standing::Ignored;
                if kept && !written.is_empty() {
                    Value::File { written: written.clone(), path: file }
                } else {
                    shown = Some(format!("<{written}"));
                    Value::Text(self.content(&file, setting, context)?)
                }
            }
        };
        let refused = match row.standing() {
            Standing::Refused(why) if row.kind().show(&value.written()) != row.default() => Some(why),
            _ => None,
        };
        match (row.check(&value), refused) {
            (Err(invalid), _) => {
                self.invalid(&setting.place, &format!("{context}{}", row.name()), invalid);
                None
            }
            (Ok(()), Some(why)) => {
                let text = format!("{context}{}: refused, as {why}", row.name());
                self.error(&setting.place, text, Some("take it away if you can do without it".to_owned()));
                None
            }
            (Ok(()), None) => Some(Said { value, shown, place: setting.place.clone() }),
        }
    }

    fn replaced(&mut self, text: &str, setting: &Setting, context: &str, path: &[usize]) -> Option<String> {
        let name = &setting.name;
        match syntax::replace_variables(text, |name| self.so_far(name, path)) {
            Ok(text) if text.len() > MAX_VALUE => {
                let text = format!("{context}{name}: the value is longer than {MAX_VALUE} bytes");
                self.error(&setting.place, text, None);
                None
            }
            Ok(text) => Some(text),
            Err(unknown) => {
                let bare = unknown.trim_start_matches('$');
                let hint = nearest(bare, rows::global().keys().copied())
                    .unwrap_or_else(|| "put quotes around the value if no variable is meant".to_owned());
                self.error(
                    &setting.place,
                    format!("{context}{name}: unknown variable \"{unknown}\""),
                    Some(hint),
                );
                None
            }
        }
    }

    /// The value of a setting so far, as seen from inside the blocks `path`.
    fn so_far(&self, name: &str, path: &[usize]) -> Option<String> {
        let (_, row) = rows::global().get(name)?;
        let said = path.iter().rev().find_map(|index| self.blocks.get(*index)?.settings.get(name));
        Some(said.map_or_else(|| row.default().to_owned(), |said| said.value.written()))
    }

    /// What a file holds, without its last line end.
    fn content(&mut self, file: &std::path::Path, setting: &Setting, context: &str) -> Option<String> {
        let name = &setting.name;
        match files::read(file) {
            Ok(text) if text.len() <= MAX_VALUE => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Some(text.strip_suffix('\r').unwrap_or(text).to_owned())
            }
            Ok(_) => {
                let text = format!("{context}{name}: {} is longer than {MAX_VALUE} bytes", file.display());
                self.error(&setting.place, text, None);
                None
            }
            Err(why) => {
                self.error(&setting.place, format!("{context}{name}: {}: {why}", file.display()), None);
                None
            }
        }
    }

    fn innermost(&mut self, path: &[usize]) -> &mut Block {
        let index = path.last().copied().unwrap_or(0);
        &mut self.blocks[index]
    }

    fn invalid(&mut self, place: &Place, name: &str, invalid: Invalid) {
        self.error(place, format!("{name}: {}", invalid.text), invalid.hint);
    }

    fn error(&mut self, place: &Place, text: impl Into<String>, hint: Option<String>) {
        self.problems.push(Problem { hint, ..Problem::error(place, text) });
    }
}

/// Whether the value is another than the default.
pub(crate) fn changes(row: &dyn Known, said: &Said) -> bool {
    said.shown.is_some() || row.kind().show(&said.value.written()) != row.default()
}
