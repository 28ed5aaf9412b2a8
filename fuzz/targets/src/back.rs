//! The client side of a protocol against a hostile backend.
//!
//! The first line is flags, user and password, with blanks between. Flags: `s` STARTTLS is wanted, `m` a
//! master logs in, `k` the client knows the capability, `i` the backend is told whose login it is, `n` each
//! reply is waited for, `P`, `L` and `X` a SASL mechanism (PLAIN, LOGIN, one that nobody has).

use secrecy::ExposeSecret;
use wire::{Back, BackEvent, Errand, Forwarded, Identity, Secret, base64, protocols};

use crate::meter;
use crate::script::{Script, Split, Transcript, assert_lines, cut};

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
    let dialogue =
        |split, by_lines, transcript| Dialogue::run(protocol.back, &script, split, by_lines, transcript);
    meter::within(input, || dialogue(Split::Whole, false, Transcript::sizes()));
    dialogue(Split::Pieces, false, Transcript::default());
    // Speaking before one is asked is a fault, so only reads inside a line are free.
    let whole = dialogue(Split::Whole, true, Transcript::default());
    let split_up = dialogue(Split::Bytes, true, Transcript::default());
    assert_eq!(whole, split_up);
}

/// Output that is ours alone: commands around user name and password, a reply to each line.
const OUTPUT_FREE: usize = 512;
const OUTPUT_PER_LINE: usize = 32;

struct Dialogue {
    back: Box<dyn Back>,
    transcript: Transcript,
    output: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Open,
    StartsTls,
    Ready,
    Over,
}

impl Dialogue {
    fn run(
        make: fn(Errand) -> Box<dyn Back>,
        script: &Script<'_>,
        split: Split,
        by_lines: bool,
        transcript: Transcript,
    ) -> Transcript {
        let errand = errand(script);
        let password = errand.password.expose_secret().to_vec();
        let mut credentials = errand.user.len() + password.len();
        if errand.identity.is_some() {
            // As a session id, a name, a value, the client's own words; in base64 and with escapes.
            credentials += 4 * errand.user.len();
        }
        credentials += errand.master.as_ref().map_or(0, String::len);
        let mut dialogue = Self { back: make(errand), transcript, output: Vec::new() };
        let mut stands = dialogue.act();
        if stands == Stands::Open {
            stands = dialogue.hear(script.clear, split, by_lines);
        }
        if script.has(b's') {
            assert!(stands != Stands::Ready, "logged in without the TLS that was asked for");
            assert!(!holds(&dialogue.output, &password), "the password was sent in the clear");
        }
        if stands == Stands::StartsTls {
            dialogue.back.secured();
            stands = dialogue.act();
            if stands == Stands::Open {
                dialogue.hear(script.protected, split, by_lines);
            }
        }
        let lines = [script.clear, script.protected].concat().split(|&byte| byte == b'\n').count();
        let limit = 4 * credentials + OUTPUT_PER_LINE * lines + OUTPUT_FREE;
        assert!(dialogue.output.len() <= limit, "{} bytes out for {lines} lines", dialogue.output.len());
        assert_lines(&dialogue.output);
        dialogue.transcript
    }

    fn hear(&mut self, bytes: &[u8], split: Split, by_lines: bool) -> Stands {
        let lines: Vec<_> =
            if by_lines { bytes.split_inclusive(|&byte| byte == b'\n').collect() } else { vec![bytes] };
        let mut heard = 0;
        for piece in lines.iter().flat_map(|line| split.of(line)) {
            self.back.feed(piece);
            heard += piece.len();
            let stands = self.act();
            let rest = &bytes[heard..];
            match stands {
                Stands::Open => continue,
                Stands::Ready => {
                    let leftover = [&self.back.leftover(), rest].concat();
                    assert!(bytes.ends_with(&leftover), "leftover that was never sent");
                    self.transcript.event(|| format!("leftover {}", leftover.escape_ascii()));
                }
                Stands::StartsTls => self.back.feed(rest),
                Stands::Over => {}
            }
            assert!(
                self.back.next().is_none() || stands == Stands::StartsTls,
                "an event while none may come"
            );
            return stands;
        }
        Stands::Open
    }

    fn act(&mut self) -> Stands {
        let event = self.back.next();
        self.output.extend_from_slice(self.back.output());
        self.transcript.output(self.back.output());
        let state = self.back.state();
        let Some(event) = event else { return Stands::Open };
        self.transcript.event(|| format!("{state}: {event:?}"));
        match event {
            BackEvent::LeftOut(_) => self.act(),
            BackEvent::StartTls => Stands::StartsTls,
            BackEvent::Ready { .. } => Stands::Ready,
            BackEvent::Refused { .. } | BackEvent::Broken { .. } => Stands::Over,
        }
    }
}

fn errand(script: &Script<'_>) -> Errand {
    let (user, password) = cut(script.rest_of_head(), b' ');
    let mechanisms = [(b'P', "PLAIN"), (b'L', "LOGIN"), (b'X', "X-NOBODY")];
    Errand {
        user: String::from_utf8_lossy(user).into_owned(),
        master: script.has(b'm').then(|| "master".to_owned()),
        password: Secret::from(password.to_vec()),
        mechanism: mechanisms.iter().find(|(flag, _)| script.has(*flag)).map(|(_, name)| (*name).to_owned()),
        starttls: script.has(b's'),
        client_knows_capability: script.has(b'k'),
        identity: script.has(b'i').then(|| identity(user)),
        nopipelining: script.has(b'n'),
    }
}

/// One whose every part the user's name has a say in.
fn identity(user: &[u8]) -> Identity {
    let text = String::from_utf8_lossy(user).into_owned();
    let fields = vec![(text.clone(), "x".to_owned()), ("name".to_owned(), text.clone())];
    let facts = Forwarded { session: Some(text.clone()), ttl: Some(4), fields, ..Forwarded::default() };
    Identity { facts, client_id: Some(text) }
}

/// Whether a password that is long enough to tell stands in what was sent, as it is or in base64.
fn holds(sent: &[u8], password: &[u8]) -> bool {
    let mut encoded = Vec::new();
    base64::encode(password, &mut encoded);
    // Four letters could be a command's own.
    password.len() > 10
        && [password, &encoded].iter().any(|form| sent.windows(form.len()).any(|piece| piece == *form))
}
