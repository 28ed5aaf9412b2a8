//! `!include` and `<FILE`, with files.

use std::fs;
use std::path::Path;

use gatepost_config::rows::login::LoginSettings;
use gatepost_config::value::Content;
use gatepost_config::{ConnectionKey, Loaded, load};

const REST: &str = "\nprotocols = imap\nssl = no\npassdb {\n  driver = static\n  args = password=x\n}\n";

/// Loads `main.conf` from a directory of files; problems are given without the directory.
fn loaded(files: &[(&str, &str)]) -> (Loaded, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    let loaded = load(&directory.path().join("main.conf"));
    let prefix = format!("{}/", directory.path().display());
    let problems = loaded.problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect();
    (loaded, problems)
}

fn login(loaded: Loaded) -> LoginSettings {
    let key = ConnectionKey { protocol: "imap", local: None, remote: None, local_name: None };
    (*loaded.config.expect("no errors").connection(&key)).clone()
}

#[test]
fn included_files_are_read_sorted_and_relative_to_the_file_that_names_them() {
    let (loaded, problems) = loaded(&[
        ("main.conf", &format!("!include conf.d/*.conf{REST}")),
        ("conf.d/20.conf", "login_greeting = $login_greeting twenty\n!include sub/more.inc\n"),
        ("conf.d/10.conf", "login_greeting = ten\n"),
        ("conf.d/.hidden.conf", "nosuch = x\n"),
        ("conf.d/30.conf.bak", "nosuch = x\n"),
        ("conf.d/sub/more.inc", "login_greeting = $login_greeting more\n"),
    ]);
    assert_eq!(problems, [""; 0]);
    assert_eq!(login(loaded).greeting, "ten twenty more");
}

#[test]
fn an_include_may_stand_inside_a_block() {
    let (loaded, problems) = loaded(&[
        ("main.conf", &format!("protocol imap {{\n  !include inner.inc\n}}{REST}")),
        ("inner.inc", "login_greeting = inner\n"),
    ]);
    assert_eq!(problems, [""; 0]);
    assert_eq!(login(loaded).greeting, "inner");
}

#[test]
fn an_include_without_a_file_is_an_error_unless_it_only_tries() {
    let (_, problems) = loaded(&[(
        "main.conf",
        &format!("!include_try nope.conf\n!include_try no/*.conf\n!include nope*.conf{REST}"),
    )]);
    assert_eq!(
        problems,
        ["main.conf:3: !include: no file matches \"nope*.conf\" (write !include_try if it may be absent)"]
    );
}

#[test]
fn a_file_that_includes_itself_is_an_error_and_the_rest_is_read() {
    let (_, problems) = loaded(&[
        ("main.conf", &format!("!include other.conf\nnosuch = 1{REST}")),
        ("other.conf", "!include ./main.conf\n"),
    ]);
    let problems: Vec<String> = problems.iter().map(|problem| problem.replace("./", "")).collect();
    assert_eq!(
        problems,
        ["main.conf:2: unknown setting \"nosuch\"", "other.conf:1: !include: main.conf includes itself"]
    );
}

#[test]
fn problems_are_told_file_by_file_in_the_order_of_reading() {
    let (_, problems) = loaded(&[
        ("main.conf", &format!("nosuch1 = 1\n!include a.conf\nnosuch2 = 1{REST}")),
        ("a.conf", "\n\nnosuch3 = 1\n"),
    ]);
    assert_eq!(
        problems,
        [
            "main.conf:1: unknown setting \"nosuch1\"",
            "main.conf:3: unknown setting \"nosuch2\"",
            "a.conf:3: unknown setting \"nosuch3\"",
        ]
    );
}

#[test]
fn a_missing_file_is_named() {
    let problems: Vec<String> =
        load(Path::new("/nonexistent/dovecot.conf")).problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["/nonexistent/dovecot.conf: No such file or directory"]);
}

#[test]
fn certificates_are_read_when_used_and_other_values_now() {
    let (loaded, problems) = loaded(&[
        (
            "main.conf",
            &format!("login_greeting = <sub/greeting\nssl_cert = <nofile.pem\nssl_key = </k.pem{REST}"),
        ),
        ("sub/greeting", "Hello.\n"),
    ]);
    assert_eq!(problems, [""; 0]);
    let login = login(loaded);
    assert_eq!(login.greeting, "Hello.");
    let Some(Content::File(path)) = &login.tls.cert else { panic!("a file: {:?}", login.tls.cert) };
    assert!(path.is_absolute() && path.ends_with("nofile.pem"), "{}", path.display());
    assert_eq!(login.tls.key, Some(Content::File("/k.pem".into())));
}

#[test]
fn a_value_whose_file_is_missing_is_an_error() {
    let (_, problems) = loaded(&[("main.conf", &format!("login_greeting = <nofile{REST}"))]);
    assert_eq!(problems, ["main.conf:1: login_greeting: nofile: No such file or directory"]);
}
