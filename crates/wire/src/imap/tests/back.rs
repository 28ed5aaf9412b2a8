//! What we say to a backend, and what we make of its replies.

use super::back_dialogue;
use crate::imap::back::back;
use crate::{BackEvent, Errand, Secret};

const BANNER: &str = "B: * OK [CAPABILITY IMAP4rev1 SASL-IR] hi\n";

fn errand() -> Errand {
    Errand {
        user: "bob".into(),
        master: None,
        password: secret(b"secret"),
        mechanism: None,
        starttls: false,
        client_knows_capability: false,
        identity: None,
        nopipelining: false,
    }
}

fn secret(bytes: &[u8]) -> Secret {
    Secret::from(bytes.to_vec())
}

fn run(make: impl Fn() -> Errand, script: &str) {
    back_dialogue(&|| back(make()), script);
}

/// The plain login of `bob`, then whatever the script says.
fn plain(script: &str) {
    run(errand, &format!("{BANNER}G: L LOGIN \"bob\" \"secret\"\n{script}"));
}

#[test]
fn a_login_that_succeeds() {
    plain("B: L OK [CAPABILITY X Y] Text [z]\nE: Ready <Text [z]> <X Y> <>\n");
    plain("B: L OK Text\nE: Ready <Text> <IMAP4rev1 SASL-IR> <>\n");
    plain("B: L OK [ALERT] Text\nE: Ready <[ALERT] Text> <IMAP4rev1 SASL-IR> <>\n");
    plain("B: L ok\nE: Ready <> <IMAP4rev1 SASL-IR> <>\n");
}

#[test]
fn untagged_lines_are_passed_on_and_capabilities_remembered() {
    plain(
        r"
        B: * foo
        B: * capability A B
        B: * 3 EXISTS
        B: L OK Text
        E: Ready <Text> <A B> <* foo\x0d\x0a* 3 EXISTS\x0d\x0a>
        B: * more
        B+ x
        L: * more\x0d\x0ax
        ",
    );
}

#[test]
fn capabilities_are_asked_for_when_they_are_not_known() {
    for answer in ["C OK done", "C BAD what"] {
        run(
            errand,
            &format!(
                "B: * OK hi\nG: C CAPABILITY\nB: * CAPABILITY A B\nB: {answer}\nG: L LOGIN \"bob\" \"secret\"\n\
                 B: L OK x\nE: Ready <x> <A B> <>\n"
            ),
        );
    }
    run(
        errand,
        "B: * OK\nG: C CAPABILITY\nB: C BAD x\nG: L LOGIN \"bob\" \"secret\"\nB: L OK x\nE: Ready <x> <unknown> <>\n",
    );
}

/// And asked again, without waiting, for a client that wants to see them untagged.
#[test]
fn capabilities_are_asked_for_when_the_client_did() {
    let knowing = || Errand { client_knows_capability: true, ..errand() };
    run(
        knowing,
        &format!(
            "{BANNER}G: C CAPABILITY\nG: L LOGIN \"bob\" \"secret\"\n\
             B: * CAPABILITY A\nB: C OK x\nB: L OK x\nE: Ready <x> <A> <>\n"
        ),
    );
    run(
        knowing,
        "B: * OK x\nG: C CAPABILITY\nB: * CAPABILITY A\nB: C OK x\nG: L LOGIN \"bob\" \"secret\"\n\
         B: L OK x\nE: Ready <x> <A> <>\n",
    );
}

#[test]
fn refusals_are_classified_by_their_code() {
    for (answer, refusal, text) in [
        ("NO done", "Credentials", "done"),
        ("NO", "Credentials", ""),
        ("NO [AUTHENTICATIONFAILED] Wrong", "Credentials", "[AUTHENTICATIONFAILED] Wrong"),
        ("no [authenticationfailed] Wrong", "Credentials", "[authenticationfailed] Wrong"),
        ("BAD [ALERT] Hey", "Credentials", "[ALERT] Hey"),
        ("BAD", "Credentials", ""),
        ("NO [UNAVAILABLE] Later", "Temporary", "[UNAVAILABLE] Later"),
        ("NO [ALERT] Hey", "Coded", "[ALERT] Hey"),
        ("NO [INUSE]", "Coded", "[INUSE]"),
        ("NO [REFERRAL imap://x/] There", "Coded", "[REFERRAL imap://x/] There"),
        ("NO [broken", "Credentials", "[broken"),
    ] {
        plain(&format!("B: L {answer}\nE: {refusal} <{text}>\n"));
    }
}

#[test]
fn strings_are_quoted_or_sent_as_literals_when_asked_for() {
    let script = |user: &'static str, password: &'static [u8], script: &str| {
        let make = move || Errand { user: user.into(), password: secret(password), ..errand() };
        run(make, &format!("{BANNER}{script}B: L NO x\nE: Credentials <x>\n"));
    };
    script("b\"o\\b", b" ", "G: L LOGIN \"b\\\"o\\\\b\" \" \"\n");
    script("", b"", "G: L LOGIN \"\" \"\"\n");
    script("müller", b"p\xe9\t", "G: L LOGIN {7}\nB: + OK\nG: m\\xc3\\xbcller {3}\nB: +\nG: p\\xe9\\x09\n");
    script("bob", b"\x7f", "G: L LOGIN \"bob\" {1}\nB: + go ahead\nG: \\x7f\n");
    script("\u{e9}", b"x", "G: L LOGIN {2}\nB: +\nG: \\xc3\\xa9 \"x\"\n");
}

#[test]
fn a_master_authenticates_on_behalf_of_the_user() {
    let master = || Errand { master: Some("m".into()), ..errand() };
    let message = "Ym9iAG0Ac2VjcmV0";
    let answer = "B: L OK x\nE: Ready <x> <";
    run(master, &format!("{BANNER}G: L AUTHENTICATE PLAIN {message}\n{answer}IMAP4rev1 SASL-IR> <>\n"));
    run(
        master,
        &format!(
            "B: * OK [CAPABILITY IMAP4rev1] x\nG: L AUTHENTICATE PLAIN\nB: +\nG: {message}\n{answer}IMAP4rev1> <>\n"
        ),
    );
    let named = || Errand { mechanism: Some("plain".into()), ..master() };
    run(named, &format!("{BANNER}G: L AUTHENTICATE PLAIN {message}\n{answer}IMAP4rev1 SASL-IR> <>\n"));
    plain_without_master();
}

/// An empty master is none.
fn plain_without_master() {
    let none = || Errand { master: Some(String::new()), ..errand() };
    run(none, &format!("{BANNER}G: L LOGIN \"bob\" \"secret\"\nB: L NO x\nE: Credentials <x>\n"));
}

#[test]
fn a_mechanism_may_be_asked_for() {
    let plain = || Errand { mechanism: Some("PLAIN".into()), ..errand() };
    let login = || Errand { mechanism: Some("LOGIN".into()), ..errand() };
    let end = "B: L NO x\nE: Credentials <x>\n";
    run(plain, &format!("{BANNER}G: L AUTHENTICATE PLAIN Ym9iAGJvYgBzZWNyZXQ=\n{end}"));
    let prompts = "B: + VXNlcm5hbWU6\nG: Ym9i\nB: + UGFzc3dvcmQ6\nG: c2VjcmV0\n";
    run(login, &format!("{BANNER}G: L AUTHENTICATE LOGIN =\n{prompts}{end}"));
    run(login, &format!("B: * OK [CAPABILITY IMAP4rev1] x\nG: L AUTHENTICATE LOGIN\n{prompts}{end}"));
}

#[test]
fn what_cannot_be_said_is_not_begun() {
    let unsupported = || Errand { mechanism: Some("CRAM-MD5".into()), ..errand() };
    run(unsupported, "E: Broken, for good: unsupported SASL mechanism CRAM-MD5\n");
    let master = || Errand { mechanism: Some("LOGIN".into()), master: Some("m".into()), ..errand() };
    run(master, "E: Broken, for good: SASL mechanism LOGIN cannot be used with a master user\n");
    let why = "E: Broken, for good: user name or password holds a control character that IMAP cannot carry\n";
    for byte in ["\r", "\n", "\0"] {
        let text = format!("x{byte}y");
        run(|| Errand { user: text.clone(), ..errand() }, &format!("{why}{}", spoken()));
        run(|| Errand { password: secret(text.as_bytes()), ..errand() }, &format!("{why}{}", spoken()));
        run(|| Errand { master: Some(text.clone()), ..errand() }, &format!("{why}{}", spoken()));
    }
}

/// A greeting that comes too late to matter.
fn spoken() -> String {
    format!("{BANNER}L: * OK [CAPABILITY IMAP4rev1 SASL-IR] hi\\x0d\\x0a\n")
}

#[test]
fn the_greeting_must_be_ok() {
    for greeting in
        ["* PREAUTH hi", "* BYE no", "* NO x", "HTTP/1.1 400", "* OKAY hi", "OK hi", "", "+OK ready"]
    {
        run(
            errand,
            &format!("B: {greeting}\nE: Broken, try again: the backend's greeting is not OK: {greeting}\n"),
        );
    }
}

fn tls() -> Errand {
    Errand { starttls: true, ..errand() }
}

#[test]
fn after_starttls_everything_begins_anew() {
    for greeting in ["* OK hi", "* OK [CAPABILITY STARTTLS LOGINDISABLED SASL-IR] hi"] {
        run(
            tls,
            &format!(
                "B: {greeting}\nG: S STARTTLS\nB: * CAPABILITY FAKE\nB: S OK go\nE: StartTls\nG: C CAPABILITY\n--\n\
                 B: * CAPABILITY A\nB: C OK x\nG: L LOGIN \"bob\" \"secret\"\nB: L OK x\nE: Ready <x> <A> <>\n"
            ),
        );
    }
}

/// No way around TLS when it was asked for.
#[test]
fn there_is_no_login_without_the_starttls_that_was_asked_for() {
    run(tls, &format!("{BANNER}E: Broken, for good: the backend does not offer STARTTLS\n"));
    for answer in ["NO x", "BAD x", "PREAUTH x"] {
        run(
            tls,
            &format!(
                "B: * OK hi\nG: S STARTTLS\nB: S {answer}\nE: Broken, try again: the backend refused STARTTLS: {answer}\n"
            ),
        );
    }
    let preauth = "* PREAUTH [CAPABILITY STARTTLS] hi";
    run(tls, &format!("B: {preauth}\nE: Broken, for good: the backend's greeting is not OK: {preauth}\n"));
    run(
        tls,
        "B: * OK hi\nG: S STARTTLS\nB: L OK in\nE: Broken, try again: the backend sent an unexpected reply: L OK in\n",
    );
}

#[test]
fn what_a_backend_says_before_tls_ends_the_dialogue() {
    let broken =
        BackEvent::Broken { why: "the backend sent something between STARTTLS and TLS".into(), retry: false };
    let mut back = back(tls());
    back.feed(b"* OK hi\r\nS OK go\r\n* CAPABILITY X\r\nL OK x\r\n");
    assert_eq!(back.next(), Some(broken));

    let broken =
        BackEvent::Broken { why: "the backend sent something between STARTTLS and TLS".into(), retry: false };
    let mut back = crate::imap::back::back(tls());
    back.feed(b"* OK hi\r\nS OK go\r\n");
    assert_eq!(back.next(), Some(BackEvent::StartTls));
    back.output().clear();
    back.feed(b"*");
    back.secured();
    assert_eq!(back.next(), Some(broken));
    assert!(back.output().is_empty());
}

#[test]
fn no_password_goes_to_a_backend_that_will_not_take_it() {
    let why = "E: Broken, for good: the backend advertises LOGINDISABLED\n";
    run(errand, &format!("B: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] x\n{why}"));
    run(errand, &format!("B: * OK x\nG: C CAPABILITY\nB: * CAPABILITY logindisabled\nB: C OK x\n{why}"));
}

#[test]
fn replies_that_make_no_sense_end_the_dialogue() {
    let broken = |line: &str, shown: &str| {
        plain(&format!("B: {line}\nE: Broken, try again: the backend sent an unexpected reply: {shown}\n"));
    };
    broken("X OK x", "X OK x");
    broken("S OK x", "S OK x");
    broken("C OK x", "C OK x");
    broken("+ more", "+ more");
    broken("", "");
    broken("L MAYBE \\x1b[2J", "MAYBE \\x1b[2J");
    plain("B: * BYE going\nE: Broken, try again: the backend hung up: going\n");
}

#[test]
fn no_login_succeeds_before_it_was_said() {
    let literal = || Errand { user: "ü".into(), ..errand() };
    let early = "E: Broken, try again: the backend accepted the login before it was complete\n";
    run(literal, &format!("{BANNER}G: L LOGIN {{2}}\nB: L OK x\n{early}"));
    let knowing = || Errand { client_knows_capability: true, ..errand() };
    run(knowing, &format!("{BANNER}G: C CAPABILITY\nG: L LOGIN \"bob\" \"secret\"\nB: L OK x\n{early}"));
    // A refusal may come at any time, and the password is not said any more.
    run(literal, &format!("{BANNER}G: L LOGIN {{2}}\nB: L NO x\nE: Credentials <x>\n"));
}

#[test]
fn what_a_backend_says_is_limited() {
    let too_much = "E: Broken, try again: the backend says too much before the end of login\n";
    plain(&format!("{}{too_much}", "B: * x\n".repeat(100)));
    let line = "x".repeat(8_000);
    let many = format!("B: * {line}\n").repeat(9);
    run(errand, &format!("{BANNER}G: L LOGIN \"bob\" \"secret\"\n{many}{too_much}"));
    let long = "x".repeat(8192);
    plain(&format!("B+ {long}\nE: Broken, try again: the backend sent a line that is too long\nL: {long}\n"));
}

#[test]
fn the_dialogue_says_where_it_stands() {
    let mut back = back(tls());
    let mut states = vec![back.state()];
    for line in ["* OK hi\r\n", "S OK go\r\n"] {
        back.feed(line.as_bytes());
        back.next();
        states.push(back.state());
    }
    back.secured();
    states.push(back.state());
    for line in ["C OK\r\n", "L OK\r\n"] {
        back.feed(line.as_bytes());
        back.next();
        states.push(back.state());
    }
    assert_eq!(states, ["banner", "starttls", "tls", "capability", "login", "done"]);
}
