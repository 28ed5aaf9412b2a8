//! The asking side of a connection to an auth socket: what Postfix does, for tools and tests.
//!
//! It keeps no account of its requests; the caller gives each an id and knows what is open.

use super::{
    LINE_LIMIT, MINOR,
    line::{self, Line, LineTooLong},
    number,
};
use crate::{Secret, base64, cut::Cutter};

/// Most mechanisms that a server may list.
const MECHANISM_LIMIT: usize = 100;

/// The asking side; as an iterator it yields what the server has said so far.
pub struct Asker {
    input: Cutter,
    output: Vec<u8>,
    greeting: Option<Greeting>,
    broken: bool,
}

/// What the server says of itself before anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// Mechanisms offered, each with its flags.
    pub mechanisms: Vec<(String, Vec<String>)>,
    /// The server's process.
    pub pid: u32,
    /// Number of this connection.
    pub cuid: u32,
    /// What a master has to present to pick up a login, in hex.
    pub cookie: String,
}

/// What the server says.
#[derive(Debug)]
pub enum Reply {
    /// The handshake is complete.
    Ready(Greeting),
    /// A challenge, to be replied to with [`Asker::cont`].
    Challenge {
        /// Which request.
        id: u32,
        /// Decoded bytes.
        data: Secret,
    },
    /// The request succeeded.
    Ok {
        /// Which request.
        id: u32,
        /// Its fields in the order written; `None`: without a value.
        fields: Vec<(String, Option<String>)>,
    },
    /// The request failed.
    Fail {
        /// Which request.
        id: u32,
        /// Its fields in the order written; `None`: without a value.
        fields: Vec<(String, Option<String>)>,
    },
    /// The server cannot be understood; the connection must be closed. Nothing follows.
    Broken(String),
}

impl Asker {
    /// Begins a connection as the process `pid` (not 0); our half of the handshake stands in the output.
    pub fn new(pid: u32) -> Self {
        Self {
            input: Cutter::new(LINE_LIMIT),
            output: format!("VERSION\t1\t{MINOR}\nCPID\t{pid}\n").into_bytes(),
            greeting: Some(Greeting::default()),
            broken: false,
        }
    }

    /// Takes bytes from the server.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.input.feed(bytes);
        }
    }

    /// Asks for an authentication. The parameters must name a `service`.
    pub fn auth(
        &mut self,
        id: u32,
        mechanism: &str,
        parameters: &[(&str, Option<&str>)],
        initial: Option<&[u8]>,
    ) -> Result<(), LineTooLong> {
        let mut line = Line::new(&mut self.output, "AUTH").number(id).field(mechanism.as_bytes());
        for (name, value) in parameters {
            line = line.pair(name, *value);
        }
        match initial {
            None => line,
            Some(b"") => line.field(b"resp=="),
            Some(data) => line.encoded(Some("resp"), data),
        }
        .end(LINE_LIMIT)
    }

    /// Replies to a challenge.
    pub fn cont(&mut self, id: u32, data: &[u8]) -> Result<(), LineTooLong> {
        Line::new(&mut self.output, "CONT").number(id).encoded(None, data).end(LINE_LIMIT)
    }

    /// Gives a request up; no answer follows.
    pub fn cancel(&mut self, id: u32) {
        // Two short fields always fit.
        let _ = Line::new(&mut self.output, "CANCEL").number(id).end(LINE_LIMIT);
    }

    /// Bytes to be written to the server; the caller clears what it wrote.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }
}

impl Iterator for Asker {
    type Item = Reply;

    /// The next reply, or `None`: more bytes are needed.
    fn next(&mut self) -> Option<Reply> {
        while !self.broken {
            let taken = match self.input.line() {
                Ok(Some(line)) if self.greeting.is_some() => self.greeted(&line),
                Ok(Some(line)) => reply(&line).map(Some),
                Ok(None) => return None,
                Err(_) => None,
            };
            match taken {
                Some(None) => {}
                Some(reply) => return reply,
                None => {
                    self.broken = true;
                    self.input.discard();
                    return Some(Reply::Broken("the auth server sent a line that makes no sense".to_owned()));
                }
            }
        }
        None
    }
}

impl Asker {
    /// Takes a line of the handshake; `Some(None)` when more of it follows, `None` when it is not one.
    fn greeted(&mut self, line: &[u8]) -> Option<Option<Reply>> {
        let greeting = self.greeting.as_mut()?;
        let mut fields = line::fields(line);
        match fields.next()? {
            b"VERSION" if fields.next()? == super::MAJOR => {}
            b"MECH" if greeting.mechanisms.len() < MECHANISM_LIMIT => {
                let name = line::text_of(fields.next()?)?;
                greeting.mechanisms.push((name, fields.map(line::text_of).collect::<Option<_>>()?));
            }
            b"SPID" => greeting.pid = number(fields.next()?)?,
            b"CUID" => greeting.cuid = number(fields.next()?)?,
            b"COOKIE" => greeting.cookie = line::text_of(fields.next()?)?,
            b"DONE" => return Some(self.greeting.take().map(Reply::Ready)),
            _ => return None,
        }
        Some(None)
    }
}

/// Reads an answer; `None` when it is none.
fn reply(line: &[u8]) -> Option<Reply> {
    let mut fields = line::fields(line);
    let command = fields.next()?;
    let id = number(fields.next()?)?;
    Some(match command {
        b"OK" => Reply::Ok { id, fields: pairs(fields)? },
        b"FAIL" => Reply::Fail { id, fields: pairs(fields)? },
        b"CONT" => Reply::Challenge { id, data: base64::decode(fields.next().unwrap_or_default())?.into() },
        _ => return None,
    })
}

/// Reads `name` and `name=value` fields, leaving out empty ones: Dovecot writes such by mistake.
fn pairs<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Option<Vec<(String, Option<String>)>> {
    fields
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, value) = line::split_pair(field);
            Some((line::text_of(name)?, value.map_or(Some(None), |value| line::text_of(value).map(Some))?))
        })
        .collect()
}
