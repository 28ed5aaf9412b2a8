//! What is said about a configuration: all of it at once, each with its place and a hint.

use gatepost_config::load_text;
use gatepost_config::problem::Severity;

#[track_caller]
fn says(text: &str, problems: &[&str]) {
    let told: Vec<String> =
        load_text("dovecot.conf", text).problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, problems, "{text}");
}

/// The same for lines beside a configuration in which all is well.
#[track_caller]
fn adds(lines: &str, problems: &[&str]) {
    says(
        &format!(
            "{lines}\nprotocols = imap\nssl = no\npassdb {{\n  driver = static\n  args = password=x\n}}\n"
        ),
        problems,
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let text = r#"protocols = imap popp3 lmtp
auth_mechanisms = plain cram-md5 plian
nosuch_setting = 1
auth_verbos = yes
disable_plaintext_auth = maybe
auth_failure_delay = 5
ssl = sometimes
login_greeting = hi#there
login_trusted_networks = 0.0.0.0/0
auth_policy_server_url = http://127.0.0.1/
mail_location = maildir:~/Maildir
plugin {
  quota = maildir
  quota {
  }
}
passdb {
  driver = sqll
  args = /etc/dovecot/sql.conf
}
passdb {
  driver = pam
}
passdb {
  args = x
}
userdb {
  driver = ldap
  skip = always
}
service imap-logn {
}
service imap-login {
  inet_listener imap {
    prot = 143
    haproxy = no
  }
}
remote 10.0.0.0/8 {
  auth_verbose = yes
  passdb {
    driver = static
  }
}
protocol impa {
  ssl = no
}
nosuch {
}
ssl {
}
}
namespace {
"#;
    says(
        text,
        &[
            "dovecot.conf:1: protocols: unknown protocol \"popp3\" (did you mean \"pop3\"?)",
            "dovecot.conf:1: warning: protocols: not served in this version: lmtp",
            "dovecot.conf:2: auth_mechanisms: mechanism CRAM-MD5 is not part of this version (there are plain and login)",
            "dovecot.conf:2: auth_mechanisms: unknown mechanism \"plian\" (did you mean \"plain\"?)",
            "dovecot.conf:3: unknown setting \"nosuch_setting\"",
            "dovecot.conf:4: unknown setting \"auth_verbos\" (did you mean \"auth_verbose\"?)",
            "dovecot.conf:5: disable_plaintext_auth: \"maybe\" is neither yes nor no (write yes or no)",
            "dovecot.conf:6: auth_failure_delay: \"5\" is a time without a unit (write 5 secs if seconds are meant)",
            "dovecot.conf:7: ssl: \"sometimes\" is not one of the choices (write no, yes or required)",
            "dovecot.conf:8: warning: the '#' after a letter begins a comment \
         (put a blank before it, or quotes around the value)",
            "dovecot.conf:9: warning: login_trusted_networks: 0.0.0.0/0 is everybody: any client may claim to be another \
         (name the networks of your own gates)",
            "dovecot.conf:10: auth_policy_server_url: refused, as the policy server that may turn logins away would not \
         be asked (take it away if you can do without it)",
            "dovecot.conf:14: plugin: unknown block \"quota\"",
            "dovecot.conf:18: passdb: unknown driver \"sqll\" (did you mean \"sql\"?)",
            "dovecot.conf:22: passdb: driver \"pam\" is not part of this version (there are passwd-file, sql or static)",
            "dovecot.conf:24: passdb: driver is missing (write driver = passwd-file, sql or static)",
            "dovecot.conf:28: userdb: driver \"ldap\" is not part of this version \
         (there are passwd-file, prefetch, sql or static)",
            "dovecot.conf:29: userdb: skip: \"always\" is not one of the choices (write never, found or notfound)",
            "dovecot.conf:31: warning: service imap-logn: there is no such service (did you mean \"imap-login\"?)",
            "dovecot.conf:35: service imap-login: inet_listener imap: unknown setting \"prot\" (did you mean \"port\"?)",
            "dovecot.conf:40: auth_verbose: auth settings do not follow local, local_name and remote blocks \
         (move it out of them; protocol blocks are followed)",
            "dovecot.conf:41: passdb: not allowed inside remote 10.0.0.0/8 (move it out of the block)",
            "dovecot.conf:45: warning: protocol impa: there is no such protocol (did you mean \"imap\"?)",
            "dovecot.conf:48: unknown block \"nosuch\"",
            "dovecot.conf:50: \"ssl\" is a setting, not a block (write ssl = VALUE)",
            "dovecot.conf:52: unexpected '}': no block is open",
            "dovecot.conf:53: missing '}': namespace is never closed",
            "warning: settings without effect here: mail_location, namespace {}, plugin {} \
         (they are accepted so that existing files load)",
        ],
    );
}

#[test]
fn an_error_keeps_the_configuration_back_and_a_warning_does_not() {
    let rest = "protocols = imap\nssl = no\npassdb {\n  driver = static\n  args = password=x\n}\n";
    assert!(load_text("x", &format!("mail_debug = yes\n{rest}")).config.is_some());
    assert!(load_text("x", &format!("mail_debug = maybe\n{rest}")).config.is_none());
}

#[test]
fn a_setting_without_effect_is_named_once_and_not_at_its_default() {
    adds(
        "mail_debug = no\nmail_plugins = a\nmail_plugins = b\nservice auth {\n  client_limit = 1\n}",
        &["warning: settings without effect here: mail_plugins, service { client_limit } \
         (they are accepted so that existing files load)"],
    );
}

#[test]
fn what_would_let_somebody_in_when_ignored_is_refused_unless_it_has_its_default() {
    for (setting, default) in [
        ("auth_policy_server_url = http://x/", "auth_policy_server_url ="),
        ("auth_ssl_require_client_cert = yes", "auth_ssl_require_client_cert = no"),
        ("auth_ssl_username_from_cert = yes", "auth_ssl_username_from_cert = no"),
        ("auth_use_winbind = yes", "auth_use_winbind = no"),
        ("director_servers = 10.0.0.1", "director_servers ="),
        ("login_access_sockets = tcpwrap", "login_access_sockets ="),
        ("login_plugins = x", "login_plugins ="),
        ("ssl_verify_client_cert = yes", "ssl_verify_client_cert = no"),
    ] {
        adds(default, &[]);
        let text =
            format!("{setting}\nprotocols = none\npassdb {{\n  driver = static\n  args = password=x\n}}\n");
        let problems = load_text("x", &text).problems;
        assert!(
            problems.len() == 1
                && problems[0].severity == Severity::Error
                && problems[0].text.contains("refused"),
            "{setting}: {problems:?}"
        );
    }
}

#[test]
fn a_listener_for_balancers_needs_to_know_them() {
    let listener = "service imap-login {\n  inet_listener imap {\n    haproxy = yes\n  }\n}";
    let hint = "(set haproxy_trusted_networks to the balancers' addresses)";
    let missing = format!(
        "dovecot.conf:2: service imap-login: inet_listener imap: haproxy = yes, but there are no \
         haproxy_trusted_networks {hint}"
    );
    adds(listener, &[&missing]);
    adds(&format!("{listener}\nhaproxy_trusted_networks ="), &[&missing]);
    adds(&format!("{listener}\nhaproxy_trusted_networks = 10.0.0.5"), &[]);
    adds(&format!("{listener}\nremote 10.0.0.0/8 {{\n  haproxy_trusted_networks = 10.0.0.5\n}}"), &[]);
    adds(
        &format!("haproxy_trusted_networks = ::/0\n{listener}"),
        &[
            "dovecot.conf:1: warning: haproxy_trusted_networks: ::/0 is everybody: any client may claim to be another \
         (name the networks of your own balancers)",
        ],
    );
}

#[test]
fn without_a_passdb_nobody_can_log_in() {
    says(
        "protocols = imap pop3\nssl = no\nprotocol imap {\n  passdb {\n    driver = static\n    args = password=x\n  }\n}\n",
        &["no passdb for pop3: nobody can log in (add a passdb block)"],
    );
    says(
        "protocols = imap\nssl = no\npassdb {\n  driver = static\n  args = password=x\n  master = yes\n}\n",
        &["no passdb for imap: nobody can log in (add a passdb block)"],
    );
}

#[test]
fn the_same_named_database_twice_is_an_error() {
    adds(
        "passdb a {\n  driver = static\n  args = password=x\n}\npassdb a {\n  driver = static\n  args = password=x\n}",
        &["dovecot.conf:5: passdb a: already exists, at dovecot.conf:1 (give one of them another name)"],
    );
}

#[test]
fn rules_and_fields_that_let_everybody_in_are_warned_of() {
    adds(
        "passdb {\n  driver = static\n  args = password=x\n  result_internalfail = continue-ok\n}",
        &[
            "dovecot.conf:4: warning: passdb: result_internalfail = continue-ok lets people in whose password is not checked",
        ],
    );
    adds(
        "passdb {\n  driver = static\n  args = nopassword=y\n}",
        &["dovecot.conf:3: warning: passdb: nopassword without proxy or nologin lets everybody in"],
    );
    adds("passdb {\n  driver = static\n  args = nopassword=y proxy=y host=127.0.0.1\n}", &[]);
}

#[test]
fn a_misspelt_mechanism_of_a_database_is_an_error_as_it_would_leave_the_database_out() {
    adds(
        "passdb {\n  driver = static\n  args = password=x\n  deny = yes\n  mechanisms = palin\n}",
        &["dovecot.conf:5: passdb: mechanisms: unknown mechanism \"palin\" (did you mean \"plain\"?)"],
    );
    adds("passdb {\n  driver = static\n  args = password=x\n  mechanisms = plain CRAM-MD5 none\n}", &[]);
}

#[test]
fn tls_without_a_certificate_is_told() {
    let passdb = "passdb {\n  driver = static\n  args = password=x\n}\n";
    says(
        &format!("protocols = imap\n{passdb}"),
        &[
            "warning: ssl: there is no ssl_cert, so TLS is not offered (set ssl_cert and ssl_key, or ssl = no)",
        ],
    );
    says(
        &format!("protocols = imap\nssl = required\n{passdb}"),
        &["dovecot.conf:2: ssl: TLS is required, but there is no ssl_cert, so nobody can log in \
         (set ssl_cert and ssl_key)"],
    );
    says(
        &format!(
            "protocols = imap\nservice imap-login {{\n  inet_listener imaps {{\n    port = 9930\n  }}\n}}\n{passdb}"
        ),
        &[
            "dovecot.conf:3: service imap-login: inet_listener imaps: ssl = yes, but there is no ssl_cert \
         (set ssl_cert and ssl_key, or port = 0)",
            "warning: ssl: there is no ssl_cert, so TLS is not offered (set ssl_cert and ssl_key, or ssl = no)",
        ],
    );
    says(
        &format!("protocols = imap\nssl_cert = </c.pem\n{passdb}"),
        &["dovecot.conf:2: ssl_cert: it needs ssl_key beside it (set ssl_key)"],
    );
    says(&format!("protocols = imap\nssl_cert = </c.pem\nssl_key = </k.pem\n{passdb}"), &[]);
}

#[test]
fn an_auth_socket_that_nobody_serves_is_told() {
    adds(
        "service auth {\n  unix_listener auth-userdb {\n    mode = 0600\n  }\n  unix_listener auth-client {\n  }\n}",
        &["dovecot.conf:2: warning: service auth: unix_listener auth-userdb: \
           userdb sockets are not served in this version"],
    );
}

// `doveconf -n` prints secrets as a comment, and what it prints must load.
#[test]
fn a_hidden_key_is_told_and_does_not_keep_the_configuration_back() {
    let text = "protocols = imap\nssl_cert = </x.pem\nssl_key = # hidden, use -P to show it\n\
                passdb {\n  driver = static\n  args = password=x\n}\n";
    says(
        text,
        &["dovecot.conf:3: warning: ssl_key: it is empty, so the server cannot start with this file \
           (write ssl_key = </path/to/key.pem; doveconf hides it without -P)"],
    );
    assert!(load_text("dovecot.conf", text).config.is_some());
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    adds(
        "service imap-login {\n  inet_listener other {\n    port = 143\n    address = ::\n  }\n}",
        &[
            "dovecot.conf:2: service imap-login: inet_listener other: port 143 of :: is taken already, by default \
         (give one of them another port, or port = 0)",
        ],
    );
}

#[test]
fn blocks_of_which_neither_is_inside_the_other_must_agree() {
    adds(
        "remote 10.0.0.0/8 {\n  login_greeting = a\n}\nprotocol imap {\n  login_greeting = b\n}",
        &[
            "dovecot.conf:5: login_greeting: one connection may be of this block and of another that says otherwise, at \
         dovecot.conf:2 (put one block inside the other)",
        ],
    );
    adds("remote 10.0.0.0/8 {\n  login_greeting = a\n}\nremote 10.1.0.0/16 {\n  login_greeting = b\n}", &[]);
    adds("remote 10.0.0.0/8 {\n  login_greeting = a\n}\nremote 11.0.0.0/8 {\n  login_greeting = b\n}", &[]);
    adds("remote 10.0.0.0/8 {\n  login_greeting = a\n}\nprotocol imap {\n  login_greeting = a\n}", &[]);
    let key = "ssl_key = </k\n";
    adds(
        &format!(
            "{key}local 10.0.0.1 {{\n  ssl_cert = </a\n}}\nlocal_name b.example {{\n  ssl_cert = </b\n}}"
        ),
        &[
            "dovecot.conf:6: warning: ssl_cert: one connection may be of this block and of another, at dovecot.conf:3 \
         (line 6 wins then)",
        ],
    );
}

#[test]
fn filters_stand_inside_each_other_in_one_order() {
    adds(
        "protocol imap {\n  remote 10.0.0.0/8 {\n  }\n}",
        &[
            "dovecot.conf:2: remote: not allowed inside protocol (put the protocol block inside the remote block)",
        ],
    );
    adds(
        "protocol imap {\n  protocol pop3 {\n  }\n}",
        &["dovecot.conf:2: protocol: not allowed inside another protocol block"],
    );
    adds(
        "remote 10.0.0.0/8 {\n  remote 11.0.0.0/8 {\n  }\n}",
        &["dovecot.conf:2: remote: 11.0.0.0/8 is not inside 10.0.0.0/8, the block around it"],
    );
    adds(
        "local mail.example.com {\n}",
        &[
            "dovecot.conf:1: local: \"mail.example.com\" is not an address (names are not looked up, write the address)",
        ],
    );
}

#[test]
fn a_filter_without_a_name_is_an_error_as_it_would_hold_for_everybody() {
    adds("protocol {\n}", &["dovecot.conf:1: protocol: which one? (write protocol NAME {)"]);
    adds("protocol ! {\n}", &["dovecot.conf:1: protocol: which one? (write protocol NAME {)"]);
    adds(
        "local_name \" \" {\n  login_trusted_networks = 0.0.0.0/0\n}",
        &["dovecot.conf:1: local_name: which one? (write local_name NAME {)"],
    );
}

#[test]
fn server_settings_in_a_block_are_told_unless_the_block_is_for_another_program() {
    adds(
        "protocol imap {\n  log_path = /x\n}\nprotocol lda {\n  log_path = /y\n}",
        &["dovecot.conf:2: warning: log_path: set once for the whole server, it has no effect in a block \
         (move it out of the block)"],
    );
}

#[test]
fn a_file_for_dovecot_2_4_is_told_apart_at_once() {
    says(
        "dovecot_config_version = 2.4.0\nauth_allow_cleartext = yes\n",
        &["dovecot.conf:1: dovecot_config_version: the syntax of Dovecot 2.4 is not read in this version \
         (write the file for Dovecot 2.3)"],
    );
}

#[test]
fn a_listener_may_name_itself_inside_its_block() {
    adds("service imap-login {\n  inet_listener {\n    name = imap\n    port = 1143\n  }\n}", &[]);
    adds("service auth {\n  unix_listener {\n    path = auth-client\n  }\n}", &[]);
    adds(
        "service auth {\n  unix_listener {\n  }\n}",
        &["dovecot.conf:2: service auth: unix_listener: which path? (write unix_listener PATH {)"],
    );
}
