//! From the name that a client typed to the name that databases are asked for: realm, translation,
//! allowed bytes, format, and the separator of master logins. Knows nothing of who may be a master.

use std::borrow::Cow;
use std::fmt::{self, Write};

use config::rows::auth::AuthSettings;

use crate::expand::{ExpandError, Template, Variables};
use crate::request::{domain_part, local_part};

/// What the settings say about user names, read once.
#[derive(Clone, Debug)]
pub struct Rules {
    default_realm: String,
    /// What each byte becomes.
    translation: [u8; 256],
    /// Whether each byte may stand in a name.
    allowed: [bool; 256],
    format: Template,
    separator: Option<char>,
}

/// Why a name cannot log in. Displays as the text for the log; control characters in the name are shown
/// as escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsernameError {
    /// The name is empty, or became empty.
    Empty,
    /// A byte is not in `auth_username_chars`.
    Disallowed {
        /// The byte, after `auth_username_translation`.
        byte: u8,
        /// The name as typed.
        name: String,
    },
    /// `auth_username_translation` made something that is not UTF-8 of the name as typed.
    NotText(String),
    /// `auth_username_format` does not expand.
    Format {
        /// The setting as written.
        format: String,
        /// Why.
        error: ExpandError,
    },
}

impl Rules {
    /// Reads the settings. Of `auth_master_user_separator` only the first character counts.
    pub fn new(settings: &AuthSettings) -> Self {
        let mut translation = std::array::from_fn(|byte| u8::try_from(byte).unwrap_or_default());
        for pair in settings.username_translation.as_bytes().chunks_exact(2) {
            if let [from, to] = pair
                && let Some(slot) = translation.get_mut(usize::from(*from))
            {
                *slot = *to;
            }
        }
        let chars = settings.username_chars.as_bytes();
        let allowed =
            std::array::from_fn(|byte| chars.is_empty() || chars.iter().any(|c| usize::from(*c) == byte));
        Self {
            default_realm: settings.default_realm.clone(),
            translation,
            allowed,
            format: Template::parse(&settings.username_format),
            separator: settings.master_user_separator.chars().next(),
        }
    }

    /// The name to ask databases for. `variables` are those of the login, where `%u` and its parts stand
    /// for the name as far as it is made: with its realm, translated.
    pub fn normalise(&self, typed: &str, variables: &dyn Variables) -> Result<String, UsernameError> {
        if typed.is_empty() {
            return Err(UsernameError::Empty);
        }
        let mut bytes = typed.as_bytes().to_vec();
        if !self.default_realm.is_empty() && !typed.contains('@') {
            bytes.push(b'@');
            bytes.extend_from_slice(self.default_realm.as_bytes());
        }
        for byte in &mut bytes {
            *byte = self.translation.get(usize::from(*byte)).copied().unwrap_or(*byte);
            if !self.allowed.get(usize::from(*byte)).is_some_and(|allowed| *allowed) {
                return Err(UsernameError::Disallowed { byte: *byte, name: typed.to_owned() });
            }
        }
        let user = String::from_utf8(bytes).map_err(|_| UsernameError::NotText(typed.to_owned()))?;
        if self.format.text().is_empty() {
            return Ok(user);
        }
        let formatted = self
            .format
            .expand(&Named { user: &user, login: variables })
            .map_err(|error| UsernameError::Format { format: self.format.text().to_owned(), error })?;
        if formatted.is_empty() { Err(UsernameError::Empty) } else { Ok(formatted) }
    }

    /// Takes a typed `user*master` apart (where `*` is the separator): who is wanted, and who
    /// authenticates. Neither is normalised yet. Without a separator the whole name authenticates.
    pub fn split_master<'t>(&self, typed: &'t str) -> (Option<&'t str>, &'t str) {
        match self.separator.and_then(|separator| typed.split_once(separator)) {
            Some((login_user, master)) => (Some(login_user), master),
            None => (None, typed),
        }
    }
}

impl fmt::Display for UsernameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty username"),
            Self::Disallowed { byte, name } => write!(
                f,
                "Username character disallowed by auth_username_chars: 0x{byte:02x} (username: {})",
                shown(name)
            ),
            Self::NotText(name) => {
                write!(f, "Username is no UTF-8 after auth_username_translation (username: {})", shown(name))
            }
            Self::Format { format, error } => write!(f, "Failed to expand username_format={format}: {error}"),
        }
    }
}

impl std::error::Error for UsernameError {}

/// A name as a log line may hold it: control characters as `\x1b`, long names cut.
pub fn shown(name: &str) -> String {
    let mut out = String::with_capacity(name.len().min(SHOWN));
    for c in name.chars() {
        if out.len() >= SHOWN {
            out.push_str("...");
            break;
        }
        if c.is_control() {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Bytes of a name that are shown in the log, give or take a character.
const SHOWN: usize = 128;

/// The variables of a login, under a name that is still being made.
struct Named<'a> {
    user: &'a str,
    login: &'a dyn Variables,
}

impl Variables for Named<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        let domain = domain_part(self.user);
        Some(Cow::Borrowed(match name {
            "user" => self.user,
            "username" => local_part(self.user),
            "domain" => domain,
            "domain_first" => domain.split('@').next().unwrap_or_default(),
            "domain_last" => domain.rsplit('@').next().unwrap_or_default(),
            _ => return self.login.variable(name),
        }))
    }

    fn field(&self, provider: &str, name: &str) -> Option<Option<Cow<'_, str>>> {
        self.login.field(provider, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Imap;

    impl Variables for Imap {
        fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
            match name {
                "user" => Some(Cow::Borrowed("not this one")),
                "service" => Some(Cow::Borrowed("imap")),
                _ => None,
            }
        }

        fn field(&self, _provider: &str, _name: &str) -> Option<Option<Cow<'_, str>>> {
            None
        }
    }

    const CHARS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@";

    fn settings() -> AuthSettings {
        AuthSettings {
            username_chars: CHARS.to_owned(),
            username_format: "%Lu".to_owned(),
            ..AuthSettings::default()
        }
    }

    fn name(settings: &AuthSettings, typed: &str) -> String {
        match Rules::new(settings).normalise(typed, &Imap) {
            Ok(name) => name,
            Err(error) => format!("! {error}"),
        }
    }

    #[test]
    fn names_are_lowered_by_default() {
        assert_eq!(name(&settings(), "UserName@Ex.Com"), "username@ex.com");
    }

    #[test]
    fn the_realm_is_added_where_there_is_none() {
        let settings = AuthSettings { default_realm: "Ex.Com".to_owned(), ..settings() };
        assert_eq!(name(&settings, "Bob"), "bob@ex.com");
        assert_eq!(name(&settings, "Bob@other"), "bob@other");
        assert_eq!(name(&settings, "bob@"), "bob@");
        assert_eq!(name(&settings, ""), "! Empty username");
    }

    #[test]
    fn bytes_are_translated_before_they_are_checked() {
        let settings = AuthSettings { username_translation: "#@/@%@".to_owned(), ..settings() };
        assert_eq!(name(&settings, "bob#dom"), "bob@dom");
        assert_eq!(name(&settings, "bob%dom/x"), "bob@dom@x");
        let settings = AuthSettings { username_translation: "b*".to_owned(), ..settings };
        assert_eq!(
            name(&settings, "bob"),
            "! Username character disallowed by auth_username_chars: 0x2a (username: bob)"
        );
    }

    // The realm is looked for in the name as typed.
    #[test]
    fn the_realm_comes_before_the_translation() {
        let settings = AuthSettings {
            default_realm: "dom".to_owned(),
            username_translation: "#@".to_owned(),
            ..settings()
        };
        assert_eq!(name(&settings, "bob#x"), "bob@x@dom");
    }

    #[test]
    fn bytes_outside_the_list_are_refused() {
        assert_eq!(
            name(&settings(), "b*b"),
            "! Username character disallowed by auth_username_chars: 0x2a (username: b*b)"
        );
        assert_eq!(
            name(&settings(), "böb"),
            "! Username character disallowed by auth_username_chars: 0xc3 (username: böb)"
        );
        assert_eq!(
            name(&settings(), "b\nauth: ok\u{85}"),
            "! Username character disallowed by auth_username_chars: 0x0a (username: b\\x0aauth: ok\\x85)"
        );
        let long = name(&settings(), &"*".repeat(100_000));
        assert_eq!(
            long.len(),
            "! Username character disallowed by auth_username_chars: 0x2a (username: ...)".len() + 128
        );
    }

    #[test]
    fn an_empty_list_allows_everything() {
        let settings = AuthSettings { username_chars: String::new(), ..settings() };
        assert_eq!(name(&settings, "B* \x01ö"), "b* \x01ö");
    }

    #[test]
    fn the_format_sees_the_name_so_far_and_the_login() {
        let settings = AuthSettings {
            default_realm: "A.b@c".to_owned(),
            username_format: "%Ln|%d|%{domain_first}|%{domain_last}|%s|%u".to_owned(),
            ..settings()
        };
        assert_eq!(name(&settings, "Bob"), "bob|A.b@c|A.b|c|imap|Bob@A.b@c");
    }

    #[test]
    fn a_percent_sign_in_a_name_is_no_variable() {
        let settings = AuthSettings { username_chars: String::new(), ..settings() };
        assert_eq!(name(&settings, "%S%{service}"), "%s%{service}");
    }

    #[test]
    fn a_format_that_yields_nothing_or_fails_refuses() {
        let with = |format: &str| AuthSettings { username_format: format.to_owned(), ..settings() };
        assert_eq!(name(&with("%d"), "bob"), "! Empty username");
        assert_eq!(name(&with("%z"), "bob"), "! Failed to expand username_format=%z: Unknown variable '%z'");
        assert_eq!(name(&with(""), "Bob"), "Bob");
    }

    #[test]
    fn a_translation_to_half_characters_refuses() {
        let settings = AuthSettings {
            username_chars: String::new(),
            username_translation: "äx".to_owned(),
            ..settings()
        };
        assert_eq!(
            name(&settings, "bäb"),
            "! Username is no UTF-8 after auth_username_translation (username: bäb)"
        );
    }

    #[test]
    fn a_master_logs_in_behind_the_separator() {
        let rules = Rules::new(&AuthSettings { master_user_separator: "*".to_owned(), ..settings() });
        assert_eq!(rules.split_master("bob*admin"), (Some("bob"), "admin"));
        assert_eq!(rules.split_master("bob*admin*x"), (Some("bob"), "admin*x"));
        assert_eq!(rules.split_master("*admin"), (Some(""), "admin"));
        assert_eq!(rules.split_master("bob*"), (Some("bob"), ""));
        assert_eq!(rules.split_master("bob"), (None, "bob"));
        assert_eq!(Rules::new(&settings()).split_master("bob*admin"), (None, "bob*admin"));
    }
}
