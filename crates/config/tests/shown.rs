//! Writing a configuration back.

use gatepost_config::rows::auth::AuthSettings;
use gatepost_config::rows::login::LoginSettings;
use gatepost_config::rows::server::ServerSettings;
use gatepost_config::rows::service::ServiceSettings;
use gatepost_config::show::{Show, reference};
use gatepost_config::value::Place;
use gatepost_config::{Config, ConnectionKey, Loaded, load_text};

const CHANGED: Show = Show { only_changed: true, secrets: true };

/// What `doveconf -n -P` of Dovecot 2.3.19.1 wrote for a proxy in front of a mail store.
fn proxy() -> (Loaded, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let sql = directory.path().join("dovecot-sql.conf.ext");
    std::fs::write(&sql, include_str!("data/dovecot-sql.conf.ext")).expect("a file");
    let text = include_str!("data/proxy.conf")
        .replace("/etc/dovecot/dovecot-sql.conf.ext", sql.to_str().expect("a name in UTF-8"));
    (load_text("proxy.conf", &text), directory)
}

#[track_caller]
fn config(loaded: Loaded) -> Config {
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    loaded.config.unwrap_or_else(|| panic!("{problems:#?}"))
}

#[test]
fn the_configuration_of_a_dovecot_proxy_loads() {
    let (loaded, _directory) = proxy();
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "proxy.conf:83: warning: service auth: unix_listener auth-userdb: userdb sockets are not served in this version",
            "proxy.conf:166: warning: ssl_cert: one connection may be of this block and of another, at \
             proxy.conf:162 (line 166 wins then)",
            "proxy.conf:167: warning: ssl_key: one connection may be of this block and of another, at \
             proxy.conf:163 (line 167 wins then)",
            "warning: settings without effect here: auth_cache_size, auth_cache_ttl, auth_verbose_passwords, \
             default_client_limit, default_vsz_limit, first_valid_uid, hostname, login_log_format_elements, \
             login_proxy_max_disconnect_delay, mail_gid, mail_location, mail_plugins, mail_uid, namespace {}, \
             plugin {}, postmaster_address, service lmtp {}, service stats {}, service { client_limit }, service { \
             process_limit }, service { process_min_avail }, service { user }, service { vsz_limit }, \
             shutdown_clients, ssl_cipher_list, ssl_dh, verbose_ssl (they are accepted so that existing files load)",
        ]
    );
    let config = config(loaded);
    let drivers: Vec<String> =
        config.auth("imap").passdbs.iter().map(|passdb| passdb.driver.clone()).collect();
    assert_eq!(drivers, ["passwd-file", "passwd-file", "sql", "static"]);
}

#[test]
fn what_differs_from_the_defaults_is_shown_as_doveconf_shows_it() {
    let (loaded, directory) = proxy();
    let sql = directory.path().join("dovecot-sql.conf.ext");
    let shown = CHANGED
        .text(&config(loaded))
        .replace(sql.to_str().expect("UTF-8"), "/etc/dovecot/dovecot-sql.conf.ext");
    let expected = include_str!("data/proxy.shown").replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(shown, expected);
}

/// Everything a configuration resolves to for a few connections, places left out.
fn resolved(
    config: &Config,
) -> (ServerSettings, Vec<ServiceSettings>, Vec<AuthSettings>, Vec<LoginSettings>) {
    let mut services = config.services().to_vec();
    for service in &mut services {
        service.inet.iter_mut().for_each(|listener| listener.place = Place::default());
        service.unix.iter_mut().for_each(|listener| listener.place = Place::default());
    }
    let (mut auths, mut logins) = (Vec::new(), Vec::new());
    for protocol in ["imap", "pop3", "smtp"] {
        let mut auth = (*config.auth(protocol)).clone();
        auth.passdbs.iter_mut().for_each(|passdb| passdb.place = Place::default());
        auth.userdbs.iter_mut().for_each(|userdb| userdb.place = Place::default());
        auths.push(auth);
        for remote in ["10.2.0.1", "192.0.2.1"] {
            for local_name in [None, Some("imap.example.org")] {
                for local in ["192.0.2.7", "192.0.2.8"] {
                    let (local, remote) = (local.parse().ok(), remote.parse().ok());
                    let key = ConnectionKey { protocol, local, remote, local_name };
                    logins.push((*config.connection(&key)).clone());
                }
            }
        }
    }
    (config.server().clone(), services, auths, logins)
}

#[test]
fn what_is_shown_reads_the_same_again() {
    let (loaded, _directory) = proxy();
    let first = config(loaded);
    for show in [CHANGED, Show { only_changed: false, ..CHANGED }] {
        let shown = show.text(&first);
        let second = config(load_text("proxy.conf", &shown));
        assert_eq!(show.text(&second), shown);
        assert_eq!(resolved(&second), resolved(&first));
    }
}

#[test]
fn odd_values_read_the_same_again() {
    for value in [
        " a ",
        "a # b",
        "it's # x",
        "\"",
        "'",
        "\"a",
        "\"a\"",
        "'a' b",
        "a\\",
        "\\\\",
        "\\",
        "$hostname",
        "a $b",
        "$",
        "<a",
        "a;",
        "#",
        "{",
        "}",
        "= a",
        "%{if;%u;eq;a;\\;}",
    ] {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!(
            "login_greeting = \"{escaped}\"\nprotocols = imap\nssl = no\npassdb {{\n  driver = static\n  args = password=x\n}}\n"
        );
        let first = config(load_text("x", &text));
        let key = ConnectionKey { protocol: "imap", local: None, remote: None, local_name: None };
        assert_eq!(first.connection(&key).greeting, value);
        let second = config(load_text("x", &CHANGED.text(&first)));
        assert_eq!(second.connection(&key).greeting, value, "{}", CHANGED.text(&first));
    }
}

#[test]
fn secrets_are_only_shown_when_asked_for() {
    let text = "doveadm_password = sesame\nssl_cert = </c\nssl_key = </k\nssl_key_password = sesame\nprotocols = imap\n\
                plugin {\n  api_key = sesame\n}\npassdb {\n  driver = static\n  args = password=sesame x=y\n}\n";
    let config = config(load_text("x", text));
    let hidden = Show { only_changed: true, secrets: false }.text(&config);
    assert_eq!(
        hidden.replace(env!("CARGO_PKG_VERSION"), "VERSION"),
        "# VERSION: x\n\
         doveadm_password = # hidden, use -P to show it\n\
         passdb {\n  args = \"password=#hidden_use-P_to_show# x=y\"\n  driver = static\n}\n\
         plugin {\n  api_key = # hidden, use -P to show it\n}\n\
         protocols = imap\n\
         ssl_cert = </c\n\
         ssl_key = # hidden, use -P to show it\n\
         ssl_key_password = # hidden, use -P to show it\n"
    );
    let all = CHANGED.text(&config);
    assert_eq!(all.matches("sesame").count(), 4, "{all}");
}

#[test]
fn secrets_do_not_show_when_settings_are_printed_for_debugging() {
    let text = "ssl_cert = </c\nssl_key = sesame\nssl_key_password = sesame\nprotocols = imap\n\
                passdb {\n  driver = static\n  args = password=sesame\n  override_fields = pass=sesame\n}\n";
    let config = config(load_text("x", text));
    let key = ConnectionKey { protocol: "imap", local: None, remote: None, local_name: None };
    let printed = format!("{config:?} {:?} {:?}", config.connection(&key), config.auth("imap"));
    assert!(!printed.contains("sesame"), "{printed}");
}

#[test]
fn the_reference_names_every_setting_and_how_it_stands() {
    let page = reference();
    for line in [
        "| `ssl` | no, yes, required | `yes` | honoured | Whether TLS is offered to clients, or required before a login |",
        "| `auth_failure_delay` | time | `2 secs` | honoured | How long a refusal waits |",
        "## `unix_listener { }` inside `service`",
    ] {
        assert!(page.lines().any(|known| known == line), "{line}");
    }
    assert!(page.lines().any(|line| line.starts_with("| `mail_location` ") && line.contains("| ignored |")));
    assert!(page.lines().any(|line| line.starts_with("| `login_plugins` ") && line.contains("| refused: ")));
    // Every line of a table has its six bars.
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 6, "{line}");
    }
}

// Its TLS ports are closed, and must not be asked for by what is shown.
#[test]
fn a_configuration_without_certificate_reads_again() {
    let text = "protocols = imap pop3\npassdb {\n  driver = static\n  args = nopassword=y\n}\n";
    let everything = Show { only_changed: false, secrets: true };
    let first = config(load_text("dovecot.conf", text));
    let shown = everything.text(&first);
    let again = config(load_text("dovecot.conf", &shown));
    assert_eq!(everything.text(&again), shown);
    let open = |config: &Config| {
        let mut services = resolved(config).1;
        services.iter_mut().for_each(|service| service.inet.retain(|listener| listener.port != 0));
        services
    };
    assert_eq!(open(&again), open(&first));
}
