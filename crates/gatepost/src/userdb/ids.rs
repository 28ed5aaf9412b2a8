//! Names in `uid` and `gid` made numbers, for every driver. Asks the system's databases, which may block.

use auth::fields::Suffix;
use auth::passdb::{Lookup, UserAnswer, Userdb};
use auth::request::Request;
use nix::unistd::{Group, User};

/// A user database whose answers have numbers for names.
pub(super) struct Numbered(pub(super) Box<dyn Userdb>);

impl Userdb for Numbered {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, UserAnswer> {
        match self.0.lookup(request) {
            Lookup::Now(answer) if !has_names(&answer) => Lookup::Now(answer),
            Lookup::Now(answer) => Lookup::Blocking(Box::new(move || numbered(answer))),
            Lookup::Blocking(job) => Lookup::Blocking(Box::new(move || numbered(job()))),
            Lookup::Later(answer) => Lookup::Later(Box::pin(async move {
                let answer = answer.await;
                let numbering = tokio::task::spawn_blocking(move || numbered(answer));
                numbering.await.unwrap_or_else(|fault| UserAnswer::Failed(fault.to_string()))
            })),
        }
    }
}

fn has_names(answer: &UserAnswer) -> bool {
    matches!(answer, UserAnswer::Found(fields) if fields.iter().any(|(name, value)| is_name(name, value)))
}

/// Whether this field is an id that is given as a name.
fn is_name(field: &str, value: &str) -> bool {
    let (bare, suffix) = Suffix::split(field);
    matches!(bare, "uid" | "gid")
        && suffix != Suffix::Remove
        && !value.is_empty()
        && !value.bytes().all(|byte| byte.is_ascii_digit())
}

fn numbered(answer: UserAnswer) -> UserAnswer {
    let UserAnswer::Found(mut fields) = answer else { return answer };
    for (field, value) in fields.iter_mut().filter(|(field, value)| is_name(field, value)) {
        match number(field, value) {
            Ok(number) => *value = number.to_string(),
            Err(why) => return UserAnswer::Failed(why),
        }
    }
    UserAnswer::Found(fields)
}

fn number(field: &str, name: &str) -> Result<u32, String> {
    let found = if field.starts_with('u') {
        User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()))
    } else {
        Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()))
    };
    match found {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(format!("{field} {name:?} is unknown to this system")),
        Err(fault) => Err(format!("{field} {name:?} cannot be looked up: {fault}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passdb::testing::shown_user;

    fn found(fields: &[(&str, &str)]) -> UserAnswer {
        UserAnswer::Found(fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    // userdb fields uid and gid take names or numbers and are shown as numbers.
    #[test]
    fn names_become_numbers() {
        let answer =
            found(&[("uid", "root"), ("gid:protected", "root"), ("home", "root"), ("uid:remove", "x")]);
        assert!(has_names(&answer));
        assert_eq!(shown_user(&numbered(answer)), "uid=0 gid:protected=0 home=root uid:remove=x");
        assert!(!has_names(&found(&[("uid", "1000"), ("gid", ""), ("home", "x")])));
    }

    #[test]
    fn an_unknown_name_is_a_failure() {
        let answer = numbered(found(&[("uid", "no-such-user-here")]));
        assert_eq!(shown_user(&answer), "Failed: uid \"no-such-user-here\" is unknown to this system");
        assert!(matches!(numbered(found(&[("gid", "a\0b")])), UserAnswer::Failed(_)));
    }
}
