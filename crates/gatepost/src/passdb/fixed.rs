//! The static driver: the same fields for every user, with variables.

use auth::expand::Template;
use auth::fields::Suffix;
use auth::passdb::{Answer, Lookup, Passdb};
use auth::request::Request;
use config::problem::Problem;
use config::rows::passdb::PassdbSettings;
use config::value::Place;

use super::{Draft, Expansion, Resources, check_name, first_error, report_faults};

/// Scheme of a password that names none.
const SCHEME: &str = "PLAIN";

/// Opens a static passdb.
pub(super) fn open(settings: &PassdbSettings, resources: &Resources) -> Result<Box<dyn Passdb>, String> {
    Ok(Box::new(Fixed { fields: StaticFields::open(&settings.args, &settings.place, resources)? }))
}

/// The fields of a static block.
pub(crate) struct StaticFields {
    fields: Vec<(String, Template)>,
    /// `allow_all_users=yes`.
    pub(crate) allow_all_users: bool,
}

impl StaticFields {
    /// Reads a block's `args`.
    pub(crate) fn open(args: &str, place: &Place, resources: &Resources) -> Result<Self, String> {
        let settings = config::database::fixed(args, place).map_err(|problems| first_error(&problems))?;
        for field in &settings.fields {
            let fault = |fault| Problem::error(place, format!("static: {fault}")).to_string();
            check_name(&field.name).map_err(fault)?;
        }
        let fields: Vec<_> =
            settings.fields.into_iter().map(|field| (field.name, Template::parse(&field.value))).collect();
        for (name, template) in &fields {
            report_faults(template, place, &format!("static: field {name:?}"), &resources.log);
        }
        Ok(Self { fields, allow_all_users: settings.allow_all_users })
    }

    /// Every field with its value for this request. `own`: `passdb` or `userdb`.
    pub(crate) fn expand(
        &self,
        request: &Request<'_>,
        own: &'static str,
    ) -> Result<Vec<(String, String)>, String> {
        let mut expansion = Expansion::new(request, own);
        for (name, value) in &self.fields {
            expansion.add(name, value)?;
        }
        Ok(expansion.finish())
    }
}

struct Fixed {
    fields: StaticFields,
}

impl Fixed {
    fn answer(&self, request: &Request<'_>) -> Result<Answer, String> {
        let mut draft = Draft::new(None);
        for (name, value) in self.fields.expand(request, "passdb")? {
            // Here only `password` is the password, in the original too.
            if Suffix::split(&name).0 != "password_noscheme" {
                draft.add(&name, value.into_bytes(), SCHEME)?;
            }
        }
        Ok(Answer::Found(draft.finish()))
    }
}

impl Passdb for Fixed {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, Answer> {
        let answer = self.answer(request);
        Lookup::Now(answer.unwrap_or_else(|fault| Answer::Failed(format!("static: {fault}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, passdb, resources, shown};
    use super::*;

    fn answer(args: &str, user: &str) -> String {
        let passdb = open(&passdb("static", args), &resources().0).unwrap();
        shown(&ask(&*passdb, user))
    }

    // static: fields with variables, default scheme PLAIN, works for every user.
    #[test]
    fn every_user_gets_the_fields() {
        assert_eq!(
            answer("password=pw proxy=y host=%d.example user:protected=%n", "bob@ex"),
            "{PLAIN}pw proxy=y host=ex.example user:protected=bob"
        );
        assert_eq!(answer("password={SHA256.HEX}ab x", "b"), "{SHA256.HEX}ab x=");
    }

    #[test]
    fn nopassword_is_a_field_beside_an_absent_password() {
        assert_eq!(answer("nopassword", "bob"), "absent nopassword=");
        assert_eq!(answer("nopassword=y host=h", "bob"), "absent nopassword=y host=h");
        assert_eq!(answer("", "bob"), "absent");
    }

    // As seen with the original: earlier fields are there as variables, the name is not changed by them.
    #[test]
    fn fields_see_those_before_them() {
        assert_eq!(
            answer(
                "password=x user=Zed@three x=%u y=%{passdb:x} userdb_q=5 z=%{userdb:q} v=%{passdb:no:none}",
                "o"
            ),
            "{PLAIN}x user=Zed@three x=o y=o userdb_q=5 z=5 v=none"
        );
        assert_eq!(
            answer(
                "nopassword x=1 x:remove y=%{passdb:x:gone} x:protected=2 x:protected=3 v=%{passdb:x}",
                "o"
            ),
            "absent nopassword= x=1 x:remove= y=gone x:protected=2 x:protected=3 v=2"
        );
        assert_eq!(answer("password=x leak=%{passdb:password}", "o"), "{PLAIN}x leak=");
    }

    #[test]
    fn a_password_without_scheme_is_none_here() {
        assert_eq!(answer("password_noscheme={PLAIN}pw", "o"), "absent");
    }

    #[test]
    fn a_users_name_is_one_value_whatever_it_holds() {
        assert_eq!(answer("password=x user=%u", "a nopassword=y %d"), "{PLAIN}x user=a nopassword=y %d");
    }

    #[test]
    fn an_unknown_variable_is_a_temporary_failure() {
        let (resources, said) = resources();
        let passdb = open(&passdb("static", "password=x v=%{nosuch}"), &resources).unwrap();
        assert!(shown(&ask(&*passdb, "bob")).starts_with("Failed: static: field \"v\": "));
        assert!(said.lock().unwrap()[0].starts_with("Error dovecot.conf:7: static: field \"v\": "));
    }

    #[test]
    fn faults_in_args_are_told_at_the_block() {
        let refused = |args| open(&passdb("static", args), &resources().0).err().unwrap();
        assert_eq!(refused("=x"), "dovecot.conf:7: static: field \"=x\" has no name");
        assert_eq!(refused("userdb_=x"), "dovecot.conf:7: static: field \"userdb_\" has no name");
    }
}
