//! The password database drivers, one row each. Knows how a driver is opened, and leaves what its
//! answers mean to the engine.

mod expansion;
pub(crate) mod fixed;
pub(crate) mod passwd_file;
mod record;
pub(crate) mod sql;

use std::fmt::Write;
use std::sync::Arc;

use auth::expand::Template;
use auth::passdb::Passdb;
use config::problem::{Problem, Severity};
use config::rows::passdb::PassdbSettings;
use config::value::Place;

pub(crate) use expansion::Expansion;
pub use passwd_file::Files;
pub(crate) use record::{Draft, check_name, text};

/// Where drivers report what no single login should tell: a file that changed, a database that went away.
pub type Log = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// How much a report matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Of interest while looking for a fault.
    Debug,
    /// Of interest.
    Info,
    /// Something is odd and users are still served.
    Warning,
    /// Something is wrong.
    Error,
}

/// What drivers share. Kept from one configuration to the next, it spares reading files again.
#[derive(Clone)]
pub struct Resources {
    /// Where reports go.
    pub log: Log,
    /// Open passwd-files.
    pub files: Files,
}

/// One driver.
pub struct Driver {
    /// As `driver = ` names it.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub doc: &'static str,
    /// Its answers may hold extra fields.
    pub has_fields: bool,
    /// It gives stored passwords, so challenge mechanisms work.
    pub has_credentials: bool,
    /// Opens the database of one `passdb { }` block.
    open: Open,
}

/// Opens a driver's database. The error names thing, place and next step.
type Open = fn(&PassdbSettings, &Resources) -> Result<Box<dyn Passdb>, String>;

/// All drivers of this version.
pub const DRIVERS: [Driver; 4] = [
    Driver {
        name: "passwd-file",
        doc: "A text file with a line per user",
        has_fields: true,
        has_credentials: true,
        open: passwd_file::open,
    },
    Driver {
        name: "sql",
        doc: "A query to an SQLite database",
        has_fields: true,
        has_credentials: true,
        open: sql::open,
    },
    Driver {
        name: "sqlite",
        doc: "The same as sql",
        has_fields: true,
        has_credentials: true,
        open: sql::open,
    },
    Driver {
        name: "static",
        doc: "The same answer for every user",
        has_fields: true,
        has_credentials: true,
        open: fixed::open,
    },
];

/// What passdbs and userdbs there are, as Markdown: the page "Databases".
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    let yes = |it: bool| if it { "yes" } else { "no" };
    for driver in &DRIVERS {
        let (fields, credentials) = (yes(driver.has_fields), yes(driver.has_credentials));
        let _ = writeln!(page, "| `{}` | {fields} | {credentials} | {} |", driver.name, driver.doc);
    }
    page.push_str(USERDBS);
    for driver in &crate::userdb::DRIVERS {
        let _ = writeln!(page, "| `{}` | {} |", driver.name, driver.doc);
    }
    page
}

const INTRODUCTION: &str = "\
# Databases

The drivers of this version. Any other one is an error, of `config check` too.

## `passdb { }`: who may log in

*Extra fields*: its answers may hold them ([extra-fields.md](extra-fields.md)). *Stored passwords*: it gives
the password in stored form, rather than only checking one.

| driver | extra fields | stored passwords | |
|---|---|---|---|
";

const USERDBS: &str = "
## `userdb { }`: what is known of a user who has logged in

| driver | |
|---|---|
";

/// Opens the database of a `passdb { }` block; files may be read, so not for the event loop. A file that
/// is absent is no error: lookups fail, temporarily, until it appears.
pub fn open(settings: &PassdbSettings, resources: &Resources) -> Result<Box<dyn Passdb>, String> {
    match DRIVERS.iter().find(|driver| driver.name == settings.driver) {
        Some(driver) => (driver.open)(settings, resources),
        None => Err(unknown("passdb", &settings.driver, &settings.place)),
    }
}

/// No such driver. The check of the configuration knows better what was meant; this is for who skipped it.
pub(crate) fn unknown(kind: &str, driver: &str, place: &Place) -> String {
    Problem::error(place, format!("{kind}: unknown driver \"{driver}\"")).to_string()
}

/// Whether passwords in a default scheme can be checked at all: a misspelt one would refuse everybody.
pub(crate) fn known_scheme(name: &str) -> Result<(), String> {
    auth::scheme::find(name).map(|_| ()).map_err(|fault| fault.to_string())
}

/// Reports what makes every expansion of a template fail, so that it does not wait for the first login.
pub(crate) fn report_faults(template: &Template, place: &Place, what: &str, log: &Log) {
    for fault in template.faults() {
        log(Level::Error, &Problem::error(place, format!("{what}: {fault}")).to_string());
    }
}

/// The first error among problems, as one line. Warnings were reported when the settings were checked.
pub(crate) fn first_error(problems: &[Problem]) -> String {
    let error = problems.iter().find(|problem| problem.severity == Severity::Error);
    error.or(problems.first()).map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod testing {
    //! What tests of drivers need: a request, a log that can be read, and a lookup that is run.

    use std::sync::Mutex;

    use auth::fields::Fields;
    use auth::passdb::{Answer, Lookup, Password, UserAnswer, Userdb};
    use auth::request::{Facts, Identity, Request};
    use config::rows::passdb::{Rule, Skip, UserdbSettings, UserdbSkip};
    use secrecy::ExposeSecret;

    use super::*;

    pub(crate) fn place() -> Place {
        Place { file: "dovecot.conf".into(), line: 7 }
    }

    pub(crate) fn passdb(driver: &str, args: &str) -> PassdbSettings {
        PassdbSettings {
            name: None,
            place: place(),
            driver: driver.to_owned(),
            args: args.to_owned(),
            default_fields: String::new(),
            override_fields: String::new(),
            deny: false,
            pass: false,
            master: false,
            skip: Skip::Never,
            mechanisms: Vec::new(),
            username_filter: Vec::new(),
            result_success: Rule::ReturnOk,
            result_failure: Rule::Continue,
            result_internalfail: Rule::Continue,
            auth_verbose: None,
        }
    }

    pub(crate) fn userdb(driver: &str, args: &str) -> UserdbSettings {
        UserdbSettings {
            name: None,
            place: place(),
            driver: driver.to_owned(),
            args: args.to_owned(),
            default_fields: String::new(),
            override_fields: String::new(),
            skip: UserdbSkip::Never,
            result_success: Rule::ReturnOk,
            result_failure: Rule::Continue,
            result_internalfail: Rule::Continue,
            auth_verbose: None,
        }
    }

    /// Resources and what was reported to them.
    pub(crate) fn resources() -> (Resources, Arc<Mutex<Vec<String>>>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&said);
        let log: Log = Arc::new(move |level, text| sink.lock().unwrap().push(format!("{level:?} {text}")));
        (Resources { log, files: Files::default() }, said)
    }

    /// The facts of a request that a test can change.
    pub(crate) struct Asker {
        pub(crate) facts: Facts,
        pub(crate) identity: Identity,
        pub(crate) userdb: Fields,
    }

    impl Asker {
        pub(crate) fn new(user: &str) -> Self {
            let facts = Facts { service: "imap".to_owned(), ..Facts::default() };
            let identity =
                Identity { user: user.to_owned(), original: user.to_owned(), ..Identity::default() };
            Self { facts, identity, userdb: Fields::default() }
        }

        pub(crate) fn ask(&self, passdb: &dyn Passdb) -> Answer {
            run(passdb.lookup(&self.request(&Fields::default())))
        }

        pub(crate) fn ask_userdb(&self, userdb: &dyn Userdb) -> UserAnswer {
            run(userdb.lookup(&self.request(&Fields::default())))
        }

        pub(crate) fn request<'a>(&'a self, fields: &'a Fields) -> Request<'a> {
            Request {
                facts: &self.facts,
                identity: &self.identity,
                fields,
                userdb: &self.userdb,
                password: None,
                passdb_id: 1,
            }
        }
    }

    pub(crate) fn ask(passdb: &dyn Passdb, user: &str) -> Answer {
        Asker::new(user).ask(passdb)
    }

    fn run<T>(lookup: Lookup<'_, T>) -> T {
        match lookup {
            Lookup::Now(answer) => answer,
            Lookup::Blocking(job) => job(),
            Lookup::Later(answer) => {
                tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
            }
        }
    }

    /// An answer as one line: `{SCHEME}data name=value …`, `Unknown`, `Failed: why`.
    pub(crate) fn shown(answer: &Answer) -> String {
        match answer {
            Answer::Found(record) => {
                let password = match &record.password {
                    Password::Absent => "absent".to_owned(),
                    Password::Verified => "verified".to_owned(),
                    Password::Stored(stored) => {
                        let data = String::from_utf8_lossy(stored.data.expose_secret()).into_owned();
                        format!("{{{}}}{data}", stored.scheme)
                    }
                };
                std::iter::once(password)
                    .chain(record.fields.iter().map(|(name, value)| format!("{name}={value}")))
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            Answer::Failed(why) => format!("Failed: {why}"),
            other => format!("{other:?}"),
        }
    }

    pub(crate) fn shown_user(answer: &UserAnswer) -> String {
        match answer {
            UserAnswer::Found(fields) => {
                fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
            }
            UserAnswer::Failed(why) => format!("Failed: {why}"),
            UserAnswer::Unknown => "Unknown".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(driver: &str) -> String {
        open(&testing::passdb(driver, ""), &testing::resources().0).err().expect("refused")
    }

    #[test]
    fn an_unknown_driver_is_told_with_its_place() {
        assert_eq!(refused("sqll"), "dovecot.conf:7: passdb: unknown driver \"sqll\"");
        assert_eq!(refused("prefetch"), "dovecot.conf:7: passdb: unknown driver \"prefetch\"");
    }

    #[test]
    fn a_default_scheme_that_does_not_exist_is_told_when_the_database_is_opened() {
        let opened = open(&testing::passdb("passwd-file", "scheme=SHA999 /users"), &testing::resources().0);
        let fault = opened.err().expect("refused");
        assert_eq!(fault, "dovecot.conf:7: passwd-file: scheme: Unknown scheme: SHA999");
    }

    #[test]
    fn every_driver_is_known_to_the_configuration_check() {
        for driver in &DRIVERS {
            for problem in config::database::check(driver.name, "", &testing::place()) {
                assert!(!problem.text.contains("unknown driver"), "{problem}");
            }
        }
    }
}
