//! The server side of a protocol against any client: arbitrary bytes in arbitrary reads, answered
//! arbitrarily.
//!
//! The first line is flags and answers. Flags: `s` STARTTLS is offered, `t` TLS is up, `p` plaintext
//! allowed, `r` TLS required, `f` a trusted front, `c` a capability of the administrator's, `i` an ID
//! answer, `z` answers come late. Answers: `c` a challenge, `w` and `W` a welcome, `r` a referral, `b` a
//! backend's refusal, all others a refusal of ours.

use secrecy::ExposeSecret;
use wire::{
    Answer, Code, Event, Farewell, Fault, Front, MechanismOffer, Offer, ReferralTarget, Response, Welcome,
    protocols,
};

use crate::meter;
use crate::script::{Script, Split, Transcript, assert_lines};

/// IMAP.
pub(crate) fn imap(input: &[u8]) {
    run("imap", input);
}

/// POP3.
pub(crate) fn pop3(input: &[u8]) {
    run("pop3", input);
}

fn run(protocol: &str, input: &[u8]) {
    let Some(protocol) = protocols::find(protocol) else { panic!("no protocol {protocol}") };
    let script = Script::read(input);
    meter::within(input, || Session::run(protocol.front, &script, Split::Whole, Transcript::sizes()));
    if script.has(b'z') {
        // What is kept while an answer is due is limited, so the reads may matter here.
        Session::run(protocol.front, &script, Split::Pieces, Transcript::default());
        return;
    }
    let whole = Session::run(protocol.front, &script, Split::Whole, Transcript::default());
    for split in [Split::Bytes, Split::Pieces] {
        let split_up = Session::run(protocol.front, &script, split, Transcript::default());
        assert_eq!(whole, split_up, "{split:?}");
    }
}

/// What our side says where an administrator, a database or a backend chose the words.
const TEXT: &str = "Moved,\r\nINJECTED\0 \u{e9}]";

/// Output that one byte of input may cause, and output that is free: a listing of capabilities for a
/// command of some bytes, the answers' own texts, the greeting.
const OUTPUT_PER_BYTE: usize = 96;
const OUTPUT_FREE: usize = 4096;

struct Session<'a> {
    front: Box<dyn Front>,
    answers: Box<dyn Iterator<Item = u8> + 'a>,
    transcript: Transcript,
    output: Vec<u8>,
    /// A login or a response waits for its answer.
    due: bool,
    challenged: bool,
    late: bool,
}

/// Where a session stands when it has used what it got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Open,
    StartsTls,
    Served,
    Over,
}

impl<'a> Session<'a> {
    fn run(
        make: fn(Offer) -> Box<dyn Front>,
        script: &Script<'a>,
        split: Split,
        transcript: Transcript,
    ) -> Transcript {
        let mut session = Self {
            front: make(offer(script, script.has(b't'))),
            answers: Box::new(script.answers()),
            transcript,
            output: Vec::new(),
            due: false,
            challenged: false,
            late: script.has(b'z'),
        };
        session.drain();
        let mut stands = session.say(script.clear, split);
        if stands == Stands::StartsTls {
            session.front.secured(offer(script, true));
            session.transcript.event(|| "TLS is up".to_owned());
            stands = session.say(script.protected, split);
        }
        session.front.farewell(Farewell::Shutdown);
        let quiet = session.front.output().is_empty();
        assert!(quiet || stands != Stands::Served, "a front that speaks after its welcome");
        session.drain();
        let knows = session.front.knows_capability();
        session.transcript.event(|| format!("knows the capability: {knows}"));
        session.check(script);
        session.transcript
    }

    /// Feeds bytes in reads, acting after each.
    fn say(&mut self, bytes: &[u8], split: Split) -> Stands {
        let mut fed = 0;
        for piece in split.of(bytes) {
            self.front.feed(piece);
            fed += piece.len();
            let stands = self.act();
            match stands {
                Stands::Open => continue,
                Stands::Served => {
                    let leftover = [&self.front.leftover(), &bytes[fed..]].concat();
                    assert!(bytes.ends_with(&leftover), "leftover that was never sent");
                    self.transcript.event(|| format!("leftover {}", leftover.escape_ascii()));
                }
                Stands::StartsTls | Stands::Over => self.front.feed(&bytes[fed..]),
            }
            self.assert_silent();
            return stands;
        }
        Stands::Open
    }

    /// Acts upon everything that came in.
    fn act(&mut self) -> Stands {
        if std::mem::take(&mut self.due) && self.answer() == Stands::Served {
            return Stands::Served;
        }
        loop {
            if self.challenged {
                let response = self.front.response();
                self.drain();
                match response {
                    None => return Stands::Open,
                    Some(Response::Data(data)) => {
                        self.challenged = false;
                        let data = data.expose_secret().escape_ascii().to_string();
                        self.transcript.event(|| format!("response {data}"));
                    }
                    Some(Response::Fault(fault)) => return self.over(fault),
                    Some(response) => {
                        self.challenged = false;
                        self.transcript.event(|| format!("{response:?}"));
                        continue;
                    }
                }
            } else {
                let event = self.front.next();
                let wrote = !self.front.output().is_empty();
                self.drain();
                match event {
                    // A front pauses while much waits to be written.
                    None if wrote => continue,
                    None => return Stands::Open,
                    Some(Event::Login { mechanism, initial }) => {
                        let initial = initial.map(|data| data.expose_secret().escape_ascii().to_string());
                        self.transcript.event(|| format!("login {mechanism} {initial:?}"));
                    }
                    Some(Event::StartTls) => {
                        self.transcript.event(|| "STARTTLS".to_owned());
                        return Stands::StartsTls;
                    }
                    Some(Event::Quit) => {
                        self.transcript.event(|| "quit".to_owned());
                        return Stands::Over;
                    }
                    Some(Event::Fault(fault)) => return self.over(fault),
                    Some(event @ (Event::Forwarded(_) | Event::ClientId(_) | Event::Rejected(_))) => {
                        self.transcript.event(|| format!("{event:?}"));
                        continue;
                    }
                }
            }
            if self.late {
                self.due = true;
                self.assert_silent();
                return Stands::Open;
            }
            if self.answer() == Stands::Served {
                return Stands::Served;
            }
        }
    }

    fn over(&mut self, fault: Fault) -> Stands {
        self.transcript.event(|| format!("{fault:?}"));
        Stands::Over
    }

    /// Gives the answer that is due.
    fn answer(&mut self) -> Stands {
        let answer = self.answers.next().unwrap_or_default();
        let target = ReferralTarget {
            user: "b%;@/\r\n\u{e9}",
            mechanism: "PLAIN",
            host: "imap2.example.com",
            port: Some(1143),
        };
        match answer {
            b'c' => {
                self.challenged = true;
                self.front.challenge(TEXT.as_bytes());
                self.drain();
                return Stands::Open;
            }
            b'w' => self.front.answer(Answer::Welcome(Welcome::default())),
            b'W' => self.front.answer(Answer::Welcome(Welcome {
                text: TEXT.as_bytes(),
                capability: Some(b"IMAP4rev1 IDLE"),
                untagged: b"* OK from behind\r\n",
                referral: Some((target, TEXT)),
            })),
            b'r' => self.front.answer(Answer::Referral { target, text: TEXT }),
            b'b' => self.front.answer(Answer::Backend { text: TEXT.as_bytes() }),
            other => {
                let code = CODES[usize::from(other) % CODES.len()];
                self.front.answer(Answer::Refusal { code, text: TEXT });
            }
        }
        self.drain();
        // A welcome is refused when input had to be dropped; then the session is over all the same.
        if matches!(answer, b'w' | b'W') { Stands::Served } else { Stands::Open }
    }

    fn drain(&mut self) {
        self.output.extend_from_slice(self.front.output());
        self.transcript.output(self.front.output());
        // Kept whole for `check` otherwise; while memory is measured one run's worth is enough.
        if self.transcript.is_only_sizes() {
            self.output.clear();
        }
    }

    /// Nothing may come of a front that waits for us or has ended.
    fn assert_silent(&mut self) {
        assert!(self.front.next().is_none(), "an event while none may come");
        assert!(self.front.output().is_empty(), "output while none may come");
    }

    fn check(&self, script: &Script<'_>) {
        assert_lines(&self.output);
        let said = script.clear.len() + script.protected.len();
        let limit = OUTPUT_PER_BYTE * said + OUTPUT_FREE;
        assert!(self.transcript.written <= limit, "{} bytes out for {said} in", self.transcript.written);
        let word = b"INJECTED";
        let from_client =
            [script.clear, script.protected].iter().any(|part| part.windows(8).any(|w| w == word));
        if !from_client {
            let mut lines = self.output.split(|&byte| byte == b'\n');
            assert!(!lines.any(|line| line.starts_with(word)), "a text became a line of its own");
        }
    }
}

const CODES: [Code; 9] = [
    Code::AuthenticationFailed,
    Code::AuthorizationFailed,
    Code::Expired,
    Code::Unavailable,
    Code::ContactAdmin,
    Code::Limit,
    Code::ServerBug,
    Code::PrivacyRequired,
    Code::Mechanism,
];

fn offer(script: &Script<'_>, tls: bool) -> Offer {
    let secure = tls || script.has(b'p');
    Offer {
        greeting: "Gatepost ready.".to_owned(),
        mechanisms: vec![
            MechanismOffer { name: "PLAIN", plaintext: true },
            MechanismOffer { name: "LOGIN", plaintext: true },
            MechanismOffer { name: "CRAM-MD5", plaintext: false },
        ],
        starttls: script.has(b's'),
        tls,
        secure,
        plaintext: secure,
        tls_required: script.has(b'r') && !tls,
        capability: if script.has(b'c') { "+X-ONE X-TWO".to_owned() } else { String::new() },
        id: if script.has(b'i') {
            vec![("name".to_owned(), Some("Gate\"post".to_owned())), ("os".to_owned(), None)]
        } else {
            Vec::new()
        },
        trusted: script.has(b'f'),
    }
}
