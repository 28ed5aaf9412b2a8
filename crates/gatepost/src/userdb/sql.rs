//! The sql driver: the columns of `user_query` are the fields. Of several rows the first counts.

use std::sync::Arc;

use auth::passdb::{Lookup, UserAnswer, Userdb};
use auth::request::Request;
use config::rows::passdb::UserdbSettings;

use super::Opened;
use crate::passdb::sql::{FirstRow, Users, parse, read};
use crate::passdb::{Resources, check_name, text};

/// Opens an sql userdb.
pub(super) fn open(settings: &UserdbSettings, resources: &Resources) -> Result<Opened, String> {
    let settings = read(&settings.args, &settings.place)?;
    let query = parse(&settings, "user_query", &settings.user_query)?;
    Ok(Opened::new(Sql { users: Arc::new(Users::new(&settings, query, resources)) }))
}

struct Sql {
    users: Arc<Users>,
}

impl Userdb for Sql {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, UserAnswer> {
        match self.users.ask(request) {
            Err(why) => Lookup::Now(UserAnswer::Failed(why)),
            Ok(ask) => {
                Lookup::Blocking(Box::new(move || ask().and_then(answer).unwrap_or_else(UserAnswer::Failed)))
            }
        }
    }
}

fn answer(row: Option<FirstRow>) -> Result<UserAnswer, String> {
    let Some(row) = row else { return Ok(UserAnswer::Unknown) };
    let mut fields = Vec::new();
    for (name, value) in row.columns {
        if let Some(value) = value {
            let field = check_name(&name).and_then(|()| text(&name, value));
            let value = field.map_err(|fault| format!("user_query: {fault}"))?;
            fields.push((name, value));
        }
    }
    Ok(UserAnswer::Found(fields))
}

#[cfg(test)]
mod tests {
    use super::super::open;
    use crate::passdb::sql::testing::Setup;
    use crate::passdb::testing::{Asker, resources, shown_user, userdb};

    const TABLE: &str = "
        CREATE TABLE users (username TEXT, domain TEXT, home TEXT, uid INTEGER, gid INTEGER);
        INSERT INTO users VALUES ('bob', 'ex', '/h', 8, NULL), ('al', 'ex', '/1', 1, 1), ('al', 'ex', '/2', 2, 2);
    ";

    fn answer(settings: &str, user: &str) -> String {
        let setup = Setup::new(TABLE, settings);
        let opened = open(&userdb("sql", &setup.args()), &resources().0).unwrap();
        shown_user(&Asker::new(user).ask_userdb(&*opened.userdb))
    }

    #[test]
    fn the_default_query_asks_for_home_and_ids() {
        assert_eq!(answer("", "bob@ex"), "home=/h uid=8");
        assert_eq!(answer("", "bob@other"), "Unknown");
    }

    #[test]
    fn of_two_rows_the_first_counts() {
        assert_eq!(answer("", "al@ex"), "home=/1 uid=1 gid=1");
    }

    #[test]
    fn columns_are_fields_as_they_are_named() {
        let query =
            "user_query = SELECT '%n' AS user, 'root' AS uid, NULL AS x, 1.5 AS quota FROM users LIMIT 1";
        assert_eq!(answer(query, "bob@ex"), "user=bob uid=0 quota=1.5");
        assert!(answer("user_query = SELECT 1 AS ':remove'", "x").starts_with("Failed: user_query: field"));
        assert!(answer("user_query = SELECT x FROM nowhere", "x").ends_with("no such table: nowhere"));
    }
}
