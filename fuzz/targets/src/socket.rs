//! Both sides of the auth socket against anybody, and what one writes read by the other.

use std::collections::HashMap;

use secrecy::ExposeSecret;
use wire::socket::{Asker, Failure, Hello, OfferedMechanism, Reply, Server, SocketEvent, line};

use crate::meter;
use crate::script::{Script, Split, Transcript};

/// Our side. The answers of the first line: `c` a challenge, `o` success, `O` success with the request's
/// own texts as fields, `f` failure, `F` failure with them, `l` none for now.
pub(crate) fn server(input: &[u8]) {
    let script = Script::read(input);
    meter::within(input, || Serving::run(&script, Split::Whole, Transcript::sizes()));
    let whole = Serving::run(&script, Split::Whole, Transcript::default());
    for split in [Split::Bytes, Split::Pieces] {
        assert_eq!(whole, Serving::run(&script, split, Transcript::default()), "{split:?}");
    }
}

/// The asking side, against any server.
pub(crate) fn asker(input: &[u8]) {
    meter::within(input, || ask(input, Split::Whole, Transcript::sizes()));
    let whole = ask(input, Split::Whole, Transcript::default());
    for split in [Split::Bytes, Split::Pieces] {
        assert_eq!(whole, ask(input, split, Transcript::default()), "{split:?}");
    }
}

/// The TAB-separated line: what was written is read back, and what is read was written so.
pub(crate) fn tab_line(input: &[u8]) {
    let mut written = Vec::new();
    line::escape(input, &mut written);
    assert!(written.len() <= 2 * input.len());
    assert!(!written.iter().any(|byte| b"\0\t\r\n".contains(byte)), "an escaped field breaks its line");
    assert_eq!(line::unescape(&written).as_deref(), Some(input));
    for field in line::fields(input) {
        if let Some(value) = line::unescape(field) {
            assert!(value.len() <= field.len());
        }
    }
    if let Some(pairs) = line::forwarded(input) {
        assert!(pairs.iter().all(|(name, _)| !name.is_empty()));
        assert!(pairs.iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0')));
    }
}

/// Output per byte of a request: the texts of one may come back as fields, escaped.
const OUTPUT_PER_BYTE: usize = 16;
const OUTPUT_FREE: usize = 8 * 1024;

struct Serving<'a> {
    server: Server,
    answers: Box<dyn Iterator<Item = u8> + 'a>,
    transcript: Transcript,
    output: Vec<u8>,
    /// What the asker has to read, in order, when nothing was refused as too long.
    expected: Vec<String>,
    /// Texts of open requests.
    open: HashMap<u32, Vec<(String, String)>>,
}

impl<'a> Serving<'a> {
    fn run(script: &Script<'a>, split: Split, transcript: Transcript) -> Transcript {
        let mut serving = Self {
            server: Server::new(&hello()),
            answers: Box::new(script.answers()),
            transcript,
            output: Vec::new(),
            expected: Vec::new(),
            open: HashMap::new(),
        };
        serving.drain();
        let broken = split.of(script.clear).any(|piece| {
            serving.server.feed(piece);
            serving.act()
        });
        if broken {
            serving.server.feed(b"VERSION\t1\t2\nCPID\t1\nAUTH\t1\tPLAIN\tservice=x\n");
            assert!(
                serving.server.next().is_none() && serving.server.output().is_empty(),
                "a broken server speaks"
            );
            assert_eq!(serving.server.open(), 0);
        } else {
            assert_eq!(serving.server.open(), serving.open.len());
        }
        serving.check(script);
        serving.transcript
    }

    /// Acts upon all that came in; says whether the asker broke the protocol.
    fn act(&mut self) -> bool {
        while let Some(event) = self.server.next() {
            self.drain();
            match event {
                SocketEvent::Auth(request) => {
                    let initial =
                        request.initial.as_ref().map(|data| data.expose_secret().escape_ascii().to_string());
                    self.transcript.event(|| format!("{request:?} {initial:?}"));
                    let mut texts = request.forward_fields;
                    texts.push(("service".to_owned(), request.service));
                    texts.extend(request.session.map(|text| ("session".to_owned(), text)));
                    texts.extend(request.client_id.map(|text| ("reason".to_owned(), text)));
                    assert!(self.open.insert(request.id, texts).is_none(), "an id twice");
                    self.answer(request.id);
                }
                SocketEvent::Cont { id, data } => {
                    let data = data.expose_secret().escape_ascii().to_string();
                    self.transcript.event(|| format!("cont {id} {data}"));
                    assert!(self.open.contains_key(&id), "a reply to nothing");
                    self.answer(id);
                }
                SocketEvent::Cancel { id } => {
                    self.transcript.event(|| format!("cancel {id}"));
                    assert!(self.open.remove(&id).is_some(), "a request that was not there is over");
                }
                SocketEvent::Notice(text) => self.transcript.event(|| text),
                SocketEvent::Fault(text) => {
                    self.transcript.event(|| text);
                    return true;
                }
            }
            self.drain();
        }
        self.drain();
        false
    }

    fn answer(&mut self, id: u32) {
        let answer = self.answers.next().unwrap_or_default();
        let texts = self.open.get(&id).cloned().unwrap_or_default();
        let fields: Vec<_> =
            texts.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))).collect();
        let result = match answer {
            b'l' => return,
            b'c' => {
                let result = self.server.challenge(id, b"Username:\0\r\n");
                self.expected.push(format!("challenge {id}"));
                return assert!(result.is_ok());
            }
            b'o' => self.server.ok(id, "bob\tx\n", &[]),
            b'O' => self.server.ok(id, "bob", &fields),
            b'F' => {
                self.server.fail(id, Failure { user: Some("bob"), fields: &fields, ..Failure::default() })
            }
            _ => {
                self.server.fail(id, Failure { nodelay: true, code: Some("temp_fail"), ..Failure::default() })
            }
        };
        self.open.remove(&id);
        let succeeded = matches!(answer, b'o' | b'O') && result.is_ok();
        self.expected.push(format!("{} {id}", if succeeded { "ok" } else { "fail" }));
    }

    fn drain(&mut self) {
        self.output.extend_from_slice(self.server.output());
        self.transcript.output(self.server.output());
        if self.transcript.is_only_sizes() {
            self.output.clear();
            self.expected.clear();
        }
    }

    /// The asker understands all of it: every answer of ours in order, among those the server gave itself.
    fn check(&self, script: &Script<'_>) {
        let limit = OUTPUT_PER_BYTE * script.clear.len() + OUTPUT_FREE;
        assert!(self.transcript.written <= limit, "{} bytes out", self.transcript.written);
        if self.transcript.is_only_sizes() {
            return;
        }
        let mut asker = Asker::new(1);
        asker.feed(&self.output);
        let mut expected = self.expected.iter().peekable();
        for reply in asker {
            let reply = match reply {
                Reply::Ready(greeting) => {
                    assert_eq!(greeting.mechanisms.len(), hello().mechanisms.len());
                    continue;
                }
                Reply::Challenge { id, data } => {
                    assert_eq!(data.expose_secret(), b"Username:\0\r\n");
                    format!("challenge {id}")
                }
                Reply::Ok { id, .. } => format!("ok {id}"),
                Reply::Fail { id, .. } => format!("fail {id}"),
                Reply::Broken(why) => panic!("the server wrote what cannot be read: {why}"),
            };
            if expected.peek().is_some_and(|next| **next == reply) {
                expected.next();
            } else {
                assert!(reply.starts_with("fail "), "nobody said {reply}");
            }
        }
        assert_eq!(expected.next(), None, "an answer was lost");
    }
}

fn hello() -> Hello {
    let mechanism = |name| OfferedMechanism { name, flags: vec!["plaintext"] };
    Hello { mechanisms: vec![mechanism("PLAIN"), mechanism("LOGIN")], pid: 7, cuid: 9, cookie: [0x5a; 16] }
}

fn ask(input: &[u8], split: Split, mut transcript: Transcript) -> Transcript {
    let mut asker = Asker::new(1);
    transcript.output(asker.output());
    let mut broken = false;
    for piece in split.of(input) {
        asker.feed(piece);
        for reply in asker.by_ref() {
            assert!(!broken, "something follows the end");
            broken = matches!(reply, Reply::Broken(_));
            transcript.event(|| match reply {
                Reply::Challenge { id, data } => {
                    format!("challenge {id} {}", data.expose_secret().escape_ascii())
                }
                other => format!("{other:?}"),
            });
        }
    }
    transcript.output(asker.output());
    transcript
}
