//! What a backend is told of our client: the dialogue, the limits, and that our own front hears all of it.

use super::{back_dialogue, front_of, open_offer};
use crate::imap::back::back;
use crate::{BackEvent, Errand, Event, Forwarded, Identity, Offer, Secret};

const BANNER: &str = "B: * OK [CAPABILITY IMAP4rev1 ID] hi\n";
const LOGIN: &str = "G: L LOGIN \"bob\" \"secret\"\n";
const END: &str = "B: L OK x\nE: Ready <x> <IMAP4rev1 ID> <>\n";

fn facts(fields: &[(&str, &str)]) -> Forwarded {
    Forwarded {
        remote: "2001:db8::1".parse().ok(),
        remote_port: Some(4000),
        local: "10.0.0.2".parse().ok(),
        local_port: Some(1143),
        session: Some("s\"1\\".into()),
        ttl: Some(4),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn errand(identity: Identity) -> Errand {
    Errand {
        user: "bob".into(),
        master: None,
        password: Secret::from(b"secret".to_vec()),
        mechanism: None,
        starttls: false,
        client_knows_capability: false,
        identity: Some(identity),
        nopipelining: false,
    }
}

fn forwarding(fields: &[(&str, &str)]) -> Identity {
    Identity { facts: Forwarded { fields: facts(fields).fields, ..Forwarded::default() }, client_id: None }
}

fn run(change: impl Fn(Errand) -> Errand, identity: &Identity, script: &str) {
    back_dialogue(&|| back(change(errand(identity.clone()))), script);
}

#[test]
fn all_facts_are_told_at_once_and_the_login_does_not_wait() {
    let identity = Identity {
        facts: facts(&[("color", "red"), ("empty", "")]),
        client_id: Some(r#""name" "mu\"tt" "x" NIL"#.into()),
    };
    let id = r#"G: I ID ("name" "mu\"tt" "x" NIL "x-session-id" "s\"1\\" "x-originating-ip" "2001:db8::1" "x-originating-port" "4000" "x-connected-ip" "10.0.0.2" "x-connected-port" "1143" "x-proxy-ttl" "4" "x-forward-color" "red" "x-forward-empty" NIL)"#;
    for answer in ["B: * ID NIL\nB: I OK x\n", "B: I BAD what\n", "B: I NO\n"] {
        run(|errand| errand, &identity, &format!("{BANNER}{id}\n{LOGIN}{answer}{END}"));
        let waiting = |errand| Errand { nopipelining: true, ..errand };
        run(waiting, &identity, &format!("{BANNER}{id}\n{answer}{LOGIN}{END}"));
    }
    let early = "B: L OK x\nE: Broken, try again: the backend accepted the login before it was complete\n";
    run(|errand| errand, &identity, &format!("{BANNER}{id}\n{LOGIN}{early}"));
}

#[test]
fn only_a_backend_that_offers_it_is_told() {
    let identity = forwarding(&[("a", "b")]);
    run(
        |errand| errand,
        &identity,
        &format!("B: * OK [CAPABILITY X] hi\n{LOGIN}B: L OK x\nE: Ready <x> <X> <>\n"),
    );
    // Without capabilities in the greeting there is no offer either, as in Dovecot.
    let asked = format!("B: * OK hi\nG: C CAPABILITY\nB: * CAPABILITY IMAP4rev1 ID\nB: C OK\n{LOGIN}{END}");
    run(|errand| errand, &identity, &asked);
    let unknown = |errand| Errand { identity: None, ..errand };
    run(unknown, &identity, &format!("{BANNER}{LOGIN}{END}"));
    let disabled = "B: * OK [CAPABILITY ID LOGINDISABLED] x\n";
    run(
        |errand| errand,
        &identity,
        &format!("{disabled}E: Broken, for good: the backend advertises LOGINDISABLED\n"),
    );
}

#[test]
fn the_clients_question_comes_after_it() {
    let identity = forwarding(&[("a", "b")]);
    let knowing = |errand| Errand { client_knows_capability: true, ..errand };
    let id = "G: I ID (\"x-forward-a\" \"b\")\n";
    let capability = "B: * CAPABILITY IMAP4rev1 ID\nB: C OK x\n";
    let at_once = format!("{BANNER}{id}G: C CAPABILITY\n{LOGIN}B: I OK\n{capability}{END}");
    run(knowing, &identity, &at_once);
    let waiting = |errand| Errand { nopipelining: true, ..knowing(errand) };
    let step = format!("{BANNER}{id}B: I OK\nG: C CAPABILITY\n{capability}{LOGIN}{END}");
    run(waiting, &identity, &step);
}

/// Under TLS our own front forgets what it was told before, and so may any other.
#[test]
fn after_starttls_it_is_told_under_tls() {
    let tls = |errand| Errand { starttls: true, ..errand };
    let script = format!(
        "B: * OK [CAPABILITY IMAP4rev1 ID STARTTLS] hi\nG: S STARTTLS\nB: S OK\nE: StartTls\n--\nG: C CAPABILITY\n\
         B: * CAPABILITY IMAP4rev1 ID\nB: C OK x\nG: I ID (\"x-forward-a\" \"b\")\n{LOGIN}B: I OK\n{END}"
    );
    run(tls, &forwarding(&[("a", "b")]), &script);
}

#[test]
fn what_cannot_be_quoted_is_a_literal_that_the_backend_asks_for() {
    let identity = forwarding(&[("a", "ü"), ("b", "x\ty")]);
    let first = format!("{BANNER}G: I ID (\"x-forward-a\" {{2}}\n");
    let rest = "B: + OK\nG: \\xc3\\xbc \"x-forward-b\" {3}\nB: +\nG: x\\x09y)\n";
    run(|errand| errand, &identity, &format!("{first}{rest}{LOGIN}B: I OK\n{END}"));
    // The rest of it is not sent to a backend that has had enough.
    run(|errand| errand, &identity, &format!("{first}B: I BAD no\n{LOGIN}{END}"));
}

#[test]
fn what_cannot_be_told_is_left_out_and_named() {
    let told = |fields: &[(&str, &str)], client_id: Option<&str>| {
        let client_id = client_id.map(str::to_owned);
        let mut back = back(errand(Identity { client_id, ..forwarding(fields) }));
        back.feed(b"* OK [CAPABILITY ID] hi\r\n");
        let left_out = match back.next() {
            Some(BackEvent::LeftOut(names)) => names,
            None => Vec::new(),
            event => panic!("{event:?}"),
        };
        let said = String::from_utf8(std::mem::take(back.output())).unwrap();
        let id = said.strip_suffix("L LOGIN \"bob\" \"secret\"\r\n").unwrap().to_owned();
        assert!(id.len() <= 8192 && id.ends_with(")\r\n") && id.matches(['\r', '\n', '\0']).count() == 2);
        (id.strip_prefix("I ID (").unwrap().strip_suffix(")\r\n").unwrap().to_owned(), left_out)
    };
    for byte in ["\r", "\n", "\0"] {
        let value = format!("x{byte}L LOGOUT");
        let name = format!("x{byte}");
        let expected =
            ("\"x-forward-b\" \"c\"".to_owned(), vec!["forward_a".to_owned(), format!("forward_{name}")]);
        assert_eq!(told(&[("a", &value), (&name, "c"), ("b", "c")], None), expected);
    }
    for name in ["", "ü", "\t", "abcdefghijklmnopqrstu"] {
        assert_eq!(told(&[(name, "x")], None), (String::new(), vec![format!("forward_{name}")]), "{name}");
    }
    assert_eq!(told(&[("abcdefghijklmnopqrst", "x")], None).1, [""; 0]);
    assert_eq!(told(&[("a", &"v".repeat(1024))], None).1, [""; 0]);
    assert_eq!(told(&[("a", &"v".repeat(1025))], None).1, ["forward_a"]);

    let names: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let (id, left_out) = told(&fields, Some(r#""name" "mutt""#));
    assert_eq!((id.matches("x-forward-").count(), left_out.len()), (30, 11));
    assert_eq!((left_out[0].as_str(), left_out[10].as_str()), ("forward_30", "the client's own ID"));
    let long = "v".repeat(1000);
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), long.as_str())).collect();
    assert_eq!(told(&fields, None).0.matches("x-forward-").count(), 7);
}

/// A client cannot speak for us by what it calls itself.
#[test]
fn the_clients_own_words_hold_no_facts() {
    let said = |client_id: &str| {
        let identity = Identity { client_id: Some(client_id.into()), ..forwarding(&[("a", "b")]) };
        let mut back = back(errand(identity));
        back.feed(b"* OK [CAPABILITY ID] hi\r\n");
        assert_eq!(back.next(), None);
        String::from_utf8(std::mem::take(back.output())).unwrap()
    };
    let ours = "(\"x-forward-a\" \"b\")\r\n";
    for reserved in [
        r#""X-Originating-IP" "10.0.0.1""#,
        r#""x-forward-a" NIL"#,
        r#""x-forward-" "x""#,
        "\"a\" \"\r\n\"",
        "\"a\") (",
        "\"a\"",
        "a b",
    ] {
        assert!(said(reserved).contains(ours), "{reserved}");
    }
    assert!(said(r#""x-originating-ip" "10.0.0.1" "name" "x""#).contains("(\"name\" \"x\" \"x-forward-a\""));
}

/// Everything that was told arrives at our own front, and the login after it; also byte by byte.
#[test]
fn our_front_hears_what_our_back_tells() {
    let arrives = |identity: &Identity, nopipelining: bool, bytewise: bool| {
        let mut front = front_of(&Offer { trusted: true, ..open_offer() });
        let mut back = back(Errand { nopipelining, ..errand(identity.clone()) });
        let (mut heard, mut client, mut logged_in) = (Forwarded::default(), String::new(), false);
        loop {
            let to_back = std::mem::take(front.output());
            for piece in to_back.chunks(if bytewise { 1 } else { to_back.len().max(1) }) {
                back.feed(piece);
                assert_eq!(back.next(), None);
            }
            let to_front = std::mem::take(back.output());
            for piece in to_front.chunks(if bytewise { 1 } else { to_front.len().max(1) }) {
                front.feed(piece);
                while let Some(event) = front.next() {
                    match event {
                        Event::Forwarded(facts) => heard = facts,
                        Event::ClientId(text) => client = text,
                        Event::Login { .. } => logged_in = true,
                        event => panic!("{event:?}"),
                    }
                }
            }
            if to_back.is_empty() && to_front.is_empty() && front.output().is_empty() {
                assert!(logged_in);
                return Identity { facts: heard, client_id: Some(client) };
            }
        }
    };
    let check = |fields: &[(&str, &str)]| {
        let identity =
            Identity { facts: facts(fields), client_id: Some(r#""name" "mu\"tt" "x" NIL"#.into()) };
        for (nopipelining, bytewise) in [(false, false), (true, false), (false, true)] {
            assert_eq!(arrives(&identity, nopipelining, bytewise), identity);
        }
    };
    for character in ('\u{1}'..='\u{17f}').filter(|character| !"\r\n".contains(*character)) {
        let value = format!("{character}x{character}");
        let name = if (' '..='~').contains(&character) { value.as_str() } else { "n" };
        check(&[(name, &value), ("Last", "\"\\ )")]);
    }
    check(&[("a", &"\"".repeat(1024)), ("b", &"ü".repeat(512)), ("c", &"v".repeat(1024)), ("d", "{3}")]);
    let names: Vec<String> = (0..23).map(|number| format!("n{number}")).collect();
    check(&names.iter().take(22).map(|name| (name.as_str(), "v")).collect::<Vec<_>>());
}
