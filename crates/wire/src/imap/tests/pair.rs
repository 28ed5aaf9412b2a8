//! Our back against our front, in memory.

use secrecy::ExposeSecret;

use super::{front_of, open_offer};
use crate::imap::back::back;
use crate::{
    Answer, Back, BackEvent, BackRefusal, Code, Errand, Event, Front, Offer, Response, Secret, Welcome,
};

struct Pair {
    front: Box<dyn Front>,
    back: Box<dyn Back>,
}

/// What either end has to say to its session.
#[derive(Default)]
struct Outcome {
    /// Messages of the login: the initial response or the replies to challenges.
    messages: Vec<Vec<u8>>,
    mechanism: Option<&'static str>,
    event: Option<BackEvent>,
}

impl Pair {
    fn new(offer: &Offer, errand: Errand) -> Self {
        Self { front: front_of(offer), back: back(errand) }
    }

    /// Lets both talk until neither has more to say.
    fn talk(&mut self, outcome: &mut Outcome) {
        loop {
            let to_back = std::mem::take(self.front.output());
            self.back.feed(&to_back);
            outcome.event = outcome.event.take().or_else(|| self.back.next());
            let to_front = std::mem::take(self.back.output());
            self.front.feed(&to_front);
            match self.front.next() {
                Some(Event::Login { mechanism, initial }) => {
                    outcome.mechanism = Some(mechanism);
                    match initial {
                        Some(initial) if !initial.expose_secret().is_empty() => {
                            outcome.messages.push(initial.expose_secret().to_vec());
                        }
                        _ => self.front.challenge(b"?"),
                    }
                }
                Some(event) => panic!("{event:?}"),
                None => {}
            }
            if let Some(Response::Data(data)) = self.front.response() {
                outcome.messages.push(data.expose_secret().to_vec());
                if outcome.mechanism == Some("LOGIN") && outcome.messages.len() == 1 {
                    self.front.challenge(b"?");
                }
            }
            if to_back.is_empty() && to_front.is_empty() && self.front.output().is_empty() {
                return;
            }
        }
    }
}

fn errand(user: &str, password: &[u8]) -> Errand {
    Errand {
        user: user.into(),
        master: None,
        password: Secret::from(password.to_vec()),
        mechanism: None,
        starttls: false,
        client_knows_capability: false,
        identity: None,
        nopipelining: false,
    }
}

fn said(offer: &Offer, errand: Errand) -> Vec<Vec<u8>> {
    let mut outcome = Outcome::default();
    Pair::new(offer, errand).talk(&mut outcome);
    assert_eq!(outcome.event, None);
    outcome.messages
}

/// For every user and password that can be said at all, the front hears exactly these.
#[test]
fn the_front_hears_the_credentials_that_the_back_was_given() {
    let check = |user: &str, password: &[u8]| {
        let message = [b"", user.as_bytes(), password].join(&0);
        assert_eq!(said(&open_offer(), errand(user, password)), [message], "{user:?} {password:?}");
    };
    let sayable = |byte: &u8| !b"\r\n\0".contains(byte);
    for byte in (0..=u8::MAX).filter(sayable) {
        let character = char::from(byte).to_string();
        check("bob", &[byte]);
        check(&character, b"secret");
        check(&format!("b{character}b"), &[b'x', byte, byte, b' ']);
        for other in b"\"\\ {}()*%+\xff\x01a" {
            check(&character, &[byte, *other]);
            check("u", &[*other, byte, *other]);
        }
    }
    let every: Vec<u8> = (0..=u8::MAX).filter(sayable).collect();
    let printable: Vec<u8> = (b' '..=b'~').collect();
    for length in (0..300).chain([1_000, 2_000, 4_095, 4_096]) {
        let password: Vec<u8> = every.iter().cycle().copied().take(length).collect();
        check(&"u".repeat(length.min(1_000)), &password);
        let quoted: Vec<u8> = printable.iter().cycle().copied().take(length.min(3_000)).collect();
        check(&"ü".repeat(length.min(2_000)), &quoted);
    }
}

#[test]
fn sasl_says_the_same_with_and_without_an_initial_response() {
    let terse = Offer { capability: "IMAP4rev1".into(), ..open_offer() };
    for offer in [open_offer(), terse] {
        for byte in (0..=u8::MAX).filter(|byte| !b"\r\n\0".contains(byte)) {
            let password = [b'p', byte];
            let with = |master: Option<&str>, mechanism: Option<&str>| Errand {
                master: master.map(str::to_owned),
                mechanism: mechanism.map(str::to_owned),
                ..errand("bob", &password)
            };
            let plain = |authenticating: &[u8]| vec![[b"bob", authenticating, &password].join(&0)];
            assert_eq!(said(&offer, with(Some("m"), None)), plain(b"m"));
            assert_eq!(said(&offer, with(None, Some("PLAIN"))), plain(b"bob"));
            assert_eq!(said(&offer, with(None, Some("LOGIN"))), [b"bob".to_vec(), password.to_vec()]);
        }
    }
}

#[test]
fn an_answer_arrives_as_it_was_meant() {
    let arrives = |answer: Answer<'_>, client_knows_capability| {
        let mut pair =
            Pair::new(&open_offer(), Errand { client_knows_capability, ..errand("bob", b"secret") });
        let mut outcome = Outcome::default();
        pair.talk(&mut outcome);
        pair.front.answer(answer);
        pair.talk(&mut outcome);
        outcome.event.unwrap()
    };
    for asked in [false, true] {
        let welcome = Welcome {
            text: b"Hello",
            capability: Some(b"IMAP4rev1 X"),
            untagged: b"* hint\r\n",
            referral: None,
        };
        let ready = BackEvent::Ready {
            text: b"Hello".to_vec(),
            capability: Some(b"IMAP4rev1 X".to_vec()),
            untagged: b"* hint\r\n".to_vec(),
        };
        assert_eq!(arrives(Answer::Welcome(welcome), asked), ready);
    }
    for (code, refusal) in [
        (Code::AuthenticationFailed, BackRefusal::Credentials),
        (Code::Unavailable, BackRefusal::Temporary),
        (Code::ContactAdmin, BackRefusal::Coded),
        (Code::ServerBug, BackRefusal::Coded),
    ] {
        let answer = Answer::Refusal { code, text: "No." };
        assert!(
            matches!(arrives(answer, false), BackEvent::Refused { refusal: meant, .. } if meant == refusal)
        );
    }
}

/// The gate in between: what the backend refuses with a code reaches the client in its own words.
#[test]
fn a_refusal_is_handed_through() {
    let mut pair = Pair::new(&open_offer(), errand("bob", b"secret"));
    let mut outcome = Outcome::default();
    pair.talk(&mut outcome);
    pair.front.answer(Answer::Refusal { code: Code::Limit, text: "Maximum reached" });
    pair.talk(&mut outcome);
    let Some(BackEvent::Refused { text, .. }) = outcome.event else { panic!() };
    let mut client = front_of(&open_offer());
    client.feed(b"t LOGIN bob secret\r\n");
    assert!(client.next().is_some());
    client.output().clear();
    client.answer(Answer::Backend { text: &text });
    assert_eq!(client.output(), b"t NO [LIMIT] Maximum reached\r\n");
}

/// Greeting, STARTTLS, capabilities anew, login.
#[test]
fn starttls_between_our_two_ends() {
    let offer = super::bare_offer();
    let mut front = front_of(&offer);
    let mut back = back(Errand { starttls: true, ..errand("bob", b"secret") });
    back.feed(&std::mem::take(front.output()));
    assert_eq!(back.next(), None);
    front.feed(&std::mem::take(back.output()));
    assert!(matches!(front.next(), Some(Event::StartTls)));
    back.feed(&std::mem::take(front.output()));
    assert_eq!(back.next(), Some(BackEvent::StartTls));
    front.secured(Offer { tls: true, starttls: false, ..open_offer() });
    back.secured();
    let mut pair = Pair { front, back };
    let mut outcome = Outcome::default();
    pair.talk(&mut outcome);
    assert_eq!((outcome.mechanism, outcome.messages), (Some("PLAIN"), vec![b"\0bob\0secret".to_vec()]));
}
