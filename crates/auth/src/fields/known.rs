//! A row per extra field: its kind, when it takes effect, how the auth line shows it, and what it is for.
//! Knows no protocol, and gives no field its effect: that is done where the row says it happens.

use std::fmt::Write;

/// An extra field that has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The name; one that ends in `_` stands for every name that begins with it.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Who acts on it.
    pub when: When,
    /// Whether an auth client sees it.
    pub shown: Shown,
    /// What it is for, in one Markdown line.
    pub doc: &'static str,
}

/// What a field's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True when the field is there, whatever its value.
    Boolean,
    /// Any text.
    Text,
    /// A decimal number.
    Number,
    /// Networks, separated by commas or blanks, or `local`.
    Nets,
    /// Seconds since 1970, with `+` and a number of random seconds where wanted.
    Time,
    /// A time; a bare number is seconds.
    Seconds,
    /// One IP address.
    Address,
    /// `yes`, or `any-cert` to accept any certificate.
    Tls,
    /// Fields, separated by TABs.
    Fields,
}

/// Where a field takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While databases are asked.
    Lookup,
    /// When the fields become a verdict.
    Verdict,
    /// When the connection is proxied.
    Proxy,
    /// Nowhere here: it travels to the next server or to the asker.
    Carried,
    /// In the answer of the user database.
    Userdb,
}

/// How a field appears on the auth line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Not at all.
    Never,
    /// As its name, without a value.
    Bare,
    /// As it is.
    Value,
}

/// The row of a field, its suffix (`:protected`, `:remove`) taken off. A whole name goes before a prefix.
/// `None`: the field has no meaning here, and is passed through with its value.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name && !known.is_prefix()).or_else(|| {
        KNOWN
            .iter()
            .find(|known| known.is_prefix() && name.len() > known.name.len() && name.starts_with(known.name))
    })
}

/// The page "Extra fields", as Markdown.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    for (when, heading) in SECTIONS {
        let _ = write!(page, "\n## {heading}\n\n| field | value | auth line | |\n|---|---|---|---|\n");
        for known in KNOWN.iter().filter(|known| known.when == *when) {
            let rest = if known.is_prefix() { "*name*" } else { "" };
            let (kind, shown) = (known.kind.describe(), known.shown.describe());
            let _ = writeln!(page, "| `{}`{rest} | {kind} | {shown} | {} |", known.name, known.doc);
        }
    }
    page
}

impl Known {
    /// Whether the row stands for every name that begins with its own.
    pub fn is_prefix(&self) -> bool {
        self.name.ends_with('_')
    }
}

impl Kind {
    fn describe(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Number => "number",
            Self::Nets => "networks",
            Self::Time => "time[+seconds]",
            Self::Seconds => "seconds",
            Self::Address => "IP address",
            Self::Tls => "`yes` or `any-cert`",
            Self::Fields => "fields",
        }
    }
}

impl Shown {
    fn describe(self) -> &'static str {
        match self {
            Self::Never => "no",
            Self::Bare => "name only",
            Self::Value => "yes",
        }
    }
}

const INTRODUCTION: &str = "\
# Extra fields

A password database may answer with more than a password. These are the fields that have a meaning; any
other one is passed to the asker as it is.

A boolean is true when the field is there: `nodelay`, `nodelay=yes`, `nodelay=no` and `nodelay=0` say the
same. A field that SQL returns as NULL, or an LDAP attribute that is absent, is not there.

A suffix on the name says how the field is set: `name:protected` only where nothing has set it before,
`name:remove` takes it away. Anything else behind a colon belongs to the name.

When several databases are asked, a later one overwrites the fields of an earlier one, and the fields of a
database that failed are dropped.
";

const SECTIONS: &[(When, &str)] = &[
    (When::Lookup, "While databases are asked"),
    (When::Verdict, "What becomes of the login"),
    (When::Proxy, "Proxying"),
    (When::Userdb, "For the user database"),
    (When::Carried, "Carried along"),
];

const fn row(name: &'static str, kind: Kind, when: When, shown: Shown, doc: &'static str) -> Known {
    Known { name, kind, when, shown, doc }
}

/// The table.
pub const KNOWN: &[Known] = &{
    use Kind::*;
    use Shown::*;
    use When::*;
    [
        row(
            "user",
            Text,
            Lookup,
            Never,
            "Replaces the user name, for the databases that follow too. Empty: the lookup fails.",
        ),
        row(
            "username",
            Text,
            Lookup,
            Never,
            "Replaces the part of the name before the `@`; with an `@` of its own, the whole name.",
        ),
        row("domain", Text, Lookup, Never, "Replaces the part of the name behind the `@`, or adds it."),
        row(
            "login_user",
            Text,
            Lookup,
            Never,
            "Logs in as this user; the one who authenticated becomes the master user.",
        ),
        row(
            "password",
            Text,
            Lookup,
            Never,
            "The password, with its `{SCHEME}` where it is not the default one. Only once per answer.",
        ),
        row(
            "password_noscheme",
            Text,
            Lookup,
            Never,
            "The password in the default scheme; a `{` at its start is part of it.",
        ),
        row(
            "nopassword",
            Boolean,
            Lookup,
            Never,
            "Any password passes. Only beside a password that is absent or empty; beside another one it is an error, and the password counts.",
        ),
        row("fail", Boolean, Lookup, Never, "The lookup fails as if there were no such user."),
        row(
            "noauthenticate",
            Boolean,
            Lookup,
            Never,
            "Takes the fields and leaves the decision to the next database. In the last one: a temporary failure.",
        ),
        row(
            "allow_nets",
            Nets,
            Lookup,
            Never,
            "The client's address must be in one of these; otherwise the lookup fails. `local` stands for a request without address, an empty list allows nobody, an unreadable entry is skipped.",
        ),
        row(
            "allow_real_nets",
            Nets,
            Lookup,
            Never,
            "The same for the address at the other end of the connection, such as a proxy's.",
        ),
        row("passdb_import", Fields, Lookup, Never, "More fields, set as if the database had returned each."),
        row(
            "k5principals",
            Text,
            Lookup,
            Value,
            "Kerberos principals that may log in as this user. Passed through: GSSAPI is not offered.",
        ),
        row(
            "nologin",
            Boolean,
            Verdict,
            Bare,
            "Refuses the login though the password was right; with `host`, refers it to that server.",
        ),
        row("reason", Text, Verdict, Value, "What the client is told when it is refused or referred."),
        row(
            "host",
            Text,
            Verdict,
            Value,
            "With `proxy`, the server to connect to; otherwise the server the client is referred to: with `nologin` it must go there, without it may.",
        ),
        row(
            "port",
            Number,
            Verdict,
            Value,
            "The port at `host`. One outside 1-65535 is an error in the log, and the default is used.",
        ),
        row("destuser", Text, Verdict, Value, "The user name at `host`, when it is another one."),
        row(
            "proxy",
            Boolean,
            Verdict,
            Bare,
            "Proxies the connection to `host`. Goes before referral and `nologin`.",
        ),
        row(
            "proxy_maybe",
            Boolean,
            Verdict,
            Value,
            "As `proxy`, unless `host` is this server: then the login is local.",
        ),
        row("nodelay", Boolean, Verdict, Value, "A failure is answered at once."),
        row(
            "delay_until",
            Time,
            Verdict,
            Never,
            "Holds the answer until then, plus up to that many random seconds. More than five minutes ahead: a temporary failure.",
        ),
        row("anonymous", Boolean, Verdict, Bare, "The login is anonymous."),
        row(
            "pass",
            Text,
            Proxy,
            Value,
            "The password at the other server, when it is not the one the client typed.",
        ),
        row(
            "master",
            Text,
            Proxy,
            Value,
            "Authenticates there as this user, on behalf of the user. Empty: as if absent.",
        ),
        row(
            "hostip",
            Address,
            Proxy,
            Value,
            "The address to connect to; `host` is then only a name, for certificates.",
        ),
        row(
            "source_ip",
            Address,
            Proxy,
            Value,
            "The address to connect from. Unreadable: ignored. Not one of ours: the proxying fails.",
        ),
        row("ssl", Tls, Proxy, Value, "TLS from the first byte; the default port becomes that of TLS."),
        row("starttls", Tls, Proxy, Value, "STARTTLS, which the other server must offer."),
        row(
            "proxy_timeout",
            Seconds,
            Proxy,
            Value,
            "How long connecting and logging in may take; without a unit, seconds. Unreadable: `login_proxy_timeout`.",
        ),
        row("proxy_mech", Text, Proxy, Value, "The SASL mechanism to use there: PLAIN or LOGIN."),
        row("proxy_noauth", Boolean, Proxy, Value, "Does not log in there. Submission only."),
        row("proxy_nopipelining", Boolean, Proxy, Value, "Waits for each reply before the next command."),
        row(
            "proxy_not_trusted",
            Boolean,
            Proxy,
            Value,
            "Does not tell the other server who the client is (no ID, no XCLIENT).",
        ),
        row("proxy_redirect_reauth", Boolean, Proxy, Value, "Passed through without effect."),
        row("proxy_refresh", Seconds, Proxy, Value, "Passed through without effect."),
        row("proxy_host_immediate_failure_after", Seconds, Proxy, Value, "Passed through without effect."),
        row(
            "proxy_always",
            Boolean,
            Proxy,
            Value,
            "Passed through without effect: it concerned the director, which is not here.",
        ),
        row("director_tag", Text, Proxy, Value, "Passed through without effect, as `proxy_always`."),
        row(
            "director_proxy_maybe",
            Boolean,
            Proxy,
            Value,
            "Passed through without effect, as `proxy_always`.",
        ),
        row(
            "forward_",
            Text,
            Proxy,
            Value,
            "Sent to the next server as `forward_name`; from a trusted front it arrives under that name too.",
        ),
        row("userdb_user", Text, Userdb, Never, "Replaces the user name in the user database's answer."),
        row("userdb_uid", Text, Userdb, Never, "User id, by number or name."),
        row("userdb_gid", Text, Userdb, Never, "Group id, by number or name."),
        row("userdb_home", Text, Userdb, Never, "Home directory."),
        row("userdb_tempfail", Boolean, Userdb, Never, "The later user lookup fails for now."),
        row("userdb_reason", Text, Userdb, Never, "What is said when it does."),
        row(
            "userdb_userdb_import",
            Fields,
            Userdb,
            Never,
            "More fields of the user database, without the prefix.",
        ),
        row(
            "userdb_",
            Text,
            Userdb,
            Never,
            "Becomes the field `name` of the user database. Any of these, even an empty one, makes the `prefetch` user database answer.",
        ),
        row(
            "original_user",
            Text,
            Carried,
            Value,
            "The name as typed. Set by the server when it differs from the final one.",
        ),
        row(
            "auth_user",
            Text,
            Carried,
            Value,
            "The name that authenticated. Set by the server for master logins.",
        ),
        row("event_", Text, Carried, Value, "For events of the asker."),
        row("user_", Text, Carried, Value, "Other names of the user, by which sessions can be found."),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once() {
        let mut names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_whole_name_goes_before_a_prefix() {
        let name = |field: &str| find(field).map(|known| known.name);
        assert_eq!(name("user"), Some("user"));
        assert_eq!(name("username"), Some("username"));
        assert_eq!(name("user_alias"), Some("user_"));
        assert_eq!(name("userdb_home"), Some("userdb_home"));
        assert_eq!(name("userdb_quota_rule"), Some("userdb_"));
        assert_eq!(name("forward_x"), Some("forward_"));
        assert_eq!(name("event_x"), Some("event_"));
        assert_eq!(name("proxy_maybe"), Some("proxy_maybe"));
        for unknown in
            ["", "x", "Proxy", "userdb_", "forward_", "proxy_", "foo:bar", "host:remove", "forward"]
        {
            assert_eq!(name(unknown), None, "{unknown}");
        }
    }

    // The fields the two documents of origin name.
    #[test]
    fn the_documented_fields_are_there() {
        for (name, kind) in [
            ("user", Kind::Text),
            ("login_user", Kind::Text),
            ("allow_nets", Kind::Nets),
            ("allow_real_nets", Kind::Nets),
            ("proxy", Kind::Boolean),
            ("proxy_maybe", Kind::Boolean),
            ("host", Kind::Text),
            ("port", Kind::Number),
            ("destuser", Kind::Text),
            ("reason", Kind::Text),
            ("nologin", Kind::Boolean),
            ("nodelay", Kind::Boolean),
            ("nopassword", Kind::Boolean),
            ("fail", Kind::Boolean),
            ("k5principals", Kind::Text),
            ("delay_until", Kind::Time),
            ("noauthenticate", Kind::Boolean),
            ("forward_anything", Kind::Text),
            ("userdb_anything", Kind::Text),
        ] {
            assert_eq!(find(name).map(|known| known.kind), Some(kind), "{name}");
        }
    }

    // As seen on the original's auth lines.
    #[test]
    fn the_auth_line_hides_what_is_internal() {
        for name in
            ["password", "nopassword", "allow_nets", "delay_until", "noauthenticate", "userdb_x", "user"]
        {
            assert_eq!(find(name).map(|known| known.shown), Some(Shown::Never), "{name}");
        }
        for name in ["nologin", "proxy", "anonymous"] {
            assert_eq!(find(name).map(|known| known.shown), Some(Shown::Bare), "{name}");
        }
        for name in ["nodelay", "proxy_maybe", "host", "reason", "pass", "forward_x", "user_x", "auth_user"] {
            assert_eq!(find(name).map(|known| known.shown), Some(Shown::Value), "{name}");
        }
    }

    #[test]
    fn the_page_has_every_row_once_and_whole() {
        let page = reference();
        for known in KNOWN {
            let name = format!("| `{}`", known.name);
            let rows: Vec<_> = page
                .lines()
                .filter(|line| line.strip_prefix(&name).is_some_and(|rest| !rest.starts_with('|')))
                .collect();
            assert_eq!(rows.len(), 1, "{}", known.name);
            assert!(rows[0].ends_with(&format!("| {} |", known.doc)));
            assert!(known.doc.ends_with('.') && !known.doc.contains(['|', '\n']), "{}", known.name);
        }
        assert!(page.contains("| `nologin` | boolean | name only |"), "{page}");
        assert!(page.contains("| `forward_`*name* | text | yes |"), "{page}");
    }
}
