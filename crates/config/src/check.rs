//! What settings may not say together, and reading a configuration from beginning to end.
//! Every problem is reported, each with its place; only configuration files are opened.

use std::path::{Path, PathBuf};

use crate::database;
use crate::filter::Filter;
use crate::nearest::nearest;
use crate::problem::{Problem, Severity};
use crate::rows::login::SslMode;
use crate::rows::{self, Reach};
use crate::scope::Config;
use crate::services::LOGIN_SERVICES;
use crate::syntax::{self, Node, Parsed};
use crate::value::{Kind, Place};
use crate::written::{self, Block, Group, Said};

/// A configuration and what is to be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` when a problem is an error.
    pub config: Option<Config>,
    /// Errors and warnings, in the order of the files; those without a place last.
    pub problems: Vec<Problem>,
    /// The text of every configuration file read, by the name used in places.
    pub sources: Vec<(PathBuf, String)>,
}

/// Reads a configuration file and everything it includes.
pub fn load(path: &Path) -> Loaded {
    check(path, syntax::parse_file(path))
}

/// Reads a configuration from memory; `name` stands for its file, and nothing can be included.
pub fn load_text(name: &str, text: &str) -> Loaded {
    check(Path::new(name), syntax::parse_text(name, text))
}

fn check(path: &Path, parsed: Parsed) -> Loaded {
    if let Some(place) = other_dialect(&parsed.nodes) {
        let text = "dovecot_config_version: the syntax of Dovecot 2.4 is not read in this version";
        let problems = vec![Problem::error(place, text).hint("write the file for Dovecot 2.3")];
        return Loaded { config: None, problems, sources: parsed.sources };
    }
    let mut problems = parsed.problems;
    let (blocks, more) = written::read(&parsed.nodes);
    problems.extend(more);
    // What is missing may stand in a part that could not be read, so it is not looked for then.
    let complete = !problems.iter().any(|problem| problem.severity == Severity::Error);
    let config = Config::new(path, blocks);
    databases(&config, &mut problems);
    mechanisms(&config, &mut problems);
    protocols(&config, complete, &mut problems);
    listeners(&config, complete, &mut problems);
    networks(&config, &mut problems);
    conflicts(&config, &mut problems);
    if complete {
        somebody_to_ask(&config, &mut problems);
        certificates(&config, &mut problems);
    }
    let order = |place: &Place| {
        parsed.sources.iter().position(|(file, _)| *file == place.file).unwrap_or(parsed.sources.len())
    };
    problems.sort_by_key(|problem| match &problem.place {
        Some(place) => (false, order(place), place.line),
        None => (true, 0, 0),
    });
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    Loaded { config: (!failed).then_some(config), problems, sources: parsed.sources }
}

/// Where the file says that it is written for Dovecot 2.4, whose settings mostly have other names.
fn other_dialect(nodes: &[Node]) -> Option<&Place> {
    nodes.iter().find_map(|node| match node {
        Node::Setting(setting) if setting.name == "dovecot_config_version" => Some(&setting.place),
        _ => None,
    })
}

/// Drivers of password databases that can be asked.
const PASSDB_DRIVERS: &[&str] = &["passwd-file", "sql", "static"];
/// Drivers of user databases that can be asked.
const USERDB_DRIVERS: &[&str] = &["passwd-file", "prefetch", "sql", "static"];
/// Drivers of Dovecot that cannot be asked yet.
const LATER_DRIVERS: &[&str] = &[
    "bsdauth",
    "checkpassword",
    "dict",
    "imap",
    "ldap",
    "lua",
    "mysql",
    "nss",
    "oauth2",
    "pam",
    "passwd",
    "pgsql",
    "shadow",
    "vpopmail",
];

fn databases(config: &Config, problems: &mut Vec<Problem>) {
    for group in config.written().iter().flat_map(|block| &block.sections) {
        let known = match group.kind.name {
            "passdb" => PASSDB_DRIVERS,
            "userdb" => USERDB_DRIVERS,
            _ => continue,
        };
        let kind = group.kind.name;
        let written = |name: &str| group.settings.get(name);
        let Some(driver) = written("driver") else {
            if !group.faulty {
                let hint = format!("write driver = {}", crate::value::either(known));
                let text = format!("{kind}: driver is missing");
                problems.push(Problem::error(&group.place, text).hint(hint));
            }
            continue;
        };
        let name = match driver.value.written() {
            sqlite if sqlite == "sqlite" => "sql".to_owned(),
            name => name,
        };
        if LATER_DRIVERS.contains(&name.as_str()) {
            let text = format!("{kind}: driver \"{name}\" is not part of this version");
            let hint = format!("there are {}", crate::value::either(known));
            problems.push(Problem::error(&driver.place, text).hint(hint));
        } else if known.contains(&name.as_str()) {
            let (args, place) = match written("args") {
                Some(said) => (said.value.written(), &said.place),
                None => (String::new(), &group.place),
            };
            problems.extend(database::check(&name, &args, place));
        } else {
            let hint = nearest(&name, known.iter().copied())
                .unwrap_or_else(|| format!("there are {}", crate::value::either(known)));
            let text = format!("{kind}: unknown driver \"{name}\"");
            problems.push(Problem::error(&driver.place, text).hint(hint));
        }
        if kind == "passdb" && name == "static" && lets_everybody_in(group) {
            let text = "passdb: nopassword without proxy or nologin lets everybody in";
            let place = written("args").map_or(&group.place, |said| &said.place);
            problems.push(Problem::warning(place, text));
        }
        for rule in ["result_failure", "result_internalfail"] {
            if let Some(said) = written(rule).filter(|_| kind == "passdb") {
                let value = said.value.written();
                if value.ends_with("-ok") {
                    let text =
                        format!("passdb: {rule} = {value} lets people in whose password is not checked");
                    problems.push(Problem::warning(&said.place, text));
                }
            }
        }
    }
}

/// Whether a static password database verifies nothing and sends nobody elsewhere.
fn lets_everybody_in(group: &Group) -> bool {
    let mut names: Vec<String> = Vec::new();
    for setting in ["default_fields", "args", "override_fields"] {
        let fields = group.settings.get(setting).map(|said| said.value.written()).unwrap_or_default();
        names
            .extend(fields.split_whitespace().filter_map(|field| field.split('=').next()).map(str::to_owned));
    }
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    // Asked only about those whose password another one has verified.
    if group.settings.get("skip").is_some_and(|said| said.value.written() == "unauthenticated") {
        return false;
    }
    has("nopassword") && !has("proxy") && !has("proxy_maybe") && !has("nologin") && !has("fail")
}

/// Mechanisms that can be offered.
const MECHANISMS: &[&str] = &["PLAIN", "LOGIN"];
/// Mechanisms of Dovecot that cannot be offered yet.
const LATER_MECHANISMS: &[&str] = &[
    "ANONYMOUS",
    "APOP",
    "CRAM-MD5",
    "DIGEST-MD5",
    "EXTERNAL",
    "GSS-SPNEGO",
    "GSSAPI",
    "NTLM",
    "OAUTHBEARER",
    "OTP",
    "RPA",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SKEY",
    "XOAUTH2",
];

fn mechanisms(config: &Config, problems: &mut Vec<Problem>) {
    for block in config.written() {
        if let Some(said) = block.settings.get("auth_mechanisms") {
            let text = said.value.written();
            let mut any = false;
            for word in crate::value::words(&text) {
                any = true;
                let name = word.to_ascii_uppercase();
                if LATER_MECHANISMS.contains(&name.as_str()) {
                    let text = format!("auth_mechanisms: mechanism {name} is not part of this version");
                    problems.push(Problem::error(&said.place, text).hint("there are plain and login"));
                } else if !MECHANISMS.contains(&name.as_str()) {
                    problems.push(unknown_mechanism("auth_mechanisms", word, said));
                }
            }
            if !any {
                let text = "auth_mechanisms: no mechanism is named, so nobody can log in";
                problems.push(Problem::error(&said.place, text).hint("write plain, or plain login"));
            }
        }
        if let Some(said) = block.settings.get("auth_username_translation")
            && said.value.written().chars().count() % 2 == 1
        {
            let text = "auth_username_translation: the last character has no partner";
            problems
                .push(Problem::error(&said.place, text).hint("write pairs: the first becomes the second"));
        }
        for group in &block.sections {
            // A misspelt mechanism would leave the database out, even one that denies.
            let Some(said) = group.settings.get("mechanisms") else { continue };
            let text = said.value.written();
            for word in crate::value::words(&text) {
                let name = word.to_ascii_uppercase();
                let known = MECHANISMS.iter().chain(LATER_MECHANISMS).chain(&["NONE"]);
                if !known.into_iter().any(|known| *known == name) {
                    problems.push(unknown_mechanism("passdb: mechanisms", word, said));
                }
            }
        }
    }
}

fn unknown_mechanism(context: &str, word: &str, said: &Said) -> Problem {
    let known = MECHANISMS.iter().chain(LATER_MECHANISMS).map(|name| name.to_ascii_lowercase());
    let known: Vec<String> = known.collect();
    let hint = nearest(word, known.iter().map(String::as_str))
        .unwrap_or_else(|| "there are plain and login".to_owned());
    Problem::error(&said.place, format!("{context}: unknown mechanism \"{word}\"")).hint(hint)
}

/// Protocols that Dovecot has and that are not served.
const LATER_PROTOCOLS: &[&str] = &["lmtp", "sieve", "submission", "submissions"];
/// Words that mean nothing of their own: TLS ports follow from `ssl`, and `none` is for none.
const SILENT_PROTOCOLS: &[&str] = &["imaps", "none", "pop3s"];

fn protocols(config: &Config, complete: bool, problems: &mut Vec<Problem>) {
    let said = config.written().first().and_then(|block| block.settings.get("protocols"));
    let mut unserved: Vec<&str> = Vec::new();
    for protocol in &config.server().protocols {
        let name = protocol.as_str();
        let served = LOGIN_SERVICES.iter().map(|login| login.protocol);
        if served.clone().any(|served| served == name) || SILENT_PROTOCOLS.contains(&name) {
            continue;
        }
        if LATER_PROTOCOLS.contains(&name) {
            unserved.push(name);
            continue;
        }
        let hint = nearest(name, served.chain(LATER_PROTOCOLS.iter().copied()))
            .unwrap_or_else(|| "there are imap and pop3".to_owned());
        problems
            .push(at(said, Severity::Error, format!("protocols: unknown protocol \"{name}\"")).hint(hint));
    }
    if !unserved.is_empty() {
        let text = format!("protocols: not served in this version: {}", unserved.join(", "));
        problems.push(at(said, Severity::Warning, text));
    }
    let sockets =
        config.services().iter().flat_map(|service| &service.unix).any(|listener| listener.mode != 0);
    if complete && config.server().protocols.is_empty() && !sockets {
        let text = "protocols: none is named, so nothing is served".to_owned();
        problems.push(at(said, Severity::Warning, text).hint("write protocols = imap pop3"));
    }
}

fn listeners(config: &Config, complete: bool, problems: &mut Vec<Problem>) {
    let certificate = certificate_anywhere(config);
    let balancers = config.written().iter().any(|block| {
        let said = block.settings.get("haproxy_trusted_networks");
        said.is_some_and(|said| !said.value.written().is_empty())
    });
    let mut taken: Vec<(&str, u16, &Place)> = Vec::new();
    for service in config.services() {
        let served = service.name == "auth" || LOGIN_SERVICES.iter().any(|login| login.name == service.name);
        for listener in service.inet.iter().filter(|listener| listener.port != 0) {
            let name = format!("service {}: inet_listener {}", service.name, listener.name);
            let name = name.trim_end();
            if !served {
                let text = format!("{name}: not served, nothing listens on port {}", listener.port);
                problems.push(Problem::warning(&listener.place, text));
                continue;
            }
            if listener.ssl && !certificate && complete {
                let text = format!("{name}: ssl = yes, but there is no ssl_cert");
                let hint = "set ssl_cert and ssl_key, or port = 0";
                problems.push(Problem::error(&listener.place, text).hint(hint));
            }
            if listener.haproxy && complete && !balancers {
                let text = format!("{name}: haproxy = yes, but there are no haproxy_trusted_networks");
                let hint = "set haproxy_trusted_networks to the balancers' addresses";
                problems.push(Problem::error(&listener.place, text).hint(hint));
            }
            for address in &listener.addresses {
                let address = address.as_str();
                if let Some((_, _, other)) =
                    taken.iter().find(|(taken, port, _)| *taken == address && *port == listener.port)
                {
                    let (place, other) = if listener.place.line == 0 {
                        (*other, &listener.place)
                    } else {
                        (&listener.place, *other)
                    };
                    let also = match other.line {
                        0 => "by default".to_owned(),
                        line => format!("at {}:{line}", other.file.display()),
                    };
                    let text =
                        format!("{name}: port {} of {address} is taken already, {also}", listener.port);
                    problems
                        .push(Problem::error(place, text).hint("give one of them another port, or port = 0"));
                } else {
                    taken.push((address, listener.port, &listener.place));
                }
            }
        }
        for listener in service.unix.iter().filter(|listener| listener.path.as_os_str().is_empty()) {
            let text = format!("service {}: unix_listener: which path?", service.name);
            problems.push(Problem::error(&listener.place, text).hint("write unix_listener PATH {"));
        }
        let auth = service.unix.iter().filter(|listener| service.name == "auth" && listener.mode != 0);
        for listener in auth.filter(|listener| !listener.is_for_clients()) {
            let path = listener.path.display();
            let text = format!(
                "service auth: unix_listener {path}: {} sockets are not served in this version",
                listener.purpose()
            );
            problems.push(Problem::warning(&listener.place, text));
        }
    }
}

/// Networks that hold everybody make every client trusted.
fn networks(config: &Config, problems: &mut Vec<Problem>) {
    for block in config.written() {
        for (name, whose) in [("login_trusted_networks", "gates"), ("haproxy_trusted_networks", "balancers")]
        {
            let Some(said) = block.settings.get(name) else { continue };
            let nets = crate::value::networks(&said.value.written()).unwrap_or_default();
            if let Some(net) = nets.iter().find(|net| net.bits == 0) {
                let text = format!("{name}: {net} is everybody: any client may claim to be another");
                let hint = format!("name the networks of your own {whose}");
                problems.push(Problem::warning(&said.place, text).hint(hint));
            }
        }
    }
}

/// Two blocks of which neither is inside the other must not say different things to one connection.
fn conflicts(config: &Config, problems: &mut Vec<Problem>) {
    let blocks: Vec<&Block> =
        config.written().iter().filter(|block| concerns_logins(&block.filter)).collect();
    for (index, later) in blocks.iter().enumerate() {
        for earlier in blocks.iter().take(index) {
            let (a, b) = (&earlier.filter, &later.filter);
            if !a.overlaps(b) || a.includes(b) || b.includes(a) {
                continue;
            }
            for (name, said) in &later.settings {
                let Some(other) = earlier.settings.get(name).filter(|other| other.value != said.value) else {
                    continue;
                };
                let Some((Reach::Auth | Reach::Connection, row)) = rows::global().get(name.as_str()) else {
                    continue;
                };
                let elsewhere = format!("{}:{}", other.place.file.display(), other.place.line);
                // Certificates by address beside certificates by name are common, and whichever is
                // shown lets nobody in.
                if row.kind() == Kind::Content {
                    let wins = if a.narrowness() > b.narrowness() { other } else { said };
                    let text =
                        format!("{name}: one connection may be of this block and of another, at {elsewhere}");
                    let hint = format!("line {} wins then", wins.place.line);
                    problems.push(Problem::warning(&said.place, text).hint(hint));
                } else {
                    let text = format!(
                        "{name}: one connection may be of this block and of another that says otherwise, at {elsewhere}"
                    );
                    problems.push(Problem::error(&said.place, text).hint("put one block inside the other"));
                }
            }
        }
    }
}

/// Whether a filter can match a login, and not only the original's other programs.
fn concerns_logins(filter: &Filter) -> bool {
    filter.protocol.as_ref().is_none_or(|protocol| {
        protocol.negated || LOGIN_SERVICES.iter().any(|login| login.protocol == protocol.name)
    })
}

fn somebody_to_ask(config: &Config, problems: &mut Vec<Problem>) {
    let running = running(config);
    let asked = |protocol: &str| config.auth(protocol).passdbs.iter().any(|passdb| !passdb.master);
    if running.is_empty() {
        if !asked("") {
            let text = "no passdb: nobody can log in";
            problems.push(nowhere(Severity::Error, text).hint("add a passdb block"));
        }
        return;
    }
    for protocol in running.iter().filter(|protocol| !asked(protocol)) {
        let text = format!("no passdb for {protocol}: nobody can log in");
        problems.push(nowhere(Severity::Error, text).hint("add a passdb block"));
    }
}

fn certificates(config: &Config, problems: &mut Vec<Problem>) {
    for block in config.written().iter().filter(|block| concerns_logins(&block.filter)) {
        let said = |name: &str| block.settings.get(name);
        let settings = config.resolved(&block.filter);
        let tls = &settings.tls;
        for (cert, key, alone) in [
            ("ssl_cert", "ssl_key", tls.cert.is_some() && tls.key.is_none()),
            ("ssl_alt_cert", "ssl_alt_key", tls.alt_cert.is_some() && tls.alt_key.is_none()),
            ("ssl_client_cert", "ssl_client_key", tls.client_cert.is_some() && tls.client_key.is_none()),
        ] {
            match said(key) {
                // What `doveconf -n` prints hides the key and must still be readable; serving needs it.
                Some(_) if alone => {
                    let text = format!("{key}: it is empty, so the server cannot start with this file");
                    let hint = format!("write {key} = </path/to/key.pem; doveconf hides it without -P");
                    problems.push(at(said(key), Severity::Warning, text).hint(hint));
                }
                None if alone && said(cert).is_some() => {
                    let text = format!("{cert}: it needs {key} beside it");
                    problems.push(at(said(cert), Severity::Error, text).hint(format!("set {key}")));
                }
                _ => {}
            }
        }
        if settings.ssl == SslMode::Required && said("ssl").is_some() && !certificate_anywhere(config) {
            let text = "ssl: TLS is required, but there is no ssl_cert, so nobody can log in".to_owned();
            problems.push(at(said("ssl"), Severity::Error, text).hint("set ssl_cert and ssl_key"));
        }
    }
    let global = config.resolved(&Filter::default());
    if global.ssl == SslMode::Yes && !certificate_anywhere(config) && !running(config).is_empty() {
        let said = config.written().first().and_then(|block| block.settings.get("ssl"));
        let text = "ssl: there is no ssl_cert, so TLS is not offered".to_owned();
        problems.push(at(said, Severity::Warning, text).hint("set ssl_cert and ssl_key, or ssl = no"));
    }
}

/// Whether some connection can be given a certificate.
pub(crate) fn certificate_anywhere(config: &Config) -> bool {
    config.written().iter().any(|block| config.resolved(&block.filter).tls.cert.is_some())
}

/// The protocols that run.
fn running(config: &Config) -> Vec<&'static str> {
    LOGIN_SERVICES
        .iter()
        .map(|login| login.protocol)
        .filter(|protocol| config.server().protocols.iter().any(|named| named == protocol))
        .collect()
}

fn at(said: Option<&Said>, severity: Severity, text: String) -> Problem {
    Problem { severity, place: said.map(|said| said.place.clone()), text, hint: None }
}

fn nowhere(severity: Severity, text: impl Into<String>) -> Problem {
    at(None, severity, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::ConnectionKey;

    #[test]
    fn only_what_lets_everybody_in_is_warned_of() {
        let said = |skip: &str| {
            let text = format!(
                "protocols = imap\nssl = no\npassdb {{\n  driver = static\n  args = nopassword=y\n{skip}}}\n"
            );
            load_text("dovecot.conf", &text).problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let warning =
            "dovecot.conf:5: warning: passdb: nopassword without proxy or nologin lets everybody in";
        assert_eq!(said(""), [warning]);
        assert_eq!(said("  skip = authenticated\n"), [warning]);
        assert_eq!(said("  skip = unauthenticated\n"), [""; 0]);
    }

    #[test]
    fn a_tcp_listener_of_the_auth_service_is_served_and_one_of_another_is_not() {
        let said = |service: &str| {
            let text = format!(
                "protocols = imap\nssl = no\nservice {service} {{\n  inet_listener {{\n    port = 12345\n  }}\n}}\n\
                 passdb {{\n  driver = static\n  args = password=x\n}}\n"
            );
            load_text("dovecot.conf", &text).problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(said("auth"), [""; 0]);
        let warning = "warning: service anvil: inet_listener: not served, nothing listens on port 12345";
        assert_eq!(said("anvil"), [format!("dovecot.conf:4: {warning}")]);
    }

    #[test]
    fn a_small_configuration_loads_without_a_word() {
        let text = "protocols = imap\nssl = no\nlogin_greeting = Hello.\npassdb {\n  driver = static\n  args = nopassword=y proxy=y host=127.0.0.9\n}\nremote 10.0.0.0/8 {\n  login_greeting = Inside.\n  protocol imap {\n    login_greeting = Inside IMAP.\n  }\n}\nservice anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n";
        let loaded = load_text("dovecot.conf", text);
        assert_eq!(loaded.problems, []);
        let config = loaded.config.expect("no errors");
        let key = ConnectionKey { protocol: "imap", local: None, remote: None, local_name: None };
        assert_eq!(config.connection(&key).greeting, "Hello.");
        let inside = ConnectionKey { remote: "10.1.2.3".parse().ok(), ..key };
        assert_eq!(config.connection(&inside).greeting, "Inside IMAP.");
        let pop3 = ConnectionKey { protocol: "pop3", ..inside };
        assert_eq!(config.connection(&pop3).greeting, "Inside.");
        assert_eq!(config.auth("imap").passdbs.len(), 1);
        let ports: Vec<u16> = config.services()[0].inet.iter().map(|listener| listener.port).collect();
        assert_eq!(ports, [143]);
        assert_eq!(config.services()[1].unix[0].mode, 0);
    }
}
