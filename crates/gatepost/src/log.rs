//! Log lines as Dovecot users expect them, or one JSON object each. Lines are written by a thread
//! of its own and many at once, so that a slow disk holds no login up and no login wakes that thread;
//! what finds no room is counted and reported.
//! Secrets cannot get here: they have no text form.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::rows::server::{LogFormat, ServerSettings};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// What happened.
    Info,
    /// Something an administrator may want to change.
    Warning,
    /// Something did not work.
    Error,
    /// The server cannot go on.
    Fatal,
}

impl From<crate::passdb::Level> for Level {
    fn from(level: crate::passdb::Level) -> Self {
        match level {
            crate::passdb::Level::Debug => Self::Debug,
            crate::passdb::Level::Info => Self::Info,
            crate::passdb::Level::Warning => Self::Warning,
            crate::passdb::Level::Error => Self::Error,
        }
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "Debug",
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Error => "Error",
            Self::Fatal => "Fatal",
        }
    }

    /// Severity of RFC 5424 §6.2.1.
    fn severity(self) -> u8 {
        match self {
            Self::Debug => 7,
            Self::Info => 6,
            Self::Warning => 4,
            Self::Error => 3,
            Self::Fatal => 2,
        }
    }
}

/// One event: a text as people read it, and the same as named values for JSON.
#[derive(Debug)]
pub struct Record {
    /// How much it matters.
    pub level: Level,
    /// Which part speaks: `imap-login`, `auth`, `config` …
    pub service: String,
    /// The line without time, service and level.
    pub text: String,
    /// Named values, in order, for JSON; empty when the text says it all, or nobody takes them.
    pub values: Vec<(&'static str, String)>,
}

/// Where log lines go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    debug: Arc<AtomicBool>,
    json: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Message {
    Record(SystemTime, Box<Record>),
    /// New settings after a reload.
    Open(Box<ServerSettings>),
    /// Everything before this has been written.
    Flushed(SyncSender<()>),
}

/// Records that may wait to be written.
const QUEUE: usize = 16_384;
/// How long lines gather before they are written: waking the thread for each would cost a login more
/// than the line itself.
const GATHER: Duration = Duration::from_millis(5);
/// Bytes that are written at once.
const PIECE: usize = 64 * 1024;
/// Bytes of one value that reach the log.
const VALUE_LIMIT: usize = 512;

impl Log {
    /// Starts the writing thread.
    pub fn start(settings: &ServerSettings) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(settings.clone(), Arc::clone(&dropped));
        std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&queue))?;
        let json = Arc::new(AtomicBool::new(settings.log_format == LogFormat::Json));
        Ok(Self { lines, dropped, debug: Arc::default(), json })
    }

    /// Whether records need their named values: most logs are read as lines, and making the values
    /// costs more than the line.
    pub fn takes_values(&self) -> bool {
        self.json.load(Ordering::Relaxed)
    }

    /// Whether debug lines are wanted (`auth_debug`); at first they are not.
    pub fn set_debug(&self, wanted: bool) {
        self.debug.store(wanted, Ordering::Relaxed);
    }

    /// Takes new settings after a reload; log files are opened anew.
    pub fn reopen(&self, settings: &ServerSettings) {
        self.json.store(settings.log_format == LogFormat::Json, Ordering::Relaxed);
        let _ = self.lines.send(Message::Open(Box::new(settings.clone())));
    }

    /// Writes an event.
    pub fn record(&self, record: Record) {
        if record.level == Level::Debug && !self.debug.load(Ordering::Relaxed) {
            return;
        }
        if self.lines.try_send(Message::Record(SystemTime::now(), Box::new(record))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes a plain line.
    pub fn say(&self, level: Level, service: &str, text: impl Into<String>) {
        self.record(Record { level, service: service.to_owned(), text: text.into(), values: Vec::new() });
    }

    /// Waits until everything said so far has been written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.lines.send(Message::Flushed(done)).is_ok() {
            let _ = wait.recv_timeout(Duration::from_secs(5));
        }
    }
}

struct Writer {
    settings: ServerSettings,
    stamp: Stamp,
    error: Sink,
    info: Option<Sink>,
    debug: Option<Sink>,
    dropped: Arc<AtomicU64>,
}

/// Where lines of a kind go, and those on their way.
struct Sink {
    place: Place,
    lines: Vec<u8>,
}

enum Place {
    File(std::fs::File),
    Stderr,
    Syslog(UnixDatagram),
}

/// A time as text, which holds for every line of one second.
#[derive(Default)]
struct Stamp {
    seconds: Option<u64>,
    text: String,
}

impl Writer {
    fn new(settings: ServerSettings, dropped: Arc<AtomicU64>) -> Self {
        let error = Sink::new(Place::Stderr);
        let mut writer = Self { settings, stamp: Stamp::default(), error, info: None, debug: None, dropped };
        writer.open();
        writer
    }

    fn open(&mut self) {
        self.stamp = Stamp::default();
        let mut faults = Vec::new();
        let mut open = |setting: &str, path: &str| {
            Sink::open(path).unwrap_or_else(|error| {
                let path = if path.is_empty() { "syslog" } else { path };
                let why = plainly(&error);
                faults.push(format!("{setting}: {path}: {why}; lines go to standard error"));
                Sink::new(Place::Stderr)
            })
        };
        self.error = open("log_path", &self.settings.log_path);
        let mut own = |setting, path: &str| (!path.is_empty()).then(|| open(setting, path));
        self.info = own("info_log_path", &self.settings.info_log_path);
        self.debug = own("debug_log_path", &self.settings.debug_log_path);
        for text in faults {
            let record = Record { level: Level::Error, service: "log".into(), text, values: Vec::new() };
            self.write(SystemTime::now(), &record);
        }
    }

    fn run(mut self, queue: &Receiver<Message>) {
        while let Ok(first) = queue.recv() {
            for message in std::iter::once(first).chain(queue.try_iter().take(QUEUE)) {
                self.take(message);
            }
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let record = Record {
                    level: Level::Error,
                    service: "log".into(),
                    text: format!("{dropped} log lines were dropped because the log could not keep up"),
                    values: Vec::new(),
                };
                self.write(SystemTime::now(), &record);
            }
            self.flush();
            std::thread::sleep(GATHER);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Record(time, record) => self.write(time, &record),
            Message::Open(settings) => {
                self.flush();
                self.settings = *settings;
                self.open();
            }
            Message::Flushed(done) => {
                self.flush();
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self, time: SystemTime, record: &Record) {
        let body = match self.settings.log_format {
            LogFormat::Dovecot => clean(&record.text, usize::MAX),
            LogFormat::Json => Cow::Owned(json(time, record)),
        };
        let sink = match record.level {
            Level::Debug => self.debug.as_mut().or(self.info.as_mut()).unwrap_or(&mut self.error),
            Level::Info => self.info.as_mut().unwrap_or(&mut self.error),
            _ => &mut self.error,
        };
        let (service, level) = (&record.service, record.level.name());
        match (&sink.place, self.settings.log_format) {
            (Place::Syslog(socket), format) => {
                let line = match format {
                    LogFormat::Dovecot => Cow::Owned(format!("{service}: {level}: {body}")),
                    LogFormat::Json => body,
                };
                let number = facility(&self.settings.syslog_facility) * 8 + record.level.severity();
                let line = format!("<{number}>{}: {line}", self.settings.instance_name);
                // A log that cannot be written must not stop logins.
                let _ = socket.send(line.as_bytes());
            }
            (Place::File(_) | Place::Stderr, LogFormat::Dovecot) => {
                let stamp = self.stamp.at(time, &self.settings.log_timestamp);
                // Writing to memory cannot fail.
                let _ = writeln!(sink.lines, "{stamp}{service}: {level}: {body}");
            }
            (Place::File(_) | Place::Stderr, LogFormat::Json) => {
                let _ = writeln!(sink.lines, "{body}");
            }
        }
        if sink.lines.len() >= PIECE {
            sink.flush();
        }
    }

    fn flush(&mut self) {
        for sink in [Some(&mut self.error), self.info.as_mut(), self.debug.as_mut()].into_iter().flatten() {
            sink.flush();
        }
    }
}

impl Stamp {
    fn at(&mut self, time: SystemTime, format: &str) -> &str {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.seconds != Some(seconds) {
            *self = Self { seconds: Some(seconds), text: sys::clock::format_local(seconds, format) };
        }
        &self.text
    }
}

impl Sink {
    fn new(place: Place) -> Self {
        Self { place, lines: Vec::new() }
    }

    fn open(path: &str) -> std::io::Result<Self> {
        let place = match path {
            "" | "syslog" => {
                let socket = UnixDatagram::unbound()?;
                socket.connect("/dev/log")?;
                socket.set_nonblocking(true)?;
                Place::Syslog(socket)
            }
            "/dev/stderr" => Place::Stderr,
            path => Place::File(OpenOptions::new().create(true).append(true).open(path)?),
        };
        Ok(Self::new(place))
    }

    /// Writes what has gathered. A log that cannot be written must not stop logins.
    fn flush(&mut self) {
        let _ = match &mut self.place {
            _ if self.lines.is_empty() => return,
            Place::File(file) => file.write_all(&self.lines),
            Place::Stderr => std::io::stderr().write_all(&self.lines),
            Place::Syslog(_) => Ok(()),
        };
        self.lines.clear();
        self.lines.shrink_to(PIECE);
    }
}

/// Facility codes of RFC 5424 §6.2.1.
fn facility(name: &str) -> u8 {
    match name {
        "kern" => 0,
        "user" => 1,
        "daemon" => 3,
        "auth" => 4,
        "syslog" => 5,
        "authpriv" => 10,
        "local0" => 16,
        "local1" => 17,
        "local2" => 18,
        "local3" => 19,
        "local4" => 20,
        "local5" => 21,
        "local6" => 22,
        "local7" => 23,
        _ => 2,
    }
}

/// Makes text safe for one log line: control characters (C0, DEL, C1), line separators and bidi
/// controls become `\u{…}`, and what is past `limit` bytes is cut.
pub fn clean(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(limit));
    for c in text.chars() {
        if out.len() >= limit {
            out.push('…');
            break;
        }
        match c {
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// One value for a log line, made safe and cut.
pub fn value(text: &str) -> Cow<'_, str> {
    clean(text, VALUE_LIMIT)
}

/// A fault of the system in its own words, without the number that Rust adds to them.
pub fn plainly(error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => text.trim_end_matches(&format!(" (os error {code})")).to_owned(),
        None => text,
    }
}

fn json(time: SystemTime, record: &Record) -> String {
    let mut object = serde_json::Map::new();
    let micros = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    object.insert("time".into(), serde_json::json!(micros as f64 / 1e6));
    object.insert("level".into(), record.level.name().to_ascii_lowercase().into());
    object.insert("service".into(), record.service.clone().into());
    object.insert("message".into(), clean(&record.text, usize::MAX).into());
    for (name, value) in &record.values {
        object.insert((*name).into(), self::value(value).into());
    }
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_one_line_whatever_is_in_it() {
        assert_eq!(clean("a\nb\x1b[31m\u{202e}ü", 100), "a\\x0ab\\x1b[31m\\u{202e}ü");
        assert_eq!(value(&"x".repeat(600)).chars().count(), VALUE_LIMIT + 1);
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_told_on_standard_error() {
        let settings = ServerSettings { log_path: "/nonexistent/log".into(), ..ServerSettings::default() };
        let writer = Writer::new(settings, Arc::default());
        assert!(matches!(writer.error.place, Place::Stderr));
        let lines = String::from_utf8_lossy(&writer.error.lines).into_owned();
        let text =
            "log: Error: log_path: /nonexistent/log: No such file or directory; lines go to standard error\n";
        assert!(lines.ends_with(text), "{lines}");
    }

    #[test]
    fn json_holds_the_values() {
        let record = Record {
            level: Level::Info,
            service: "imap-login".into(),
            text: "Login: user=<bob>".into(),
            values: vec![("user", "b\"ob".into())],
        };
        let parsed: serde_json::Value = serde_json::from_str(&json(UNIX_EPOCH, &record)).unwrap();
        assert_eq!(parsed["user"], "b\"ob");
        assert_eq!(parsed["service"], "imap-login");
    }
}
