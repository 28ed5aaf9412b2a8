//! The server side.

use super::{Dice, Session, base64, dialogue, exposed, offer, trusted};
use crate::{Answer, Event, Farewell, Fault, Forwarded, MechanismOffer, Offer, Welcome, pop3::front::front};

#[test]
fn user_and_pass_log_in() {
    dialogue(
        &offer(),
        r"
        S: +OK ready.
        C: user bob
        S: +OK
        C: PASS  two blanks
        S: +OK Logged in.
        E: PLAIN \x00bob\x00 two blanks
        ",
    );
}

#[test]
fn the_last_user_counts_and_a_failure_forgets_it() {
    dialogue(
        &offer(),
        r"
        S: +OK ready.
        C: PASS x
        S: -ERR No username given.
        C: USER
        S: +OK
        C: USER a b
        S: +OK
        C: PASS
        S: -ERR [AUTH] Authentication failed.
        C: PASS x
        S: -ERR No username given.
        E: PLAIN \x00a b\x00
        ",
    );
}

#[test]
fn capabilities_depend_on_what_is_allowed() {
    let all = "
        S: +OK ready.
        C: CAPA
        S: +OK
        S: CAPA
        S: TOP
        S: UIDL
        S: RESP-CODES
        S: PIPELINING
        S: AUTH-RESP-CODE
        S: STLS
        S: USER
        S: SASL PLAIN LOGIN CRAM-MD5
        S: .
        C: AUTH
        S: +OK
        S: PLAIN
        S: LOGIN
        S: CRAM-MD5
        S: .
        ";
    dialogue(&offer(), all);
    let tls = Offer { tls: true, starttls: false, ..offer() };
    dialogue(&tls, &all.replace("        S: STLS\n", ""));
    let hidden = all.replace("        S: USER\n", "").replace("SASL PLAIN LOGIN", "SASL");
    dialogue(&exposed(), &hidden.replace("        S: PLAIN\n        S: LOGIN\n", ""));
    let before_tls = all.replace("SASL PLAIN LOGIN CRAM-MD5", "SASL");
    let before_tls = before_tls.replace("        S: PLAIN\n        S: LOGIN\n        S: CRAM-MD5\n", "");
    dialogue(&Offer { tls_required: true, ..offer() }, &before_tls);
}

#[test]
fn auth_takes_an_initial_response_or_asks() {
    dialogue(
        &offer(),
        r"
        S: +OK ready.
        C: AUTH plain AHgAeQ==
        S: -ERR [AUTH] Authentication failed.
        C: AUTH PLAIN  AHgAeQ==
        S: -ERR [AUTH] Authentication failed.
        C: AUTH PLAIN =
        S: -ERR [AUTH] Authentication failed.
        C: AUTH PLAIN
        S: + 
        C: AHgAeg==
        S: -ERR [AUTH] Authentication failed.
        C: AUTH PLAIN
        S: + 
        C:
        S: -ERR [AUTH] Authentication failed.
        C: AUTH CRAM-MD5
        S: + PDFAaD4=
        C: AGJvYgA=
        S: +OK Logged in.
        E: PLAIN \x00x\x00y
        E: PLAIN \x00x\x00y
        E: PLAIN 
        E: step \x00x\x00z
        E: step 
        E: step \x00bob\x00
        ",
    );
}

#[test]
fn auth_can_be_aborted_and_must_be_base64() {
    dialogue(
        &offer(),
        r"
        S: +OK ready.
        C: AUTH PLAIN
        S: + 
        C: *
        S: -ERR Authentication aborted by client.
        C: AUTH PLAIN
        S: + 
        C: !!
        S: -ERR [AUTH] Invalid base64 in response
        C: AUTH PLAIN
        S: + 
        C: =
        S: -ERR [AUTH] Invalid base64 in response
        C: AUTH PLAIN !!
        S: -ERR [AUTH] Invalid base64 data in initial response
        C: AUTH PLAIN *
        S: -ERR [AUTH] Invalid base64 data in initial response
        C: AUTH PLAIN AHgAeQ
        S: -ERR [AUTH] Invalid base64 data in initial response
        C: AUTH CRAM-MD5 = x
        S: -ERR [AUTH] Invalid base64 data in initial response
        C: AUTH NOSUCH
        S: -ERR [AUTH] Unsupported authentication mechanism.
        E: abort
        E: malformed
        E: malformed
        E: Rejected(Base64)
        E: Rejected(Base64)
        E: Rejected(Base64)
        E: Rejected(Base64)
        E: Rejected(Mechanism)
        ",
    );
}

#[test]
fn plaintext_is_refused_before_the_password_is_asked_for() {
    let script = "
        S: +OK ready.
        C: USER bob
        S: -ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        C: PASS x
        S: -ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        C: AUTH PLAIN AGJvYgBwdw==
        S: -ERR [AUTH] Plaintext authentication disabled.
        C: AUTH CRAM-MD5
        S: + PDFAaD4=
        C: *
        S: -ERR Authentication aborted by client.
        E: Rejected(Plaintext)
        E: Rejected(Plaintext)
        E: Rejected(Plaintext)
        E: abort
        ";
    dialogue(&exposed(), script);
}

#[test]
fn nothing_is_allowed_before_the_tls_that_is_required() {
    let script = "
        S: +OK ready.
        C: USER bob
        S: -ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        C: AUTH CRAM-MD5
        S: -ERR [AUTH] Authentication not allowed until SSL/TLS is enabled.
        C: AUTH NOSUCH
        S: -ERR [AUTH] Authentication not allowed until SSL/TLS is enabled.
        E: Rejected(TlsRequired)
        E: Rejected(TlsRequired)
        E: Rejected(TlsRequired)
        ";
    dialogue(&Offer { tls_required: true, ..offer() }, script);
}

#[test]
fn pass_needs_the_mechanism_plain() {
    let script = "
        S: +OK ready.
        C: USER bob
        S: +OK
        C: PASS pw
        S: -ERR [AUTH] Unsupported authentication mechanism.
        C: PASS pw
        S: -ERR No username given.
        C: APOP bob 0123456789abcdef0123456789abcdef
        S: -ERR APOP not enabled.
        C: AUTH APOP
        S: -ERR [AUTH] Unsupported authentication mechanism.
        E: Rejected(Mechanism)
        E: Rejected(Mechanism)
        ";
    let mechanisms = vec![
        MechanismOffer { name: "CRAM-MD5", plaintext: false },
        MechanismOffer { name: "APOP", plaintext: false },
    ];
    dialogue(&Offer { mechanisms, ..offer() }, script);
}

#[test]
fn every_kind_of_answer_has_its_words() {
    for (user, reply) in [
        ("nobody", "-ERR [AUTH] Authentication failed."),
        ("authz", "-ERR [AUTH] Why."),
        ("expired", "-ERR [AUTH] Why."),
        ("nologin", "-ERR [AUTH] Why."),
        ("coded", "-ERR [FOO] x"),
        ("privacy", "-ERR [AUTH] Why."),
        ("mechanism", "-ERR [AUTH] Why."),
        ("down", "-ERR [SYS/TEMP] Why."),
        ("bug", "-ERR [SYS/TEMP] Why."),
        ("many", "-ERR [IN-USE] Why."),
        ("refer", "-ERR Moved."),
        ("backend", "-ERR [IN-USE] busy  +OK"),
        ("suggest", "+OK Why."),
        ("proxy", "+OK Hello  there "),
    ] {
        let mut session = Session::new(offer());
        session.said.clear();
        session.feed(format!("USER {user}\r\nPASS x\r\n").as_bytes());
        assert_eq!(String::from_utf8_lossy(&session.said), format!("+OK\r\n{reply}\r\n"), "{user}");
    }
}

// Three in a row; a good command in between makes up for them, AUTH does neither.
#[test]
fn the_third_bad_command_in_a_row_ends_the_connection() {
    let mut script = "
        S: +OK ready.
        C: NOOP
        S: -ERR Unknown command.
        C: STAT x
        S: -ERR Unknown command.
        C: PASS x
        S: -ERR No username given.
        C:
        S: -ERR Unknown command.
        C: user\tbob
        S: -ERR Unknown command.
        C: AUTH NOSUCH
        S: -ERR [AUTH] Unsupported authentication mechanism.
        C: USER a\0b
        S: -ERR NUL is not allowed in commands.
        S: -ERR Too many invalid bad commands.
        C: CAPA
        E: Rejected(Mechanism)
        E: Fault(BadCommands)
        "
    .to_owned();
    dialogue(&offer(), &script);
    script = script.replace("        C: CAPA\n", "        C: USER bob\n        C: PASS pw\n");
    dialogue(&offer(), &script);
}

#[test]
fn quit_says_goodbye_and_hears_no_more() {
    dialogue(&offer(), "S: +OK ready.\n C: QUIT now\n S: +OK Logging out\n C: CAPA\n E: Quit");
}

#[test]
fn stls_forgets_what_was_said_in_the_clear() {
    let mut session = Session::new(exposed());
    session.said.clear();
    session.feed(b"STLS\r\nUSER mallory\r\nCAPA\r\n");
    session.feed(b"USER mallory\r\n");
    assert_eq!(session.said, b"+OK Begin TLS negotiation now.\r\n");
    assert_eq!(session.events, ["StartTls"]);
    session.said.clear();
    session.front.secured(Offer { tls: true, starttls: false, ..offer() });
    session.feed(b"PASS x\r\nSTLS\r\nUSER bob\r\nPASS pw\r\n");
    assert_eq!(
        session.said.escape_ascii().to_string(),
        "-ERR No username given.\\r\\n-ERR TLS is already active.\\r\\n+OK\\r\\n+OK Logged in.\\r\\n"
    );
}

#[test]
fn a_user_named_before_tls_is_forgotten() {
    let mut session = Session::new(offer());
    session.feed(b"USER bob\r\nSTLS\r\n");
    session.front.secured(Offer { tls: true, ..offer() });
    session.said.clear();
    session.feed(b"PASS pw\r\n");
    assert_eq!(session.said, b"-ERR No username given.\r\n");
}

#[test]
fn stls_needs_tls() {
    let script = "S: +OK ready.\n C: STLS\n S: -ERR TLS support isn't enabled.";
    dialogue(&Offer { starttls: false, ..offer() }, script);
}

#[test]
fn xclient_from_others_is_ignored() {
    let script = "S: +OK ready.\n C: XCLIENT ADDR=1.2.3.4\n S: +OK You are not from trusted IP - ignoring";
    dialogue(&offer(), script);
}

fn forwarded(arguments: &str) -> (Forwarded, String) {
    let mut front = front(trusted());
    assert_eq!(std::mem::take(front.output()), b"+OK [XCLIENT] ready.\r\n");
    front.feed(format!("xclient {arguments}\r\n").as_bytes());
    let Some(Event::Forwarded(forwarded)) = front.next() else { panic!("{arguments}") };
    (forwarded, String::from_utf8(std::mem::take(front.output())).unwrap())
}

#[test]
fn xclient_from_a_trusted_front_is_believed() {
    // FORWARD is a=1 TAB b TAB c=d=e TAB f= with an escaped TAB in the middle.
    let fields = base64("a=1\tb\tc=d=e\tf=x\u{1}ty");
    let line = format!("ADDR=1.2.3.4 Port=99 session=a/b+C ttl=3 FORWARD={fields} FOO=x BAR");
    let (facts, reply) = forwarded(&line);
    assert_eq!(reply, "+OK Updated\r\n");
    assert_eq!(facts.remote, Some("1.2.3.4".parse().unwrap()));
    assert_eq!((facts.remote_port, facts.ttl), (Some(99), Some(3)));
    assert_eq!((facts.local, facts.local_port), (None, None));
    assert_eq!(facts.session.as_deref(), Some("a/b+C"));
    let pairs: Vec<_> = facts.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("a", "1"), ("b", ""), ("c", "d=e"), ("f", "x\ty")]);
    assert_eq!(forwarded("ADDR=[::1]").0.remote, Some("::1".parse().unwrap()));
    assert_eq!(forwarded(&format!("SESSION={}", "s".repeat(65))).0.session, None);
}

#[test]
fn xclient_arguments_that_cannot_be_read_are_left_out_and_reported() {
    let nul = base64("a=x\u{1}0");
    let escape = base64("a=\u{1}x");
    let raw_nul = base64("a=x\0");
    for bad in [
        "ADDR=zz",
        "ADDR=",
        "ADDR=IPV6:::2",
        "ADDR=[1.2.3.4]",
        "PORT=0",
        "PORT=99999",
        "PORT=x",
        "TTL=-1",
        "FORWARD=",
        "FORWARD=!!",
        "FORWARD=QQ",
        "FORWARD=PXg=",
        &format!("FORWARD={nul}"),
        &format!("FORWARD={escape}"),
        &format!("FORWARD={raw_nul}"),
    ] {
        let (facts, reply) = forwarded(&format!("{bad} SESSION=s"));
        assert_eq!(reply, "-ERR Invalid parameters\r\n", "{bad}");
        let expected = Forwarded { session: Some("s".to_owned()), ..Default::default() };
        assert_eq!(facts, expected, "{bad}");
    }
}

#[test]
fn farewells() {
    for (why, words) in [
        (Farewell::Inactivity, "-ERR Disconnected for inactivity."),
        (Farewell::InactivityInLogin, "-ERR Disconnected for inactivity during authentication."),
        (Farewell::Shutdown, "-ERR [SYS/TEMP] Server shutting down."),
        (Farewell::Full, "-ERR Connection queue full"),
    ] {
        let mut session = Session::new(offer());
        session.said.clear();
        session.front.farewell(why);
        session.feed(b"CAPA\r\n");
        assert_eq!(String::from_utf8_lossy(&session.said), format!("{words}\r\n"));
    }
}

#[test]
fn a_command_line_holds_1024_bytes() {
    let fits = format!("USER {}\r\n", "a".repeat(1017));
    let over = format!("USER {}\r\n", "a".repeat(1018));
    for size in [1, 100, 5000] {
        for (line, reply) in [(&fits, "+OK\r\n"), (&over, "-ERR Input buffer full, aborting\r\n")] {
            let mut session = Session::new(offer());
            session.said.clear();
            line.as_bytes().chunks(size).for_each(|chunk| session.feed(chunk));
            assert_eq!(String::from_utf8_lossy(&session.said), reply, "{} in {size}", line.len());
        }
    }
}

#[test]
fn a_sasl_response_that_is_too_long_ends_the_connection_without_a_word() {
    for size in [1, 100, 10_000] {
        for (length, event) in [(8188, "step "), (8192, "TooLong")] {
            let mut session = Session::new(offer());
            session.feed(b"AUTH PLAIN\r\n");
            session.said.clear();
            let line = [vec![b'A'; length], b"\r\n".to_vec()].concat();
            line.chunks(size).for_each(|chunk| session.feed(chunk));
            assert!(session.events.last().unwrap().starts_with(event), "{length} in {size}");
            assert_eq!(session.said.is_empty(), event == "TooLong");
        }
    }
}

#[test]
fn while_a_login_waits_nothing_happens_and_input_is_kept() {
    let mut front = front(offer());
    front.feed(b"USER bob\r\nPASS pw\r\nSTAT\r\n");
    assert!(matches!(front.next(), Some(Event::Login { .. })));
    assert!(front.next().is_none() && front.response().is_none());
    front.feed(b"LIST\r\nhalf");
    assert!(front.next().is_none());
    front.answer(Answer::Welcome(Welcome::default()));
    assert!(front.next().is_none());
    assert_eq!(front.leftover(), b"STAT\r\nLIST\r\nhalf");
}

#[test]
fn a_client_that_floods_a_waiting_login_is_let_go() {
    let mut front = front(offer());
    front.feed(b"USER bob\r\nPASS pw\r\n");
    assert!(front.next().is_some());
    front.output().clear();
    for _ in 0..1000 {
        front.feed(&[b'x'; 1000]);
    }
    front.answer(Answer::Welcome(Welcome::default()));
    assert_eq!(front.output(), b"-ERR Input buffer full, aborting\r\n");
    assert!(front.leftover().is_empty());
}

#[test]
fn hostile_clients_cause_bounded_output_and_splits_do_not_matter() {
    let words: &[&[u8]] = &[
        b"USER ",
        b"PASS ",
        b"AUTH ",
        b"PLAIN",
        b"LOGIN ",
        b"=",
        b"*",
        b"CAPA",
        b"XCLIENT ",
        b"ADDR=",
        b"FORWARD=",
        b"AHgAeQ==",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\xff\x80",
        b"\x01t",
        b"QUI",
        b"CRAM-MD5",
    ];
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for _ in 0..3000 {
        let mut bytes = Vec::new();
        for _ in 0..dice.roll(60) {
            bytes.extend_from_slice(words[dice.roll(words.len())]);
        }
        let mut whole = Session::new(trusted());
        whole.feed(&bytes);
        let mut pieces = Session::new(trusted());
        bytes.chunks(1 + dice.roll(5)).for_each(|chunk| pieces.feed(chunk));
        assert_eq!(whole.said, pieces.said, "{}", bytes.escape_ascii());
        assert_eq!(whole.events, pieces.events, "{}", bytes.escape_ascii());
        assert!(whole.said.len() <= 200 + 200 * bytes.len());
        let lines = whole.said.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        assert!(lines.into_iter().all(|line| line.ends_with(b"\r")), "{}", bytes.escape_ascii());
    }
}

#[test]
fn faults_are_named() {
    let mut front = front(offer());
    front.feed(&[b'x'; 5000]);
    assert!(matches!(front.next(), Some(Event::Fault(Fault::TooLong))));
    assert!(front.next().is_none());
}
