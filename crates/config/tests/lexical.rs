//! The lexical rules of Dovecot 2.3, row by row as Dovecot 2.3.19.1 was seen to follow them.

use gatepost_config::{ConnectionKey, load_text};

/// What the lines make of `login_greeting`, and every problem.
fn greeting(lines: &str) -> (String, Vec<String>) {
    let rest = "\nprotocols = imap\nssl = no\npassdb {\n  driver = static\n  args = password=x\n}\n";
    let loaded = load_text("dovecot.conf", &format!("{lines}{rest}"));
    let problems = loaded.problems.iter().map(ToString::to_string).collect();
    let key = ConnectionKey { protocol: "imap", local: None, remote: None, local_name: None };
    let greeting = loaded.config.map(|config| config.connection(&key).greeting.clone());
    (greeting.unwrap_or_default(), problems)
}

/// The value that the lines give, without a problem.
#[track_caller]
fn gives(lines: &str, value: &str) {
    assert_eq!(greeting(lines), (value.to_owned(), Vec::new()), "{lines}");
}

/// The problems of the lines, whole.
#[track_caller]
fn says(lines: &str, problems: &[&str]) {
    assert_eq!(greeting(lines).1, problems, "{lines}");
}

#[test]
fn blanks_around_key_and_value_do_not_matter() {
    gives("login_greeting = a", "a");
    gives("login_greeting=a", "a");
    gives("\t login_greeting \t =\t a b \t", "a b");
    gives("login_greeting = a\r", "a");
    gives("\u{feff}login_greeting = a", "a");
    gives("login_greeting = a=b", "a=b");
}

#[test]
fn a_hash_at_the_start_or_after_a_blank_begins_a_comment() {
    gives("# login_greeting = b\nlogin_greeting = a # comment", "a");
    gives("login_greeting = a\t# comment", "a");
    gives("login_greeting = \"a # b\"", "a # b");
    gives("login_greeting = 'a # b'", "a # b");
    gives("login_greeting = \"a\" # comment", "a");
    gives("login_greeting = #@/@", "");
}

#[test]
fn a_hash_after_a_letter_is_a_comment_and_a_warning() {
    let warning = "dovecot.conf:1: warning: the '#' after a letter begins a comment \
                   (put a blank before it, or quotes around the value)";
    assert_eq!(greeting("login_greeting = a#b"), ("a".to_owned(), vec![warning.to_owned()]));
}

#[test]
fn quotes_count_only_around_the_whole_value() {
    gives(r#"login_greeting = "a \"b\" \\ c""#, r#"a "b" \ c"#);
    gives(r#"login_greeting = 'a\'b'"#, "a'b");
    gives(r#"login_greeting = say "hi" \ there"#, r#"say "hi" \ there"#);
    gives(r#"login_greeting = "unterminated"#, "\"unterminated");
    gives(r#"login_greeting = "a" b"#, "\"a\" b");
    gives(r#"login_greeting = "a'"#, "\"a'");
    gives(r#"login_greeting = "a" "b""#, "a\" \"b");
    gives(r#"login_greeting = """#, "");
    gives("login_greeting = \"", "");
    gives("login_greeting = a;", "a;");
}

#[test]
fn quotes_anywhere_hide_a_hash() {
    gives(r#"login_greeting = a "b # c" d # e"#, r#"a "b # c" d"#);
    gives(r#"login_greeting = a "b\" # c" d # e"#, r#"a "b\" # c" d"#);
    gives("login_greeting = it's # no comment", "it's # no comment");
}

#[test]
fn a_backslash_joins_the_next_line_by_one_blank() {
    gives("login_greeting = a \\\n    b", "a b");
    gives("login_greeting = a\\\nb\\\n  c", "a b c");
    gives("login_greeting = \"a \\\n  b\"", "a b");
    gives("# comment \\\nlogin_greeting = a", "a");
    gives("login_greeting = a # comment \\\n", "a");
}

#[test]
fn an_empty_line_or_a_comment_ends_the_continuation() {
    let warning = "dovecot.conf:1: warning: the line continued by a '\\' ends at an empty line or a comment \
                   (take the last '\\' away)";
    for lines in
        ["login_greeting = a \\\n\ninstance_name = b", "login_greeting = a \\\n# comment\ninstance_name = b"]
    {
        assert_eq!(greeting(lines), ("a".to_owned(), vec![warning.to_owned()]));
    }
}

#[test]
fn a_variable_is_a_whole_word_and_gives_the_value_so_far() {
    gives("instance_name = foo\nlogin_greeting = $instance_name", "foo");
    gives(
        "instance_name = foo\nlogin_greeting = a $instance_name b $instance_name\ninstance_name = bar",
        "a foo b foo",
    );
    gives("instance_name = foo\nlogin_greeting = a$instance_name", "a$instance_name");
    gives("login_greeting = a\nlogin_greeting = $login_greeting b", "a b");
    gives("login_greeting = $ssl $default_internal_user", "yes dovecot");
    gives("instance_name = foo\nlogin_greeting = \"$instance_name\"", "$instance_name");
    gives("instance_name = foo\nlogin_greeting = '$instance_name'", "$instance_name");
    gives("login_greeting = $ENV:GATEPOST_NO_SUCH_VARIABLE a", " a");
    gives("instance_name = foo\nlogin_greeting = a  $instance_name \t b  ", "a foo b");
    gives("instance_name = foo\nlogin_greeting = \"a $instance_name", "\"a $instance_name");
    gives("login_greeting = a\nprotocol imap {\n  login_greeting = $login_greeting b\n}", "a b");
}

#[test]
fn an_unknown_variable_is_an_error() {
    let hint = "(put quotes around the value if no variable is meant)";
    for word in ["$nosuchthing", "$", "$$", "${instance_name}", "$instance_name-y"] {
        let problems = greeting(&format!("login_greeting = a {word}")).1;
        let start = format!("dovecot.conf:1: login_greeting: unknown variable \"{word}\" (");
        assert!(problems.len() == 1 && problems[0].starts_with(&start), "{problems:?}");
    }
    says(
        "login_greeting = $x_y_z",
        &[&format!("dovecot.conf:1: login_greeting: unknown variable \"$x_y_z\" {hint}")],
    );
}

#[test]
fn variables_that_grow_without_end_are_stopped() {
    let mut lines = "login_greeting = 0123456789\n".to_owned();
    lines.push_str(&"login_greeting = $login_greeting $login_greeting\n".repeat(40));
    let problems = greeting(&lines).1;
    assert_eq!(
        problems.first().map(String::as_str),
        Some("dovecot.conf:14: login_greeting: the value is longer than 65536 bytes")
    );
}

#[test]
fn the_last_of_the_same_key_wins() {
    gives("login_greeting = a\nlogin_greeting = b", "b");
}

#[test]
fn names_are_lower_case() {
    says(
        "LOGIN_GREETING = a",
        &["dovecot.conf:1: unknown setting \"LOGIN_GREETING\" (did you mean \"login_greeting\"?)"],
    );
}

#[test]
fn lines_that_are_neither_setting_nor_block_are_errors() {
    let expecting =
        |word: &str, hint: &str| format!("dovecot.conf:1: expecting '=' or '{{' after \"{word}\" ({hint})");
    says("login_greeting hi", &[&expecting("login_greeting", "write NAME = VALUE, or NAME {")]);
    says("namespace foo{", &[&expecting("namespace", "put a blank before the '{'")]);
    says("}x", &[&expecting("}x", "let the '}' stand alone")]);
    says("= x", &["dovecot.conf:1: the line begins with '=': the setting's name is missing"]);
    says("}", &["dovecot.conf:1: unexpected '}': no block is open"]);
    says("namespace { }", &["dovecot.conf:1: \"}\" after '{' (let the '{' end the line)"]);
    says("service auth { x\n}", &["dovecot.conf:1: \"x\" after '{' (let the '{' end the line)"]);
}

#[test]
fn a_block_that_is_never_closed_names_the_line_that_opens_it() {
    says(
        "passdb {\n  driver = static\n  args = password=y",
        &[
            "dovecot.conf:1: missing '}': passdb is never closed",
            "dovecot.conf:4: passdb: unknown setting \"protocols\" (it stands outside of the block; is a '}' missing?)",
            "dovecot.conf:5: passdb: unknown setting \"ssl\" (it stands outside of the block; is a '}' missing?)",
            "dovecot.conf:6: passdb: unknown block \"passdb\" (it stands outside of the block; is a '}' missing?)",
        ],
    );
}

#[test]
fn too_many_blocks_inside_each_other_are_one_error() {
    let deep = 10_000;
    let lines = "namespace {\n".repeat(deep) + &"}\n".repeat(deep);
    let problems = greeting(&lines).1;
    assert_eq!(problems.iter().filter(|p| p.contains("blocks inside each other")).count(), 1, "{problems:?}");
}

#[test]
fn a_value_that_is_no_text_is_an_error_and_a_comment_is_not() {
    let bytes = String::from_utf8_lossy(b"# caf\xe9\nlogin_greeting = caf\xe9").into_owned();
    says(&bytes, &["dovecot.conf:2: login_greeting: the value is not UTF-8 text (save the file as UTF-8)"]);
}

#[test]
fn values_of_each_type_are_read_as_dovecot_reads_them() {
    for good in [
        "auth_verbose = YES",
        "auth_verbose = y",
        "auth_verbose = 1",
        "auth_verbose = No",
        "auth_failure_delay = 0",
        "auth_failure_delay = 2secs",
        "auth_failure_delay = 2s",
        "auth_failure_delay = 3 m",
        "auth_failure_delay = 1 HOUR",
        "auth_failure_delay = 5 weeks",
        "login_proxy_timeout = 500ms",
        "login_proxy_timeout = 500 msecs",
        "login_trusted_networks = 10.0.0.0/8, ::1 [2001:db8::]/32",
        "service imap-login {\n  inet_listener imap {\n    port = 65535\n  }\n}",
    ] {
        assert_eq!(greeting(good).1, [""; 0], "{good}");
    }
    for (bad, problem) in [
        ("auth_verbose = maybe", "auth_verbose: \"maybe\" is neither yes nor no (write yes or no)"),
        ("auth_verbose = n", "auth_verbose: \"n\" is neither yes nor no (write yes or no)"),
        ("auth_verbose = 0", "auth_verbose: \"0\" is neither yes nor no (write yes or no)"),
        ("auth_verbose = true", "auth_verbose: \"true\" is neither yes nor no (write yes or no)"),
        ("auth_verbose =", "auth_verbose: \"\" is neither yes nor no (write yes or no)"),
        (
            "auth_failure_delay = abc",
            "auth_failure_delay: \"abc\" is not a time (write a number and a unit, such as 30 secs or 5 mins)",
        ),
        (
            "auth_failure_delay = 1.5s",
            "auth_failure_delay: \"1.5s\" is not a time (write a number and a unit, such as 30 secs or 5 mins)",
        ),
        (
            "auth_failure_delay = 5",
            "auth_failure_delay: \"5\" is a time without a unit (write 5 secs if seconds are meant)",
        ),
        (
            "auth_failure_delay = 500ms",
            "auth_failure_delay: \"500ms\": this setting takes no milliseconds (write it in seconds, such as 1 secs)",
        ),
        (
            "auth_failure_delay = 99999999999 weeks",
            "auth_failure_delay: \"99999999999 weeks\" is too long a time",
        ),
        (
            "auth_worker_max_count = abc",
            "auth_worker_max_count: \"abc\" is not a number (write digits alone)",
        ),
        (
            "auth_worker_max_count = 99999999999",
            "auth_worker_max_count: \"99999999999\" is too large a number",
        ),
        (
            "default_vsz_limit = 10X",
            "default_vsz_limit: \"10X\" is not a size (write bytes, or a number and k, M, G or T)",
        ),
        ("ssl = YES", "ssl: \"YES\" is not one of the choices (write no, yes or required)"),
        ("imapc_port = 99999", "imapc_port: \"99999\" is not a port (write a number from 0 to 65535)"),
        (
            "login_trusted_networks = 10.0.0.0/99",
            "login_trusted_networks: \"10.0.0.0/99\" has an invalid mask \"99\" (write the number of bits, 0 to 32)",
        ),
        (
            "login_trusted_networks = garbage",
            "login_trusted_networks: \"garbage\" is not an address (names are not looked up, write the address)",
        ),
    ] {
        says(bad, &[&format!("dovecot.conf:1: {problem}")]);
    }
}

#[test]
fn a_mode_without_its_leading_0_is_an_error() {
    says(
        "service auth {\n  unix_listener a {\n    mode = 666\n  }\n}",
        &["dovecot.conf:3: service auth: unix_listener a: mode: mode \"666\" has no leading 0 (write 0666)"],
    );
}

#[test]
fn too_many_warnings_are_an_error_as_one_not_told_might_be() {
    let problems = greeting(&"login_greeting = a#b\n".repeat(1000)).1;
    assert_eq!(problems.len(), 201);
    assert_eq!(problems[200], "dovecot.conf:201: more than 200 problems, the others are not told");
}

#[test]
fn any_text_is_read_without_a_panic() {
    // Pieces that mean something, put together by a small generator with a fixed seed.
    const PIECES: &[&str] = &[
        "{",
        "}",
        "\n",
        "\n",
        "\n",
        " ",
        "=",
        "\\",
        "\"",
        "'",
        "#",
        "<",
        "$",
        "$ssl",
        "!include x",
        "passdb",
        "service",
        "protocol",
        "remote",
        "10.0.0.0/8",
        "local_name",
        "args",
        "ssl",
        "yes",
        "auth_mechanisms",
        "driver",
        "static",
        "\u{0}",
        "\u{fffd}",
        "é",
        "\t",
        "inet_listener",
        "port",
        "99999999999999999999",
        "namespace",
        "plugin",
    ];
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    for _ in 0..500 {
        let mut text = String::new();
        for _ in 0..60 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = usize::try_from(state >> 33).unwrap_or(0) % PIECES.len();
            text.push_str(PIECES[index]);
            if state & (1 << 20) != 0 {
                text.push(' ');
            }
        }
        let loaded = load_text("x", &text);
        assert!(loaded.problems.len() < 500, "{text}");
    }
}
