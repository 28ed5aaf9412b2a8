//! The client side of IMAP towards a backend, from its greeting to its answer to the login. The backend is
//! not trusted: what it may say is limited, and no password goes to one that says it would not take it.

use std::collections::VecDeque;

use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;

use super::grammar::{breaks_lines, push_quoted, quotable, split_word};
use super::id::Told;
use super::{DIALOGUE_LIMIT, DIALOGUE_LINES, LINE_LIMIT};
use crate::cut::{Cutter, TooLong};
use crate::{Back, BackEvent, BackRefusal, Errand, Identity, base64};

/// Makes the client side for one connection to a backend.
pub fn back(errand: Errand) -> Box<dyn Back> {
    Box::new(ImapBack::new(errand))
}

struct ImapBack {
    errand: Errand,
    /// How to log in; taken when it is said.
    way: Option<Way>,
    /// What came up outside [`Back::next`].
    event: Option<BackEvent>,
    input: Cutter,
    output: Vec<u8>,
    stage: Stage,
    /// TLS came up by STARTTLS.
    secured: bool,
    /// What is still to be said of the ID or the login, a piece at each `+`.
    pieces: VecDeque<Piece>,
    /// The answer to an ID that went out just before the next command is outstanding.
    introducing: bool,
    /// The answer to a CAPABILITY that went out just before the login is outstanding.
    refreshing: bool,
    /// CAPABILITY has been asked for.
    asked: bool,
    /// The words after `CAPABILITY`, as last seen.
    capability: Option<Vec<u8>>,
    /// Lines to pass on.
    untagged: Vec<u8>,
    lines: usize,
    bytes: usize,
}

/// Longest string that is quoted, as it is written.
const QUOTED_LIMIT: usize = 1024;

/// Text to be sent in one go; it may hold the password.
type Piece = Zeroizing<Vec<u8>>;

/// The way that the errand asks for.
enum Way {
    /// The command LOGIN.
    Command,
    /// AUTHENTICATE PLAIN as this user, on behalf of the errand's.
    Plain(String),
    /// AUTHENTICATE LOGIN.
    Login,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Banner,
    StartTls,
    Handshake,
    Id,
    Capability,
    Login,
    Done,
}

impl Back for ImapBack {
    fn feed(&mut self, bytes: &[u8]) {
        self.input.feed(bytes);
    }

    fn next(&mut self) -> Option<BackEvent> {
        if self.event.is_some() {
            return self.event.take();
        }
        while !matches!(self.stage, Stage::Handshake | Stage::Done) {
            let line = match self.input.line() {
                Ok(Some(line)) => line,
                Ok(None) => return None,
                Err(TooLong) => return Some(self.broken("the backend sent a line that is too long", true)),
            };
            self.lines += 1;
            self.bytes += line.len();
            if self.lines > DIALOGUE_LINES || self.bytes > DIALOGUE_LIMIT {
                return Some(self.broken("the backend says too much before the end of login", true));
            }
            if let Some(event) = self.line(&line) {
                return Some(event);
            }
        }
        None
    }

    fn secured(&mut self) {
        if self.stage != Stage::Handshake {
            return;
        }
        self.secured = true;
        self.event = self.before_tls().or_else(|| self.proceed());
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn leftover(&mut self) -> Vec<u8> {
        self.input.rest()
    }

    fn state(&self) -> &'static str {
        match self.stage {
            Stage::Banner => "banner",
            Stage::StartTls => "starttls",
            Stage::Handshake => "tls",
            Stage::Id => "id",
            Stage::Capability => "capability",
            Stage::Login => "login",
            Stage::Done => "done",
        }
    }
}

impl ImapBack {
    fn new(errand: Errand) -> Self {
        let mut back = Self {
            way: None,
            event: None,
            errand,
            input: Cutter::new(LINE_LIMIT),
            output: Vec::new(),
            stage: Stage::Banner,
            secured: false,
            pieces: VecDeque::new(),
            introducing: false,
            refreshing: false,
            asked: false,
            capability: None,
            untagged: Vec::new(),
            lines: 0,
            bytes: 0,
        };
        match Way::of(&back.errand) {
            Ok(way) => back.way = Some(way),
            Err(why) => back.event = Some(back.broken(why, false)),
        }
        back
    }

    fn line(&mut self, line: &[u8]) -> Option<BackEvent> {
        if self.stage == Stage::Banner {
            return self.banner(line);
        }
        let (tag, rest) = split_word(line);
        match tag {
            b"*" => self.untagged(rest),
            _ if line.starts_with(b"+") => self.go_on(line),
            b"S" if self.stage == Stage::StartTls => self.starttls_answered(rest),
            // Not to understand our ID is no reason to refuse the login.
            b"I" if self.stage == Stage::Id => {
                self.pieces.clear();
                self.introduced();
                None
            }
            b"I" if self.introducing => {
                self.introducing = false;
                None
            }
            b"C" if self.stage == Stage::Capability => self.informed(),
            b"C" if self.refreshing => {
                self.refreshing = false;
                None
            }
            b"L" if self.stage == Stage::Login => Some(self.login_answered(rest)),
            _ => Some(self.unexpected(line)),
        }
    }

    /// `* OK`, with capabilities or without. A backend that is logged in already has been met by someone else.
    fn banner(&mut self, line: &[u8]) -> Option<BackEvent> {
        let (star, rest) = split_word(line);
        let (status, text) = split_word(rest);
        if star != b"*" || !status.eq_ignore_ascii_case(b"OK") {
            let preauth = status.eq_ignore_ascii_case(b"PREAUTH");
            let why = format!("the backend's greeting is not OK: {}", shown(line));
            return Some(self.broken(why, !(preauth && self.errand.starttls)));
        }
        self.take_code(text);
        self.proceed()
    }

    /// The next thing to say once the backend is there, and again once TLS is up.
    fn proceed(&mut self) -> Option<BackEvent> {
        if self.errand.starttls && !self.secured {
            if self.capability.is_some() && !self.offers(b"STARTTLS") {
                return Some(self.broken("the backend does not offer STARTTLS", false));
            }
            self.output.extend_from_slice(b"S STARTTLS\r\n");
            self.stage = Stage::StartTls;
            return None;
        }
        if self.capability.is_none() {
            self.ask();
            self.stage = Stage::Capability;
            return None;
        }
        self.informed()
    }

    fn ask(&mut self) {
        self.output.extend_from_slice(b"C CAPABILITY\r\n");
        self.asked = true;
    }

    /// Goes on, now that the capabilities are known as far as they can be.
    fn informed(&mut self) -> Option<BackEvent> {
        if self.offers(b"LOGINDISABLED") {
            return Some(self.broken("the backend advertises LOGINDISABLED", false));
        }
        // A backend in the clear that wants to be told says so in its greeting. Under STARTTLS only what it
        // said since counts.
        if self.offers(b"ID")
            && (!self.asked || self.secured)
            && let Some(identity) = self.errand.identity.take()
        {
            return self.introduce(&identity);
        }
        self.introduced();
        None
    }

    /// Says whose login it will be.
    fn introduce(&mut self, identity: &Identity) -> Option<BackEvent> {
        let Told { pairs, left_out } = Told::of(identity);
        let mut command = Command::new(0);
        command.push(b"I ID (");
        for (at, (key, value)) in pairs.iter().enumerate() {
            command.push(if at == 0 { b"" } else { b" " });
            command.push_string(key);
            command.push(b" ");
            match value {
                Some(value) => command.push_string(value),
                None => command.push(b"NIL"),
            }
        }
        command.push(b")\r\n");
        self.pieces = command.pieces.into();
        self.stage = Stage::Id;
        self.send_id();
        (!left_out.is_empty()).then_some(BackEvent::LeftOut(left_out))
    }

    fn send_id(&mut self) {
        self.send_piece();
        if self.pieces.is_empty() && !self.errand.nopipelining {
            self.introducing = true;
            self.introduced();
        }
    }

    /// Nothing more is to be said but the login, and before it the question that the client asked too.
    fn introduced(&mut self) {
        if self.errand.client_knows_capability && !self.asked {
            self.ask();
            if self.errand.nopipelining {
                self.stage = Stage::Capability;
                return;
            }
            self.refreshing = true;
        }
        self.log_in();
    }

    fn starttls_answered(&mut self, answer: &[u8]) -> Option<BackEvent> {
        if !split_word(answer).0.eq_ignore_ascii_case(b"OK") {
            let why = format!("the backend refused STARTTLS: {}", shown(answer));
            return Some(self.broken(why, true));
        }
        // What was offered in the clear may have been put there by anyone.
        self.capability = None;
        self.stage = Stage::Handshake;
        Some(self.before_tls().unwrap_or(BackEvent::StartTls))
    }

    /// Nothing may come between the answer to STARTTLS and TLS: it would have been said in the clear.
    fn before_tls(&mut self) -> Option<BackEvent> {
        if self.input.pending() == 0 {
            return None;
        }
        Some(self.broken("the backend sent something between STARTTLS and TLS", false))
    }

    fn log_in(&mut self) {
        let initial_response = self.offers(b"SASL-IR");
        if let Some(way) = self.way.take() {
            self.pieces = way.pieces(&self.errand, initial_response).into();
        }
        self.stage = Stage::Login;
        self.send_piece();
    }

    fn send_piece(&mut self) {
        let piece = self.pieces.pop_front();
        self.output.extend_from_slice(piece.as_deref().map_or(b"", Vec::as_slice));
    }

    /// The backend asks for a literal or a SASL response.
    fn go_on(&mut self, line: &[u8]) -> Option<BackEvent> {
        match self.stage {
            Stage::Id if !self.pieces.is_empty() => self.send_id(),
            Stage::Login if !self.pieces.is_empty() => self.send_piece(),
            _ => return Some(self.unexpected(line)),
        }
        None
    }

    fn untagged(&mut self, line: &[u8]) -> Option<BackEvent> {
        let (name, words) = split_word(line);
        if name.eq_ignore_ascii_case(b"BYE") {
            let why = format!("the backend hung up: {}", shown(words));
            return Some(self.broken(why, true));
        }
        let answers_us = name.eq_ignore_ascii_case(b"ID") && (self.introducing || self.stage == Stage::Id);
        if self.stage == Stage::StartTls || answers_us {
            return None;
        }
        if name.eq_ignore_ascii_case(b"CAPABILITY") {
            self.capability = Some(words.to_vec());
        } else {
            self.untagged.extend_from_slice(b"* ");
            self.untagged.extend_from_slice(line);
            self.untagged.extend_from_slice(b"\r\n");
        }
        None
    }

    fn login_answered(&mut self, answer: &[u8]) -> BackEvent {
        let (status, text) = split_word(answer);
        match status.to_ascii_uppercase().as_slice() {
            b"OK" if self.pieces.is_empty() && !self.introducing && !self.refreshing => {
                let text = self.take_code(text).to_vec();
                self.stage = Stage::Done;
                BackEvent::Ready {
                    text,
                    capability: self.capability.take(),
                    untagged: std::mem::take(&mut self.untagged),
                }
            }
            b"OK" => self.broken("the backend accepted the login before it was complete", true),
            b"NO" => self.refused(text, refusal(text)),
            b"BAD" => self.refused(text, BackRefusal::Credentials),
            _ => self.unexpected(answer),
        }
    }

    fn refused(&mut self, text: &[u8], refusal: BackRefusal) -> BackEvent {
        self.stage = Stage::Done;
        BackEvent::Refused { text: text.to_vec(), refusal }
    }

    fn unexpected(&mut self, line: &[u8]) -> BackEvent {
        let why = format!("the backend sent an unexpected reply: {}", shown(line));
        self.broken(why, true)
    }

    fn broken(&mut self, why: impl Into<String>, retry: bool) -> BackEvent {
        self.stage = Stage::Done;
        BackEvent::Broken { why: why.into(), retry }
    }

    /// Takes a `[CAPABILITY …]` code off the text of an OK; any other code is part of the text.
    fn take_code<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        if let Some((code, rest)) = split_code(text) {
            let (name, words) = split_word(code);
            if name.eq_ignore_ascii_case(b"CAPABILITY") {
                self.capability = Some(words.to_vec());
                return rest;
            }
        }
        text
    }

    fn offers(&self, name: &[u8]) -> bool {
        let words = self.capability.as_deref().unwrap_or_default();
        words.split(|byte| *byte == b' ').any(|word| word.eq_ignore_ascii_case(name))
    }
}

impl Way {
    /// The way to log in, or why there is none.
    fn of(errand: &Errand) -> Result<Self, String> {
        let master = errand.master.as_deref().filter(|master| !master.is_empty());
        let password = errand.password.expose_secret();
        let names = errand.user.bytes().chain(master.unwrap_or_default().bytes());
        if names.chain(password.iter().copied()).any(breaks_lines) {
            return Err("user name or password holds a control character that IMAP cannot carry".into());
        }
        let mechanism = errand.mechanism.as_deref().map(str::to_ascii_uppercase);
        match (mechanism.as_deref(), master) {
            (None, None) => Ok(Self::Command),
            (None | Some("PLAIN"), Some(master)) => Ok(Self::Plain(master.to_owned())),
            (Some("PLAIN"), None) => Ok(Self::Plain(errand.user.clone())),
            (Some("LOGIN"), None) => Ok(Self::Login),
            // LOGIN has no place for a second name: the session would be the master's own.
            (Some("LOGIN"), Some(_)) => Err("SASL mechanism LOGIN cannot be used with a master user".into()),
            (Some(other), _) => Err(format!("unsupported SASL mechanism {}", shown(other.as_bytes()))),
        }
    }

    /// What to say: the first piece at once, each other when the backend asks for it.
    fn pieces(&self, errand: &Errand, initial_response: bool) -> Vec<Piece> {
        let user = errand.user.as_bytes();
        let password = errand.password.expose_secret();
        match self {
            Self::Command => {
                let mut command = Command::new(user.len() + password.len());
                command.push(b"L LOGIN ");
                command.push_string(user);
                command.push(b" ");
                command.push_string(password);
                command.push(b"\r\n");
                command.pieces
            }
            Self::Plain(master) => {
                let message = Zeroizing::new([user, master.as_bytes(), password].join(&0));
                if initial_response {
                    return vec![encoded(b"L AUTHENTICATE PLAIN ", &message)];
                }
                vec![Piece::new(b"L AUTHENTICATE PLAIN\r\n".to_vec()), encoded(b"", &message)]
            }
            Self::Login => {
                // The prompts may say anything; the name goes to the first and the password to the second.
                let command: &[u8] = if initial_response {
                    b"L AUTHENTICATE LOGIN =\r\n"
                } else {
                    b"L AUTHENTICATE LOGIN\r\n"
                };
                vec![Piece::new(command.to_vec()), encoded(b"", user), encoded(b"", password)]
            }
        }
    }
}

/// A SASL response, after the words that it belongs to.
fn encoded(before: &[u8], message: &[u8]) -> Piece {
    let mut piece = Piece::new(Vec::with_capacity(before.len() + message.len().div_ceil(3) * 4 + 2));
    piece.extend_from_slice(before);
    base64::encode(message, &mut piece);
    piece.extend_from_slice(b"\r\n");
    piece
}

/// A command with strings, cut where the backend has to ask for more.
struct Command {
    pieces: Vec<Piece>,
    /// Room that suffices for a piece: one that grew would leave a copy unwiped.
    room: usize,
}

impl Command {
    /// An empty one; its strings have this many bytes together.
    fn new(strings: usize) -> Self {
        let room = 2 * strings + 64;
        Self { pieces: vec![Piece::new(Vec::with_capacity(room))], room }
    }

    /// Appends a string: quoted, or as a literal that the backend has to ask for.
    fn push_string(&mut self, text: &[u8]) {
        let escapes = text.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        // Dovecot hangs up when a quoted string as it is written exceeds 1024 bytes.
        if quotable(text) && text.len() + escapes <= QUOTED_LIMIT {
            if let Some(last) = self.pieces.last_mut() {
                push_quoted(text, last);
            }
        } else {
            self.push(format!("{{{}}}\r\n", text.len()).as_bytes());
            self.pieces.push(Piece::new(Vec::with_capacity(self.room)));
            self.push(text);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(last) = self.pieces.last_mut() {
            last.extend_from_slice(bytes);
        }
    }
}

/// How the text of a NO is meant (RFC 5530).
fn refusal(text: &[u8]) -> BackRefusal {
    let Some((code, _)) = split_code(text) else { return BackRefusal::Credentials };
    match split_word(code).0.to_ascii_uppercase().as_slice() {
        b"AUTHENTICATIONFAILED" => BackRefusal::Credentials,
        b"UNAVAILABLE" => BackRefusal::Temporary,
        _ => BackRefusal::Coded,
    }
}

/// Splits `[code] text`.
fn split_code(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"[")?;
    let (code, rest) = text.split_at_checked(memchr::memchr(b']', text)?)?;
    let rest = rest.get(1..)?;
    Some((code, rest.strip_prefix(b" ").unwrap_or(rest)))
}

/// The beginning of what a backend said, fit for a log line.
fn shown(text: &[u8]) -> String {
    text.get(..200).unwrap_or(text).escape_ascii().to_string()
}
