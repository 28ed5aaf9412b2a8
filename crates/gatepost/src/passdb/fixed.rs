//! The static driver: the same fields for every user, with variables.

use auth::expand::Template;
use auth::passdb::{Answer, Lookup, Passdb};
use auth::request::Request;
use config::problem::Problem;
use config::rows::passdb::PassdbSettings;
use config::value::Place;

use super::{Draft, Resources, SoFar, check_name, first_error, report_faults};

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

    /// Gives every field with its value for this request to `take`.
    pub(crate) fn expand(
        &self,
        request: &Request<'_>,
        mut take: impl FnMut(&str, Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut earlier = Vec::new();
        for (name, value) in &self.fields {
            let value = value
                .expand(&SoFar { request, fields: &earlier })
                .map_err(|fault| format!("static: field {name:?}: {fault}"))?;
            take(name, value.clone().into_bytes()).map_err(|fault| format!("static: {fault}"))?;
            earlier.push((name.clone(), value));
        }
        Ok(())
    }
}

struct Fixed {
    fields: StaticFields,
}

impl Passdb for Fixed {
    fn lookup<'a>(&'a self, request: &'a Request<'a>) -> Lookup<'a, Answer> {
        let mut draft = Draft::new(None);
        let expanded = self.fields.expand(request, |name, value| draft.add(name, value, SCHEME));
        Lookup::Now(match expanded {
            Ok(()) => Answer::Found(draft.finish()),
            Err(why) => Answer::Failed(why),
        })
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
