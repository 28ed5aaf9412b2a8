//! From the tree to written settings: which row each setting is, in which block it holds, its
//! `$variables` replaced, its value read by its row's setter. Finds unknown names and wrong values.

use std::collections::{BTreeMap, BTreeSet};

use crate::files;
use crate::filter::{Filter, Protocol};
use crate::nearest::nearest;
use crate::problem::{Problem, Severity};
use crate::rows::{self, Known, Reach, SectionKind, Standing};
use crate::syntax::{self, MAX_PROBLEMS, Node, Raw, Section, Setting};
use crate::value::{Invalid, Kind, Net, Place, Value};

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

/// The order in which filters stand inside each other, outermost first.
const FILTERS: &[&str] = &["local", "local_name", "remote", "protocol"];

/// Services whose listeners matter.
const SERVICES: &[&str] = &["anvil", "auth", "auth-worker", "imap-login", "pop3-login"];

/// The other services of the original.
const OTHER_SERVICES: &[&str] = &[
    "aggregator",
    "config",
    "dict",
    "dict-async",
    "dict-expire",
    "director",
    "dns-client",
    "dns_client",
    "doveadm",
    "health-check",
    "imap",
    "imap-hibernate",
    "imap-urlauth",
    "imap-urlauth-login",
    "imap-urlauth-worker",
    "indexer",
    "indexer-worker",
    "ipc",
    "lmtp",
    "log",
    "managesieve",
    "managesieve-login",
    "old-stats",
    "pop3",
    "quota-status",
    "replicator",
    "stats",
    "submission",
    "submission-login",
    "tcpwrap",
];

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
            if self.is_full(place_of(node)) {
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

    fn filter(&mut self, section: &Section, path: &[usize]) {
        let outer = self.innermost(path);
        let mut filter = outer.filter.clone();
        let mut titles = outer.titles.clone();
        let depth = |kind: &str| FILTERS.iter().position(|filter| *filter == kind);
        if let Some((kind, _)) = titles.iter().find(|(kind, _)| depth(kind) > depth(&section.kind)) {
            let text = format!("{}: not allowed inside {kind}", section.kind);
            let hint = format!("put the {kind} block inside the {} block", section.kind);
            return self.error(&section.place, text, Some(hint));
        }
        match narrow(&mut filter, section) {
            Ok(()) => {}
            Err(invalid) => return self.invalid(&section.place, &section.kind, invalid),
        }
        self.protocol_name(section);
        titles.push((section.kind.clone(), section.name.clone()));
        let index = self.blocks.iter().position(|block| block.filter == filter).unwrap_or_else(|| {
            self.blocks.push(Block { filter, titles, ..Block::default() });
            self.blocks.len() - 1
        });
        let inner: Vec<usize> = path.iter().copied().chain([index]).collect();
        self.nodes(&section.nodes, &inner);
    }

    /// Any name may be meant, as clients of the auth socket bring their own; but not a misspelt one.
    fn protocol_name(&mut self, section: &Section) {
        const NAMES: &[&str] = &[
            "doveadm",
            "imap",
            "lda",
            "lmtp",
            "pop3",
            "sieve",
            "smtp",
            "submission",
            "xmpp",
            "ldap",
            "smtps",
        ];
        let name = section.name.trim_start_matches('!');
        if section.kind == "protocol"
            && !NAMES.contains(&name)
            && let Some(hint) = nearest(name, NAMES.iter().copied())
        {
            let text = format!("protocol {name}: there is no such protocol");
            self.problems.push(Problem::warning(&section.place, text).hint(hint));
        }
    }

    fn section(&mut self, section: &Section, path: &[usize]) {
        let Some(kind) = rows::section(&section.kind, None) else {
            return self.unknown_section(section, "", &top_sections());
        };
        let block = self.innermost(path);
        if kind.standing == Standing::Honoured {
            let fits = match kind.name {
                "service" => block.filter.is_global(),
                _ => block.filter.only_protocol(),
            };
            if !fits {
                let text = format!("{}: not allowed inside {}", kind.name, inside(&block.titles));
                return self.error(&section.place, text, Some("move it out of the block".to_owned()));
            }
        }
        if kind.name == "service" && section.name.is_empty() {
            return self.error(
                &section.place,
                "service: which one?",
                Some("write service NAME {".to_owned()),
            );
        }
        if let Some(other) = self.blocks.iter().flat_map(|block| &block.sections).find(|other| {
            kind.accumulates
                && other.kind.name == kind.name
                && other.name == section.name
                && !other.name.is_empty()
        }) {
            let first = format!("{}:{}", other.place.file.display(), other.place.line);
            let text = format!("{} {}: already exists, at {first}", kind.name, section.name);
            return self.error(&section.place, text, Some("give one of them another name".to_owned()));
        }
        let mut groups = std::mem::take(&mut self.innermost(path).sections);
        self.group(section, kind, &mut groups, "", path);
        self.innermost(path).sections = groups;
    }

    /// Reads a section into `groups`, into the one of the same name if the kind merges.
    fn group(
        &mut self,
        section: &Section,
        kind: &'static SectionKind,
        groups: &mut Vec<Group>,
        context: &str,
        path: &[usize],
    ) {
        // Merged by the name they call themselves, if they do.
        let own_name = own_name_key(kind);
        let named = section.nodes.iter().rev().find_map(|node| match node {
            Node::Setting(Setting { name, value: Raw::Plain(own) | Raw::Quoted(own), .. })
                if Some(name.as_str()) == own_name =>
            {
                Some(own)
            }
            _ => None,
        });
        let name = named.unwrap_or(&section.name).as_str();
        let known = groups
            .iter()
            .position(|group| !kind.accumulates && group.kind.name == kind.name && group.name == name);
        let index = known.unwrap_or_else(|| {
            groups.push(Group {
                kind,
                name: name.to_owned(),
                place: section.place.clone(),
                settings: BTreeMap::new(),
                groups: Vec::new(),
                faulty: false,
            });
            groups.len() - 1
        });
        let mut counts = kind.standing == Standing::Honoured;
        if kind.name == "service" && !SERVICES.contains(&name) {
            counts = false;
            self.other_service(name, &section.place);
        }
        let context = match name {
            "" => format!("{context}{}: ", kind.name),
            name => format!("{context}{} {name}: ", kind.name),
        };
        let around = kind.parent.and_then(|parent| rows::section(parent, None));
        if kind.standing == Standing::Ignored
            && around.is_none_or(|around| around.standing == Standing::Honoured)
        {
            self.ignored.insert(format!("{} {{}}", kind.name));
        }
        for node in &section.nodes {
            if self.is_full(place_of(node)) {
                return;
            }
            match node {
                Node::Setting(setting) if Some(setting.name.as_str()) == own_name => {}
                Node::Setting(setting) => {
                    let Some((row, said)) = self.inner_setting(setting, kind, &context, path) else {
                        groups[index].faulty = true;
                        continue;
                    };
                    if counts
                        && row.is_some_and(|row| row.standing() == Standing::Ignored && changes(row, &said))
                    {
                        self.ignored.insert(format!("{} {{ {} }}", kind.name, setting.name));
                    }
                    groups[index].settings.insert(setting.name.clone(), said);
                }
                Node::Section(inner) => match rows::section(&inner.kind, Some(kind.name)) {
                    Some(inner_kind) => {
                        self.group(inner, inner_kind, &mut groups[index].groups, &context, path);
                    }
                    None => {
                        let allowed: Vec<&str> = rows::SECTIONS
                            .iter()
                            .filter(|other| other.parent == Some(kind.name))
                            .map(|other| other.name)
                            .collect();
                        self.unknown_section(inner, &context, &allowed);
                    }
                },
            }
        }
    }

    /// A service without effect, which the original may not have either.
    fn other_service(&mut self, name: &str, place: &Place) {
        if OTHER_SERVICES.contains(&name) {
            self.ignored.insert(format!("service {name} {{}}"));
        } else {
            let hint = nearest(name, SERVICES.iter().chain(OTHER_SERVICES).copied());
            let text = format!("service {name}: there is no such service");
            self.problems.push(Problem { hint, ..Problem::warning(place, text) });
        }
    }

    /// A setting inside a section: its row, if the section does not take any name, and its value.
    fn inner_setting(
        &mut self,
        setting: &Setting,
        kind: &'static SectionKind,
        context: &str,
        path: &[usize],
    ) -> Option<(Option<&'static dyn Known>, Said)> {
        let Some(rows) = kind.rows else {
            // Any name goes, and no value matters.
            let value = match &setting.value {
                Raw::Quoted(text) => Value::Text(text.clone()),
                Raw::Plain(text) => Value::Text(self.replaced(text, setting, context, path)?),
                Raw::File(written) => Value::File {
                    written: written.clone(),
                    path: files::beside(&setting.place.file, written),
                },
            };
            return Some((None, Said { value, shown: None, place: setting.place.clone() }));
        };
        let rows = rows();
        let Some(row) = rows.iter().find(|row| row.name() == setting.name) else {
            let hint = nearest(&setting.name, rows.iter().map(|row| row.name())).or_else(|| {
                rows::global()
                    .contains_key(setting.name.as_str())
                    .then(|| "it stands outside of the block; is a '}' missing?".to_owned())
            });
            self.error(&setting.place, format!("{context}unknown setting \"{}\"", setting.name), hint);
            return None;
        };
        let said = self.value(setting, *row, context, path)?;
        Some((Some(*row), said))
    }

    fn unknown_section(&mut self, section: &Section, context: &str, allowed: &[&str]) {
        let kind = &section.kind;
        if rows::global().contains_key(kind.as_str()) {
            let text = format!("{context}\"{kind}\" is a setting, not a block");
            return self.error(&section.place, text, Some(format!("write {kind} = VALUE")));
        }
        let hint = if !context.is_empty()
            && (FILTERS.contains(&kind.as_str()) || top_sections().contains(&&**kind))
        {
            Some("it stands outside of the block; is a '}' missing?".to_owned())
        } else {
            nearest(kind, allowed.iter().copied())
        };
        self.error(&section.place, format!("{context}unknown block \"{kind}\""), hint);
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

/// The setting by which a section may give itself a name instead of in its first line.
fn own_name_key(kind: &SectionKind) -> Option<&'static str> {
    match kind.name {
        "fifo_listener" | "unix_listener" => Some("path"),
        "inet_listener" | "mailbox" | "namespace" | "service" => Some("name"),
        _ => None,
    }
}

fn place_of(node: &Node) -> &Place {
    match node {
        Node::Setting(setting) => &setting.place,
        Node::Section(section) => &section.place,
    }
}

/// Whether the value is another than the default.
pub(crate) fn changes(row: &dyn Known, said: &Said) -> bool {
    said.shown.is_some() || row.kind().show(&said.value.written()) != row.default()
}

/// Narrows a filter by one more block.
fn narrow(filter: &mut Filter, section: &Section) -> Result<(), Invalid> {
    if section.name.is_empty() {
        return Err(Invalid::new("which one?").hint(format!("write {} NAME {{", section.kind)));
    }
    let twice = |kind: &str| Err(Invalid::new(format!("not allowed inside another {kind} block")));
    match section.kind.as_str() {
        "protocol" if filter.protocol.is_some() => return twice("protocol"),
        "protocol" => {
            let (name, negated) = match section.name.strip_prefix('!') {
                Some(name) => (name, true),
                None => (section.name.as_str(), false),
            };
            filter.protocol = Some(Protocol { name: name.to_owned(), negated });
        }
        "local" => filter.local = Some(narrower(filter.local, &section.name)?),
        "remote" => filter.remote = Some(narrower(filter.remote, &section.name)?),
        _ if !filter.local_names.is_empty() => return twice("local_name"),
        _ => filter.local_names = section.name.split_whitespace().map(str::to_ascii_lowercase).collect(),
    }
    Ok(())
}

fn narrower(outer: Option<Net>, name: &str) -> Result<Net, Invalid> {
    let net = Net::parse(name)?;
    match outer {
        Some(outer) if !outer.includes(&net) => {
            Err(Invalid::new(format!("{net} is not inside {outer}, the block around it")))
        }
        _ => Ok(net),
    }
}

/// `remote 10.0.0.0/8 { protocol imap`, for messages.
fn inside(titles: &[(String, String)]) -> String {
    let titles: Vec<String> = titles.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
    titles.join(" { ")
}

fn top_sections() -> Vec<&'static str> {
    rows::SECTIONS.iter().filter(|kind| kind.parent.is_none()).map(|kind| kind.name).collect()
}
