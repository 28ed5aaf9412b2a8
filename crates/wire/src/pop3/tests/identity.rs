//! What a backend is told of our client by XCLIENT, and that our own front hears all of it.

use super::{Session, base64, offer};
use crate::{BackEvent, Errand, Event, Forwarded, Identity, Offer, Secret, pop3::back::back};

fn facts(fields: &[(&str, &str)]) -> Forwarded {
    Forwarded {
        remote: "2001:db8::1".parse().ok(),
        remote_port: Some(4000),
        session: Some("s=1+/".into()),
        ttl: Some(4),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Forwarded::default()
    }
}

fn errand(facts: Forwarded) -> Errand {
    Errand {
        user: "bob".to_owned(),
        master: None,
        password: Secret::from(b"pw".to_vec()),
        mechanism: None,
        starttls: false,
        client_knows_capability: false,
        identity: Some(Identity { facts, client_id: None }),
        nopipelining: false,
    }
}

/// What is said to such a greeting, and what is reported.
fn told(errand: Errand, greeting: &str) -> (String, Vec<String>) {
    let mut back = back(errand);
    let mut left_out = Vec::new();
    for byte in greeting.bytes() {
        back.feed(&[byte]);
        match back.next() {
            Some(BackEvent::LeftOut(names)) => left_out = names,
            Some(BackEvent::StartTls) => {
                back.output().clear();
                back.secured();
            }
            None => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(back.next(), None);
    (String::from_utf8(std::mem::take(back.output())).unwrap(), left_out)
}

#[test]
fn a_backend_that_wants_to_be_told_is_told() {
    let forward = base64("color=red\tempty\ttab=a\x01tb");
    let line = format!("XCLIENT ADDR=2001:db8::1 PORT=4000 SESSION=s=1+/ TTL=4 FORWARD={forward}\r\n");
    let errand = || errand(facts(&[("color", "red"), ("empty", ""), ("tab", "a\tb")]));
    assert_eq!(told(errand(), "+OK hi [XCLIENT] there\r\n"), (line.clone(), vec![]));
    let login = "USER bob\r\n";
    assert_eq!(told(errand(), "+OK XCLIENT hi\r\n").0, login);
    assert_eq!(told(Errand { identity: None, ..errand() }, "+OK [XCLIENT]\r\n").0, login);
    // The reply is waited for.
    assert_eq!(told(errand(), "+OK [XCLIENT] hi\r\n+OK Updated\r\n").0, line.clone() + login);
    let tls = Errand { starttls: true, ..errand() };
    assert_eq!(told(tls, "+OK [XCLIENT] hi\r\n+OK begin\r\n").0, line);
    let mut back = back(errand());
    for reply in ["+OK [XCLIENT] hi\r\n", "-ERR no\r\n"] {
        back.feed(reply.as_bytes());
        match back.next() {
            None => assert_eq!(back.state(), "xclient"),
            event => assert_eq!(
                event,
                Some(BackEvent::Broken { why: "refused XCLIENT: no".to_owned(), retry: true })
            ),
        }
    }
    assert_eq!(back.state(), "done");
}

#[test]
fn what_cannot_be_told_is_left_out_and_named() {
    let said = |facts: Forwarded| {
        let (line, left_out) = told(errand(facts), "+OK [XCLIENT]\r\n");
        assert!(line.len() <= 1024 && line.ends_with("\r\n"));
        assert!(line.bytes().filter(|byte| !(b' '..=b'~').contains(byte)).count() == 2);
        (line, left_out)
    };
    for byte in (0..=b' ').chain([0x7f]) {
        let session = Some(format!("s{} FORWARD=x", char::from(byte)));
        let (line, left_out) = said(Forwarded { session, ..Forwarded::default() });
        assert_eq!((line.as_str(), left_out), ("XCLIENT\r\n", vec!["session".to_owned()]));
    }
    for (name, value) in [("", "x"), ("a=b", "x"), ("a\0", "x"), ("a", "\0")] {
        let (line, left_out) =
            said(Forwarded { fields: facts(&[(name, value)]).fields, ..Forwarded::default() });
        assert_eq!((line.as_str(), left_out), ("XCLIENT\r\n", vec![format!("forward_{name}")]));
    }
    let long = "v".repeat(800);
    let (line, left_out) = said(facts(&[("a", "1"), ("b", &long), ("c", "3")]));
    assert!(line.ends_with(&format!(" FORWARD={}\r\n", base64("a=1\tc=3"))), "{line}");
    assert_eq!(left_out, ["forward_b"]);
    for length in 0..800 {
        let left_out = said(facts(&[("a", &"v".repeat(length))])).1;
        assert_eq!(left_out.is_empty(), length <= 715, "{length}");
    }
}

/// Whatever the characters, our own front hears exactly what was told, and the login after it.
#[test]
fn our_front_hears_what_our_back_tells() {
    let arrives = |facts: Forwarded| {
        let mut back = back(errand(facts.clone()));
        let mut session = Session::new(Offer { trusted: true, ..offer() });
        let mut ready = false;
        for _ in 0..5 {
            for byte in std::mem::take(&mut session.said) {
                back.feed(&[byte]);
                ready |= matches!(back.next(), Some(BackEvent::Ready { .. }));
            }
            for byte in std::mem::take(back.output()) {
                session.feed(&[byte]);
            }
        }
        assert!(ready);
        assert_eq!(
            session.events,
            [format!("{:?}", Event::Forwarded(facts)), r"PLAIN \x00bob\x00pw".to_owned()]
        );
    };
    for character in '\u{1}'..='\u{17f}' {
        let value = format!("{character}x{character}");
        let name = if character == '=' { "n" } else { value.as_str() };
        arrives(facts(&[(name, &value), ("empty", ""), ("Last", "a=b")]));
    }
    arrives(facts(&[("a", &"v".repeat(715))]));
    arrives(Forwarded { remote: "10.0.0.1".parse().ok(), ..facts(&[]) });
}
