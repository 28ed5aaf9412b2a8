//! Dialogues as people write them. Each is run line by line, and again in one piece and byte by
//! byte: how the bytes arrive must not matter.

mod back;
mod front;
mod identity;

use secrecy::ExposeSecret;

use super::front::front;
use crate::{Answer, Code, Event, Front, MechanismOffer, Offer, ReferralTarget, Response, Welcome};

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

fn base64(text: &str) -> String {
    let mut out = Vec::new();
    crate::base64::encode(text.as_bytes(), &mut out);
    String::from_utf8(out).unwrap()
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
