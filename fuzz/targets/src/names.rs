//! User names and what is made of them: `%` variables, the rules of names, and the fields that hold lists
//! and times.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use auth::expand::{Template, Variables, wildcard_matches};
use auth::fields::Fields;
use auth::nets;
use auth::request::{Facts, Identity, Request, domain_part, local_part};
use auth::username::Rules;
use auth::verdict::delay_until;
use config::rows::auth::AuthSettings;

use crate::meter;

/// A template, a line end, a user name.
pub(crate) fn template(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (text, user) = input.split_once('\n').unwrap_or((input, "bob@example.com"));
    // Digests are slow where the administrator says so; that is no matter of what a name holds.
    if text.contains("rounds") || text.matches("pkcs5").count() > 1 {
        return;
    }
    let template = Template::parse(text);
    assert_eq!(template.text(), text);
    let _ = template.faults();
    let (expanded, peak) = meter::peak(|| expand(&template, user));
    assert!(peak <= LONGEST_EXPANSION, "{peak} bytes held for {} of template", text.len());
    let Ok(expanded) = expanded else { return };
    if template.is_literal() {
        assert_eq!(Ok(expanded.as_str()), expand(&template, "somebody else").as_deref());
    }
    // A value is never read for variables again: a `%` in a name is a letter like any other.
    if !["if", "md", "sha", "pkcs5", "M", "H", "N"].iter().any(|word| text.contains(word)) {
        let other = user.replace('%', "\u{2}");
        let plain = expand(&template, &other).map(|expanded| expanded.replace('%', "\u{2}"));
        assert_eq!(plain, Ok(expanded.replace('%', "\u{2}")));
    }
    let parts = expand(&Template::parse("<%u|%n|%d>"), user);
    assert_eq!(parts, Ok(format!("<{user}|{}|{}>", local_part(user), domain_part(user))));
}

/// What an expansion may hold, for templates and names as short as a fuzzer makes them.
const LONGEST_EXPANSION: usize = 64 << 20;

fn expand(template: &Template, user: &str) -> Result<String, auth::expand::ExpandError> {
    let facts = Facts { service: "imap".to_owned(), ..Facts::default() };
    let identity = Identity { user: user.to_owned(), original: user.to_owned(), ..Identity::default() };
    let (fields, userdb) = (Fields::default(), Fields::default());
    let request = Request {
        facts: &facts,
        identity: &identity,
        fields: &fields,
        userdb: &userdb,
        password: None,
        passdb_id: 1,
    };
    template.expand(&request)
}

/// A typed name, and lines of settings: format, allowed bytes, translation, realm, separator.
pub(crate) fn username(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let mut lines = input.split('\n');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let typed = line();
    let settings = AuthSettings {
        username_format: line(),
        username_chars: line(),
        username_translation: line(),
        default_realm: line(),
        master_user_separator: line(),
        ..AuthSettings::default()
    };
    if settings.username_format.contains("rounds") || settings.username_format.contains("pkcs5") {
        return;
    }
    let rules = Rules::new(&settings);
    let (login_as, name) = rules.split_master(&typed);
    assert!(typed.ends_with(name) && login_as.is_none_or(|login_as| typed.starts_with(login_as)));
    match rules.normalise(name, &Nobody) {
        Ok(normalised) => {
            assert!(!normalised.is_empty());
            let chars = settings.username_chars.as_bytes();
            if settings.username_format.is_empty() && !chars.is_empty() {
                assert!(normalised.bytes().all(|byte| chars.contains(&byte)));
            }
        }
        Err(error) => assert!(!error.to_string().contains(['\n', '\r', '\0']) || has_control(&settings)),
    }
}

fn has_control(settings: &AuthSettings) -> bool {
    settings.username_format.contains(char::is_control)
}

/// A login of which nothing is known.
struct Nobody;

impl Variables for Nobody {
    fn variable(&self, _: &str) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(""))
    }

    fn field(&self, _: &str, _: &str) -> Option<Option<Cow<'_, str>>> {
        Some(None)
    }
}

/// A list of networks, a line end, an address.
pub(crate) fn networks(input: &[u8]) {
    let input = String::from_utf8_lossy(input);
    let (list, address) = input.split_once('\n').unwrap_or((&input, "192.0.2.7"));
    let address: Option<IpAddr> = address.parse().ok();
    let mut unreadable = 0;
    let whole = nets::allowed(list, address, &mut |_| unreadable += 1);
    assert!(unreadable <= 10);
    // One entry is enough, and an entry means the same wherever it stands.
    let words = list.split([',', ' ', '\t']);
    let any = words.clone().any(|word| nets::allowed(word, address, &mut |_| {}).is_ok());
    assert_eq!(whole.is_ok(), any);
    let backwards: Vec<_> = words.rev().collect();
    assert_eq!(nets::allowed(&backwards.join(","), address, &mut |_| {}).is_ok(), any);
    if let (Ok(net), Some(address)) = (config::value::Net::parse(list), address) {
        assert_eq!(net.contains(address), whole.is_ok());
        let shown = net.to_string();
        assert_eq!(config::value::Net::parse(&shown), Ok(net), "{shown}");
    }
    let (pattern, text) = list.split_at(list.find(' ').unwrap_or(list.len()));
    let _ = wildcard_matches(pattern, text);
    assert!(
        wildcard_matches("*", text)
            && wildcard_matches(&format!("*{}*", text.replace(['*', '?'], "?")), text)
    );
}

/// A value of `delay_until` at a fixed time, with the chance of the input's length.
pub(crate) fn delay(input: &[u8]) {
    let input = String::from_utf8_lossy(input);
    let (value, random) = input.split_once('\n').unwrap_or((&input, "0"));
    for random in [0, u64::MAX, random.parse().unwrap_or(7)] {
        for now in [0, 1_700_000_000, u64::MAX] {
            if let Ok(wait) = delay_until(value, now, random) {
                assert!(wait <= Duration::from_secs(300), "{wait:?}");
            }
        }
    }
}
