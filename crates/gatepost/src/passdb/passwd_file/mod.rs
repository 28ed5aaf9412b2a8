//! The passwd-file driver: a line per user, `user:password:uid:gid:gecos:home:shell:extra fields`.
//!
//! A line that cannot be used (a field without a name, text that is not UTF-8, a NUL byte, an unknown
//! variable) is a temporary failure for its user and concerns nobody else.

mod location;
mod source;
mod table;

use std::sync::Arc;

use auth::expand::Template;
use auth::passdb::{Answer, Lookup, Passdb};
use auth::request::Request;
use auth::scheme::StoredHash;
use config::problem::Problem;
use config::rows::passdb::PassdbSettings;
use config::value::Place;

pub use source::Files;

use super::{Draft, Expansion, Level, Log, Resources, first_error, known_scheme, report_faults};
use location::{Located, Location};
use source::Source;
pub(crate) use table::Column;
use table::{Line, Table};

/// Opens a passwd-file passdb.
pub(super) fn open(settings: &PassdbSettings, resources: &Resources) -> Result<Box<dyn Passdb>, String> {
    Ok(Box::new(PasswdFile { users: Users::open(&settings.args, &settings.place, resources)? }))
}

struct PasswdFile {
    users: Users,
}

impl Passdb for PasswdFile {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, Answer> {
        self.users.lookup(request, |users, asked, request| match asked {
            Asked::Line(entry) => answer(users, &entry, request).unwrap_or_else(Answer::Failed),
            Asked::Unknown => Answer::Unknown,
            Asked::Failed(why) => Answer::Failed(why),
        })
    }
}

fn answer(users: &Users, entry: &Entry<'_>, request: &Request<'_>) -> Result<Answer, String> {
    if entry.source.serves_userdb()
        && let Err(fault) = entry.ids()
    {
        (users.log)(Level::Error, &entry.message(&fault));
        return Ok(Answer::Unknown);
    }
    let password = entry.line.column(Column::Password).unwrap_or_default();
    let mut draft = Draft::new(Some(StoredHash::parse(password, &users.scheme)));
    entry.fields(request, |name, value| draft.add(name, value, &users.scheme))?;
    if draft.password_repeated {
        (users.log)(Level::Error, &entry.message("the line has a second password, which is not used"));
    }
    Ok(Answer::Found(draft.finish()))
}

/// The users of a passwd-file, or of one file for each expansion of its path.
pub(crate) struct Users {
    scheme: String,
    username_format: Template,
    location: Location,
    pub(crate) log: Log,
}

/// What the file said of a name.
pub(crate) enum Asked<'t> {
    /// The user's line.
    Line(Entry<'t>),
    /// It has no such user.
    Unknown,
    /// It could not be asked, and why.
    Failed(String),
}

impl Users {
    /// Opens the file that a block's `args` name, and reads it if its path is fixed.
    pub(crate) fn open(args: &str, place: &Place, resources: &Resources) -> Result<Self, String> {
        let settings =
            config::database::passwd_file(args, place).map_err(|problems| first_error(&problems))?;
        known_scheme(&settings.scheme)
            .map_err(|fault| Problem::error(place, format!("passwd-file: scheme: {fault}")).to_string())?;
        let username_format = Template::parse(&settings.username_format);
        report_faults(&username_format, place, "passwd-file: username_format", &resources.log);
        report_faults(&Template::parse(&settings.path), place, "passwd-file: the path", &resources.log);
        Ok(Self {
            scheme: settings.scheme,
            username_format,
            location: Location::new(&settings.path, resources),
            log: Arc::clone(&resources.log),
        })
    }

    /// Says that a userdb uses these files.
    pub(crate) fn serve_userdb(&self) {
        self.location.serve_userdb();
    }

    /// Finds the user's line and hands it to `answer`: at once, except for one login a second, which waits
    /// for a look at the file, and for the first login that asks a file. Neither takes part in the pool for
    /// blocking lookups, so a slow database there does not hold up these users.
    pub(crate) fn lookup<'a, T: Send + 'a>(
        &'a self,
        request: &'a Request<'a>,
        answer: fn(&Self, Asked<'_>, &Request<'_>) -> T,
    ) -> Lookup<'a, T> {
        // The original looks names up with a backslash before quotes and backslashes, so files have them.
        let escape = &mut |value: &str, out: &mut String| {
            for c in value.chars() {
                if matches!(c, '"' | '\'' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
        };
        let name = match self.username_format.expand_with(request, escape) {
            Ok(name) => name,
            Err(fault) => {
                return Lookup::Now(answer(
                    self,
                    Asked::Failed(format!("username_format: {fault}")),
                    request,
                ));
            }
        };
        match self.location.of(request) {
            Located::Nowhere => Lookup::Now(answer(self, Asked::Unknown, request)),
            Located::Failed(why) => Lookup::Now(answer(self, Asked::Failed(why), request)),
            Located::Open(source) if source.claim_look() => Lookup::Later(Box::pin(async move {
                let looked = Arc::clone(&source);
                // Whatever becomes of the look, there is a table or a reason why not.
                let _ = tokio::task::spawn_blocking(move || looked.refresh()).await;
                self.find(&source, &name, request, answer)
            })),
            Located::Open(source) => Lookup::Now(self.find(&source, &name, request, answer)),
            Located::Unread(path) => Lookup::Later(Box::pin(async move {
                match self.location.open(path).await {
                    Some(source) => self.find(&source, &name, request, answer),
                    None => answer(self, Asked::Unknown, request),
                }
            })),
        }
    }

    fn find<T>(
        &self,
        source: &Source,
        name: &str,
        request: &Request<'_>,
        answer: fn(&Self, Asked<'_>, &Request<'_>) -> T,
    ) -> T {
        let table = match source.table() {
            Ok(table) => table,
            Err(why) => return answer(self, Asked::Failed(why), request),
        };
        let Some(line) = table.find(name.as_bytes()) else {
            return answer(self, Asked::Unknown, request);
        };
        let entry = Entry { line, source, table: &table };
        let asked = match line.check() {
            Ok(()) => Asked::Line(entry),
            Err(fault) => Asked::Failed(entry.message(fault)),
        };
        answer(self, asked, request)
    }
}

/// A user's line and where it stands.
pub(crate) struct Entry<'t> {
    pub(crate) line: Line<'t>,
    source: &'t Source,
    table: &'t Table,
}

impl Entry<'_> {
    /// A fault of this line, with its place. Counts through the file.
    pub(crate) fn message(&self, fault: &str) -> String {
        format!("{}:{}: {fault}", self.source.path().display(), self.table.number(self.line))
    }

    /// Gives every extra field with its value expanded to `take`.
    pub(crate) fn fields(
        &self,
        request: &Request<'_>,
        mut take: impl FnMut(&str, Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut expansion = Expansion::new(request, "passdb");
        for (name, value) in self.line.fields() {
            add(&mut expansion, name, value).map_err(|fault| self.message(&fault))?;
        }
        for (name, value) in expansion.finish() {
            take(&name, value.into_bytes()).map_err(|fault| self.message(&fault))?;
        }
        Ok(())
    }

    /// The uid and gid columns, empty ones left out; refuses 0 and what is neither number nor name.
    /// `Ok(None)`: the line ends before them.
    pub(crate) fn ids(&self) -> Result<Option<[Option<&str>; 2]>, String> {
        let read = |column, what| match self.line.column(column) {
            None | Some(b"") => Ok(None),
            Some(id) => match str::from_utf8(id) {
                Ok(text) if is_id(text) => Ok(Some(text)),
                _ => Err(format!("the line has invalid {what} {:?}", String::from_utf8_lossy(id))),
            },
        };
        let ids = [read(Column::Uid, "UID")?, read(Column::Gid, "GID")?];
        Ok(self.line.column(Column::Gid).map(|_| ids))
    }
}

/// Adds a field as it stands in the file.
fn add(expansion: &mut Expansion<'_>, name: &[u8], value: &[u8]) -> Result<(), String> {
    let name = str::from_utf8(name).map_err(|_| "a field's name is not UTF-8".to_owned())?;
    let value = str::from_utf8(value).map_err(|_| format!("field {name:?} is not UTF-8"))?;
    if !value.contains('%') {
        expansion.add_value(name, value.to_owned());
        return Ok(());
    }
    expansion.add(name, &Template::parse(value))
}

/// Whether this may be the number of a user or group other than root's, or else a name.
fn is_id(text: &str) -> bool {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // The largest number means "none" to the kernel.
        return text.parse::<u32>().is_ok_and(|id| id != 0 && id != u32::MAX);
    }
    !text.starts_with('-') && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
