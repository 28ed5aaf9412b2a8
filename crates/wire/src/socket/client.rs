//! Our side of a connection on which somebody asks us to authenticate: lines in, requests out;
//! answers in, lines out.
//!
//! Every request gets exactly one `OK` or `FAIL`, unless it is cancelled. What needs no decision
//! (undecodable data, ids that are not open, too many requests) is answered here. What breaks the
//! protocol ends the connection, because the ids of its other requests can no longer be trusted.

use std::collections::HashMap;

use super::{
    ANSWER_LIMIT, LINE_LIMIT, MAJOR, MINOR,
    line::{self, Line, LineTooLong},
    lines::Lines,
    number,
    request::AuthRequest,
};
use crate::{Secret, base64};

/// Most requests that may be open on one connection.
pub const OPEN_LIMIT: usize = 1_000;

/// Our side of one connection, from the handshake on; as an iterator it yields what came in so far.
///
/// The caller feeds what it reads, takes events until there are none, answers them in any order,
/// and writes [`Server::output`] in one piece. What is answered without the caller takes at most
/// about six times the room of the bytes fed.
pub struct Server {
    input: Lines,
    exchange: Exchange,
}

/// All but the input, so that a line can be acted upon where it lies.
struct Exchange {
    mechanisms: Vec<&'static str>,
    output: Vec<u8>,
    open: HashMap<u32, Stage>,
    phase: Phase,
    minor: u32,
    /// It has been said that there are too many requests.
    crowded: bool,
}

/// What the server says of itself at once.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Mechanisms in the order offered.
    pub mechanisms: Vec<OfferedMechanism>,
    /// Our process.
    pub pid: u32,
    /// Number of this connection, unique within our process.
    pub cuid: u32,
    /// What a master has to present to pick up a login of this connection.
    pub cookie: [u8; 16],
}

/// A mechanism as the handshake lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedMechanism {
    /// Canonical upper-case name.
    pub name: &'static str,
    /// Its properties: `plaintext`, `dictionary`, `active`, `anonymous`, `mutual-auth`, `private` …
    pub flags: Vec<&'static str>,
}

/// What the asker wants, or what became of the connection.
#[derive(Debug)]
pub enum SocketEvent {
    /// A new request; to be answered by a challenge, a success or a failure.
    Auth(Box<AuthRequest>),
    /// The reply to the last challenge of a request.
    Cont {
        /// Which request.
        id: u32,
        /// Decoded bytes.
        data: Secret,
    },
    /// The request is over: the asker lost interest, or replied with what cannot be used and has been
    /// told so. Nothing is to be answered.
    Cancel {
        /// Which request.
        id: u32,
    },
    /// For the log; the connection goes on.
    Notice(String),
    /// The asker broke the protocol: for the log, and the connection must be closed. Nothing follows.
    Fault(String),
}

/// Why a request failed, in the order in which it is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failure<'a> {
    /// Final user name, when there is one.
    pub user: Option<&'a str>,
    /// The asker should not delay the failure on its side.
    pub nodelay: bool,
    /// `temp_fail`, `authz_fail`, `user_disabled`, `pass_expired` …
    pub code: Option<&'a str>,
    /// Text for the client.
    pub reason: Option<&'a str>,
    /// Extra fields that survive a failure. Those said above are not repeated.
    pub fields: &'a [(&'a str, Option<&'a str>)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Version,
    ProcessId,
    Requests,
    Broken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Deciding,
    Challenged,
}

impl Server {
    /// Begins a connection; the handshake stands in the output.
    pub fn new(hello: &Hello) -> Self {
        let exchange = Exchange {
            mechanisms: hello.mechanisms.iter().map(|mechanism| mechanism.name).collect(),
            output: handshake(hello),
            open: HashMap::new(),
            phase: Phase::Version,
            minor: 0,
            crowded: false,
        };
        Self { input: Lines::default(), exchange }
    }

    /// Takes bytes from the asker. After a fault they are dropped.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.exchange.phase != Phase::Broken {
            self.input.feed(bytes);
        }
    }

    /// Sends a challenge (not yet base64). One that is too long for a line fails the request.
    pub fn challenge(&mut self, id: u32, data: &[u8]) -> Result<(), LineTooLong> {
        let Some(stage) = self.exchange.open.get_mut(&id) else { return Ok(()) };
        *stage = Stage::Challenged;
        let line = Line::new(&mut self.exchange.output, "CONT").number(id).encoded(None, data);
        let written = line.end(ANSWER_LIMIT);
        self.exchange.or_temporary(id, written)
    }

    /// Ends a request with success. When the line would be too long, the request fails for the
    /// moment instead: a success with fields left out could let in whom the fields keep out.
    pub fn ok(&mut self, id: u32, user: &str, fields: &[(&str, Option<&str>)]) -> Result<(), LineTooLong> {
        if self.exchange.open.remove(&id).is_none() {
            return Ok(());
        }
        let mut line = Line::new(&mut self.exchange.output, "OK").number(id).pair("user", Some(user));
        for (name, value) in fields.iter().filter(|(name, _)| *name != "user") {
            line = line.pair(name, *value);
        }
        let written = line.end(ANSWER_LIMIT);
        self.exchange.or_temporary(id, written)
    }

    /// Ends a request with failure. When the line would be too long, it becomes a temporary failure
    /// without fields.
    pub fn fail(&mut self, id: u32, failure: Failure<'_>) -> Result<(), LineTooLong> {
        if self.exchange.open.remove(&id).is_none() {
            return Ok(());
        }
        let written = write_failure(&mut self.exchange.output, id, failure);
        self.exchange.or_temporary(id, written)
    }

    /// Bytes to be written to the asker; the caller clears what it wrote.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.exchange.output
    }

    /// How many requests wait for an answer or a reply.
    pub fn open(&self) -> usize {
        self.exchange.open.len()
    }
}

impl Iterator for Server {
    type Item = SocketEvent;

    /// The next thing to act upon, or `None`: more bytes are needed.
    fn next(&mut self) -> Option<SocketEvent> {
        while self.exchange.phase != Phase::Broken {
            let taken = match self.input.next() {
                Ok(Some(line)) => self.exchange.line(line),
                Ok(None) => return None,
                Err(_) => Err(format!("line of more than {LINE_LIMIT} bytes")),
            };
            match taken {
                Ok(None) => {}
                Ok(Some(event)) => return Some(event),
                Err(why) => {
                    self.exchange.phase = Phase::Broken;
                    self.exchange.open.clear();
                    self.input.discard();
                    return Some(SocketEvent::Fault(why));
                }
            }
        }
        None
    }
}

/// What a line gave: an event, or nothing because it is dealt with, or why the connection must end.
type Taken = Result<Option<SocketEvent>, String>;

impl Exchange {
    fn line(&mut self, line: &[u8]) -> Taken {
        let (command, rest) = split_tab(line);
        match (self.phase, command, rest) {
            (Phase::Version, b"VERSION", Some(rest)) => self.version(rest),
            (Phase::ProcessId, b"CPID", Some(rest)) => self.process_id(rest),
            (Phase::Requests, b"AUTH", Some(rest)) => self.auth(rest),
            (Phase::Requests, b"CONT", Some(rest)) => self.cont(rest),
            (Phase::Requests, b"CANCEL", Some(rest)) => self.cancel(rest),
            _ => Err(format!("unexpected command {}", shown(command))),
        }
    }

    /// `VERSION major minor`
    fn version(&mut self, rest: &[u8]) -> Taken {
        let (major, minor) = split_tab(rest);
        self.minor = minor.and_then(number).ok_or("VERSION without two numbers")?;
        if major != MAJOR {
            return Err(format!("protocol version {} is not ours (1)", shown(major)));
        }
        self.phase = Phase::ProcessId;
        Ok(None)
    }

    /// `CPID pid`
    fn process_id(&mut self, rest: &[u8]) -> Taken {
        number(rest).filter(|&pid| pid != 0).ok_or("CPID without a process id")?;
        self.phase = Phase::Requests;
        Ok(None)
    }

    /// `AUTH id mechanism parameters… [resp=base64]`
    fn auth(&mut self, rest: &[u8]) -> Taken {
        let mut fields = line::fields(rest);
        let id = fields.next().and_then(number).filter(|&id| id != 0).ok_or("AUTH without a valid id")?;
        let mechanism = fields.next().ok_or_else(|| format!("AUTH {id} without a mechanism"))?;
        let mechanism =
            self.mechanisms.iter().find(|name| name.as_bytes().eq_ignore_ascii_case(mechanism)).ok_or_else(
                || format!("AUTH {id} with a mechanism that is not offered: {}", shown(mechanism)),
            )?;
        let mut request = Box::new(AuthRequest { id, mechanism, ..AuthRequest::default() });
        let mut served = false;
        let mut unreadable = None;
        let mut response = None;
        for field in fields {
            if response.is_some() {
                return Err(format!("AUTH {id} with a parameter after resp"));
            }
            let (name, value) = line::split_pair(field);
            let value = value.unwrap_or_default();
            match name {
                b"resp" => response = Some(value),
                b"service" => served = true,
                _ => {}
            }
            if request.take(name, value).is_none() {
                unreadable = Some(name);
            }
        }
        if !served {
            return Err(format!("AUTH {id} without a service"));
        }
        if self.open.contains_key(&id) {
            return Err(format!("AUTH {id} while that id is in use"));
        }
        if self.open.len() >= OPEN_LIMIT {
            fail_temporarily(&mut self.output, id);
            let first = !std::mem::replace(&mut self.crowded, true);
            return Ok(
                first.then(|| SocketEvent::Notice(format!("more than {OPEN_LIMIT} requests open at once")))
            );
        }
        if let Some(name) = unreadable {
            fail_temporarily(&mut self.output, id);
            return Ok(Some(SocketEvent::Notice(format!("AUTH {id} with an unreadable {}", shown(name)))));
        }
        request.initial = match response {
            None => None,
            Some(text) => match initial_response(text, self.minor) {
                Ok(initial) => initial,
                Err(NotBase64) => {
                    fail_base64(&mut self.output, id, "Invalid base64 data in initial response");
                    return Ok(None);
                }
            },
        };
        self.open.insert(id, Stage::Deciding);
        Ok(Some(SocketEvent::Auth(request)))
    }

    /// `CONT id base64`
    fn cont(&mut self, rest: &[u8]) -> Taken {
        let (id, data) = split_tab(rest);
        let id = number(id).ok_or("CONT without an id")?;
        let data = data.ok_or_else(|| format!("CONT {id} without data"))?;
        let Some(stage) = self.open.get_mut(&id) else {
            fail_because(&mut self.output, id, "Authentication request timed out");
            return Ok(None);
        };
        if *stage == Stage::Challenged {
            *stage = Stage::Deciding;
            if let Some(data) = base64::decode(data.trim_ascii()) {
                return Ok(Some(SocketEvent::Cont { id, data: data.into() }));
            }
            fail_base64(&mut self.output, id, "Invalid base64 data in continued response");
        } else {
            // Nothing was asked. What is under way ends with it, or this id would be answered twice.
            fail_because(&mut self.output, id, "Unexpected continuation");
        }
        self.open.remove(&id);
        Ok(Some(SocketEvent::Cancel { id }))
    }

    /// `CANCEL id`
    fn cancel(&mut self, rest: &[u8]) -> Taken {
        let id = number(rest).ok_or("CANCEL without an id")?;
        Ok(self.open.remove(&id).map(|_| SocketEvent::Cancel { id }))
    }

    /// Ends a request whose answer could not be written.
    fn or_temporary(&mut self, id: u32, written: Result<(), LineTooLong>) -> Result<(), LineTooLong> {
        if written.is_err() {
            self.open.remove(&id);
            fail_temporarily(&mut self.output, id);
        }
        written
    }
}

/// `VERSION`, the mechanisms, who we are, `DONE`.
fn handshake(hello: &Hello) -> Vec<u8> {
    let mut out = format!("VERSION\t1\t{MINOR}\n").into_bytes();
    for mechanism in &hello.mechanisms {
        let mut line = Line::new(&mut out, "MECH").field(mechanism.name.as_bytes());
        for flag in &mechanism.flags {
            line = line.field(flag.as_bytes());
        }
        // Names and flags are our own words and short.
        let _ = line.end(ANSWER_LIMIT);
    }
    let Hello { pid, cuid, .. } = hello;
    let cookie = data_encoding::HEXLOWER.encode(&hello.cookie);
    out.extend_from_slice(format!("SPID\t{pid}\nCUID\t{cuid}\nCOOKIE\t{cookie}\nDONE\n").as_bytes());
    out
}

struct NotBase64;

/// Reads the value of `resp`. A lone `=` is an empty response; so is nothing at all, but older
/// askers (minor version below 2) mean by it that there is none.
fn initial_response(text: &[u8], minor: u32) -> Result<Option<Secret>, NotBase64> {
    match text.trim_ascii() {
        b"" if minor < 2 => Ok(None),
        b"" | b"=" => Ok(Some(Secret::from(Vec::new()))),
        text => base64::decode(text).map(|data| Some(data.into())).ok_or(NotBase64),
    }
}

fn write_failure(out: &mut Vec<u8>, id: u32, failure: Failure<'_>) -> Result<(), LineTooLong> {
    let Failure { user, nodelay, code, reason, fields } = failure;
    let mut line = Line::new(out, "FAIL").number(id);
    for (name, value) in [("user", user), ("code", code), ("reason", reason)] {
        if name == "code" && nodelay {
            line = line.pair("nodelay", None);
        }
        if value.is_some() {
            line = line.pair(name, value);
        }
    }
    for (name, value) in fields {
        let said = match *name {
            "user" => user.is_some(),
            "nodelay" => nodelay,
            "code" => true,
            "reason" => reason.is_some(),
            _ => false,
        };
        if !said {
            line = line.pair(name, *value);
        }
    }
    line.end(ANSWER_LIMIT)
}

fn fail_temporarily(out: &mut Vec<u8>, id: u32) {
    out.extend_from_slice(format!("FAIL\t{id}\tcode=temp_fail\n").as_bytes());
}

fn fail_because(out: &mut Vec<u8>, id: u32, reason: &str) {
    out.extend_from_slice(format!("FAIL\t{id}\treason={reason}\n").as_bytes());
}

fn fail_base64(out: &mut Vec<u8>, id: u32, reason: &str) {
    out.extend_from_slice(format!("FAIL\t{id}\tcode=invalid_base64\treason={reason}\n").as_bytes());
}

/// Cuts off the first field; `None` as the rest when it was the only one.
fn split_tab(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'\t', line) {
        Some(at) => {
            let (first, rest) = line.split_at(at);
            (first, rest.get(1..))
        }
        None => (line, None),
    }
}

/// A piece of what the asker sent, fit for a log line: no control bytes, and not much of it. Only
/// words that cannot hold a credential are ever shown.
fn shown(bytes: &[u8]) -> String {
    let piece = bytes.get(..64).unwrap_or(bytes);
    format!("\"{}\"", piece.escape_ascii())
}
