//! The server side of POP3 from the greeting to the end of login. APOP is not offered.

use secrecy::zeroize::Zeroizing;

use super::{push_text, xclient};
use crate::{
    Answer, Code, Event, Farewell, Fault, Front, MechanismOffer, Offer, Rejected, Response, Secret, base64,
    cut::Cutter,
};

/// Longest command line, line end included.
const COMMAND_LIMIT: usize = 1024;

/// Longest line of a SASL exchange, line end included.
const RESPONSE_LIMIT: usize = 8192;

/// Most input that may wait already when more arrives.
const WAITING_LIMIT: usize = 16 * 1024;

/// Bad commands in a row that end the connection.
const BAD_COMMAND_LIMIT: u32 = 3;

/// Makes the server side; the greeting stands in its output.
pub fn front(offer: Offer) -> Box<dyn Front> {
    let mut front = Pop3Front::new(offer);
    front.greet();
    Box::new(front)
}

struct Pop3Front {
    offer: Offer,
    input: Cutter,
    output: Vec<u8>,
    phase: Phase,
    /// Argument of the last USER.
    user: Option<Vec<u8>>,
    bad_commands: u32,
    /// Input had to be dropped.
    overflowed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Commands are taken.
    Commands,
    /// A login waits for a challenge or an answer.
    Deciding,
    /// A challenge waits for its response.
    Challenged,
    /// TLS is about to begin; nothing is heard until it is up.
    Securing,
    /// Somebody else serves the client.
    Served,
    /// We have hung up.
    Closed,
}

impl Front for Pop3Front {
    fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.phase, Phase::Securing | Phase::Closed) || self.overflowed {
            return;
        }
        if self.input.pending() > WAITING_LIMIT {
            self.overflowed = true;
            return;
        }
        self.input.feed(bytes);
    }

    fn next(&mut self) -> Option<Event> {
        if self.overflowed && !matches!(self.phase, Phase::Served | Phase::Closed) {
            return Some(self.too_long());
        }
        while self.phase == Phase::Commands {
            let Ok(line) = self.command_line() else { return Some(self.too_long()) };
            // The line may hold a password.
            let line = Zeroizing::new(line?);
            let event = self.command(&line);
            if event.is_some() {
                return event;
            }
        }
        None
    }

    fn challenge(&mut self, data: &[u8]) {
        if self.phase == Phase::Deciding {
            self.output.extend_from_slice(b"+ ");
            base64::encode(data, &mut self.output);
            self.output.extend_from_slice(b"\r\n");
            self.phase = Phase::Challenged;
        }
    }

    fn response(&mut self) -> Option<Response> {
        if self.phase != Phase::Challenged {
            return None;
        }
        let line = match self.input.line() {
            Ok(line) if !self.overflowed => Zeroizing::new(line?),
            _ => {
                // Nothing is said: the client is in the middle of something else than a command.
                self.close();
                return Some(Response::Fault(Fault::TooLong));
            }
        };
        self.phase = Phase::Commands;
        if line.as_slice() == b"*" {
            self.reply("-ERR ", b"Authentication aborted by client.");
            return Some(Response::Abort);
        }
        let Some(data) = base64::decode(line.trim_ascii()) else {
            self.reply("-ERR [AUTH] ", b"Invalid base64 in response");
            return Some(Response::Malformed);
        };
        self.phase = Phase::Deciding;
        Some(Response::Data(data.into()))
    }

    fn answer(&mut self, answer: Answer<'_>) {
        if !matches!(self.phase, Phase::Deciding | Phase::Challenged) {
            return;
        }
        self.phase = Phase::Commands;
        match answer {
            // Part of what the client has sent for its server is lost: better no session than that one.
            Answer::Welcome(_) if self.overflowed => drop(self.too_long()),
            Answer::Welcome(welcome) => {
                let text = match welcome.referral {
                    Some((_, text)) => text.as_bytes(),
                    None if welcome.text.is_empty() => b"Logged in.",
                    None => welcome.text,
                };
                self.reply("+OK ", text);
                self.phase = Phase::Served;
            }
            // POP3 has no referral codes (RFC 2221 is for IMAP): the client's user reads where to go.
            Answer::Referral { text, .. } => self.reply("-ERR ", text.as_bytes()),
            Answer::Refusal { code, text } => self.reply(refusal_prefix(code, text), text.as_bytes()),
            Answer::Backend { text } => self.reply("-ERR ", text),
        }
    }

    fn secured(&mut self, offer: Offer) {
        let output = std::mem::take(&mut self.output);
        *self = Self { output, ..Self::new(offer) };
    }

    fn farewell(&mut self, why: Farewell) {
        if matches!(self.phase, Phase::Served | Phase::Closed) {
            return;
        }
        match why {
            Farewell::Inactivity => self.reply("-ERR ", b"Disconnected for inactivity."),
            Farewell::InactivityInLogin => {
                self.reply("-ERR ", b"Disconnected for inactivity during authentication.");
            }
            Farewell::Shutdown => self.reply("-ERR [SYS/TEMP] ", b"Server shutting down."),
            Farewell::Full => self.reply("-ERR ", b"Connection queue full"),
        }
        self.close();
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn leftover(&mut self) -> Vec<u8> {
        self.input.rest()
    }
}

impl Pop3Front {
    fn new(offer: Offer) -> Self {
        Self {
            offer,
            input: Cutter::new(RESPONSE_LIMIT),
            output: Vec::new(),
            phase: Phase::Commands,
            user: None,
            bad_commands: 0,
            overflowed: false,
        }
    }

    fn greet(&mut self) {
        let greeting = std::mem::take(&mut self.offer.greeting);
        self.reply(if self.offer.trusted { "+OK [XCLIENT] " } else { "+OK " }, greeting.as_bytes());
    }

    /// Takes the next command line; the limit counts the same however the bytes arrive.
    fn command_line(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let before = self.input.pending();
        let line = self.input.line().map_err(|_| Fault::TooLong)?;
        let after = self.input.pending();
        let length = if line.is_some() { before - after } else { after + 1 };
        if length > COMMAND_LIMIT { Err(Fault::TooLong) } else { Ok(line) }
    }

    fn command(&mut self, line: &[u8]) -> Option<Event> {
        let (name, arguments) = match memchr::memchr(b' ', line) {
            Some(at) => {
                let (name, rest) = line.split_at(at);
                (name, rest.get(1..).unwrap_or_default())
            }
            None => (line, [].as_slice()),
        };
        if line.contains(&0) {
            return self.bad("NUL is not allowed in commands.");
        }
        match name.to_ascii_uppercase().as_slice() {
            // Neither a bad command nor one that makes up for bad ones.
            b"AUTH" => return self.auth(arguments),
            b"CAPA" => self.capabilities(),
            b"USER" => {
                self.bad_commands = 0;
                return self.user(arguments);
            }
            b"PASS" => {
                self.bad_commands = 0;
                return self.pass(arguments);
            }
            b"APOP" => self.reply("-ERR ", b"APOP not enabled."),
            b"STLS" => {
                self.bad_commands = 0;
                return self.start_tls();
            }
            b"XCLIENT" => {
                self.bad_commands = 0;
                return self.xclient(arguments);
            }
            b"QUIT" => {
                self.reply("+OK ", b"Logging out");
                self.close();
                return Some(Event::Quit);
            }
            _ => return self.bad("Unknown command."),
        }
        self.bad_commands = 0;
        None
    }

    fn bad(&mut self, text: &str) -> Option<Event> {
        self.reply("-ERR ", text.as_bytes());
        self.bad_commands += 1;
        if self.bad_commands < BAD_COMMAND_LIMIT {
            return None;
        }
        self.reply("-ERR ", b"Too many invalid bad commands.");
        self.close();
        Some(Event::Fault(Fault::BadCommands))
    }

    fn capabilities(&mut self) {
        self.output.extend_from_slice(
            b"+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\n",
        );
        if self.offer.starttls && !self.offer.tls {
            self.output.extend_from_slice(b"STLS\r\n");
        }
        if self.offer.plaintext {
            self.output.extend_from_slice(b"USER\r\n");
        }
        self.output.extend_from_slice(b"SASL");
        for mechanism in usable(&self.offer) {
            self.output.push(b' ');
            self.output.extend_from_slice(mechanism.name.as_bytes());
        }
        self.output.extend_from_slice(b"\r\n.\r\n");
    }

    /// `USER name`: anything after the first blank, even nothing, is the name.
    fn user(&mut self, name: &[u8]) -> Option<Event> {
        if let Some(rejected) = self.plaintext_command_rejected() {
            return Some(rejected);
        }
        self.user = Some(name.to_vec());
        self.output.extend_from_slice(b"+OK\r\n");
        None
    }

    /// `PASS password`: blanks, leading ones too, belong to the password.
    fn pass(&mut self, password: &[u8]) -> Option<Event> {
        if let Some(rejected) = self.plaintext_command_rejected() {
            return Some(rejected);
        }
        let Some(user) = self.user.take() else {
            self.reply("-ERR ", b"No username given.");
            return None;
        };
        let Some(mechanism) = find(&self.offer, b"PLAIN") else { return Some(self.unsupported()) };
        let mut message = Vec::with_capacity(user.len() + password.len() + 2);
        message.push(0);
        message.extend_from_slice(&user);
        message.push(0);
        message.extend_from_slice(password);
        Some(self.login(mechanism.name, Some(message.into())))
    }

    /// Refuses USER and PASS on a connection that may be overheard, before a password is asked for.
    fn plaintext_command_rejected(&mut self) -> Option<Event> {
        let why = match (self.offer.tls_required, self.offer.plaintext) {
            (true, _) => Rejected::TlsRequired,
            (false, false) => Rejected::Plaintext,
            (false, true) => return None,
        };
        self.reply(
            "-ERR [AUTH] ",
            b"Plaintext authentication disallowed on non-secure (SSL/TLS) connections.",
        );
        Some(Event::Rejected(why))
    }

    /// `AUTH [mechanism [initial-response]]` (RFC 5034 §4); alone it lists the mechanisms.
    fn auth(&mut self, arguments: &[u8]) -> Option<Event> {
        let mut words = arguments.splitn(2, |&byte| byte == b' ');
        let name = words.next().unwrap_or_default();
        if name.is_empty() {
            self.output.extend_from_slice(b"+OK\r\n");
            for mechanism in usable(&self.offer) {
                self.output.extend_from_slice(mechanism.name.as_bytes());
                self.output.extend_from_slice(b"\r\n");
            }
            self.output.extend_from_slice(b".\r\n");
            return None;
        }
        if self.offer.tls_required {
            self.reply("-ERR [AUTH] ", b"Authentication not allowed until SSL/TLS is enabled.");
            return Some(Event::Rejected(Rejected::TlsRequired));
        }
        let Some(mechanism) = find(&self.offer, name) else { return Some(self.unsupported()) };
        if mechanism.plaintext && !self.offer.plaintext {
            self.reply("-ERR [AUTH] ", b"Plaintext authentication disabled.");
            return Some(Event::Rejected(Rejected::Plaintext));
        }
        let initial = match words.next().unwrap_or_default().trim_ascii() {
            b"" => None,
            b"=" => Some(Secret::from(Vec::new())),
            text => match base64::decode(text) {
                Some(data) => Some(data.into()),
                None => {
                    self.reply("-ERR [AUTH] ", b"Invalid base64 data in initial response");
                    return Some(Event::Rejected(Rejected::Base64));
                }
            },
        };
        Some(self.login(mechanism.name, initial))
    }

    fn login(&mut self, mechanism: &'static str, initial: Option<Secret>) -> Event {
        self.phase = Phase::Deciding;
        Event::Login { mechanism, initial }
    }

    fn unsupported(&mut self) -> Event {
        self.reply("-ERR [AUTH] ", b"Unsupported authentication mechanism.");
        Event::Rejected(Rejected::Mechanism)
    }

    fn start_tls(&mut self) -> Option<Event> {
        if self.offer.tls {
            self.reply("-ERR ", b"TLS is already active.");
            return None;
        }
        if !self.offer.starttls {
            self.reply("-ERR ", b"TLS support isn't enabled.");
            return None;
        }
        self.reply("+OK ", b"Begin TLS negotiation now.");
        // Commands smuggled in behind this one would otherwise be carried out as if they were protected.
        self.input.discard();
        self.phase = Phase::Securing;
        Some(Event::StartTls)
    }

    fn xclient(&mut self, arguments: &[u8]) -> Option<Event> {
        if !self.offer.trusted {
            self.reply("+OK ", b"You are not from trusted IP - ignoring");
            return None;
        }
        let (forwarded, readable) = xclient::read(arguments);
        if readable {
            self.reply("+OK ", b"Updated");
        } else {
            self.reply("-ERR ", b"Invalid parameters");
        }
        Some(Event::Forwarded(forwarded))
    }

    fn too_long(&mut self) -> Event {
        self.reply("-ERR ", b"Input buffer full, aborting");
        self.close();
        Event::Fault(Fault::TooLong)
    }

    fn close(&mut self) {
        self.input.discard();
        self.user = None;
        self.phase = Phase::Closed;
    }

    fn reply(&mut self, prefix: &str, text: &[u8]) {
        self.output.extend_from_slice(prefix.as_bytes());
        push_text(&mut self.output, text);
        self.output.extend_from_slice(b"\r\n");
    }
}

/// What stands before the text of a refusal (RFC 2449 §8, RFC 3206).
fn refusal_prefix(code: Code, text: &str) -> &'static str {
    match code {
        // An administrator's own text may bring its own code.
        Code::ContactAdmin if text.starts_with('[') => "-ERR ",
        Code::AuthenticationFailed
        | Code::AuthorizationFailed
        | Code::Expired
        | Code::ContactAdmin
        | Code::PrivacyRequired
        | Code::Mechanism => "-ERR [AUTH] ",
        Code::Unavailable | Code::ServerBug => "-ERR [SYS/TEMP] ",
        Code::Limit => "-ERR [IN-USE] ",
    }
}

/// Mechanisms that may be used on this connection as it stands.
fn usable(offer: &Offer) -> impl Iterator<Item = &MechanismOffer> {
    let any = !offer.tls_required;
    offered(offer).filter(move |mechanism| any && (offer.plaintext || !mechanism.plaintext))
}

fn find<'a>(offer: &'a Offer, name: &[u8]) -> Option<&'a MechanismOffer> {
    offered(offer).find(|mechanism| mechanism.name.as_bytes().eq_ignore_ascii_case(name))
}

/// The mechanisms of AUTH: all but APOP, which is a command of its own.
fn offered(offer: &Offer) -> impl Iterator<Item = &MechanismOffer> {
    offer.mechanisms.iter().filter(|mechanism| mechanism.name != "APOP")
}
