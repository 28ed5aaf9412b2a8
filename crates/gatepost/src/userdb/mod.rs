//! The user database drivers, one row each: home, uid, gid and other fields of users who have logged in.

mod fixed;
mod ids;
mod passwd_file;
mod prefetch;
mod sql;

use auth::passdb::Userdb;
use config::rows::passdb::UserdbSettings;

use crate::passdb::{Resources, unknown};

/// One driver.
pub struct Driver {
    /// As `driver = ` names it.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub doc: &'static str,
    /// Opens the database of one `userdb { }` block.
    open: fn(&UserdbSettings, &Resources) -> Result<Opened, String>,
}

/// All drivers of this version.
pub const DRIVERS: [Driver; 5] = [
    Driver { name: "passwd-file", doc: "A text file with a line per user", open: passwd_file::open },
    Driver { name: "prefetch", doc: "The userdb_ fields that the passdbs gave", open: prefetch::open },
    Driver { name: "sql", doc: "A query to an SQLite database", open: sql::open },
    Driver { name: "sqlite", doc: "The same as sql", open: sql::open },
    Driver { name: "static", doc: "The same answer for every user", open: fixed::open },
];

/// An open user database.
pub struct Opened {
    /// The database.
    pub userdb: Box<dyn Userdb>,
    /// It answers for users who may not exist: where no passdb has found the user, the caller asks the
    /// passdbs first.
    pub wants_passdb: bool,
}

impl Opened {
    fn new(userdb: impl Userdb + 'static) -> Self {
        Self { userdb: Box::new(userdb), wants_passdb: false }
    }
}

/// Opens the database of a `userdb { }` block; files may be read, so not for the event loop. Whatever the
/// driver, `uid` and `gid` in its answers are numbers.
pub fn open(settings: &UserdbSettings, resources: &Resources) -> Result<Opened, String> {
    match DRIVERS.iter().find(|driver| driver.name == settings.driver) {
        Some(driver) => {
            let opened = (driver.open)(settings, resources)?;
            Ok(Opened { userdb: Box::new(ids::Numbered(opened.userdb)), ..opened })
        }
        None => Err(unknown("userdb", &settings.driver, &settings.place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passdb::testing::{place, resources, userdb};

    #[test]
    fn every_driver_is_known_to_the_configuration_check() {
        for driver in &DRIVERS {
            for problem in config::database::check(driver.name, "", &place()) {
                assert!(!problem.text.contains("unknown driver"), "{problem}");
            }
        }
    }

    #[test]
    fn an_unknown_driver_is_told_with_its_place() {
        let refused = open(&userdb("passwd-fil", ""), &resources().0).err().unwrap();
        assert_eq!(refused, "dovecot.conf:7: userdb: unknown driver \"passwd-fil\"");
    }
}
