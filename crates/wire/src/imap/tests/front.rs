//! The front's side of every command and answer. Replies are Dovecot 2.3.19.1's where it was asked.

use super::super::{INPUT_LIMIT, OUTPUT_PAUSE};
use super::{Split, bare_offer, dialogue, front_of, open_offer};
use crate::{Answer, Event, Farewell, Fault, MechanismOffer, Offer, Response, Welcome};

const GREETING: &str = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ \
                        AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5] ready.\n";

/// A dialogue on a connection where everything may be used, after the greeting.
fn open(script: &str) {
    dialogue(&open_offer(), &format!("{GREETING}{script}"));
}

fn bare(script: &str) {
    let greeting = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ \
                    STARTTLS LOGINDISABLED AUTH=CRAM-MD5] ready.\n";
    dialogue(&bare_offer(), &format!("{greeting}{script}"));
}

fn capability(offer: &Offer) -> String {
    let mut front = front_of(offer);
    let greeting = String::from_utf8(std::mem::take(front.output())).unwrap();
    let words = greeting.strip_prefix("* OK [CAPABILITY ").unwrap().split_once(']').unwrap().0.to_owned();
    front.feed(b"a CAPABILITY\r\n");
    assert!(front.next().is_none());
    let listed = String::from_utf8(std::mem::take(front.output())).unwrap();
    assert_eq!(listed.split_once("\r\n").unwrap().0, format!("* CAPABILITY {words}"));
    words
}

#[test]
fn commands_that_need_nobody() {
    open(
        r#"
        C: a CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5
        S: a OK Pre-login capabilities listed, post-login capabilities have more.
        C: b NOOP
        S: b OK NOOP completed.
        C: c noop "and" (more) {2+}
        C: xx
        S: c OK NOOP completed.
        C: d ENABLE CONDSTORE
        S: * ENABLED
        S: d OK ENABLE ignored in non-authenticated state.
        C: e LOGOUT
        S: * BYE Logging out
        S: e OK Logout completed.
        E: Quit
        "#,
    );
}

#[test]
fn nothing_is_heard_after_logout() {
    open(
        r"
        C: e LOGOUT
        S: * BYE Logging out
        S: e OK Logout completed.
        E: Quit
        C: f NOOP
        C: g LOGIN bob secret
        ",
    );
}

#[test]
fn login_takes_atoms_quoted_strings_and_literals() {
    open(
        r#"
        C: a LOGIN bob secret
        E: Login PLAIN <\x00bob\x00secret>
        A: AuthenticationFailed Authentication failed.
        S: a NO [AUTHENTICATIONFAILED] Authentication failed.
        C: b login "b\ob"  "x\"y\\z"
        E: Login PLAIN <\x00bob\x00x"y\z>
        A: Unavailable Temporary authentication failure.
        S: b NO [UNAVAILABLE] Temporary authentication failure.
        C: c LOGIN {3}
        S: + OK
        C: bob {6}
        S: + OK
        C+ a\xff "{(
        C:
        E: Login PLAIN <\x00bob\x00a\xff "{(>
        A: Expired Password expired
        S: c NO [EXPIRED] Password expired
        C: d LOGIN {3+}
        C: bob {5+}
        C: wrong
        E: Login PLAIN <\x00bob\x00wrong>
        A: ContactAdmin Login disabled for this user
        S: d NO [CONTACTADMIN] Login disabled for this user
        C: f LOGIN {0+}
        C:  ""
        E: Login PLAIN <\x00\x00>
        A: Limit Too many
        S: f NO [LIMIT] Too many
        "#,
    );
}

#[test]
fn login_needs_exactly_two_strings_without_line_breaks() {
    for arguments in [
        "bob",
        "",
        "bob secret x",
        "(bob) secret",
        "bob (secret)",
        "bob \"secret",
        "bob \"secret\"x",
        "bob p(ss",
        "bob p{ss",
        "bob p\\xe9ss",
        "bob p\\x00ss",
        "bob \"p\\x00ss\"",
        "bob \"p\\x0dss\"",
    ] {
        open(&format!(
            "C: a LOGIN {arguments}\nS: a BAD Error in IMAP command received by server.\n\
             C: b NOOP\nS: b OK NOOP completed.\n"
        ));
    }
    for byte in ["00", "0a", "0d"] {
        open(&format!(
            "C: a LOGIN bob {{3+}}\nC: x\\x{byte}y\nS: a BAD Error in IMAP command received by server.\n\
             C: b LOGIN {{3+}}\nC: x\\x{byte}y z\nS: b BAD Error in IMAP command received by server.\n"
        ));
    }
}

#[test]
fn every_kind_of_refusal_has_its_code() {
    for (code, word) in [
        ("AuthenticationFailed", "AUTHENTICATIONFAILED"),
        ("AuthorizationFailed", "AUTHORIZATIONFAILED"),
        ("Expired", "EXPIRED"),
        ("Unavailable", "UNAVAILABLE"),
        ("ContactAdmin", "CONTACTADMIN"),
        ("Limit", "LIMIT"),
        ("ServerBug", "SERVERBUG"),
        ("PrivacyRequired", "PRIVACYREQUIRED"),
        ("Mechanism", "ALERT"),
    ] {
        open(&format!(
            "C: a LOGIN u p\nE: Login PLAIN <\\x00u\\x00p>\nA: {code} Text.\nS: a NO [{word}] Text.\n"
        ));
    }
}

/// A database or a backend may write anything; it stays within the line.
#[test]
fn no_text_can_end_its_line() {
    open(
        r"
        C: a LOGIN u p
        E: Login PLAIN <\x00u\x00p>
        A: ContactAdmin Gone\x0d\x0aa OK\x00 \xc3\xbc
        S: a NO [CONTACTADMIN] Gone  a OK  \xc3\xbc
        C: b LOGIN u p
        E: Login PLAIN <\x00u\x00p>
        A: backend [INUSE] x\x0d\x00y
        S: b NO [INUSE] x  y
        C: c LOGIN u p
        E: Login PLAIN <\x00u\x00p>
        A: welcome-proxied Hi\x0d\x0ayou
        S: * one
        S: * two
        S: c OK [CAPABILITY IMAP4rev1 X] Hi  you
        L:
        ",
    );
}

#[test]
fn a_welcome_tells_the_capabilities_in_its_code() {
    open(
        "C: a LOGIN u p\nE: Login PLAIN <\\x00u\\x00p>\nA: welcome\n\
         S: a OK [CAPABILITY IMAP4rev1 NOTIFY] Logged in\nL:\n",
    );
    open("C: a LOGIN u p\nE: Login PLAIN <\\x00u\\x00p>\nA: welcome-silent\nS: a OK Logged in\nL:\n");
    open(
        "C: a LOGIN u p\nE: Login PLAIN <\\x00u\\x00p>\nA: welcome-proxied Hello [you]\n\
         S: * one\nS: * two\nS: a OK [CAPABILITY IMAP4rev1 X] Hello [you]\nL:\n",
    );
}

/// Who asks for CAPABILITY may not look into the codes of greetings and answers.
#[test]
fn a_client_that_asked_is_told_the_capabilities_untagged() {
    open(
        r"
        C: z CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5
        S: z OK Pre-login capabilities listed, post-login capabilities have more.
        C: a LOGIN u p
        E: Login PLAIN <\x00u\x00p>
        A: welcome
        S: * CAPABILITY IMAP4rev1 NOTIFY
        S: a OK Logged in
        C: b SELECT INBOX
        C+ c IDL
        L: b SELECT INBOX\x0d\x0ac IDL
        ",
    );
}

#[test]
fn what_follows_a_refused_login_is_the_next_command() {
    open(
        r"
        C: a LOGIN u p
        E: Login PLAIN <\x00u\x00p>
        A: AuthenticationFailed No.
        S: a NO [AUTHENTICATIONFAILED] No.
        C: b NOOP
        S: b OK NOOP completed.
        C: c LOGIN u q
        E: Login PLAIN <\x00u\x00q>
        A: welcome-silent
        S: c OK Logged in
        C: d NOOP
        L: d NOOP\x0d\x0a
        ",
    );
}

/// RFC 2221 §4.1: a referral that refuses, and one that only suggests.
#[test]
fn referrals() {
    open(
        r"
        C: a LOGIN u p
        E: Login PLAIN <\x00u\x00p>
        A: referral Moved.
        S: a NO [REFERRAL imap://bob%40dom;AUTH=PLAIN@imap2.example.com:1143/] Moved.
        C: b LOGIN u p
        E: Login PLAIN <\x00u\x00p>
        A: welcome-referral Logged in, but you should use this server instead.
        S: * CAPABILITY IMAP4rev1 X
        S: b OK [REFERRAL imap://bob%40dom;AUTH=PLAIN@imap2.example.com:1143/] Logged in, but you should use this server instead.
        L:
        ",
    );
}

#[test]
fn authenticate_with_and_without_initial_response() {
    open(
        r"
        C: a AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ=
        E: Login PLAIN <\x00bob\x00secret>
        A: AuthorizationFailed Authorization failed
        S: a NO [AUTHORIZATIONFAILED] Authorization failed
        C: b authenticate plain
        E: Login PLAIN
        A: challenge
        S: +\x20
        C: AGJvYgBzZWNyZXQ=
        R: <\x00bob\x00secret>
        A: AuthenticationFailed Authentication failed.
        S: b NO [AUTHENTICATIONFAILED] Authentication failed.
        C: c AUTHENTICATE LOGIN =
        E: Login LOGIN <>
        A: challenge Username:
        S: + VXNlcm5hbWU6
        C: Ym9i
        R: <bob>
        A: challenge Password:
        S: + UGFzc3dvcmQ6
        C:
        R: <>
        A: welcome-silent
        S: c OK Logged in
        C: d NOOP
        L: d NOOP\x0d\x0a
        ",
    );
}

#[test]
fn a_client_may_abort_or_garble_its_reply() {
    open(
        r"
        C: a AUTHENTICATE CRAM-MD5
        E: Login CRAM-MD5
        A: challenge <1.2@h>
        S: + PDEuMkBoPg==
        C: *
        S: a BAD Authentication aborted by client.
        R: Abort
        C: b AUTHENTICATE CRAM-MD5
        E: Login CRAM-MD5
        A: challenge <1.2@h>
        S: + PDEuMkBoPg==
        C: !!!
        S: b NO [ALERT] Invalid base64 in response
        R: Malformed
        C: c AUTHENTICATE CRAM-MD5
        E: Login CRAM-MD5
        A: challenge <1.2@h>
        S: + PDEuMkBoPg==
        C: Ym9i\x09
        S: c NO [ALERT] Invalid base64 in response
        R: Malformed
        C: d NOOP
        S: d OK NOOP completed.
        ",
    );
}

#[test]
fn an_initial_response_must_be_base64() {
    for initial in ["!!", "*", "==", "abc", "AGJv YgBz", "AGJvYg", "AGJv\\x09YgB", "(x)", "\"AGJv\"", "{x}"] {
        open(&format!(
            "C: a AUTHENTICATE PLAIN {initial}\nS: a BAD Invalid base64 data in initial response\nE: Rejected(Base64)\n\
             C: b NOOP\nS: b OK NOOP completed.\n"
        ));
    }
}

#[test]
fn authenticate_needs_a_mechanism_that_is_offered() {
    open(
        r#"
        C: a AUTHENTICATE NOSUCH
        S: a NO [ALERT] Unsupported authentication mechanism.
        E: Rejected(Mechanism)
        C: b AUTHENTICATE "PLAIN" AGJvYgBzZWNyZXQ=
        S: b NO [ALERT] Unsupported authentication mechanism.
        E: Rejected(Mechanism)
        C: c AUTHENTICATE
        S: c BAD Error in IMAP command received by server.
        C: d AUTHENTICATE PL\x00AIN
        S: d BAD Error in IMAP command received by server.
        C: e AUTHENTICATE PLAIN =
        E: Login PLAIN <>
        A: AuthenticationFailed No.
        S: e NO [AUTHENTICATIONFAILED] No.
        "#,
    );
}

#[test]
fn without_plain_there_is_no_login_command() {
    let mechanisms = vec![MechanismOffer { name: "CRAM-MD5", plaintext: false }];
    let secure = Offer { mechanisms, ..open_offer() };
    dialogue(
        &secure,
        r"
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ LOGINDISABLED AUTH=CRAM-MD5] ready.
        C: a LOGIN bob secret
        S: a NO [ALERT] Unsupported authentication mechanism.
        E: Rejected(Mechanism)
        ",
    );
    // Seen: on an insecure connection with plaintext allowed, LOGINDISABLED is missing all the same.
    assert!(!capability(&Offer { secure: false, ..secure }).contains("LOGINDISABLED"));
}

#[test]
fn plaintext_is_refused_where_it_can_be_overheard() {
    bare(
        r"
        C: b LOGIN bob secret
        S: * BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. If anyone was listening, the password was exposed.
        S: b NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        E: Rejected(Plaintext)
        C: c AUTHENTICATE PLAIN
        S: c NO [PRIVACYREQUIRED] Plaintext authentication disabled.
        E: Rejected(Plaintext)
        C: d AUTHENTICATE LOGIN !!
        S: d NO [PRIVACYREQUIRED] Plaintext authentication disabled.
        E: Rejected(Plaintext)
        C: e AUTHENTICATE NOSUCH
        S: e NO [ALERT] Unsupported authentication mechanism.
        E: Rejected(Mechanism)
        C: f AUTHENTICATE CRAM-MD5
        E: Login CRAM-MD5
        A: AuthenticationFailed No.
        S: f NO [AUTHENTICATIONFAILED] No.
        ",
    );
}

/// The client that waits to be asked for its literal is not asked: its password stays at home.
#[test]
fn a_password_that_would_be_refused_is_not_asked_for() {
    bare(
        r"
        C: a LOGIN {3}
        S: * BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. If anyone was listening, the password was exposed.
        S: a NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        E: Rejected(Plaintext)
        C: b LOGIN {3+}
        C: bob {11+}
        C: xxxxxxxxxxx
        S: * BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. If anyone was listening, the password was exposed.
        S: b NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        E: Rejected(Plaintext)
        ",
    );
}

#[test]
fn nothing_may_be_used_before_required_tls() {
    let offer = Offer { tls_required: true, ..bare_offer() };
    for offer in [offer.clone(), Offer { plaintext: true, ..offer }] {
        dialogue(
            &offer,
            r"
            S: * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS LOGINDISABLED] ready.
            C: b LOGIN bob secret
            S: * BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. If anyone was listening, the password was exposed.
            S: b NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
            E: Rejected(TlsRequired)
            C: c AUTHENTICATE CRAM-MD5
            S: c NO [PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.
            E: Rejected(TlsRequired)
            C: d AUTHENTICATE NOSUCH
            S: d NO [PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.
            E: Rejected(TlsRequired)
            ",
        );
    }
}

/// CVE-2011-0411 and its many relatives: what came in the clear does not run after TLS.
#[test]
fn starttls_forgets_all_but_that_capabilities_were_asked_for() {
    bare(
        r"
        C: x CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS LOGINDISABLED AUTH=CRAM-MD5
        S: x OK Pre-login capabilities listed, post-login capabilities have more.
        C: y BOGUS
        S: y BAD Error in IMAP command received by server.
        C: z BOGUS
        S: z BAD Error in IMAP command received by server.
        C: a STARTTLS
        S: a OK Begin TLS negotiation now.
        E: StartTls
        A: tls
        --
        C: b STARTTLS
        S: b BAD TLS is already active.
        C: c BOGUS
        S: c BAD Error in IMAP command received by server.
        C: d LOGIN bob secret
        E: Login PLAIN <\x00bob\x00secret>
        A: welcome
        S: * CAPABILITY IMAP4rev1 NOTIFY
        S: d OK Logged in
        L:
        ",
    );
}

#[test]
fn what_is_sent_between_starttls_and_tls_is_dropped() {
    for split in [Split::Nowhere, Split::Bytes] {
        let mut front = front_of(&bare_offer());
        let clear = b"a STARTTLS\r\nb LOGOUT\r\nc LOGIN x {9999}\r\n";
        let mut events = Vec::new();
        let chunks = if split == Split::Bytes { clear.chunks(1) } else { clear.chunks(clear.len()) };
        for chunk in chunks {
            front.feed(chunk);
            events.extend(front.next());
        }
        assert!(matches!(events[..], [Event::StartTls]));
        assert!(front.output().ends_with(b"a OK Begin TLS negotiation now.\r\n"));
        front.secured(Offer { tls: true, ..open_offer() });
        assert!(front.next().is_none() && front.output().is_empty() && front.leftover().is_empty());
    }
}

#[test]
fn starttls_needs_tls() {
    open("C: a STARTTLS\nS: a BAD TLS support isn't enabled.\nC: b NOOP\nS: b OK NOOP completed.\n");
}

#[test]
fn the_third_bad_command_is_the_last() {
    open(
        r"
        C: a xyz
        S: a BAD Error in IMAP command received by server.
        C: LOGIN bob secret
        S: LOGIN BAD First parameter in line is IMAP's command tag, not the command name. Add that before the command, like: a login user pass
        C: noop
        S: noop BAD Error in IMAP command received by server.
        C: a NOOP
        S: a OK NOOP completed.
        C: b ID foo
        S: b BAD Invalid ID parameters
        C: c  NOOP
        S: * BYE Too many invalid IMAP commands.
        E: Fault(BadCommands)
        C: d NOOP
        ",
    );
}

#[test]
fn a_line_without_a_proper_tag_is_bad() {
    for line in ["", " a NOOP", "a+ NOOP", "* NOOP", "+ NOOP", "\\xe9 NOOP", "a\\x00 NOOP", "\\x16\\x03\\x01"]
    {
        open(&format!(
            "C: {line}\nS: * BAD Error in IMAP command received by server.\nC: b NOOP\nS: b OK NOOP completed.\n"
        ));
    }
    let long = "x".repeat(128);
    open(&format!("C: {long} NOOP\nS: * BAD Error in IMAP command received by server.\n"));
}

#[test]
fn lines_end_in_lf_too_but_not_in_two_crs() {
    open(
        r"
        C+ a NOOP\x0a
        S: a OK NOOP completed.
        C+ b NOOP\x0d\x0d\x0a
        S: b BAD Error in IMAP command received by server.
        ",
    );
}

/// What a literal holds is never taken for a command, whatever was wrong before it.
#[test]
fn literals_of_bad_commands_are_read_over() {
    for command in
        ["a BOGUS {10+}", "a LOGIN ((( {10+}", "+ X {10+}", "a LOGIN x{10+}", "a AUTHENTICATE {10+}"]
    {
        let tag = if command.starts_with('+') { "*" } else { "a" };
        open(&format!(
            "C: {command}\nC+ z LOGOUT\\x0d\\x0a\nC: \n\
             S: {tag} BAD Error in IMAP command received by server.\nC: b NOOP\nS: b OK NOOP completed.\n"
        ));
    }
    // One that waits to be asked is only asked when the command may still become good.
    open(
        r"
        C: a LOGIN ((( {10}
        S: a BAD Error in IMAP command received by server.
        C: b BOGUS {5}
        S: + OK
        C: abcde
        S: b BAD Error in IMAP command received by server.
        ",
    );
}

#[test]
fn a_literal_must_be_followed_by_a_blank() {
    open("C: a LOGIN bob {1+}\nC: ab\nS: a BAD Error in IMAP command received by server.\n");
}

#[test]
fn literals_and_commands_have_limits() {
    for size in ["4097", "4097+", "4294967296", "99999999999999999999999"] {
        open(&format!(
            "C: a LOGIN {{{size}}}\nS: * BYE Literal size too large\nE: Fault(TooLong)\nC: b NOOP\n"
        ));
    }
    let large = "x".repeat(4096);
    open(&format!(
        "C: a LOGIN {{4096}}\nS: + OK\nC: {large} {{4096+}}\nC: {large}\n\
         E: Login PLAIN <\\x00{large}\\x00{large}>\nA: AuthenticationFailed No.\nS: a NO [AUTHENTICATIONFAILED] No.\n"
    ));
    let literal = format!("C: {large} {{4096+}}\n");
    open(&format!(
        "C: a ID {{4096+}}\n{literal}{literal}{literal}S: * BYE Input buffer full, aborting\nE: Fault(TooLong)\n"
    ));
}

#[test]
fn a_line_has_a_limit() {
    let text = |length: usize| "x".repeat(length - "a NOOP \r\n".len());
    open(&format!("C: a NOOP {}\nS: a OK NOOP completed.\n", text(8192)));
    open(&format!(
        "C: a NOOP {}\nS: * BYE Input buffer full, aborting\nE: Fault(TooLong)\nC: b NOOP\n",
        text(8193)
    ));
    open(&format!("C+ {}\nS: * BYE Input buffer full, aborting\nE: Fault(TooLong)\n", "x".repeat(8192)));
}

#[test]
fn a_sasl_reply_has_a_limit() {
    let start = "C: a AUTHENTICATE PLAIN\nE: Login PLAIN\nA: challenge x\nS: + eA==\n";
    let fits = "AAAA".repeat(2047);
    let decoded = "\\x00".repeat(3 * 2047);
    open(&format!("{start}C: {fits}\nR: <{decoded}>\nA: Expired x\nS: a NO [EXPIRED] x\n"));
    open(&format!("{start}C: {fits}AAAA\nR: Fault(TooLong)\nC: b NOOP\n"));
}

#[test]
fn lists_are_one_deep_and_arguments_are_counted() {
    let many = "x ".repeat(65);
    for arguments in ["((\"a\" \"b\"))", "(\"a\" (\"b\"))", "(((((((((((((((((((((((((", &many] {
        open(&format!("C: a ID {arguments}\nS: a BAD Error in IMAP command received by server.\n"));
    }
}

/// What waits for an answer is kept, and is not without end.
#[test]
fn input_that_waits_for_an_answer_is_limited() {
    let mut front = front_of(&open_offer());
    front.feed(b"a LOGIN u p\r\n");
    assert!(matches!(front.next(), Some(Event::Login { .. })));
    front.output().clear();
    for _ in 0..INPUT_LIMIT / 1024 {
        front.feed(&[b'x'; 1024]);
        assert!(front.next().is_none());
    }
    front.feed(b"y");
    assert!(matches!(front.next(), Some(Event::Fault(Fault::TooLong))));
    assert_eq!(front.output(), b"* BYE Input buffer full, aborting\r\n");

    // Nobody looked before answering: no welcome, for part of what the client said is lost.
    for answer in [true, false] {
        let mut front = front_of(&open_offer());
        front.feed(b"a AUTHENTICATE CRAM-MD5\r\n");
        assert!(front.next().is_some());
        front.challenge(b"x");
        front.output().clear();
        front.feed(&[b'x'; INPUT_LIMIT + 1]);
        if answer {
            front.answer(crate::Answer::Welcome(crate::Welcome::default()));
            assert_eq!(front.output(), b"* BYE Input buffer full, aborting\r\n");
            assert!(matches!(front.next(), Some(Event::Fault(Fault::TooLong))));
        } else {
            assert!(matches!(front.response(), Some(Response::Fault(Fault::TooLong))));
        }
    }
}

/// A client that sends commands and reads no answers does not fill our memory.
#[test]
fn no_command_is_looked_at_while_much_waits_to_be_written() {
    let mut front = front_of(&open_offer());
    front.feed(&b"a CAPABILITY\r\n".repeat(2000));
    let mut answers = 0;
    loop {
        assert!(front.next().is_none());
        let output = std::mem::take(front.output());
        if output.is_empty() {
            break;
        }
        assert!(output.len() < OUTPUT_PAUSE + 1024);
        answers += memchr::memmem::find_iter(&output, b"a OK ").count();
    }
    assert_eq!(answers, 2000);
}

#[test]
fn the_capability_setting_adds_or_replaces() {
    let with = |capability: &str| capability_of(capability, open_offer());
    let auth = "AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5";
    assert_eq!(
        with("+XFOO  XBAR"),
        format!("IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE XFOO XBAR LITERAL+ {auth}")
    );
    assert_eq!(with("+"), with(""));
    assert_eq!(with("IMAP4rev1 XBAR"), format!("IMAP4rev1 XBAR {auth}"));
    assert_eq!(
        capability_of("IMAP4rev1 XBAR", bare_offer()),
        "IMAP4rev1 XBAR STARTTLS LOGINDISABLED AUTH=CRAM-MD5"
    );
}

fn capability_of(setting: &str, offer: Offer) -> String {
    capability(&Offer { capability: setting.into(), ..offer })
}

#[test]
fn id_is_answered_and_kept() {
    let id = vec![
        ("name".into(), Some("Dovecot".into())),
        ("x".into(), Some("q\"uo\\te".into())),
        ("y".into(), None),
        ("z".into(), Some("ü\0".into())),
    ];
    dialogue(
        &Offer { id, ..open_offer() },
        &format!(
            r#"
            {GREETING}
            C: a ID ("name" "Foo" "version" NIL)
            S: * ID ("name" "Dovecot" "x" "q\"uo\\te" "y" NIL "z" {{3}}
            S: \xc3\xbc )
            S: a OK ID completed.
            E: ClientId <"name" "Foo" "version" NIL>
            "#
        ),
    );
    open(
        r#"
        C: a ID NIL
        S: * ID NIL
        S: a OK ID completed.
        E: ClientId <>
        C: b ID ({4}
        S: + OK
        C: name {3+}
        C: Bar)
        S: * ID NIL
        S: b OK ID completed.
        E: ClientId <"name" "Bar">
        C: c ID ("name" {1+}
        C+ \x00
        C: )
        S: c BAD Invalid ID parameters
        "#,
    );
}

/// Only from `login_trusted_networks`; the answer is the same.
#[test]
fn facts_of_another_client_are_events_for_trusted_fronts_only() {
    let script = r#"
        C: a ID ("x-originating-ip" "10.1.2.3" "x-session-id" "abc" "x-forward-a" "v" "name" "Gate")
        S: * ID NIL
        S: a OK ID completed.
    "#;
    let forwarded = "E: Forwarded Some(10.1.2.3) Some(\"abc\") [(\"a\", \"v\")]\n";
    let kept = "E: ClientId <\"name\" \"Gate\">\n";
    open(&format!("{script}\n{kept}"));
    dialogue(&Offer { trusted: true, ..open_offer() }, &format!("{GREETING}{script}\n{forwarded}{kept}"));
}

#[test]
fn farewells() {
    for (why, text) in [
        ("inactivity", "Disconnected for inactivity."),
        ("inactivity-in-login", "Disconnected for inactivity during authentication."),
        ("shutdown", "Server shutting down."),
        ("full", "Connection queue full"),
    ] {
        open(&format!(
            "C: a AUTHENTICATE PLAIN\nE: Login PLAIN\nA: farewell {why}\nS: * BYE {text}\nC: AGJvYgBzZWNyZXQ=\n"
        ));
    }
}

// The client is somebody else's by then, or has been told goodbye.
#[test]
fn no_farewell_follows_a_welcome_or_another() {
    for command in ["a LOGIN u p\r\n", "a LOGOUT\r\n"] {
        let mut front = front_of(&open_offer());
        front.feed(command.as_bytes());
        assert!(front.next().is_some());
        front.answer(Answer::Welcome(Welcome::default()));
        front.output().clear();
        front.farewell(Farewell::Shutdown);
        assert!(front.output().is_empty(), "{command}");
    }
}
