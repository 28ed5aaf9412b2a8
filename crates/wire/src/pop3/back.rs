//! The client side of POP3 towards a backend, up to the end of login.
//!
//! One command, one reply, never two commands at once: whatever a backend says before it was asked
//! is a reason to leave it.

use secrecy::{ExposeSecret, zeroize::Zeroizing};

use super::xclient;
use crate::{Back, BackEvent, BackRefusal, Errand, base64, cut::Cutter};

/// Longest reply line, line end included.
const REPLY_LIMIT: usize = 4096;

/// Most input that may wait already when more arrives.
const WAITING_LIMIT: usize = 16 * 1024;

/// Longest AUTH command with an initial response, line end included (RFC 5034 §4).
const INITIAL_RESPONSE_LIMIT: usize = 255;

/// Makes the client side; it waits for the backend's greeting.
pub fn back(errand: Errand) -> Box<dyn Back> {
    Box::new(Pop3Back {
        method: method(&errand),
        errand,
        input: Cutter::new(REPLY_LIMIT),
        output: Vec::new(),
        step: Step::Banner,
        wants_identity: false,
        left_out: Vec::new(),
        overflowed: false,
    })
}

struct Pop3Back {
    errand: Errand,
    /// How to log in, or why that cannot be done; nothing is sent then.
    method: Result<Method, String>,
    input: Cutter,
    output: Vec<u8>,
    step: Step,
    /// The greeting says `[XCLIENT]`.
    wants_identity: bool,
    /// What it could not be told, to be reported.
    left_out: Vec<String>,
    /// Input had to be dropped, or came when none may come.
    overflowed: bool,
}

/// What we wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Banner,
    StlsReply,
    Tls,
    XclientReply,
    UserReply,
    PassReply,
    /// The prompt for the message of PLAIN, which was too long for the command.
    PlainPrompt,
    LoginUserPrompt,
    LoginPasswordPrompt,
    AuthReply,
    /// It is over, one way or the other.
    Done,
}

/// How the errand's credentials are to be presented.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    UserPass,
    Plain,
    Login,
}

impl Back for Pop3Back {
    fn feed(&mut self, bytes: &[u8]) {
        // What comes between the reply to STLS and TLS could be anybody's.
        if self.step == Step::Tls || self.input.pending() > WAITING_LIMIT {
            self.overflowed |= !bytes.is_empty();
        } else {
            self.input.feed(bytes);
        }
    }

    fn next(&mut self) -> Option<BackEvent> {
        while self.step != Step::Done {
            if !self.left_out.is_empty() {
                return Some(BackEvent::LeftOut(std::mem::take(&mut self.left_out)));
            }
            if let Err(why) = &self.method {
                let why = why.clone();
                return Some(self.broken(why, false));
            }
            if self.overflowed {
                return Some(self.broken("sent more than it was asked for".to_owned(), true));
            }
            if self.step == Step::Tls {
                return None;
            }
            let line = match self.input.line() {
                Ok(line) => line?,
                Err(_) => return Some(self.broken(format!("sent a line over {REPLY_LIMIT} bytes"), true)),
            };
            let event = match Reply::read(&line) {
                Some(reply) => self.reply(reply),
                None => Some(self.broken(format!("sent an unknown reply: {}", shown(&line)), true)),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    fn secured(&mut self) {
        if self.step == Step::Tls && !self.overflowed {
            self.introduce();
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn leftover(&mut self) -> Vec<u8> {
        self.input.rest()
    }

    fn state(&self) -> &'static str {
        match self.step {
            Step::Banner => "banner",
            Step::StlsReply | Step::Tls => "starttls",
            Step::XclientReply => "xclient",
            Step::UserReply => "user",
            Step::PassReply => "pass",
            Step::PlainPrompt | Step::LoginUserPrompt | Step::LoginPasswordPrompt | Step::AuthReply => "auth",
            Step::Done => "done",
        }
    }
}

/// A reply of one line; the only kind there is before login when nothing else is asked.
enum Reply<'a> {
    Ok(&'a [u8]),
    Err(&'a [u8]),
    Prompt,
}

impl<'a> Reply<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let (word, text) = match memchr::memchr(b' ', line) {
            Some(at) => {
                let (word, rest) = line.split_at(at);
                (word, rest.get(1..).unwrap_or_default())
            }
            None => (line, [].as_slice()),
        };
        match word {
            b"+OK" => Some(Self::Ok(text)),
            b"-ERR" => Some(Self::Err(text)),
            b"+" => Some(Self::Prompt),
            _ => None,
        }
    }
}

impl Pop3Back {
    /// Acts upon the reply to what was sent last.
    fn reply(&mut self, reply: Reply<'_>) -> Option<BackEvent> {
        match (self.step, reply) {
            (Step::Banner, Reply::Err(text)) => {
                return Some(self.broken(format!("refused the connection: {}", shown(text)), true));
            }
            (Step::StlsReply, Reply::Err(text)) => {
                return Some(self.broken(format!("refused STLS: {}", shown(text)), true));
            }
            (Step::XclientReply, Reply::Err(text)) => {
                return Some(self.broken(format!("refused XCLIENT: {}", shown(text)), true));
            }
            (_, Reply::Err(text)) => return Some(self.refused(text)),
            (Step::PassReply | Step::AuthReply, Reply::Ok(text)) => {
                self.step = Step::Done;
                return Some(BackEvent::Ready {
                    text: text.to_vec(),
                    capability: None,
                    untagged: Vec::new(),
                });
            }
            // To all the rest we react by speaking, so it must have been the last thing said.
            _ if self.input.pending() > 0 => {
                return Some(self.broken("spoke before it was asked".to_owned(), true));
            }
            (Step::Banner, Reply::Ok(text)) => {
                self.wants_identity = memchr::memmem::find(text, b"[XCLIENT]").is_some();
                if self.errand.starttls {
                    self.step = Step::StlsReply;
                    send(&mut self.output, &[b"STLS"]);
                } else {
                    self.introduce();
                }
            }
            (Step::XclientReply, Reply::Ok(_)) => self.log_in(),
            (Step::StlsReply, Reply::Ok(_)) => {
                self.step = Step::Tls;
                return Some(BackEvent::StartTls);
            }
            (Step::UserReply, Reply::Ok(_)) => {
                self.step = Step::PassReply;
                send(&mut self.output, &[b"PASS ", self.errand.password.expose_secret()]);
            }
            (Step::PlainPrompt, Reply::Prompt) => {
                self.step = Step::AuthReply;
                let message = self.plain_message();
                send(&mut self.output, &[&message]);
            }
            (Step::LoginUserPrompt, Reply::Prompt) => {
                self.step = Step::LoginPasswordPrompt;
                let user = encoded(self.errand.user.as_bytes());
                send(&mut self.output, &[&user]);
            }
            (Step::LoginPasswordPrompt, Reply::Prompt) => {
                self.step = Step::AuthReply;
                let password = encoded(self.errand.password.expose_secret());
                send(&mut self.output, &[&password]);
            }
            (_, Reply::Ok(_) | Reply::Prompt) => {
                let why = format!("sent a reply that does not fit the step {}", self.state());
                return Some(self.broken(why, true));
            }
        }
        None
    }

    /// Says whose login it will be, where that is wanted, and waits for the reply; else logs in.
    fn introduce(&mut self) {
        match self.errand.identity.take() {
            Some(identity) if self.wants_identity => {
                let command;
                (command, self.left_out) = xclient::write(&identity.facts);
                self.step = Step::XclientReply;
                self.output.extend_from_slice(&command);
            }
            _ => self.log_in(),
        }
    }

    /// Sends the login command.
    fn log_in(&mut self) {
        match self.method {
            Ok(Method::UserPass) => {
                self.step = Step::UserReply;
                send(&mut self.output, &[b"USER ", self.errand.user.as_bytes()]);
            }
            Ok(Method::Plain) => {
                let command = b"AUTH PLAIN ";
                let message = self.plain_message();
                if command.len() + message.len() + 2 <= INITIAL_RESPONSE_LIMIT {
                    self.step = Step::AuthReply;
                    send(&mut self.output, &[command, &message]);
                } else {
                    self.step = Step::PlainPrompt;
                    send(&mut self.output, &[b"AUTH PLAIN"]);
                }
            }
            Ok(Method::Login) => {
                self.step = Step::LoginUserPrompt;
                send(&mut self.output, &[b"AUTH LOGIN"]);
            }
            // Not reached: such an errand ends before a byte is read.
            Err(_) => {}
        }
    }

    /// The message of PLAIN (RFC 4616) in base64.
    fn plain_message(&self) -> Zeroizing<Vec<u8>> {
        let Errand { user, master, password, .. } = &self.errand;
        let authentication = master.as_ref().unwrap_or(user);
        let parts = [user.as_bytes(), authentication.as_bytes(), password.expose_secret()];
        encoded(&Zeroizing::new(parts.join([0].as_slice())))
    }

    fn refused(&mut self, text: &[u8]) -> BackEvent {
        self.step = Step::Done;
        let refusal = if text.is_empty() {
            BackRefusal::Credentials
        } else if text.get(..10).is_some_and(|code| code.eq_ignore_ascii_case(b"[SYS/TEMP]")) {
            BackRefusal::Temporary
        } else {
            BackRefusal::Coded
        };
        BackEvent::Refused { text: text.to_vec(), refusal }
    }

    fn broken(&mut self, why: String, retry: bool) -> BackEvent {
        self.step = Step::Done;
        self.input.discard();
        BackEvent::Broken { why, retry }
    }
}

/// Chooses how to log in, or says why the errand cannot be carried out at all.
fn method(errand: &Errand) -> Result<Method, String> {
    let Errand { user, master, password, mechanism, .. } = errand;
    let credentials =
        [user.as_bytes(), master.as_deref().unwrap_or_default().as_bytes(), password.expose_secret()];
    // A line end in a password would be a command of the user's own to the backend.
    if credentials.iter().any(|text| text.iter().any(u8::is_ascii_control)) {
        return Err("control characters in the credentials cannot be sent to a POP3 backend".to_owned());
    }
    match (mechanism.as_deref(), master) {
        (None, None) => Ok(Method::UserPass),
        (None, Some(_)) => Ok(Method::Plain),
        (Some(name), _) if name.eq_ignore_ascii_case("PLAIN") => Ok(Method::Plain),
        (Some(name), None) if name.eq_ignore_ascii_case("LOGIN") => Ok(Method::Login),
        (Some(name), Some(_)) if name.eq_ignore_ascii_case("LOGIN") => {
            Err("SASL mechanism LOGIN cannot name a master user, use PLAIN".to_owned())
        }
        (Some(name), _) => Err(format!("unsupported SASL mechanism {name}, use PLAIN or LOGIN")),
    }
}

fn send(output: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        output.extend_from_slice(part);
    }
    output.extend_from_slice(b"\r\n");
}

fn encoded(data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::new());
    base64::encode(data, &mut text);
    text
}

/// A backend's words, fit for a log line.
fn shown(text: &[u8]) -> String {
    text.get(..200).unwrap_or(text).escape_ascii().to_string()
}
