//! Holds one dialogue with a running subject and says at the first difference what was expected and what came.

use crate::backend::Backend;
use std::fs::OpenOptions;
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use crate::scenario::{Action, BackendAction, Dialogue, Door, Step, Subject};
use crate::stream::{Heard, Stream};
use crate::subject::Running;
use crate::text::Names;
use crate::workplace::{self, Workplace, own_address};

/// Characters of a line that a report shows.
const LONGEST_SHOWN: usize = 600;

/// A line number of a scenario and what the subject said instead of what stands there.
pub type Correction = (usize, String);

/// Holds `dialogue`; the error is a report for people. With `corrections`, other lines than the expected ones
/// are collected there and the dialogue goes on.
pub fn hold(
    dialogue: &Dialogue,
    running: &mut Running,
    subject: Subject,
    corrections: Option<&mut Vec<Correction>>,
) -> Result<(), String> {
    let mut talk = Talk {
        record: Vec::new(),
        names: running.place.names.clone(),
        stream: None,
        corrections,
        heard_another_line: false,
    };
    let result = talk.whole(dialogue, running, subject);
    for backend in &mut running.place.backends {
        let finished = backend.finish();
        if result.is_ok() {
            finished.map_err(|fault| talk.report(dialogue, &fault))?;
        }
    }
    if dialogue.kept {
        running.kept.extend(talk.stream.take());
    }
    result.map_err(|fault| talk.report(dialogue, &fault))
}

struct Talk<'a> {
    record: Vec<String>,
    names: Names,
    stream: Option<Stream>,
    corrections: Option<&'a mut Vec<Correction>>,
    heard_another_line: bool,
}

impl Talk<'_> {
    fn whole(&mut self, dialogue: &Dialogue, running: &mut Running, subject: Subject) -> Result<(), String> {
        let address = dialogue.from.unwrap_or_else(own_address);
        self.names.set("from", address.to_string());
        let mut stream = match dialogue.door.port_name() {
            Some(name) => Stream::connect(address, running.place.port(name)?),
            None => Stream::connect_unix(&running.place.file("run/auth-client")),
        }
        .map_err(|e| format!("cannot connect: {e}"))?;
        if dialogue.door.is_tls() {
            stream.start_tls()?;
        }
        self.stream = Some(stream);
        if dialogue.door == Door::AuthClient {
            self.auth_handshake()?;
        }
        let steps = dialogue.steps.iter().filter(|step| step.only.is_none_or(|only| only == subject));
        if let Some(greeting) = dialogue.door.greeting()
            && matches!(dialogue.steps.first(), Some(Step { action: Action::Say(_) | Action::SayRaw(_), .. }))
        {
            let heard = self.stream()?.line();
            self.compare("S:", &format!("{greeting}…"), &heard)?;
        }
        let mut differences = 0;
        let mut steps = steps.peekable();
        while let Some(step) = steps.next() {
            let Err(fault) = self.step(step, &mut running.place) else { continue };
            let fault = format!("line {}: {fault}", step.line);
            // A whole line instead of another, and the client's turn next: what follows is worth seeing too.
            let goes_on = std::mem::take(&mut self.heard_another_line)
                && !matches!(steps.peek(), Some(Step { action: Action::Hear(_), .. }));
            if !goes_on {
                return Err(fault);
            }
            differences += 1;
            self.record.push(fault);
        }
        if differences > 0 {
            return Err(format!("{differences} lines differ"));
        }
        match self.stream.as_mut().and_then(Stream::rest) {
            Some(rest) => Err(format!("after the dialogue also came {:?}", String::from_utf8_lossy(&rest))),
            None => Ok(()),
        }
    }

    fn auth_handshake(&mut self) -> Result<(), String> {
        self.say(b"VERSION\t1\t2")?;
        self.say(b"CPID\t4711")?;
        loop {
            match self.stream()?.line() {
                Heard::Line(line) if line == b"DONE" => return Ok(()),
                Heard::Line(_) => {}
                Heard::End(_) => return Err("the auth socket was closed during the handshake".to_owned()),
                Heard::Silence(_) => return Err("the auth socket's handshake does not end".to_owned()),
            }
        }
    }

    fn step(&mut self, step: &Step, place: &mut Workplace) -> Result<(), String> {
        match &step.action {
            Action::Say(text) => {
                let line = self.names.expand(text)?;
                self.say(&line)
            }
            Action::SayRaw(text) => {
                let bytes = self.names.expand(text)?;
                self.note("C(raw):", &bytes);
                self.stream()?.send(&bytes).map_err(|e| format!("cannot send: {e}"))
            }
            Action::SayEarly(text) => {
                let bytes = self.names.expand(text)?;
                self.note("C(early):", &bytes);
                self.stream()?.send(&bytes).map_err(|e| format!("cannot send: {e}"))
            }
            Action::StartTls => {
                self.note("C(starttls)", b"");
                self.stream()?.start_tls()
            }
            Action::HangUp => {
                self.note("C(close)", b"");
                self.stream = None;
                Ok(())
            }
            Action::Hear(expected) => {
                let heard = without_empty_fields(self.stream()?.line());
                self.compare("S:", expected, &heard).or_else(|fault| self.correct(step.line, &heard, fault))
            }
            Action::HearEnd => {
                let heard = self.stream()?.line();
                self.stream = None;
                self.compare_end("S(close)", &heard)
            }
            Action::Append(name, text) => {
                let mut line = self.names.expand(text)?;
                self.note(&format!("W({name}):"), &line);
                line.push(b'\n');
                let file = OpenOptions::new().append(true).open(place.file(name));
                file.and_then(|mut file| file.write_all(&line)).map_err(|e| format!("{name}: {e}"))?;
                // Files are looked at once a second at most, and their times have whole seconds.
                sleep(Duration::from_millis(2_100));
                Ok(())
            }
            Action::Query(name, statement) => {
                let statement = self.names.expand(statement)?;
                self.note(&format!("Q({name}):"), &statement);
                let database = rusqlite::Connection::open(place.file(name)).map_err(|e| e.to_string())?;
                database.execute_batch(&String::from_utf8_lossy(&statement)).map_err(|e| e.to_string())
            }
            Action::Backend(name, action) => self.backend_step(place.backend(name)?, action),
        }
    }

    fn backend_step(&mut self, backend: &mut Backend, action: &BackendAction) -> Result<(), String> {
        match action {
            BackendAction::Hear(expected) => {
                let heard = backend.connection()?.line();
                self.compare("B<", expected, &heard)
            }
            BackendAction::Say(text) => {
                let line = self.names.expand(text)?;
                self.note("B>", &line);
                backend.connection()?.send_line(&line).map_err(|e| format!("the backend cannot send: {e}"))
            }
            BackendAction::SayRaw(text) => {
                let bytes = self.names.expand(text)?;
                self.note("B(raw)>", &bytes);
                backend.connection()?.send(&bytes).map_err(|e| format!("the backend cannot send: {e}"))
            }
            BackendAction::Accept => {
                self.note("B(accept)", b"");
                backend.accept()
            }
            BackendAction::AcceptTls => {
                self.note("B(tls)", b"");
                backend.connection()?.accept_tls(workplace::tls()?)
            }
            BackendAction::HangUp => {
                self.note("B(close)", b"");
                backend.hang_up()
            }
            BackendAction::HearEnd => {
                let heard = backend.connection()?.line();
                backend.hang_up()?;
                self.compare_end("B(closed)", &heard)
            }
        }
    }

    fn say(&mut self, line: &[u8]) -> Result<(), String> {
        self.note("C:", line);
        self.stream()?.send_line(line).map_err(|e| format!("cannot send: {e}"))
    }

    fn compare(&mut self, mark: &str, expected: &str, heard: &Heard) -> Result<(), String> {
        if let Heard::Line(line) = heard
            && self.names.matches(expected, line)?
        {
            self.note(mark, line);
            return Ok(());
        }
        let expected = self.names.expand(expected).map_or(expected.to_owned(), |bytes| shown(&bytes));
        Err(differs(&expected, heard))
    }

    fn correct(&mut self, line: usize, heard: &Heard, fault: String) -> Result<(), String> {
        match (&mut self.corrections, heard) {
            (Some(corrections), Heard::Line(text)) => {
                corrections.push((line, shown(text)));
                Ok(())
            }
            _ => {
                self.heard_another_line = matches!(heard, Heard::Line(_));
                Err(fault)
            }
        }
    }

    fn compare_end(&mut self, mark: &str, heard: &Heard) -> Result<(), String> {
        if *heard == Heard::End(Vec::new()) {
            self.note(mark, b"");
            return Ok(());
        }
        Err(differs("the end of the connection", heard))
    }

    fn stream(&mut self) -> Result<&mut Stream, String> {
        self.stream.as_mut().ok_or_else(|| "the connection is closed".to_owned())
    }

    fn note(&mut self, mark: &str, line: &[u8]) {
        self.record.push(format!("{mark} {}", shown(line)));
    }

    fn report(&self, dialogue: &Dialogue, fault: &str) -> String {
        let mut text = format!("  [{}] (line {})\n", dialogue.title, dialogue.line);
        for line in &self.record {
            text.push_str(&format!("    {line}\n"));
        }
        text.push_str(&format!("    {fault}\n"));
        text
    }
}

/// Results on the auth socket may hold empty fields, which every client has to skip; so do we.
fn without_empty_fields(heard: Heard) -> Heard {
    match heard {
        Heard::Line(line) if line.starts_with(b"OK\t") || line.starts_with(b"FAIL\t") => {
            let fields: Vec<&[u8]> = line.split(|&b| b == b'\t').filter(|field| !field.is_empty()).collect();
            Heard::Line(fields.join(&b'\t'))
        }
        other => other,
    }
}

fn differs(expected: &str, heard: &Heard) -> String {
    let got = match heard {
        Heard::Line(line) => shown(line),
        Heard::End(rest) if rest.is_empty() => "the connection was closed".to_owned(),
        Heard::End(rest) => format!("{} and then the end of the connection", shown(rest)),
        Heard::Silence(rest) if rest.is_empty() => "nothing".to_owned(),
        Heard::Silence(rest) => format!("{} without a line end", shown(rest)),
    };
    format!("expected: {expected}\n         got: {got}")
}

/// Bytes as a person can read them, tabs and odd bytes visible.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::new();
    for c in text.chars().take(LONGEST_SHOWN) {
        match c {
            '\t' => out.push_str("${tab}"),
            c if c.is_ascii_control() => out.push_str(&format!("${{x{:02x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    if text.chars().nth(LONGEST_SHOWN).is_some() {
        out.push_str(&format!(" … ({} bytes)", line.len()));
    }
    out
}
