//! Dialogues as people write them. Each is run line by line, and again in one piece and byte by
//! byte: how the bytes arrive must not matter.

use secrecy::ExposeSecret;

use super::{back::back, front::front};
use crate::{
    Answer, BackEvent, BackRefusal, Code, Errand, Event, Farewell, Fault, Front, MechanismOffer, Offer,
    ReferralTarget, Rejected, Response, Secret, Welcome,
};

fn offer() -> Offer {
    let mechanism = |name, plaintext| MechanismOffer { name, plaintext };
    Offer {
        greeting: "ready.".to_owned(),
        mechanisms: vec![mechanism("PLAIN", true), mechanism("LOGIN", true), mechanism("CRAM-MD5", false)],
        starttls: true,
        plaintext: true,
        ..Offer::default()
    }
}

/// As on a connection from afar with `disable_plaintext_auth = yes`.
fn exposed() -> Offer {
    Offer { plaintext: false, ..offer() }
}

fn trusted() -> Offer {
    Offer { trusted: true, ..offer() }
}

/// A session with made-up users that notes what it is told.
struct Session {
    front: Box<dyn Front>,
    said: Vec<u8>,
    events: Vec<String>,
}

impl Session {
    fn new(offer: Offer) -> Self {
        let mut session = Self { front: front(offer), said: Vec::new(), events: Vec::new() };
        session.flush();
        session
    }

    fn flush(&mut self) {
        self.said.append(self.front.output());
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.front.feed(bytes);
        loop {
            if let Some(response) = self.front.response() {
                match response {
                    Response::Data(data) => self.decide("step", data.expose_secret()),
                    Response::Abort => self.events.push("abort".to_owned()),
                    Response::Malformed => self.events.push("malformed".to_owned()),
                    Response::Fault(fault) => self.events.push(format!("{fault:?}")),
                }
            } else if let Some(event) = self.front.next() {
                match event {
                    Event::Login { mechanism: "CRAM-MD5", .. } => self.front.challenge(b"<1@h>"),
                    Event::Login { mechanism: _, initial: None } => self.front.challenge(b""),
                    Event::Login { mechanism, initial: Some(initial) } => {
                        self.decide(mechanism, initial.expose_secret());
                    }
                    event => self.events.push(format!("{event:?}")),
                }
            } else {
                break;
            }
        }
        self.flush();
    }

    fn decide(&mut self, mechanism: &str, message: &[u8]) {
        self.events.push(format!("{mechanism} {}", message.escape_ascii()));
        let target = ReferralTarget { user: "u", mechanism: "PLAIN", host: "h", port: None };
        let text = "Why.";
        let refusal = |code| Answer::Refusal { code, text };
        let user = message.split(|&byte| byte == 0).nth(1).unwrap_or_default();
        self.front.answer(match user {
            b"bob" => Answer::Welcome(Welcome::default()),
            b"proxy" => Answer::Welcome(Welcome { text: b"Hello\r\nthere\0", ..Welcome::default() }),
            b"suggest" => {
                Answer::Welcome(Welcome { text: b"x", referral: Some((target, text)), ..Welcome::default() })
            }
            b"refer" => Answer::Referral { target, text: "Moved." },
            b"backend" => Answer::Backend { text: b"[IN-USE] busy\r\n+OK" },
            b"coded" => Answer::Refusal { code: Code::ContactAdmin, text: "[FOO] x" },
            b"authz" => refusal(Code::AuthorizationFailed),
            b"expired" => refusal(Code::Expired),
            b"nologin" => refusal(Code::ContactAdmin),
            b"privacy" => refusal(Code::PrivacyRequired),
            b"mechanism" => refusal(Code::Mechanism),
            b"down" => refusal(Code::Unavailable),
            b"bug" => refusal(Code::ServerBug),
            b"many" => refusal(Code::Limit),
            _ => Answer::Refusal { code: Code::AuthenticationFailed, text: "Authentication failed." },
        });
    }
}

/// Runs a script of `C: ` and `S: ` lines; `E: ` lines are what the session is told, in order.
#[track_caller]
fn dialogue(offer: &Offer, script: &str) {
    let mut session = Session::new(offer.clone());
    let (mut sent, mut expected) = (Vec::new(), String::new());
    let mut events = Vec::new();
    for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (who, text) = line.split_at(line.len().min(3));
        match who {
            "C: " | "C:" => {
                assert_eq!(String::from_utf8_lossy(&session.said), expected, "before {line}");
                let bytes = [text.as_bytes(), b"\r\n"].concat();
                session.feed(&bytes);
                sent.extend(bytes);
            }
            "S: " => expected.push_str(&format!("{text}\r\n")),
            "E: " => events.push(text.to_owned()),
            _ => panic!("{line}"),
        }
    }
    assert_eq!(String::from_utf8_lossy(&session.said), expected);
    assert_eq!(session.events, events);
    for size in [1, 7, sent.len().max(1)] {
        let mut again = Session::new(offer.clone());
        sent.chunks(size).for_each(|chunk| again.feed(chunk));
        assert_eq!(String::from_utf8_lossy(&again.said), expected, "in pieces of {size}");
        assert_eq!(again.events, events, "in pieces of {size}");
    }
}

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

fn forwarded(arguments: &str) -> (crate::Forwarded, String) {
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
        let expected = crate::Forwarded { session: Some("s".to_owned()), ..Default::default() };
        assert_eq!(facts, expected, "{bad}");
    }
}

fn base64(text: &str) -> String {
    let mut out = Vec::new();
    crate::base64::encode(text.as_bytes(), &mut out);
    String::from_utf8(out).unwrap()
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

/// Numbers for the sweeps: the same on every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
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

// The backend side.

fn errand() -> Errand {
    Errand {
        user: "bob".to_owned(),
        master: None,
        password: secret(b"pw"),
        mechanism: None,
        starttls: false,
        client_knows_capability: false,
    }
}

fn secret(bytes: &[u8]) -> Secret {
    bytes.to_vec().into()
}

/// Runs a script of `B: ` (the backend) and `G: ` (the gate) lines and gives what came of it.
#[track_caller]
fn handshake(errand: Errand, script: &str) -> BackEvent {
    let mut back = back(errand);
    let mut expected = String::new();
    let mut result = None;
    for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (who, text) = line.split_at(3);
        match who {
            "B: " => {
                assert_eq!(result, None, "before {line}");
                assert_eq!(String::from_utf8_lossy(back.output()), expected, "before {line}");
                back.output().clear();
                expected.clear();
                for byte in [text.as_bytes(), b"\r\n"].concat() {
                    assert_eq!(result, None, "before the end of {line}");
                    back.feed(&[byte]);
                    result = back.next();
                }
                if result == Some(BackEvent::StartTls) {
                    assert!(back.output().is_empty());
                    result = None;
                    back.secured();
                }
            }
            "G: " => expected.push_str(&format!("{text}\r\n")),
            _ => panic!("{line}"),
        }
    }
    assert_eq!(String::from_utf8_lossy(back.output()), expected);
    assert!(back.next().is_none());
    result.expect("the dialogue has an end")
}

fn ready(text: &str) -> BackEvent {
    BackEvent::Ready { text: text.into(), capability: None, untagged: Vec::new() }
}

fn refused(text: &str, refusal: BackRefusal) -> BackEvent {
    BackEvent::Refused { text: text.into(), refusal }
}

#[test]
fn a_backend_is_logged_in_to_with_user_and_pass() {
    let script = "
        B: +OK [XCLIENT] hi
        G: USER bob
        B: +OK
        G: PASS pw
        B: +OK Logged in, 3 messages
        ";
    assert_eq!(handshake(errand(), script), ready("Logged in, 3 messages"));
    assert_eq!(handshake(errand(), &script.replace(" Logged in, 3 messages", "")), ready(""));
}

#[test]
fn a_master_user_and_a_chosen_mechanism_go_through_sasl() {
    let script = "B: +OK hi\n G: AUTH PLAIN Ym9iAGFkbQBwdw==\n B: +OK in";
    assert_eq!(handshake(Errand { master: Some("adm".to_owned()), ..errand() }, script), ready("in"));
    let script = "B: +OK hi\n G: AUTH PLAIN Ym9iAGJvYgBwdw==\n B: +OK in";
    assert_eq!(handshake(Errand { mechanism: Some("plain".to_owned()), ..errand() }, script), ready("in"));
    let script = "
        B: +OK hi
        G: AUTH LOGIN
        B: + VXNlcm5hbWU6
        G: Ym9i
        B: + UGFzc3dvcmQ6
        G: cHc=
        B: +OK in
        ";
    assert_eq!(handshake(Errand { mechanism: Some("LOGIN".to_owned()), ..errand() }, script), ready("in"));
}

#[test]
fn a_long_plain_message_waits_for_its_prompt() {
    let password = "p".repeat(300);
    let message = base64(&format!("bob\0bob\0{password}"));
    let script = format!("B: +OK hi\n G: AUTH PLAIN\n B: +\n G: {message}\n B: +OK in");
    let errand =
        Errand { mechanism: Some("PLAIN".to_owned()), password: secret(password.as_bytes()), ..errand() };
    assert_eq!(handshake(errand, &script), ready("in"));
}

#[test]
fn starttls_comes_first() {
    let script = "
        B: +OK hi
        G: STLS
        B: +OK begin
        G: USER bob
        B: +OK
        G: PASS pw
        B: +OK in
        ";
    assert_eq!(handshake(Errand { starttls: true, ..errand() }, script), ready("in"));
}

#[test]
fn refusals_are_told_apart() {
    let at = |reply: &str| {
        let script = format!("B: +OK hi\n G: USER bob\n B: +OK\n G: PASS pw\n B: {reply}");
        handshake(errand(), &script)
    };
    assert_eq!(at("-ERR [AUTH] no"), refused("[AUTH] no", BackRefusal::Coded));
    assert_eq!(at("-ERR [IN-USE] busy"), refused("[IN-USE] busy", BackRefusal::Coded));
    assert_eq!(at("-ERR just no"), refused("just no", BackRefusal::Coded));
    assert_eq!(at("-ERR [SYS/PERM] no"), refused("[SYS/PERM] no", BackRefusal::Coded));
    assert_eq!(at("-ERR [sys/temp] later"), refused("[sys/temp] later", BackRefusal::Temporary));
    assert_eq!(at("-ERR"), refused("", BackRefusal::Credentials));
    let at_user = "B: +OK hi\n G: USER bob\n B: -ERR who";
    assert_eq!(handshake(errand(), at_user), refused("who", BackRefusal::Coded));
}

#[track_caller]
fn broken(errand: Errand, script: &str, reason: &str, again: bool) {
    let BackEvent::Broken { why, retry } = handshake(errand, script) else { panic!("{script}") };
    assert!(why.contains(reason), "{why}");
    assert_eq!(retry, again, "{why}");
}

#[test]
fn a_backend_that_cannot_be_understood_is_left() {
    broken(errand(), "B: -ERR go away", "go away", true);
    broken(errand(), "B: * OK IMAP4rev1", "unknown reply", true);
    broken(errand(), "B: +OKAY", "unknown reply", true);
    broken(errand(), "B: + hm", "does not fit", true);
    broken(errand(), "B: +OK\n G: USER bob\n B: + hm", "does not fit", true);
    broken(errand(), "B: +OK\n G: USER bob\n B: +OK\n G: PASS pw\n B: junk", "unknown reply", true);
    let plain = Errand { mechanism: Some("PLAIN".to_owned()), ..errand() };
    broken(plain, "B: +OK\n G: AUTH PLAIN Ym9iAGJvYgBwdw==\n B: + ", "does not fit", true);
    let tls = Errand { starttls: true, ..errand() };
    broken(tls, "B: +OK\n G: STLS\n B: -ERR no TLS here", "no TLS here", true);
}

#[test]
fn nothing_is_sent_of_credentials_with_control_characters_or_for_an_unknown_mechanism() {
    for control in (0..0x20).chain([0x7f]) {
        for errand in [
            Errand { user: format!("b{}", char::from(control)), ..errand() },
            Errand { master: Some(format!("b{}", char::from(control))), ..errand() },
            Errand { password: secret(&[b'p', control]), ..errand() },
        ] {
            let mut back = back(errand);
            back.feed(b"+OK hi\r\n");
            assert!(matches!(back.next(), Some(BackEvent::Broken { retry: false, .. })), "{control}");
            assert!(back.output().is_empty() && back.next().is_none());
        }
    }
    for (mechanism, master) in [("CRAM-MD5", None), ("LOGIN", Some("adm".to_owned()))] {
        let mut back = back(Errand { mechanism: Some(mechanism.to_owned()), master, ..errand() });
        assert!(matches!(back.next(), Some(BackEvent::Broken { retry: false, .. })));
        assert!(back.output().is_empty());
    }
}

#[test]
fn every_other_byte_of_a_password_makes_exactly_one_command() {
    let password: Vec<u8> = (0x20..=0xff).filter(|&byte| byte != 0x7f).collect();
    let mut back = back(Errand { password: secret(&password), ..errand() });
    back.feed(b"+OK\r\n");
    assert!(back.next().is_none());
    back.output().clear();
    back.feed(b"+OK\r\n");
    assert!(back.next().is_none());
    assert_eq!(*back.output(), [b"PASS ", password.as_slice(), b"\r\n"].concat());
}

#[test]
fn bytes_before_tls_end_the_dialogue() {
    let tls = || Errand { starttls: true, ..errand() };
    let mut same_packet = back(tls());
    same_packet.feed(b"+OK\r\n");
    assert!(same_packet.next().is_none());
    same_packet.feed(b"+OK begin\r\n+OK injected\r\n");
    assert!(matches!(same_packet.next(), Some(BackEvent::Broken { .. })));

    let mut later = back(tls());
    later.feed(b"+OK\r\n");
    assert!(later.next().is_none());
    later.feed(b"+OK begin\r\n");
    assert_eq!(later.next(), Some(BackEvent::StartTls));
    later.output().clear();
    later.feed(b"+OK injected\r\n");
    later.secured();
    assert!(matches!(later.next(), Some(BackEvent::Broken { .. })));
    assert!(later.output().is_empty());
}

#[test]
fn replies_ahead_of_commands_end_the_dialogue_before_the_password() {
    let mut back = back(errand());
    back.feed(b"+OK hi\r\n+OK\r\n+OK in\r\n");
    assert!(matches!(back.next(), Some(BackEvent::Broken { .. })));
    assert!(back.output().is_empty());
}

#[test]
fn what_follows_the_login_is_for_the_client() {
    let mut back = back(errand());
    for line in ["+OK hi\r\n", "+OK\r\n", "+OK in\r\n+OK 3 300\r\nrest"] {
        back.feed(line.as_bytes());
        if let Some(event) = back.next() {
            assert_eq!(event, ready("in"));
        }
    }
    assert_eq!(back.leftover(), b"+OK 3 300\r\nrest");
}

#[test]
fn a_backend_cannot_make_us_keep_much() {
    for piece in [b"x".repeat(500), b"+OK\r\n".repeat(100)] {
        let mut back = back(errand());
        let mut broken = 0;
        for _ in 0..1000 {
            back.feed(&piece);
            broken += usize::from(matches!(back.next(), Some(BackEvent::Broken { retry: true, .. })));
        }
        assert_eq!(broken, 1);
        assert!(back.output().is_empty());
    }
}

#[test]
fn hostile_backends_do_not_upset_us() {
    let words: &[&[u8]] =
        &[b"+OK", b"-ERR", b"+ ", b"\r\n", b"\r\n", b"\n", b"\0", b" ", b"[SYS/TEMP]", b"\xff", b"STLS"];
    let mut dice = Dice(0xD1B5_4A32_D192_ED03);
    for round in 0..3000 {
        let mut back = back(Errand {
            starttls: round % 2 == 0,
            mechanism: (round % 3 == 0).then(|| "LOGIN".to_owned()),
            ..errand()
        });
        let mut ends = 0;
        for _ in 0..dice.roll(40) {
            back.feed(words[dice.roll(words.len())]);
            match back.next() {
                Some(BackEvent::StartTls) => back.secured(),
                Some(_) => ends += 1,
                None => {}
            }
        }
        assert!(ends <= 1);
        assert!(back.output().len() < 100);
    }
}

/// Our back logs in to our front.
fn pair(errand: Errand, offer: Offer) -> (Option<BackEvent>, Session) {
    let mut back = back(errand);
    let mut session = Session::new(offer);
    let mut result = None;
    for _ in 0..20 {
        for byte in std::mem::take(&mut session.said) {
            back.feed(&[byte]);
            match back.next() {
                Some(BackEvent::StartTls) => {
                    session.front.secured(self::offer());
                    back.secured();
                }
                Some(event) => result = Some(event),
                None => {}
            }
        }
        let sent = std::mem::take(back.output());
        session.feed(&sent);
    }
    (result, session)
}

#[test]
fn our_back_understands_our_front() {
    let (result, _) = pair(errand(), offer());
    assert_eq!(result, Some(ready("Logged in.")));
    let (result, session) = pair(Errand { starttls: true, ..errand() }, exposed());
    assert_eq!(result, Some(ready("Logged in.")));
    assert_eq!(session.events, ["StartTls", r"PLAIN \x00bob\x00pw"]);
    let (result, session) = pair(Errand { master: Some("bob".to_owned()), ..errand() }, offer());
    assert_eq!(result, Some(ready("Logged in.")));
    assert_eq!(session.events, [r"PLAIN bob\x00bob\x00pw"]);
    let long = Errand { mechanism: Some("PLAIN".to_owned()), password: secret(&[b'p'; 3000]), ..errand() };
    assert_eq!(pair(long, offer()).0, Some(ready("Logged in.")));
    let (result, _) = pair(Errand { user: "down".to_owned(), ..errand() }, offer());
    assert_eq!(result, Some(refused("[SYS/TEMP] Why.", BackRefusal::Temporary)));
    let (result, session) = pair(errand(), exposed());
    assert!(matches!(result, Some(BackEvent::Refused { refusal: BackRefusal::Coded, .. })));
    assert_eq!(session.events, [format!("{:?}", Event::Rejected(Rejected::Plaintext))]);
    let (result, _) = pair(Errand { user: "x".repeat(2000), ..errand() }, offer());
    assert_eq!(result, Some(refused("Input buffer full, aborting", BackRefusal::Coded)));
}

#[test]
fn faults_are_named() {
    let mut front = front(offer());
    front.feed(&[b'x'; 5000]);
    assert!(matches!(front.next(), Some(Event::Fault(Fault::TooLong))));
    assert!(front.next().is_none());
}
