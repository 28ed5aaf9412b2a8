//! The settings themselves, one row each: name, type, default, whether it is honoured, one line
//! of documentation. What a setting causes is not known here.

pub mod auth;
pub mod ignored;
pub mod login;
pub mod passdb;
pub mod server;
pub mod service;
pub mod ssl;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use crate::value::{self, Content, Invalid, Kind, Net, Value};

/// One setting of the structure `S`.
pub struct Row<S: 'static> {
    /// Its name.
    pub name: &'static str,
    /// Its default, as an administrator would write it.
    pub default: &'static str,
    /// Its type and the field it is kept in.
    pub field: Field<S>,
    /// Whether it is honoured.
    pub standing: Standing,
    /// What it does, in one line.
    pub doc: &'static str,
}

/// Whether a setting is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does what it says.
    Honoured,
    /// Accepted without effect, so that existing files load; said once in a warning.
    Ignored,
    /// An error unless it has its default, for this reason: without it somebody might be let in.
    Refused(&'static str),
}

/// The type of a setting and the field it is kept in.
pub enum Field<S: 'static> {
    /// Anything.
    Text(fn(&mut S) -> &mut String),
    /// `yes` or `no`.
    Boolean(fn(&mut S) -> &mut bool),
    /// Whole seconds.
    Time(fn(&mut S) -> &mut Duration),
    /// Milliseconds allowed.
    Milliseconds(fn(&mut S) -> &mut Duration),
    /// A whole number.
    Number(fn(&mut S) -> &mut u32),
    /// A TCP port.
    Port(fn(&mut S) -> &mut u16),
    /// A file mode.
    Mode(fn(&mut S) -> &mut u32),
    /// A list of words.
    Words(fn(&mut S) -> &mut Vec<String>),
    /// A list of words, kept in upper case.
    UpperWords(fn(&mut S) -> &mut Vec<String>),
    /// A list of networks.
    Networks(fn(&mut S) -> &mut Vec<Net>),
    /// A list of addresses.
    Addresses(fn(&mut S) -> &mut Vec<IpAddr>),
    /// A path.
    Path(fn(&mut S) -> &mut PathBuf),
    /// A text, or a file read when used; empty is `None`.
    Content(fn(&mut S) -> &mut Option<Content>),
    /// One of the words.
    Choice(&'static [&'static str], fn(&mut S, &str)),
    /// A form of its own, described by the text.
    Other(&'static str, fn(&mut S, &str) -> Result<(), Invalid>),
    /// Of this kind, and kept nowhere.
    Unused(Kind),
}

/// A row of any structure.
pub trait Known: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Its default, as an administrator would write it.
    fn default(&self) -> &'static str;
    /// Its type.
    fn kind(&self) -> Kind;
    /// Whether it is honoured.
    fn standing(&self) -> Standing;
    /// What it does, in one line.
    fn doc(&self) -> &'static str;
    /// Whether its setter takes the value.
    fn check(&self, value: &Value) -> Result<(), Invalid>;
}

/// A structure whose fields are settings.
pub trait Settings: Sized + 'static {
    /// One to write values into; the defaults follow from the rows.
    fn blank() -> Self;
}

impl<T: Default + 'static> Settings for T {
    fn blank() -> Self {
        Self::default()
    }
}

impl<S: Settings> Row<S> {
    /// Sets the field from a value.
    pub fn set(&self, settings: &mut S, value: &Value) -> Result<(), Invalid> {
        let text = match (value, &self.field) {
            (Value::File { path, .. }, Field::Content(field)) => {
                *field(settings) = Some(Content::File(path.clone()));
                return Ok(());
            }
            (Value::File { written, .. }, Field::Unused(_)) => written,
            (Value::File { written, .. }, _) => {
                return Err(Invalid::new(format!("<{written}: this setting is not read from a file")));
            }
            (Value::Text(text), _) => text,
        };
        match &self.field {
            Field::Text(field) => field(settings).clone_from(text),
            Field::Boolean(field) => *field(settings) = value::boolean(text)?,
            Field::Time(field) => *field(settings) = value::time(text)?,
            Field::Milliseconds(field) => *field(settings) = value::milliseconds(text)?,
            Field::Number(field) => *field(settings) = value::number(text)?,
            Field::Port(field) => *field(settings) = value::port(text)?,
            Field::Mode(field) => *field(settings) = value::mode(text)?,
            Field::Words(field) => *field(settings) = value::words(text).map(str::to_owned).collect(),
            Field::UpperWords(field) => {
                *field(settings) = value::words(text).map(str::to_ascii_uppercase).collect();
            }
            Field::Networks(field) => *field(settings) = value::networks(text)?,
            Field::Addresses(field) => *field(settings) = value::addresses(text)?,
            Field::Path(field) => *field(settings) = PathBuf::from(text),
            Field::Content(field) => {
                *field(settings) = Some(text).filter(|text| !text.is_empty()).cloned().map(Content::Text);
            }
            Field::Choice(words, choose) => choose(settings, value::choice(words, text)?),
            Field::Other(_, read) => read(settings, text)?,
            Field::Unused(kind) => {
                if matches!(value, Value::Text(_)) {
                    kind.check(text)?;
                }
            }
        }
        Ok(())
    }
}

impl<S: Settings> Known for Row<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default(&self) -> &'static str {
        self.default
    }

    fn kind(&self) -> Kind {
        match self.field {
            Field::Text(_) => Kind::Text,
            Field::Boolean(_) => Kind::Boolean,
            Field::Time(_) => Kind::Time,
            Field::Milliseconds(_) => Kind::Milliseconds,
            Field::Number(_) => Kind::Number,
            Field::Port(_) => Kind::Port,
            Field::Mode(_) => Kind::Mode,
            Field::Words(_) | Field::UpperWords(_) => Kind::Words,
            Field::Networks(_) => Kind::Networks,
            Field::Addresses(_) => Kind::Addresses,
            Field::Path(_) => Kind::Path,
            Field::Content(_) => Kind::Content,
            Field::Choice(words, _) => Kind::Choice(words),
            Field::Other(form, _) => Kind::Other(form),
            Field::Unused(kind) => kind,
        }
    }

    fn standing(&self) -> Standing {
        self.standing
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn check(&self, value: &Value) -> Result<(), Invalid> {
        self.set(&mut S::blank(), value)
    }
}

/// A row; see the fields of [`Row`].
pub(crate) const fn row<S>(
    name: &'static str,
    default: &'static str,
    field: Field<S>,
    standing: Standing,
    doc: &'static str,
) -> Row<S> {
    Row { name, default, field, standing, doc }
}

/// Every row at its default.
///
/// # Panics
/// When a default does not pass its own setter; a test reads them all.
pub fn defaults<S: Settings>(rows: &[Row<S>]) -> S {
    let mut settings = S::blank();
    for row in rows {
        row.set(&mut settings, &Value::from(row.default)).expect("a default passes its own setter");
    }
    settings
}

/// Which blocks a setting outside of sections follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// None: it is set once.
    Server,
    /// `protocol` alone.
    Auth,
    /// `protocol`, `local`, `local_name` and `remote`.
    Connection,
    /// It has no effect anywhere.
    Nowhere,
}

/// The settings outside of sections, by name.
pub fn global() -> &'static BTreeMap<&'static str, (Reach, &'static dyn Known)> {
    static ROWS: LazyLock<BTreeMap<&'static str, (Reach, &'static dyn Known)>> = LazyLock::new(|| {
        let mut rows = BTreeMap::new();
        let mut add = |reach: Reach, row: &'static dyn Known| {
            rows.insert(row.name(), (reach, row));
        };
        server::SERVER.iter().for_each(|row| add(Reach::Server, row));
        auth::AUTH.iter().for_each(|row| add(Reach::Auth, row));
        login::LOGIN.iter().for_each(|row| add(Reach::Connection, row));
        ssl::SSL.iter().for_each(|row| add(Reach::Connection, row));
        ignored::GLOBAL.iter().for_each(|row| add(Reach::Nowhere, row));
        rows
    });
    &ROWS
}

/// A kind of section: what may stand in it.
#[derive(Debug)]
pub struct SectionKind {
    /// Its first word.
    pub name: &'static str,
    /// The kind of section it stands in; `None`: outside of sections.
    pub parent: Option<&'static str>,
    /// Whether every one of the same name is its own (`true`), or all of a name are one.
    pub accumulates: bool,
    /// The settings in it; `None`: any name is accepted and nothing is honoured.
    pub rows: Option<fn() -> Vec<&'static dyn Known>>,
    /// Whether the section matters at all.
    pub standing: Standing,
    /// What it does, in one line.
    pub doc: &'static str,
}

/// Every kind of section but the filters.
pub const SECTIONS: &[SectionKind] = &[
    SectionKind {
        name: "passdb",
        parent: None,
        accumulates: true,
        rows: Some(|| erased(passdb::PASSDB)),
        standing: Standing::Honoured,
        doc: "A password database; they are asked in the order of the file",
    },
    SectionKind {
        name: "userdb",
        parent: None,
        accumulates: true,
        rows: Some(|| erased(passdb::USERDB)),
        standing: Standing::Honoured,
        doc: "A user database; they are asked in the order of the file",
    },
    SectionKind {
        name: "service",
        parent: None,
        accumulates: false,
        rows: Some(|| erased(service::SERVICE)),
        standing: Standing::Honoured,
        doc: "A service; only its listeners matter",
    },
    SectionKind {
        name: "inet_listener",
        parent: Some("service"),
        accumulates: false,
        rows: Some(|| erased(service::INET_LISTENER)),
        standing: Standing::Honoured,
        doc: "A TCP port",
    },
    SectionKind {
        name: "unix_listener",
        parent: Some("service"),
        accumulates: false,
        rows: Some(|| erased(service::UNIX_LISTENER)),
        standing: Standing::Honoured,
        doc: "A UNIX socket, named by its path",
    },
    SectionKind {
        name: "fifo_listener",
        parent: Some("service"),
        accumulates: false,
        rows: Some(|| erased(ignored::FIFO_LISTENER)),
        standing: Standing::Ignored,
        doc: "A FIFO; no service here reads one",
    },
    SectionKind {
        name: "namespace",
        parent: None,
        accumulates: false,
        rows: Some(|| erased(ignored::NAMESPACE)),
        standing: Standing::Ignored,
        doc: "Mail storage",
    },
    SectionKind {
        name: "mailbox",
        parent: Some("namespace"),
        accumulates: false,
        rows: Some(|| erased(ignored::MAILBOX)),
        standing: Standing::Ignored,
        doc: "Mail storage",
    },
    SectionKind {
        name: "plugin",
        parent: None,
        accumulates: false,
        rows: None,
        standing: Standing::Ignored,
        doc: "Settings of the mail processes' plugins, by any name",
    },
    SectionKind {
        name: "dict",
        parent: None,
        accumulates: false,
        rows: None,
        standing: Standing::Ignored,
        doc: "Dictionaries of the dict service, by any name",
    },
    SectionKind {
        name: "metric",
        parent: None,
        accumulates: false,
        rows: Some(|| erased(ignored::METRIC)),
        standing: Standing::Ignored,
        doc: "Statistics of events",
    },
    SectionKind {
        name: "event_exporter",
        parent: None,
        accumulates: false,
        rows: Some(|| erased(ignored::EVENT_EXPORTER)),
        standing: Standing::Ignored,
        doc: "Export of events",
    },
];

/// The kind of section called `name` inside `parent`.
pub fn section(name: &str, parent: Option<&str>) -> Option<&'static SectionKind> {
    SECTIONS.iter().find(|kind| kind.name == name && kind.parent == parent)
}

impl SectionKind {
    /// The row called `name` in it.
    pub fn row(&self, name: &str) -> Option<&'static dyn Known> {
        self.rows.and_then(|rows| rows().into_iter().find(|row| row.name() == name))
    }
}

/// Rows without the type of their structure.
fn erased<S: Settings>(rows: &'static [Row<S>]) -> Vec<&'static dyn Known> {
    rows.iter().map(|row| row as &dyn Known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_row() -> Vec<&'static dyn Known> {
        let mut rows: Vec<&'static dyn Known> = global().values().map(|(_, row)| *row).collect();
        rows.extend(SECTIONS.iter().filter_map(|kind| kind.rows).flat_map(|rows| rows()));
        rows
    }

    #[test]
    fn every_default_passes_its_own_setter() {
        for row in every_row() {
            assert_eq!(row.check(&Value::from(row.default())), Ok(()), "{}", row.name());
        }
    }

    #[test]
    fn every_default_is_written_as_it_is_shown() {
        for row in every_row() {
            assert_eq!(row.kind().show(row.default()), row.default(), "{}", row.name());
        }
    }

    #[test]
    fn no_name_stands_in_two_tables() {
        let tables = server::SERVER.len()
            + auth::AUTH.len()
            + login::LOGIN.len()
            + ssl::SSL.len()
            + ignored::GLOBAL.len();
        assert_eq!(global().len(), tables);
    }

    #[test]
    fn every_row_says_what_it_does_in_one_line() {
        for row in every_row() {
            assert!(
                !row.doc().is_empty() && !row.doc().contains('\n') && !row.doc().ends_with('.'),
                "{}",
                row.name()
            );
        }
    }
}
