//! The server side of IMAP up to the end of login. It knows the commands that may be used before login
//! and how each answer is worded; who may log in is the session's to find out.

use std::collections::VecDeque;

use secrecy::zeroize::Zeroizing;

use super::command::{Command, Verb};
use super::grammar::{Arguments, Token, announced_literal, breaks_lines, is_tag, push_text, split_word};
use super::wording::{push_capability, push_id, response_code};
use super::{
    BAD_COMMAND_LIMIT, COMMAND_LIMIT, INPUT_LIMIT, LINE_LIMIT, LITERAL_LIMIT, OUTPUT_PAUSE, id, url,
};
use crate::cut::{Cutter, TooLong};
use crate::{
    Answer, Event, Farewell, Fault, Forwarded, Front, MechanismOffer, Offer, Rejected, Response, Secret,
    Welcome, base64,
};

/// What anything that is no command is told.
const BAD_COMMAND: &str = "BAD Error in IMAP command received by server.";

/// Makes the server side for one connection; its output holds the greeting.
pub fn front(offer: Offer) -> Box<dyn Front> {
    let mut front = ImapFront::new(offer);
    front.greet();
    Box::new(front)
}

struct ImapFront {
    offer: Offer,
    input: Cutter,
    output: Vec<u8>,
    events: VecDeque<Event>,
    phase: Phase,
    /// A command whose literal has not arrived yet.
    unfinished: Option<Command>,
    /// Tag of the login under way.
    login_tag: Vec<u8>,
    /// Such a client may not know the code of the greeting, so it is told untagged.
    asked_capability: bool,
    /// TLS began by STARTTLS.
    began_tls: bool,
    bad_commands: u8,
    /// More came than may wait.
    overflowed: bool,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client's: a command.
    Commands,
    /// The session's: an answer or a challenge to a login.
    Login,
    /// The client's: a reply to the challenge.
    Challenge,
    /// The session's: TLS. Input until then is nobody's.
    Handshake,
    /// The session's for good: what comes is for whoever serves the client.
    Welcomed,
    /// Nobody's.
    Over,
}

impl Front for ImapFront {
    fn feed(&mut self, bytes: &[u8]) {
        match self.phase {
            Phase::Handshake | Phase::Over => {}
            Phase::Welcomed => self.input.feed(bytes),
            Phase::Commands | Phase::Login | Phase::Challenge => {
                if self.overflowed || self.input.pending() + bytes.len() > INPUT_LIMIT {
                    self.overflowed = true;
                    self.input.discard();
                } else {
                    self.input.feed(bytes);
                }
            }
        }
    }

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.overflowed && self.phase != Phase::Over {
                self.abort("Input buffer full, aborting", Fault::TooLong);
                continue;
            }
            if self.phase != Phase::Commands || self.output.len() >= OUTPUT_PAUSE || !self.advance() {
                return None;
            }
        }
    }

    fn challenge(&mut self, data: &[u8]) {
        if self.phase == Phase::Login {
            self.output.extend_from_slice(b"+ ");
            base64::encode(data, &mut self.output);
            self.output.extend_from_slice(b"\r\n");
            self.phase = Phase::Challenge;
        }
    }

    fn response(&mut self) -> Option<Response> {
        if self.phase != Phase::Challenge {
            return None;
        }
        let line = match self.input.line() {
            Ok(Some(line)) => Zeroizing::new(line),
            Ok(None) if !self.overflowed => return None,
            Ok(None) | Err(TooLong) => {
                self.phase = Phase::Over;
                self.input.discard();
                return Some(Response::Fault(Fault::TooLong));
            }
        };
        if line.as_slice() == b"*" {
            self.end_login("BAD", None, b"Authentication aborted by client.");
            return Some(Response::Abort);
        }
        let Some(data) = base64::decode(&line) else {
            self.end_login("NO", Some("ALERT"), b"Invalid base64 in response");
            return Some(Response::Malformed);
        };
        self.phase = Phase::Login;
        Some(Response::Data(Secret::from(data)))
    }

    fn answer(&mut self, answer: Answer<'_>) {
        if !matches!(self.phase, Phase::Login | Phase::Challenge) {
            return;
        }
        if self.overflowed {
            // A welcome would hand on a stream with a hole in it.
            self.abort("Input buffer full, aborting", Fault::TooLong);
            return;
        }
        match answer {
            Answer::Welcome(welcome) => self.welcome(&welcome),
            Answer::Referral { target, text } => {
                let mut code = b"REFERRAL ".to_vec();
                url::push_referral(&target, &mut code);
                let code = String::from_utf8_lossy(&code);
                self.end_login("NO", Some(&code), text.as_bytes());
            }
            Answer::Refusal { code, text } => {
                self.end_login("NO", Some(response_code(code)), text.as_bytes());
            }
            Answer::Backend { text } => self.end_login("NO", None, text),
        }
    }

    fn secured(&mut self, offer: Offer) {
        // That the client reads no response codes was said in the clear, and is worth nothing to forge.
        *self = Self { asked_capability: self.asked_capability, began_tls: true, ..Self::new(offer) };
    }

    fn farewell(&mut self, why: Farewell) {
        if matches!(self.phase, Phase::Welcomed | Phase::Over) {
            return;
        }
        self.untagged(match why {
            Farewell::Inactivity => "BYE Disconnected for inactivity.",
            Farewell::InactivityInLogin => "BYE Disconnected for inactivity during authentication.",
            Farewell::Shutdown => "BYE Server shutting down.",
            Farewell::Full => "BYE Connection queue full",
        });
        self.phase = Phase::Over;
        self.input.discard();
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn knows_capability(&self) -> bool {
        self.asked_capability
    }

    fn leftover(&mut self) -> Vec<u8> {
        self.input.rest()
    }
}

impl ImapFront {
    fn new(offer: Offer) -> Self {
        Self {
            offer,
            input: Cutter::new(LINE_LIMIT),
            output: Vec::new(),
            events: VecDeque::new(),
            phase: Phase::Commands,
            unfinished: None,
            login_tag: Vec::new(),
            asked_capability: false,
            began_tls: false,
            bad_commands: 0,
            overflowed: false,
        }
    }

    fn greet(&mut self) {
        self.output.extend_from_slice(b"* OK [CAPABILITY ");
        push_capability(&self.offer, &mut self.output);
        self.output.extend_from_slice(b"] ");
        push_text(self.offer.greeting.as_bytes(), &mut self.output);
        self.output.extend_from_slice(b"\r\n");
    }

    /// Uses one line or literal; false when it is not there yet.
    fn advance(&mut self) -> bool {
        if let Some(command) = &mut self.unfinished
            && command.literal > 0
        {
            let Some(literal) = self.input.bytes(command.literal) else { return false };
            command.take_literal(literal);
            return true;
        }
        match self.input.line() {
            Err(TooLong) => self.abort("Input buffer full, aborting", Fault::TooLong),
            Ok(None) => return false,
            Ok(Some(line)) => {
                let line = Zeroizing::new(line);
                match self.unfinished.take() {
                    Some(command) => self.read(command, &line),
                    None => self.begin(&line),
                }
            }
        }
        true
    }

    /// The first line of a command: `tag SP name [SP arguments]`.
    fn begin(&mut self, line: &[u8]) {
        let (tag, rest) = split_word(line);
        let (name, rest) = split_word(rest);
        // A mechanism is an atom and base64 has no braces; a literal here is read over like any bad command's.
        let authenticate = name.eq_ignore_ascii_case(b"AUTHENTICATE") && announced_literal(rest).1.is_none();
        if authenticate && is_tag(tag) {
            return self.authenticate(tag, rest);
        }
        let command = Command {
            tag: if is_tag(tag) { tag } else { b"*" }.to_vec(),
            verb: Verb::named(name),
            arguments: Arguments::new(),
            malformed: !is_tag(tag) || name.is_empty(),
            size: line.len() - rest.len(),
            literal: 0,
        };
        self.read(command, rest);
    }

    /// The arguments of a command, up to the end of a line.
    fn read(&mut self, mut command: Command, line: &[u8]) {
        let (text, literal) = announced_literal(line);
        command.take_text(text, literal.is_some());
        command.size = command.size.saturating_add(line.len());
        let Some(literal) = literal else {
            if command.size > COMMAND_LIMIT {
                return self.abort("Input buffer full, aborting", Fault::TooLong);
            }
            return self.run(command);
        };
        if literal.size > LITERAL_LIMIT {
            return self.abort("Literal size too large", Fault::TooLong);
        }
        command.size = command.size.saturating_add(literal.size);
        if command.size > COMMAND_LIMIT {
            return self.abort("Input buffer full, aborting", Fault::TooLong);
        }
        if literal.synchronising {
            // The client waits to be asked, so what is refused anyway need not be sent.
            if command.malformed {
                return self.bad(&command.tag, BAD_COMMAND);
            }
            if command.verb == Verb::Login && self.reject_login(&command.tag) {
                return;
            }
            self.output.extend_from_slice(b"+ OK\r\n");
        }
        if literal.size == 0 {
            command.take_literal(Vec::new());
        }
        command.literal = literal.size;
        self.unfinished = Some(command);
    }

    fn run(&mut self, command: Command) {
        let Command { tag, verb, arguments, malformed, .. } = command;
        let Some(arguments) = arguments.finish().ok().filter(|_| !malformed) else {
            return self.bad(&tag, BAD_COMMAND);
        };
        match verb {
            Verb::Capability => {
                // After STARTTLS everybody has to ask again, so it says nothing about this client there.
                self.asked_capability |= !self.began_tls;
                self.output.extend_from_slice(b"* CAPABILITY ");
                push_capability(&self.offer, &mut self.output);
                self.output.extend_from_slice(b"\r\n");
                self.tagged(&tag, "OK Pre-login capabilities listed, post-login capabilities have more.");
            }
            Verb::Noop => self.tagged(&tag, "OK NOOP completed."),
            Verb::Id => self.identify(&tag, &arguments),
            Verb::Enable => {
                self.untagged("ENABLED");
                self.tagged(&tag, "OK ENABLE ignored in non-authenticated state.");
            }
            Verb::StartTls if self.offer.tls => self.tagged(&tag, "BAD TLS is already active."),
            Verb::StartTls if !self.offer.starttls => self.tagged(&tag, "BAD TLS support isn't enabled."),
            Verb::StartTls => {
                self.tagged(&tag, "OK Begin TLS negotiation now.");
                // Whoever sent these did so in the clear; they must not pass for what comes through TLS.
                self.input.discard();
                self.phase = Phase::Handshake;
                self.events.push_back(Event::StartTls);
            }
            Verb::Logout => {
                self.untagged("BYE Logging out");
                self.tagged(&tag, "OK Logout completed.");
                self.close(Event::Quit);
            }
            Verb::Login => self.login(&tag, &arguments),
            Verb::Unknown if tag.eq_ignore_ascii_case(b"LOGIN") => self.tagged(
                &tag,
                "BAD First parameter in line is IMAP's command tag, not the command name. \
                 Add that before the command, like: a login user pass",
            ),
            Verb::Unknown => self.bad(&tag, BAD_COMMAND),
        }
    }

    fn identify(&mut self, tag: &[u8], arguments: &[Token]) {
        let Some(client) = id::read(arguments) else {
            return self.tagged(tag, "BAD Invalid ID parameters");
        };
        self.output.extend_from_slice(b"* ID ");
        push_id(&self.offer.id, &mut self.output);
        self.output.extend_from_slice(b"\r\n");
        self.tagged(tag, "OK ID completed.");
        if self.offer.trusted && client.forwarded != Forwarded::default() {
            self.events.push_back(Event::Forwarded(client.forwarded));
        }
        self.events.push_back(Event::ClientId(client.text));
    }

    /// LOGIN is the mechanism PLAIN in other words.
    fn login(&mut self, tag: &[u8], arguments: &[Token]) {
        let (Some(user), Some(password)) =
            (arguments.first().and_then(Token::astring), arguments.get(1).and_then(Token::astring))
        else {
            return self.bad(tag, BAD_COMMAND);
        };
        if arguments.len() != 2 || user.iter().chain(password).any(|byte| breaks_lines(*byte)) {
            return self.bad(tag, BAD_COMMAND);
        }
        if self.reject_login(tag) {
            return;
        }
        let Some(mechanism) = self.find_mechanism(b"PLAIN") else {
            return self.reject_mechanism(tag);
        };
        let mut message = Vec::with_capacity(user.len() + password.len() + 2);
        message.push(0);
        message.extend_from_slice(user);
        message.push(0);
        message.extend_from_slice(password);
        self.begin_login(tag, mechanism.name, Some(message));
    }

    /// Refuses LOGIN on a connection where the password can be overheard.
    fn reject_login(&mut self, tag: &[u8]) -> bool {
        if self.offer.plaintext && !self.offer.tls_required {
            return false;
        }
        self.untagged(
            "BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. \
             If anyone was listening, the password was exposed.",
        );
        let text =
            "NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.";
        let rejected = if self.offer.tls_required { Rejected::TlsRequired } else { Rejected::Plaintext };
        self.reject(tag, text, rejected);
        true
    }

    /// `mechanism [SP initial-response]` (RFC 4959 §3), where `=` is an empty initial response.
    fn authenticate(&mut self, tag: &[u8], arguments: &[u8]) {
        let (name, initial) = split_word(arguments);
        if name.is_empty() || arguments.iter().any(|byte| breaks_lines(*byte)) {
            return self.bad(tag, BAD_COMMAND);
        }
        if self.offer.tls_required {
            let text = "NO [PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.";
            return self.reject(tag, text, Rejected::TlsRequired);
        }
        let Some(mechanism) = self.find_mechanism(name) else {
            return self.reject_mechanism(tag);
        };
        if mechanism.plaintext && !self.offer.plaintext {
            let text = "NO [PRIVACYREQUIRED] Plaintext authentication disabled.";
            return self.reject(tag, text, Rejected::Plaintext);
        }
        let initial = match initial {
            b"" => None,
            b"=" => Some(Vec::new()),
            text => match base64::decode(text) {
                Some(data) => Some(data),
                None => {
                    let text = "BAD Invalid base64 data in initial response";
                    return self.reject(tag, text, Rejected::Base64);
                }
            },
        };
        self.begin_login(tag, mechanism.name, initial);
    }

    fn find_mechanism(&self, name: &[u8]) -> Option<MechanismOffer> {
        let mut mechanisms = self.offer.mechanisms.iter();
        mechanisms.find(|mechanism| name.eq_ignore_ascii_case(mechanism.name.as_bytes())).cloned()
    }

    fn begin_login(&mut self, tag: &[u8], mechanism: &'static str, initial: Option<Vec<u8>>) {
        self.login_tag = tag.to_vec();
        self.phase = Phase::Login;
        self.events.push_back(Event::Login { mechanism, initial: initial.map(Secret::from) });
    }

    fn welcome(&mut self, welcome: &Welcome<'_>) {
        self.output.extend_from_slice(welcome.untagged);
        let tag = std::mem::take(&mut self.login_tag);
        let coded = welcome.referral.is_none() && !self.asked_capability;
        if let Some(capability) = welcome.capability.filter(|_| !coded) {
            self.output.extend_from_slice(b"* CAPABILITY ");
            push_text(capability, &mut self.output);
            self.output.extend_from_slice(b"\r\n");
        }
        self.output.extend_from_slice(&tag);
        self.output.extend_from_slice(b" OK ");
        if let Some((target, text)) = &welcome.referral {
            self.output.extend_from_slice(b"[REFERRAL ");
            url::push_referral(target, &mut self.output);
            self.output.extend_from_slice(b"] ");
            push_text(text.as_bytes(), &mut self.output);
        } else {
            if let Some(capability) = welcome.capability.filter(|_| coded) {
                self.output.extend_from_slice(b"[CAPABILITY ");
                push_text(capability, &mut self.output);
                self.output.extend_from_slice(b"] ");
            }
            let text = if welcome.text.is_empty() { b"Logged in" } else { welcome.text };
            push_text(text, &mut self.output);
        }
        self.output.extend_from_slice(b"\r\n");
        self.phase = Phase::Welcomed;
    }

    /// The login has failed; the client may try another.
    fn end_login(&mut self, status: &str, code: Option<&str>, text: &[u8]) {
        self.output.append(&mut self.login_tag);
        self.output.push(b' ');
        self.output.extend_from_slice(status.as_bytes());
        if let Some(code) = code {
            self.output.extend_from_slice(b" [");
            push_text(code.as_bytes(), &mut self.output);
            self.output.push(b']');
        }
        self.output.push(b' ');
        push_text(text, &mut self.output);
        self.output.extend_from_slice(b"\r\n");
        self.phase = Phase::Commands;
    }

    fn reject(&mut self, tag: &[u8], text: &str, rejected: Rejected) {
        self.tagged(tag, text);
        self.events.push_back(Event::Rejected(rejected));
    }

    fn reject_mechanism(&mut self, tag: &[u8]) {
        self.reject(tag, "NO [ALERT] Unsupported authentication mechanism.", Rejected::Mechanism);
    }

    /// A bad command: its answer, or the end of the connection.
    fn bad(&mut self, tag: &[u8], text: &str) {
        self.bad_commands += 1;
        if self.bad_commands >= BAD_COMMAND_LIMIT {
            self.abort("Too many invalid IMAP commands.", Fault::BadCommands);
        } else {
            self.tagged(tag, text);
        }
    }

    fn abort(&mut self, text: &str, fault: Fault) {
        self.untagged(&format!("BYE {text}"));
        self.close(Event::Fault(fault));
    }

    fn close(&mut self, event: Event) {
        self.input.discard();
        self.phase = Phase::Over;
        self.events.push_back(event);
    }

    fn tagged(&mut self, tag: &[u8], text: &str) {
        self.output.extend_from_slice(tag);
        self.output.push(b' ');
        self.output.extend_from_slice(text.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn untagged(&mut self, text: &str) {
        self.tagged(b"*", text);
    }
}
