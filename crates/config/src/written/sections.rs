//! Sections that are no filters: `passdb`, `service` with its listeners, and those without effect.

use std::collections::BTreeMap;

use super::filters::FILTERS;
use super::{Group, Reader, Said, changes};
use crate::files;
use crate::nearest::nearest;
use crate::problem::Problem;
use crate::rows::{self, Known, SectionKind, Standing};
use crate::syntax::{Node, Raw, Section, Setting};
use crate::value::{Place, Value};

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

impl Reader {
    /// A section, inside the filter blocks `path`.
    pub(super) fn section(&mut self, section: &Section, path: &[usize]) {
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
            if self.is_full(node.place()) {
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
}

/// The setting by which a section may give itself a name instead of in its first line.
fn own_name_key(kind: &SectionKind) -> Option<&'static str> {
    match kind.name {
        "fifo_listener" | "unix_listener" => Some("path"),
        "inet_listener" | "mailbox" | "namespace" | "service" => Some("name"),
        _ => None,
    }
}

/// `remote 10.0.0.0/8 { protocol imap`, for messages.
fn inside(titles: &[(String, String)]) -> String {
    let titles: Vec<String> = titles.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
    titles.join(" { ")
}

/// The sections that stand in no other.
pub(super) fn top_sections() -> Vec<&'static str> {
    rows::SECTIONS.iter().filter(|kind| kind.parent.is_none()).map(|kind| kind.name).collect()
}
