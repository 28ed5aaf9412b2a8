//! The client side, alone and against our own server side.

use super::{Dice, Session, base64, exposed, offer};
use crate::{BackEvent, BackRefusal, Errand, Event, Offer, Rejected, Secret, pop3::back::back};

fn errand() -> Errand {
    Errand {
        user: "bob".to_owned(),
        master: None,
        password: secret(b"pw"),
        mechanism: None,
        starttls: false,
        client_knows_capability: false,
        identity: None,
        nopipelining: false,
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
                    session.front.secured(super::offer());
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
