//! The passwd-file driver: the columns uid, gid and home, then the extra fields named `userdb_…`, which
//! override them. Shares its tables with the passdb of the same file.

use auth::passdb::{Lookup, UserAnswer, Userdb};
use auth::request::Request;
use config::rows::passdb::UserdbSettings;

use super::Opened;
use crate::passdb::passwd_file::{Asked, Column, Entry, Users};
use crate::passdb::{Level, Resources, check_name, text};

/// Opens a passwd-file userdb.
pub(super) fn open(settings: &UserdbSettings, resources: &Resources) -> Result<Opened, String> {
    let users = Users::open(&settings.args, &settings.place, resources)?;
    users.serve_userdb();
    Ok(Opened::new(PasswdFile { users }))
}

struct PasswdFile {
    users: Users,
}

impl Userdb for PasswdFile {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, UserAnswer> {
        self.users.lookup(request, |users, asked, request| match asked {
            Asked::Line(entry) => answer(users, &entry, request).unwrap_or_else(UserAnswer::Failed),
            Asked::Unknown => UserAnswer::Unknown,
            Asked::Failed(why) => UserAnswer::Failed(why),
        })
    }
}

fn answer(users: &Users, entry: &Entry<'_>, request: &Request<'_>) -> Result<UserAnswer, String> {
    let refuse = |fault: &str| {
        (users.log)(Level::Error, &entry.message(fault));
        Ok(UserAnswer::Unknown)
    };
    let [uid, gid] = match entry.ids() {
        Ok(Some(ids)) => ids,
        Ok(None) => return refuse("the line has no uid and gid, so it is no use to a userdb"),
        Err(fault) => return refuse(&fault),
    };
    let mut fields = Vec::new();
    for (name, id) in [("uid", uid), ("gid", gid)] {
        fields.extend(id.map(|id| (name.to_owned(), id.to_owned())));
    }
    if let Some(home @ [_, ..]) = entry.line.column(Column::Home) {
        let home = text("home", home.to_vec()).map_err(|fault| entry.message(&fault))?;
        fields.push(("home".to_owned(), home));
    }
    entry.fields(request, |name, value| {
        check_name(name)?;
        if let Some(name) = name.strip_prefix("userdb_") {
            fields.push((name.to_owned(), text(name, value)?));
        }
        Ok(())
    })?;
    Ok(UserAnswer::Found(fields))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::open;
    use crate::passdb::testing::{Asker, ask, passdb, resources, shown, shown_user, userdb};

    // Lines and answers as seen with the original.
    const LINES: &str = "\
a:{PLAIN}pw::::::
b:{PLAIN}pw:1000
c:{PLAIN}pw:1000:1000
d:{PLAIN}pw:root:root::/h/d
f:{PLAIN}pw:1000:0::/h/d
g:{PLAIN}pw:1000:::/h/d
h:{PLAIN}pw
i:{PLAIN}pw:0:0::/h
j:{PLAIN}pw:1000:1000::/h::userdb_home=/x userdb_mail=%n foo=1 userdb_x
k:{PLAIN}pw:1000:4294967296::/h
l:{PLAIN}pw:-1:1000::/h
n:{PLAIN}pw:1000:1000::/h::userdb_home:remove=
o:{PLAIN}pw:1000:1000::/h::=x
";

    #[test]
    fn columns_and_userdb_fields_are_the_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, LINES).unwrap();
        let (resources, said) = resources();
        let opened = open(&userdb("passwd-file", path.to_str().unwrap()), &resources).unwrap();
        let answer = |user| shown_user(&Asker::new(user).ask_userdb(&*opened.userdb));
        assert_eq!(answer("a"), "");
        assert_eq!(answer("b"), "Unknown");
        assert_eq!(answer("c"), "uid=1000 gid=1000");
        assert_eq!(answer("d"), "uid=0 gid=0 home=/h/d");
        assert_eq!(answer("f"), "Unknown");
        assert_eq!(answer("g"), "uid=1000 home=/h/d");
        assert_eq!(answer("h"), "Unknown");
        assert_eq!(answer("i"), "Unknown");
        assert_eq!(answer("j"), "uid=1000 gid=1000 home=/h home=/x mail=j x=");
        assert_eq!(answer("k"), "Unknown");
        assert_eq!(answer("l"), "Unknown");
        assert_eq!(answer("n"), "uid=1000 gid=1000 home=/h home:remove=");
        assert!(answer("o").ends_with("users:13: field \"\" has no name"));
        assert_eq!(answer("nobody"), "Unknown");
        let said = said.lock().unwrap();
        assert!(
            said.iter().any(|line| line.ends_with("users:8: the line has invalid UID \"0\"")),
            "{said:?}"
        );
        assert!(said.iter().any(|line| line.ends_with("users:5: the line has invalid GID \"0\"")));
    }

    // A line that the userdb must refuse is unknown to the passdb of the same file too, but not where the
    // file serves a passdb only.
    #[test]
    fn a_file_for_both_refuses_in_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, LINES).unwrap();
        let path = path.to_str().unwrap();
        let (resources, _) = resources();
        let passdb = crate::passdb::open(&passdb("passwd-file", path), &resources).unwrap();
        assert_eq!(shown(&ask(&*passdb, "i")), "{PLAIN}pw");
        let _userdb = open(&userdb("passwd-file", path), &resources).unwrap();
        assert_eq!(shown(&ask(&*passdb, "i")), "Unknown");
        assert_eq!(shown(&ask(&*passdb, "h")), "{PLAIN}pw");
        assert_eq!(shown(&ask(&*passdb, "a")), "{PLAIN}pw");
    }
}
