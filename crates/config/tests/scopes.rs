//! Which settings hold for which connection, and which services run.

use std::path::PathBuf;
use std::sync::Arc;

use gatepost_config::rows::login::SslMode;
use gatepost_config::rows::passdb::Rule;
use gatepost_config::rows::service::ServiceSettings;
use gatepost_config::{Config, ConnectionKey, load_text};

const PASSDB: &str = "passdb {\n  driver = static\n  args = password=global\n}\n";

#[track_caller]
fn config(text: &str) -> Config {
    let loaded = load_text("dovecot.conf", text);
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    loaded.config.unwrap_or_else(|| panic!("{problems:#?}"))
}

fn key(protocol: &str) -> ConnectionKey<'_> {
    ConnectionKey { protocol, local: None, remote: None, local_name: None }
}

#[test]
fn narrower_blocks_win_whatever_their_order() {
    let config = config(&format!(
        "remote 10.1.0.0/16 {{\n  login_greeting = narrow\n}}\nremote 10.0.0.0/8 {{\n  login_greeting = wide\n}}\n\
         remote 10.3.0.0/16 {{\n  protocol imap {{\n    login_greeting = imap\n  }}\n}}\nlogin_greeting = all\n\
         ssl = no\n{PASSDB}"
    ));
    let greeting = |protocol, remote: &str| {
        config.connection(&ConnectionKey { remote: remote.parse().ok(), ..key(protocol) }).greeting.clone()
    };
    assert_eq!(greeting("pop3", "192.0.2.1"), "all");
    assert_eq!(greeting("pop3", "10.2.0.1"), "wide");
    assert_eq!(greeting("pop3", "10.1.0.1"), "narrow");
    assert_eq!(greeting("pop3", "::ffff:10.1.0.1"), "narrow");
    assert_eq!(greeting("imap", "10.3.0.1"), "imap");
    assert_eq!(greeting("pop3", "10.3.0.1"), "wide");
    assert_eq!(greeting("imap", ""), "all");
}

#[test]
fn blocks_in_blocks_need_all_to_match() {
    let config = config(&format!(
        "ssl = no\nlocal 192.0.2.0/24 {{\n  local_name \"a.example *.b.example\" {{\n    remote 10.0.0.0/8 {{\n      \
         protocol !pop3 {{\n        login_greeting = inside\n      }}\n    }}\n  }}\n}}\n{PASSDB}"
    ));
    let whole = ConnectionKey {
        protocol: "imap",
        local: "192.0.2.7".parse().ok(),
        remote: "10.9.9.9".parse().ok(),
        local_name: Some("A.Example"),
    };
    let is_inside = |key: ConnectionKey<'_>| config.connection(&key).greeting == "inside";
    assert!(is_inside(whole));
    assert!(is_inside(ConnectionKey { local_name: Some("x.b.example."), ..whole }));
    assert!(!is_inside(ConnectionKey { local_name: Some("x.y.b.example"), ..whole }));
    assert!(!is_inside(ConnectionKey { local_name: Some("b.example"), ..whole }));
    assert!(!is_inside(ConnectionKey { local_name: None, ..whole }));
    assert!(!is_inside(ConnectionKey { protocol: "pop3", ..whole }));
    assert!(!is_inside(ConnectionKey { local: "192.0.3.7".parse().ok(), ..whole }));
    assert!(!is_inside(ConnectionKey { remote: None, ..whole }));
    assert_eq!(config.local_names(), ["*.b.example", "a.example"]);
}

/// Names that clients make up must not fill memory (CVE-2017-15130).
#[test]
fn settings_are_shared_between_connections_and_names_leave_nothing_behind() {
    let config = config(&format!("ssl = no\nlocal_name a.example {{\n  login_greeting = a\n}}\n{PASSDB}"));
    let first = config.connection(&ConnectionKey { local_name: Some("name0.example"), ..key("imap") });
    for number in 0..1000 {
        let name = format!("name{number}.example");
        let settings = config.connection(&ConnectionKey { local_name: Some(&name), ..key("imap") });
        assert!(Arc::ptr_eq(&first, &settings));
    }
    // The cache's own and ours.
    assert_eq!(Arc::strong_count(&first), 2);
}

#[test]
fn databases_inside_a_protocol_block_are_asked_before_the_global_ones() {
    let config = config(&format!(
        "ssl = no\n{PASSDB}passdb {{\n  driver = static\n  args = password=second\n}}\nprotocol imap {{\n  \
         auth_verbose = yes\n  passdb own {{\n    driver = static\n    args = password=own\n    result_success = \
         continue\n  }}\n}}\n"
    ));
    let args = |protocol: &str| -> Vec<String> {
        config.auth(protocol).passdbs.iter().map(|passdb| passdb.args.clone()).collect()
    };
    assert_eq!(args("imap"), ["password=own", "password=global", "password=second"]);
    assert_eq!(args("pop3"), ["password=global", "password=second"]);
    assert_eq!(args("smtp"), ["password=global", "password=second"]);
    let imap = config.auth("imap");
    assert!(imap.verbose && !config.auth("pop3").verbose);
    assert_eq!(imap.passdbs[0].name.as_deref(), Some("own"));
    assert_eq!((imap.passdbs[0].place.line, imap.passdbs[0].result_success), (12, Rule::Continue));
    assert_eq!(imap.mechanisms, ["PLAIN"]);
}

/// Name, port, TLS and addresses of every TCP listener.
fn inet(services: &[ServiceSettings]) -> Vec<(String, u16, bool, String)> {
    let listeners = services.iter().flat_map(|service| &service.inet);
    listeners.map(|l| (l.name.clone(), l.port, l.ssl, l.addresses.join(" "))).collect()
}

fn listener(name: &str, port: u16, ssl: bool, addresses: &str) -> (String, u16, bool, String) {
    (name.to_owned(), port, ssl, addresses.to_owned())
}

#[test]
fn protocols_that_run_have_their_ports_without_being_told() {
    let tls = "ssl_cert = </c\nssl_key = </k\n";
    assert_eq!(
        inet(config(&format!("protocols = imap pop3\n{tls}{PASSDB}")).services()),
        [
            listener("imap", 143, false, "* ::"),
            listener("imaps", 993, true, "* ::"),
            listener("pop3", 110, false, "* ::"),
            listener("pop3s", 995, true, "* ::"),
        ]
    );
    assert_eq!(
        inet(config(&format!("protocols = pop3\nlisten = 127.0.0.1\nssl = no\n{tls}{PASSDB}")).services()),
        [listener("pop3", 110, false, "127.0.0.1")]
    );
    assert_eq!(
        inet(config(&format!("protocols = imap\n{PASSDB}")).services()),
        [listener("imap", 143, false, "* ::")]
    );
}

#[test]
fn what_is_written_of_a_listener_is_laid_over_its_default() {
    let config = config(&format!(
        "protocols = imap\nssl_cert = </c\nssl_key = </k\nservice imap-login {{\n  inet_listener imap {{\n    port = \
         0\n  }}\n  inet_listener imaps {{\n    address = 127.0.0.1\n  }}\n}}\nservice imap-login {{\n  inet_listener \
         imaps {{\n    port = 9930\n  }}\n  inet_listener extra {{\n    port = 1143\n  }}\n}}\nservice pop3-login {{\n  \
         inet_listener pop3 {{\n    port = 1110\n  }}\n}}\nservice auth {{\n  unix_listener auth-client {{\n    mode = \
         0660\n    user = postfix\n  }}\n}}\nservice anvil {{\n  unix_listener anvil-auth-penalty {{\n    mode = 0\n  \
         }}\n}}\n{PASSDB}"
    ));
    assert_eq!(
        inet(config.services()),
        [
            listener("imap", 0, false, "* ::"),
            listener("imaps", 9930, true, "127.0.0.1"),
            listener("extra", 1143, false, "* ::"),
        ]
    );
    let unix: Vec<(String, PathBuf, u32, String)> = config
        .services()
        .iter()
        .flat_map(|service| {
            service.unix.iter().map(|l| (service.name.clone(), l.path.clone(), l.mode, l.user.clone()))
        })
        .collect();
    assert_eq!(
        unix,
        [
            ("auth".to_owned(), PathBuf::from("auth-client"), 0o660, "postfix".to_owned()),
            ("anvil".to_owned(), PathBuf::from("anvil-auth-penalty"), 0, String::new()),
        ]
    );
}

#[test]
fn defaults_are_dovecots_but_for_names_of_our_own() {
    let config = config(&format!("protocols = imap\n{PASSDB}"));
    let server = config.server();
    assert_eq!(server.base_dir, PathBuf::from("/run/gatepost"));
    assert_eq!((server.log_path.as_str(), server.log_timestamp.as_str()), ("syslog", "%b %d %H:%M:%S "));
    let login = config.connection(&key("imap"));
    assert_eq!((login.greeting.as_str(), login.ssl), ("Gatepost ready.", SslMode::Yes));
    assert!(login.disable_plaintext_auth && login.tls.client_require_valid_cert);
    assert_eq!((login.max_userip_connections, login.proxy_max_reconnects), (10, 3));
    assert_eq!(login.proxy_timeout.as_secs(), 30);
    let auth = config.auth("imap");
    assert_eq!((auth.failure_delay.as_secs(), auth.username_format.as_str()), (2, "%Lu"));
}

#[test]
fn settings_of_our_own_follow_the_connection() {
    let config = config(&format!(
        "protocols = imap\nssl = no\ngatepost_log_format = json\ngatepost_local_imap = imap://127.0.0.1:1\nremote \
         10.0.0.0/8 {{\n  gatepost_local_imap = imap://127.0.0.1:2\n}}\n{PASSDB}"
    ));
    assert_eq!(config.connection(&key("imap")).local_imap, "imap://127.0.0.1:1");
    let inside = ConnectionKey { remote: "10.0.0.1".parse().ok(), ..key("imap") };
    assert_eq!(config.connection(&inside).local_imap, "imap://127.0.0.1:2");
}
