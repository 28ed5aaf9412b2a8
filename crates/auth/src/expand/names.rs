//! The names of variables: one-letter forms, long forms, and the providers of fields.

/// The long name of a one-letter variable. A letter without one is its own name: an LDAP template has `%$`.
pub(super) fn long(letter: char) -> String {
    NAMES
        .iter()
        .find(|(short, _)| *short == Some(letter))
        .map_or_else(|| letter.to_string(), |(_, long)| (*long).to_owned())
}

/// Whether a lookup knows a variable of this long name.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.iter().any(|(_, long)| *long == name) || is_provider(name)
}

/// Whether a lookup knows `%{provider:…}`.
pub(super) fn is_provider(name: &str) -> bool {
    matches!(name, "passdb" | "userdb" | "env")
}

const NAMES: &[(Option<char>, &str)] = &[
    (Some('u'), "user"),
    (Some('n'), "username"),
    (Some('d'), "domain"),
    (None, "domain_first"),
    (None, "domain_last"),
    (Some('s'), "service"),
    (Some('l'), "lip"),
    (None, "local_ip"),
    (Some('r'), "rip"),
    (None, "remote_ip"),
    (Some('a'), "lport"),
    (None, "local_port"),
    (Some('b'), "rport"),
    (None, "remote_port"),
    (None, "real_lip"),
    (None, "real_local_ip"),
    (None, "real_rip"),
    (None, "real_remote_ip"),
    (None, "real_lport"),
    (None, "real_local_port"),
    (None, "real_rport"),
    (None, "real_remote_port"),
    (Some('c'), "secured"),
    (Some('k'), "cert"),
    (Some('m'), "mech"),
    (None, "mechanism"),
    (Some('w'), "password"),
    (Some('!'), "passdb_id"),
    (Some('p'), "pid"),
    (Some('h'), "home"),
    (None, "session"),
    (None, "session_pid"),
    (None, "local_name"),
    (None, "client_id"),
    (None, "login_user"),
    (None, "login_username"),
    (None, "login_domain"),
    (None, "master_user"),
    (None, "orig_user"),
    (None, "orig_username"),
    (None, "orig_domain"),
    (None, "original_user"),
    (None, "original_username"),
    (None, "original_domain"),
    (None, "auth_user"),
    (None, "auth_username"),
    (None, "auth_domain"),
    (None, "hostname"),
];

/// All long names, for tests.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(_, long)| *long)
}
