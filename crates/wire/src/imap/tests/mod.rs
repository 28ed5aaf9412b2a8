//! Dialogues, as people write them. Each line of a script begins with who speaks:
//!
//! - `C:` the client, `S:` the front, `B:` the backend, `G:` the gate (our [`Back`]); a line end is understood,
//!   `C+`, `S+` are without. `\xNN` is a byte; a blank at the end of what we say is written `\x20`.
//! - `E:` an event, `R:` a reply to a challenge, `L:` what is left over for whoever serves the client next.
//! - `A:` what the session answers.
//! - `--` what came before has been used before what follows is sent.
//!
//! Every script is played line by line, byte by byte, and with all input at once: the outcome is the same.

mod back;
mod front;
mod hostile;
mod identity;
mod pair;

use std::collections::VecDeque;

use secrecy::ExposeSecret;

use crate::{
    Answer, Back, BackEvent, Code, Event, Forwarded, Front, MechanismOffer, Offer, ReferralTarget, Response,
    Welcome,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Split {
    Lines,
    Bytes,
    Nowhere,
}

/// Plays a script to a front in every way and compares all that was said.
fn dialogue(offer: &Offer, script: &str) {
    for split in [Split::Lines, Split::Bytes, Split::Nowhere] {
        let mut player = Player::new(front_of(offer), offer, script);
        player.play(script, split);
        assert_eq!(player.log, expected(script, split), "played with splits at {split:?}");
    }
}

fn front_of(offer: &Offer) -> Box<dyn Front> {
    super::front::front(offer.clone())
}

/// A front that offers PLAIN, LOGIN and CRAM-MD5 on a connection where all may be used.
fn open_offer() -> Offer {
    let offer = |name, plaintext| MechanismOffer { name, plaintext };
    Offer {
        greeting: "ready.".into(),
        mechanisms: vec![offer("PLAIN", true), offer("LOGIN", true), offer("CRAM-MD5", false)],
        secure: true,
        plaintext: true,
        ..Offer::default()
    }
}

/// The same without protection, where TLS can be had.
fn bare_offer() -> Offer {
    Offer { secure: false, plaintext: false, starttls: true, ..open_offer() }
}

struct Player {
    front: Box<dyn Front>,
    offer: Offer,
    answers: VecDeque<String>,
    turn: Turn,
    welcomed: bool,
    log: String,
}

/// Whom the front waits for.
#[derive(PartialEq)]
enum Turn {
    Client,
    Session,
    Reply,
}

impl Player {
    fn new(front: Box<dyn Front>, offer: &Offer, script: &str) -> Self {
        let answers = lines(script).filter_map(|line| line.strip_prefix("A: ")).map(str::to_owned).collect();
        let log = String::new();
        Self { front, offer: offer.clone(), answers, turn: Turn::Client, welcomed: false, log }
    }

    fn play(&mut self, script: &str, split: Split) {
        self.pump();
        for (line, bytes) in inputs(script, "C", split) {
            if split == Split::Lines {
                self.log += &format!("{line}\n");
            }
            match split {
                Split::Bytes => bytes.iter().for_each(|byte| {
                    self.front.feed(&[*byte]);
                    self.pump();
                }),
                Split::Lines | Split::Nowhere => self.front.feed(&bytes),
            }
            self.pump();
        }
        if self.welcomed {
            self.log += &said_line("L:", &shown(&self.front.leftover()));
        }
    }

    /// What a session does between two reads.
    fn pump(&mut self) {
        loop {
            let wrote = self.flush();
            match self.turn {
                Turn::Reply => match self.front.response() {
                    None => return,
                    Some(response) => {
                        self.flush();
                        self.turn =
                            if matches!(response, Response::Data(_)) { Turn::Session } else { Turn::Client };
                        self.log += &format!("R: {}\n", response_shown(&response));
                    }
                },
                Turn::Session => match self.answers.pop_front() {
                    None => return,
                    Some(answer) => self.answer(&answer),
                },
                Turn::Client => match self.front.next() {
                    None if wrote || !self.front.output().is_empty() => {}
                    None => return,
                    Some(event) => {
                        self.flush();
                        if matches!(event, Event::Login { .. } | Event::StartTls) {
                            self.turn = Turn::Session;
                        }
                        self.log += &format!("E: {}\n", event_shown(&event));
                    }
                },
            }
        }
    }

    fn answer(&mut self, answer: &str) {
        self.log += &format!("A: {answer}\n");
        self.turn = Turn::Client;
        let (what, text) = answer.split_once(' ').unwrap_or((answer, ""));
        let target = ReferralTarget {
            user: "bob@dom",
            mechanism: "PLAIN",
            host: "imap2.example.com",
            port: Some(1143),
        };
        match what {
            "tls" => {
                let offer = self.offer.clone();
                self.front.secured(Offer {
                    starttls: false,
                    tls: true,
                    secure: true,
                    plaintext: true,
                    ..offer
                });
            }
            "challenge" => {
                self.front.challenge(&bytes(text));
                self.turn = Turn::Reply;
            }
            "welcome" => {
                let capability = Some(&b"IMAP4rev1 NOTIFY"[..]);
                self.welcome(Welcome { capability, ..Welcome::default() });
            }
            "welcome-silent" => self.welcome(Welcome::default()),
            "welcome-proxied" => self.welcome(Welcome {
                text: &bytes(text),
                capability: Some(b"IMAP4rev1 X"),
                untagged: b"* one\r\n* two\r\n",
                referral: None,
            }),
            "welcome-referral" => self.welcome(Welcome {
                capability: Some(b"IMAP4rev1 X"),
                referral: Some((target, text)),
                ..Welcome::default()
            }),
            "referral" => self.front.answer(Answer::Referral { target, text }),
            "backend" => self.front.answer(Answer::Backend { text: &bytes(text) }),
            "farewell" => {
                self.front.farewell(match text {
                    "inactivity" => crate::Farewell::Inactivity,
                    "inactivity-in-login" => crate::Farewell::InactivityInLogin,
                    "shutdown" => crate::Farewell::Shutdown,
                    _ => crate::Farewell::Full,
                });
            }
            _ => {
                let text = String::from_utf8(bytes(text)).unwrap();
                self.front.answer(Answer::Refusal { code: code(what), text: &text });
            }
        }
    }

    fn welcome(&mut self, welcome: Welcome<'_>) {
        self.front.answer(Answer::Welcome(welcome));
        self.welcomed = true;
        // The front speaks no more, so nobody asks it.
        self.turn = Turn::Session;
    }

    fn flush(&mut self) -> bool {
        let output = std::mem::take(self.front.output());
        self.log += &said("S", &output);
        !output.is_empty()
    }
}

fn code(name: &str) -> Code {
    let codes = [
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
    codes.into_iter().find(|code| format!("{code:?}") == name).unwrap()
}

fn event_shown(event: &Event) -> String {
    match event {
        Event::Login { mechanism, initial: None } => format!("Login {mechanism}"),
        Event::Login { mechanism, initial: Some(initial) } => {
            format!("Login {mechanism} <{}>", shown(initial.expose_secret()))
        }
        Event::Forwarded(Forwarded { remote, session, fields, .. }) => {
            format!("Forwarded {remote:?} {session:?} {fields:?}")
        }
        Event::ClientId(text) => format!("ClientId <{text}>"),
        Event::StartTls | Event::Rejected(_) | Event::Quit | Event::Fault(_) => format!("{event:?}"),
    }
}

fn response_shown(response: &Response) -> String {
    match response {
        Response::Data(data) => format!("<{}>", shown(data.expose_secret())),
        Response::Abort | Response::Malformed | Response::Fault(_) => format!("{response:?}"),
    }
}

/// Plays a script to a back in every way and compares all that was said.
fn back_dialogue(make: &dyn Fn() -> Box<dyn Back>, script: &str) {
    for split in [Split::Lines, Split::Bytes, Split::Nowhere] {
        let mut back = make();
        let mut log = String::new();
        pump_back(&mut *back, &mut log);
        for (line, bytes) in inputs(script, "B", split) {
            if split == Split::Lines {
                log += &format!("{line}\n");
            }
            match split {
                Split::Bytes => bytes.iter().for_each(|byte| {
                    back.feed(&[*byte]);
                    pump_back(&mut *back, &mut log);
                }),
                Split::Lines | Split::Nowhere => back.feed(&bytes),
            }
            pump_back(&mut *back, &mut log);
        }
        let leftover = back.leftover();
        if !leftover.is_empty() {
            log += &said_line("L:", &shown(&leftover));
        }
        assert_eq!(log, expected(script, split), "played with splits at {split:?}");
    }
}

fn pump_back(back: &mut dyn Back, log: &mut String) {
    loop {
        let event = back.next();
        *log += &said("G", &std::mem::take(back.output()));
        match event {
            None => return,
            Some(BackEvent::LeftOut(names)) => *log += &format!("E: LeftOut {}\n", names.join(", ")),
            Some(BackEvent::StartTls) => {
                *log += "E: StartTls\n";
                back.secured();
            }
            Some(BackEvent::Ready { text, capability, untagged }) => {
                let capability = capability.map_or("unknown".into(), |words| shown(&words));
                *log += &format!("E: Ready <{}> <{capability}> <{}>\n", shown(&text), shown(&untagged));
            }
            Some(BackEvent::Refused { text, refusal }) => {
                *log += &format!("E: {refusal:?} <{}>\n", shown(&text));
            }
            Some(BackEvent::Broken { why, retry }) => {
                *log += &format!("E: Broken, {}: {why}\n", if retry { "try again" } else { "for good" });
            }
        }
    }
}

fn lines(script: &str) -> impl Iterator<Item = &str> {
    script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// What `who` says, cut as the way of playing wants it.
fn inputs(script: &str, who: &str, split: Split) -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<(String, Vec<u8>)> = Vec::new();
    let mut joins = false;
    for line in lines(script) {
        let (speaker, text) = line.split_at(line.len().min(2));
        let text = text.strip_prefix(' ').unwrap_or(text);
        let mut bytes = bytes(text);
        if speaker == "--" {
            joins = false;
            continue;
        }
        if speaker == format!("{who}:") {
            bytes.extend_from_slice(b"\r\n");
        } else if speaker != format!("{who}+") {
            continue;
        }
        match inputs.last_mut().filter(|_| joins) {
            Some((_, last)) => last.extend(bytes),
            None => inputs.push((line.to_owned(), bytes)),
        }
        joins = split == Split::Nowhere;
    }
    inputs
}

/// What the log must be: all of the script, without its input where that is not played by lines.
fn expected(script: &str, split: Split) -> String {
    lines(script)
        .filter(|line| *line != "--")
        .filter(|line| {
            split == Split::Lines || !["C:", "C+", "B:", "B+"].iter().any(|who| line.starts_with(who))
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

fn said(who: &str, output: &[u8]) -> String {
    let mut log = String::new();
    let text = shown(output);
    for line in text.split_inclusive("\\x0d\\x0a") {
        match line.strip_suffix("\\x0d\\x0a") {
            Some(line) => log += &said_line(&format!("{who}:"), line),
            None => log += &said_line(&format!("{who}+"), line),
        }
    }
    log
}

/// One line of the log. A blank at its end is made visible.
fn said_line(who: &str, text: &str) -> String {
    match text.strip_suffix(' ') {
        Some(text) => format!("{who} {text}\\x20\n"),
        None => format!("{who} {text}").trim_end().to_owned() + "\n",
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(
            |byte| {
                if (b' '..=b'~').contains(byte) { char::from(*byte).into() } else { format!("\\x{byte:02x}") }
            },
        )
        .collect()
}

fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
