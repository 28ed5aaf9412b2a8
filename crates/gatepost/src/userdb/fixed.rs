//! The static driver: the same fields for every user, with variables.

use auth::passdb::{Lookup, UserAnswer, Userdb};
use auth::request::Request;
use config::rows::passdb::UserdbSettings;

use super::Opened;
use crate::passdb::Resources;
use crate::passdb::fixed::StaticFields;

/// Opens a static userdb. It answers for everybody, so the passdbs decide who exists, unless told not to.
pub(super) fn open(settings: &UserdbSettings, resources: &Resources) -> Result<Opened, String> {
    let fields = StaticFields::open(&settings.args, &settings.place, resources)?;
    let wants_passdb = !fields.allow_all_users;
    Ok(Opened { wants_passdb, ..Opened::new(Fixed { fields }) })
}

struct Fixed {
    fields: StaticFields,
}

impl Userdb for Fixed {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, UserAnswer> {
        Lookup::Now(match self.fields.expand(request, "userdb") {
            Ok(fields) => UserAnswer::Found(fields),
            Err(why) => UserAnswer::Failed(format!("static: {why}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::open;
    use crate::passdb::testing::{Asker, resources, shown_user, userdb};

    #[test]
    fn every_user_gets_the_fields() {
        let opened =
            open(&userdb("static", "uid=8 gid=root home=/home/%d/%n mail=%{userdb:home}/m"), &resources().0)
                .unwrap();
        let answer = Asker::new("bob@ex").ask_userdb(&*opened.userdb);
        assert_eq!(shown_user(&answer), "uid=8 gid=0 home=/home/ex/bob mail=/home/ex/bob/m");
        assert!(opened.wants_passdb);
    }

    #[test]
    fn the_passdbs_need_not_be_asked_when_all_users_are_allowed() {
        let opened = open(&userdb("static", "uid=8 allow_all_users=yes"), &resources().0).unwrap();
        assert!(!opened.wants_passdb);
        assert_eq!(shown_user(&Asker::new("x").ask_userdb(&*opened.userdb)), "uid=8");
    }

    #[test]
    fn an_unknown_variable_is_a_failure() {
        let opened = open(&userdb("static", "home=%{nosuch}"), &resources().0).unwrap();
        assert!(shown_user(&Asker::new("x").ask_userdb(&*opened.userdb)).starts_with("Failed: static: "));
    }
}
