//! Writing settings back: all of them or those that differ from the defaults, as text that reads
//! the same again; and the reference page, made from the rows.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::check::certificate_anywhere;
use crate::rows::{self, Known, SectionKind, Standing};
use crate::scope::Config;
use crate::services;
use crate::syntax::{self, Node, Raw};
use crate::value::{Place, Value};
use crate::written::{Block, Group, Said, changes};

/// What is shown of a configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Show {
    /// Only what differs from the defaults.
    pub only_changed: bool,
    /// Secrets too, instead of a remark.
    pub secrets: bool,
}

impl Show {
    /// The configuration as text: settings and blocks by name, filter blocks last.
    pub fn text(self, config: &Config) -> String {
        let mut out = format!("# {}: {}\n", env!("CARGO_PKG_VERSION"), config.path().display());
        let Some(global) = config.written().first() else { return out };
        let mut items: Vec<(String, String)> = Vec::new();
        for (name, (_, row)) in rows::global() {
            let said = global.settings.get(*name);
            if !self.only_changed || said.is_some_and(|said| changes(*row, said)) {
                items.push(((*name).to_owned(), self.setting(name, Some(*row), said, 0)));
            }
        }
        let mut groups = global.sections.clone();
        if !self.only_changed {
            add_login_services(&mut groups, certificate_anywhere(config));
        }
        items.extend(self.groups(&groups, 0));
        in_order(&mut out, items);
        self.filters(&mut out, config.written(), &[]);
        out
    }

    /// The filter blocks directly inside those that `outer` names, each with what is inside it.
    fn filters(self, out: &mut String, blocks: &[Block], outer: &[(String, String)]) {
        let depth = outer.len();
        for kind in ["protocol", "remote", "local", "local_name"] {
            for block in blocks {
                let Some((last, around)) = block.titles.split_last() else { continue };
                if around != outer || last.0 != kind {
                    continue;
                }
                let mut inner = String::new();
                let settings = block.settings.iter().map(|(name, said)| {
                    let row = rows::global().get(name.as_str()).map(|(_, row)| *row);
                    (name.clone(), self.setting(name, row, Some(said), depth + 1))
                });
                let items = settings.chain(self.groups(&block.sections, depth + 1)).collect();
                in_order(&mut inner, items);
                self.filters(&mut inner, blocks, &block.titles);
                if !inner.is_empty() {
                    let indent = "  ".repeat(depth);
                    out.push_str(&format!("{indent}{} {{\n{inner}{indent}}}\n", title(&last.0, &last.1)));
                }
            }
        }
    }

    fn groups(self, groups: &[Group], depth: usize) -> Vec<(String, String)> {
        groups
            .iter()
            .map(|group| {
                let name = if group.kind.accumulates { "" } else { group.name.as_str() };
                (format!("{} {name}", group.kind.name), self.group(group, depth))
            })
            .collect()
    }

    fn group(self, group: &Group, depth: usize) -> String {
        let mut items: Vec<(String, String)> = Vec::new();
        match group.kind.rows {
            None => {
                let settings = group.settings.iter();
                items.extend(
                    settings
                        .map(|(name, said)| (name.clone(), self.setting(name, None, Some(said), depth + 1))),
                );
            }
            Some(rows) => {
                for row in rows() {
                    let said = group.settings.get(row.name());
                    // The defaults of a listener depend on its service, so what was written counts.
                    let changed =
                        said.is_some_and(|said| group.kind.name == "inet_listener" || changes(row, said));
                    // A block's own name stands in its first line.
                    let named = row.name() == "name" && said.is_none();
                    if changed || (!self.only_changed && !named) {
                        items.push((
                            row.name().to_owned(),
                            self.setting(row.name(), Some(row), said, depth + 1),
                        ));
                    }
                }
            }
        }
        items.extend(self.groups(&group.groups, depth + 1));
        let indent = "  ".repeat(depth);
        let mut out = format!("{indent}{} {{\n", title(group.kind.name, &group.name));
        in_order(&mut out, items);
        out + &indent + "}\n"
    }

    fn setting(self, name: &str, row: Option<&dyn Known>, said: Option<&Said>, depth: usize) -> String {
        let value = match (said, row) {
            (Some(Said { shown: Some(shown), .. }), _) => shown.clone(),
            (Some(Said { value: Value::Text(text), .. }), Some(row)) => row.kind().show(text),
            (Some(said), _) => said.value.written(),
            (None, Some(row)) => row.default().to_owned(),
            (None, None) => String::new(),
        };
        let file = said.is_some_and(|said| said.shown.is_some() || matches!(said.value, Value::File { .. }));
        let value = if !self.secrets && is_secret(name) && !value.is_empty() {
            "# hidden, use -P to show it".to_owned()
        } else if file {
            value
        } else if !self.secrets && matches!(name, "args" | "default_fields" | "override_fields") {
            quoted(&without_passwords(&value))
        } else {
            quoted(&value)
        };
        format!("{}{name} = {value}\n", "  ".repeat(depth))
    }
}

/// Every setting there is, as a Markdown page.
pub fn reference() -> String {
    let mut out = String::from(
        "# Settings\n\n\
         Honoured settings do what they say. Ignored ones are accepted without effect, so that existing files load.\n\
         Refused ones are errors unless they have their default, as ignoring them might let somebody in.\n",
    );
    let global: Vec<&dyn Known> = rows::global().values().map(|(_, row)| *row).collect();
    table(&mut out, "Outside of blocks", "", &global);
    for kind in rows::SECTIONS {
        let around = kind.parent.map(|parent| format!(" inside `{parent}`")).unwrap_or_default();
        let heading = format!("`{} {{ }}`{around}", kind.name);
        let rows = kind.rows.map(|rows| rows()).unwrap_or_default();
        table(&mut out, &heading, kind.doc, &rows);
    }
    out
}

fn table(out: &mut String, heading: &str, doc: &str, rows: &[&dyn Known]) {
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|row| row.name());
    out.push_str(&format!("\n## {heading}\n"));
    if !doc.is_empty() {
        out.push_str(&format!("\n{doc}.\n"));
    }
    if sorted.is_empty() {
        return;
    }
    out.push_str("\n| setting | type | default | | what it does |\n|---|---|---|---|---|\n");
    for row in sorted {
        let default = match row.default() {
            "" => String::new(),
            default => format!("`{default}`").replace('|', "\\|"),
        };
        let standing = match row.standing() {
            Standing::Honoured => "honoured".to_owned(),
            Standing::Ignored => "ignored".to_owned(),
            Standing::Refused(why) => format!("refused: {why}"),
        };
        let kind = row.kind().describe().replace('<', "\\<");
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| `{}` | {kind} | {default} | {standing} | {} |", row.name(), row.doc());
    }
}

/// Writes items by name; those of the same name stay in their order.
fn in_order(out: &mut String, mut items: Vec<(String, String)>) {
    items.sort_by(|a, b| a.0.cmp(&b.0));
    items.iter().for_each(|(_, text)| out.push_str(text));
}

/// The services that run without being told, where nothing was written about them. Without a certificate
/// their TLS ports are closed, and asking for one by name would be an error.
fn add_login_services(groups: &mut Vec<Group>, certificate: bool) {
    let group = |kind: &'static SectionKind, name: &str| Group {
        kind,
        name: name.to_owned(),
        place: Place::default(),
        settings: BTreeMap::new(),
        groups: Vec::new(),
        faulty: false,
    };
    let said = |text: &str| Said { value: Value::from(text), shown: None, place: Place::default() };
    let (Some(service_kind), Some(listener_kind)) =
        (rows::section("service", None), rows::section("inet_listener", Some("service")))
    else {
        return;
    };
    for login in services::LOGIN_SERVICES {
        let at = groups.iter().position(|known| known.kind.name == "service" && known.name == login.name);
        let at = at.unwrap_or_else(|| {
            groups.push(group(service_kind, login.name));
            groups.len() - 1
        });
        let inner = &mut groups[at].groups;
        for default in login.listeners {
            let at = inner
                .iter()
                .position(|known| known.kind.name == "inet_listener" && known.name == default.name);
            let closed = at.is_none() && default.ssl && !certificate;
            let at = at.unwrap_or_else(|| {
                inner.push(group(listener_kind, default.name));
                inner.len() - 1
            });
            let settings = &mut inner[at].settings;
            let port = if closed { 0 } else { default.port };
            settings.entry("port".to_owned()).or_insert_with(|| said(&port.to_string()));
            settings.entry("ssl".to_owned()).or_insert_with(|| said(if default.ssl { "yes" } else { "no" }));
        }
    }
}

/// `kind`, `kind name` or `kind "name"`.
fn title(kind: &str, name: &str) -> String {
    let plain = |name: &str| !name.contains([' ', '\t', '"', '\'', '\\', '#', '{', '}']);
    match name {
        "" => kind.to_owned(),
        name if plain(name) => format!("{kind} {name}"),
        name => format!("{kind} \"{}\"", escaped(name)),
    }
}

/// A value so that it is read as it is: plain if that does, else in quotes.
fn quoted(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    let variable = text.split(' ').any(|word| word.starts_with('$'));
    let parsed = syntax::parse_text("", &format!("x = {text}"));
    let same = match parsed.nodes.as_slice() {
        [Node::Setting(setting)] => setting.value == Raw::Plain(text.clone()),
        _ => false,
    };
    if same && !variable && parsed.problems.is_empty() && !text.contains('#') {
        text
    } else {
        format!("\"{}\"", escaped(&text))
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\'', "\\'")
}

/// Whether a setting's name says that its value is a secret.
fn is_secret(name: &str) -> bool {
    const ENDS: &[&str] = &["_api_header", "_key", "_nonce", "_password", "_secret", "_token"];
    const WHOLE: &[&str] = &["key", "pass", "password", "secret"];
    WHOLE.contains(&name) || ENDS.iter().any(|end| name.ends_with(end))
}

/// Fields between blanks, the values of those that hold passwords replaced.
fn without_passwords(fields: &str) -> String {
    let hidden = |word: &str| {
        let (name, _) = word.split_once('=')?;
        let bare = name.split(':').next().unwrap_or(name);
        let secret =
            ["pass", "password", "password_noscheme", "secret", "token"].contains(&bare) || is_secret(bare);
        secret.then(|| format!("{name}=#hidden_use-P_to_show#"))
    };
    let words: Vec<String> =
        fields.split(' ').map(|word| hidden(word).unwrap_or_else(|| word.to_owned())).collect();
    words.join(" ")
}
