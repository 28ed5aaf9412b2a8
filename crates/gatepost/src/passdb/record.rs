//! What a database gave, field by field, made into a record. The rules that every driver shares: which
//! field is the password, which names and values are refused.

use auth::fields::Suffix;
use auth::passdb::{Password, Record};
use auth::request::Secret;
use auth::scheme::StoredHash;
use secrecy::ExposeSecret;

/// Longest value of one field, in bytes.
const LONGEST_VALUE: usize = 64 * 1024;

/// Longest name of one field, in bytes.
const LONGEST_NAME: usize = 255;

/// Refuses a field name that could not be told apart from others, or from none, further on.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let (bare, _) = Suffix::split(name);
    if bare.is_empty() || bare == "userdb_" {
        Err(format!("field {name:?} has no name"))
    } else if bare.starts_with(':') {
        Err(format!("field {name:?} begins with a colon (one too many before the fields?)"))
    } else if name.len() > LONGEST_NAME {
        Err("a field's name is longer than 255 bytes".to_owned())
    } else if name.bytes().any(|byte| byte.is_ascii_control() || byte == b'=') {
        Err(format!("field {name:?} has a name with control characters or \"=\""))
    } else {
        Ok(())
    }
}

/// A field's value as text.
pub(crate) fn text(name: &str, value: Vec<u8>) -> Result<String, String> {
    if value.len() > LONGEST_VALUE {
        Err(format!("field {name:?} is longer than 64 KiB"))
    } else if value.contains(&0) {
        Err(format!("field {name:?} has a NUL byte"))
    } else {
        String::from_utf8(value).map_err(|_| format!("field {name:?} is not UTF-8"))
    }
}

/// A record in the making.
pub(crate) struct Draft {
    password: Option<StoredHash>,
    fields: Vec<(String, String)>,
    /// The password was given more than once; the first counts.
    pub(crate) password_repeated: bool,
}

impl Draft {
    /// Begins a record whose password column, where the database has one of its own, is `password`.
    pub(crate) fn new(password: Option<StoredHash>) -> Self {
        Self { password, fields: Vec::new(), password_repeated: false }
    }

    /// Adds a field. `password` and `password_noscheme` are the password and never a field that others
    /// see; one that names no scheme is in `default_scheme`.
    pub(crate) fn add(&mut self, name: &str, value: Vec<u8>, default_scheme: &str) -> Result<(), String> {
        check_name(name)?;
        let (bare, suffix) = Suffix::split(name);
        let stored = match bare {
            "password" => StoredHash::parse(Secret::from(value).expose_secret(), default_scheme),
            "password_noscheme" => {
                StoredHash { scheme: default_scheme.to_owned(), data: Secret::from(value) }
            }
            _ => {
                let value = text(name, value)?;
                self.fields.push((name.to_owned(), value));
                return Ok(());
            }
        };
        match suffix {
            Suffix::Remove => {}
            _ if self.password.is_some() => self.password_repeated = true,
            _ => self.password = Some(stored),
        }
        Ok(())
    }

    /// The record. Without a password only `nopassword` among its fields lets anybody in.
    pub(crate) fn finish(self) -> Record {
        Record { password: self.password.map_or(Password::Absent, Password::Stored), fields: self.fields }
    }
}

#[cfg(test)]
mod tests {
    use auth::passdb::Answer;

    use super::super::testing::shown;
    use super::*;

    fn record(fields: &[(&str, &str)]) -> Result<String, String> {
        let mut draft = Draft::new(None);
        for (name, value) in fields {
            draft.add(name, value.as_bytes().to_vec(), "CRYPT")?;
        }
        Ok(shown(&Answer::Found(draft.finish())))
    }

    // `{SCHEME}data`, `{SCHEME.ENC}data`, or data in the default scheme; `{` without `}` counts as data.
    #[test]
    fn a_password_names_its_scheme_or_takes_the_default() {
        assert_eq!(record(&[("password", "{SSHA256.HEX}ab}c")]).unwrap(), "{SSHA256.HEX}ab}c");
        assert_eq!(record(&[("password", "abc")]).unwrap(), "{CRYPT}abc");
        assert_eq!(record(&[("password", "{abc")]).unwrap(), "{CRYPT}{abc");
        assert_eq!(record(&[("password", "")]).unwrap(), "{CRYPT}");
        assert_eq!(record(&[("password_noscheme", "{PLAIN}x")]).unwrap(), "{CRYPT}{PLAIN}x");
        assert_eq!(record(&[("nopassword", "")]).unwrap(), "absent nopassword=");
    }

    #[test]
    fn the_first_password_counts_and_none_becomes_a_field() {
        assert_eq!(record(&[("password", "a"), ("password", "b"), ("x", "1")]).unwrap(), "{CRYPT}a x=1");
        assert_eq!(record(&[("password:protected", "a"), ("password:remove", "b")]).unwrap(), "{CRYPT}a");
    }

    #[test]
    fn suffixes_and_prefixes_stay_on_names() {
        let fields = [("user:protected", "x"), ("userdb_home", "/h"), ("foo:bar", ""), ("y:remove", "")];
        assert_eq!(record(&fields).unwrap(), "absent user:protected=x userdb_home=/h foo:bar= y:remove=");
    }

    #[test]
    fn names_and_values_that_would_break_a_line_are_refused() {
        for name in ["", ":remove", ":protected", "userdb_", "userdb_:default", "a\tb", "a=b", "a\n", "\0"] {
            assert!(record(&[(name, "x")]).is_err(), "{name:?}");
        }
        assert!(record(&[(&"n".repeat(256), "x")]).is_err());
        assert!(record(&[("x", "a\0b")]).is_err());
        assert!(record(&[("x", &"v".repeat(LONGEST_VALUE + 1))]).is_err());
        assert!(Draft::new(None).add("x", vec![0xff], "PLAIN").is_err());
    }
}
