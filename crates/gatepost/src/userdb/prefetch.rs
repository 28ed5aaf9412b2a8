//! The prefetch driver: the `userdb_` fields that the passdbs gave are the answer. Where they gave none it
//! knows no user, so the next userdb is asked.

use auth::passdb::{Lookup, UserAnswer, Userdb};
use auth::request::Request;
use config::rows::passdb::UserdbSettings;

use super::Opened;
use crate::passdb::Resources;

/// Opens a prefetch userdb.
pub(super) fn open(_: &UserdbSettings, _: &Resources) -> Result<Opened, String> {
    Ok(Opened::new(Prefetch))
}

struct Prefetch;

impl Userdb for Prefetch {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, UserAnswer> {
        let fields: Vec<_> =
            request.userdb.iter().map(|field| (field.name.clone(), field.value.clone())).collect();
        Lookup::Now(if fields.is_empty() { UserAnswer::Unknown } else { UserAnswer::Found(fields) })
    }
}

#[cfg(test)]
mod tests {
    use auth::fields::Origin;

    use super::super::open;
    use crate::passdb::testing::{Asker, resources, shown_user, userdb};

    #[test]
    fn fields_of_the_passdbs_are_the_answer() {
        let opened = open(&userdb("prefetch", ""), &resources().0).unwrap();
        let mut asker = Asker::new("bob");
        assert_eq!(shown_user(&asker.ask_userdb(&*opened.userdb)), "Unknown");
        asker.userdb.set("home", "/h", Origin::Passdb(1));
        asker.userdb.set("uid", "root", Origin::Passdb(1));
        assert_eq!(shown_user(&asker.ask_userdb(&*opened.userdb)), "home=/h uid=0");
        assert!(!opened.wants_passdb);
    }
}
