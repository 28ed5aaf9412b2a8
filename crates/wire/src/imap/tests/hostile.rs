//! Made-up input from fragments of the grammar and raw bytes: nothing panics, nothing grows without end,
//! and it never matters where the input was cut.

use super::super::INPUT_LIMIT;
use super::{Player, Split, bare_offer, front_of, open_offer, pump_back};
use crate::imap::back::back;
use crate::{Errand, Forwarded, Identity, Offer, Secret};

const CLIENT: &[&str] = &[
    "a ",
    "b ",
    "\\r\\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "LOGIN ",
    "AUTHENTICATE ",
    "PLAIN",
    "CRAM-MD5",
    "CAPABILITY",
    "NOOP",
    "ID ",
    "STARTTLS",
    "LOGOUT",
    "bob",
    "\"",
    "\"x\"",
    "\\",
    "(",
    ")",
    "{",
    "}",
    "{3}\r\n",
    "{3+}\r\n",
    "{0}\r\n",
    "{0+}\r\n",
    "{4096+}\r\n",
    "{4097}\r\n",
    "{99999999999999999999}",
    "=",
    "*",
    "+",
    "NIL",
    "AGJvYgBzZWNyZXQ=",
    "\u{e9}",
    "\u{1b}",
    "a LOGIN bob secret\r\n",
    "a AUTHENTICATE PLAIN\r\n",
    "* \r\n",
    "*\r\n",
];

const BACKEND: &[&str] = &[
    "* OK ",
    "* OK hi\r\n",
    "* OK [CAPABILITY IMAP4rev1 SASL-IR STARTTLS] hi\r\n",
    "[CAPABILITY ",
    "[CAPABILITY X]",
    "]",
    "* ",
    "+",
    "+ \r\n",
    "C OK\r\n",
    "I OK\r\n",
    "I BAD\r\n",
    "* OK [CAPABILITY IMAP4rev1 ID] hi\r\n",
    "L OK ",
    "L NO ",
    "L BAD",
    "S OK\r\n",
    "S NO\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "* CAPABILITY A\r\n",
    "* CAPABILITY LOGINDISABLED\r\n",
    "* BYE\r\n",
    "[UNAVAILABLE] x",
    "\u{e9}",
    "L OK\r\n",
];

/// A plain generator: the same inputs in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn text(&mut self, fragments: &[&str]) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..self.roll(40) {
            match self.roll(20) {
                0 => text.push(u8::try_from(self.roll(256)).unwrap()),
                1 => text.extend(std::iter::repeat_n(b'x', self.roll(9_000))),
                _ => text.extend_from_slice(fragments[self.roll(fragments.len())].as_bytes()),
            }
        }
        text.truncate(INPUT_LIMIT);
        text
    }
}

/// All that the front says to input cut at random places; the session refuses or challenges in turn.
fn front_log(offer: &Offer, input: &[u8], mut chunk: impl FnMut() -> usize) -> String {
    let answers = "A: AuthenticationFailed No.\nA: challenge x\nA: Expired x\n".repeat(50);
    let mut player = Player::new(front_of(offer), offer, &answers);
    player.play("", Split::Lines);
    let mut rest = input;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(chunk().clamp(1, rest.len()));
        player.front.feed(now);
        player.pump();
        rest = later;
    }
    player.log
}

#[test]
fn a_front_survives_any_client() {
    let mut dice = Dice(1);
    for _ in 0..1_500 {
        // Without STARTTLS on offer: what it drops depends on where the input was cut, and it should.
        let offer = Offer { starttls: false, ..if dice.roll(2) == 0 { open_offer() } else { bare_offer() } };
        let input = dice.text(CLIENT);
        let whole = front_log(&offer, &input, || usize::MAX);
        assert_eq!(front_log(&offer, &input, || 1), whole, "{}", input.escape_ascii());
        assert_eq!(front_log(&offer, &input, || dice.roll(50)), whole, "{}", input.escape_ascii());
        assert!(whole.len() <= 16 * input.len() + 4_096);
        // Whatever was said, every line that we said is one of ours.
        for line in whole.lines().filter_map(|line| line.strip_prefix("S: ")) {
            let second = line.split(' ').nth(1).unwrap_or_default();
            assert!(
                ["OK", "NO", "BAD", "BYE", "ID", "CAPABILITY", "ENABLED", "eA==", ""].contains(&second),
                "{line}"
            );
        }
    }
}

#[test]
fn a_back_survives_any_backend() {
    let mut dice = Dice(2);
    for round in 0..1_500 {
        let make = || {
            back(Errand {
                user: if round % 2 == 0 { "bob".into() } else { "ü".into() },
                master: (round % 5 == 0).then(|| "m".into()),
                password: Secret::from(b"secret".to_vec()),
                mechanism: (round % 3 == 0).then(|| "PLAIN".into()),
                starttls: false,
                client_knows_capability: round % 7 == 0,
                identity: (round % 2 == 0).then(identity),
                nopipelining: round % 11 == 0,
            })
        };
        let input = dice.text(BACKEND);
        let mut whole = (make(), String::new());
        whole.0.feed(&input);
        pump_back(&mut *whole.0, &mut whole.1);
        let mut split = (make(), String::new());
        for byte in &input {
            split.0.feed(&[*byte]);
            pump_back(&mut *split.0, &mut split.1);
        }
        assert_eq!(split.1, whole.1, "{}", input.escape_ascii());
        assert_eq!(split.0.leftover(), whole.0.leftover());
    }
}

/// One that takes two literals, and has something that cannot be said.
fn identity() -> Identity {
    let fields = ["ü", "\r\nL LOGIN", "ö"].iter().map(|value| ("x".to_owned(), (*value).to_owned()));
    Identity { facts: Forwarded { fields: fields.collect(), ..Forwarded::default() }, client_id: None }
}
