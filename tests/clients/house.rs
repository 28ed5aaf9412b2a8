//! What every test finds: two Dovecots with mailboxes for anybody whose password is "secret", and a gate in front of
//! them that belongs to the test alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use gatepost_tests::scenario::{self, Subject};
use gatepost_tests::stream::{Heard, Stream};
use gatepost_tests::subject::Running;
use gatepost_tests::workplace::own_address;
use nix::sys::signal::Signal;
use nix::unistd::Uid;

/// The password of everybody.
pub(crate) const PASSWORD: &str = "secret";
/// Another password of everybody, with all that quoting can go wrong on.
pub(crate) const ODD_PASSWORD: &str = "q\"u\\o te {3} ß%u";
/// How long a program or a screen may take; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Two Dovecots.
pub(crate) struct Backends {
    pub(crate) one: Running,
    pub(crate) two: Running,
}

impl Backends {
    pub(crate) fn start() -> Result<Backends, String> {
        Ok(Backends { one: backend()?, two: backend()? })
    }
}

/// A Dovecot that lets everybody in.
fn backend() -> Result<Running, String> {
    let text = format!(
        "# A backend.
[dovecot.conf]
mail_max_userip_connections = 200
verbose_proctitle = yes
passdb {{
  driver = static
  args = password={{PLAIN}}{PASSWORD}
}}
passdb {{
  driver = static
  args = password={{PLAIN.B64}}{}
}}
[imap]
S: …
[pop3]
S: …
",
        BASE64.encode(ODD_PASSWORD.as_bytes())
    );
    Running::start(&scenario::parse(&text)?, Subject::Dovecot)
}

/// Puts a message into a user's inbox on a backend, as a delivery would.
pub(crate) fn deliver(backend: &Running, user: &str, subject: &str) -> Result<(), String> {
    let home = backend.place.file("mail").join(user);
    let maildir = home.join("Maildir");
    let mut made = vec![home, maildir.clone()];
    made.extend(["cur", "new", "tmp"].map(|folder| maildir.join(folder)));
    let message = maildir.join("new").join(format!("{}.delivered", subject.replace(' ', "-")));
    let text = format!(
        "From: Someone <someone@example.com>\nTo: {user}@example.com\nSubject: {subject}\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <{}@example.com>\n\nA message.\n",
        subject.replace(' ', ".")
    );
    let write = || {
        made.iter().try_for_each(fs::create_dir_all)?;
        fs::write(&message, text)?;
        // The user whom the backend's mail processes become.
        if Uid::effective().is_root() {
            made.iter().chain([&message]).try_for_each(|path| chown(path, Some(65_534), Some(65_534)))?;
        }
        Ok(())
    };
    write().map_err(|e: std::io::Error| format!("{}: {e}", message.display()))
}

/// A gate with users of each kind: anna and bert are in a passwd-file and proxied to the first and the second backend, cleo is
/// in an SQLite database and proxied to the first, dora is admitted, and the second backend is the local mail service;
/// rosa is referred there, and ruth is told of the first and admitted. Oddo is like anna and odda like dora, but for
/// their passwords.
pub(crate) struct Gate {
    pub(crate) running: Running,
    pub(crate) backends: Arc<Backends>,
    name: String,
}

impl Gate {
    pub(crate) fn start(backends: &Arc<Backends>) -> Result<Gate, String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        // Short, or Alpine's prompts do not fit its screen.
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let running = Running::start(&scenario::parse(&text(backends, &name)?)?, Subject::Gatepost)?;
        Ok(Gate { running, backends: Arc::clone(backends), name })
    }

    /// A user's name in this test: others have mailboxes of their own.
    pub(crate) fn user(&self, who: &str) -> String {
        format!("{who}.{}", self.name)
    }

    /// The backend that holds a user's mail.
    fn backend_of(&self, who: &str) -> &Running {
        if ["anna", "cleo", "oddo"].contains(&who) { &self.backends.one } else { &self.backends.two }
    }

    /// Puts a message into a user's inbox, as a delivery would.
    pub(crate) fn deliver(&self, who: &str, subject: &str) -> Result<(), String> {
        deliver(self.backend_of(who), &self.user(who), subject)
    }

    /// The port of a door.
    pub(crate) fn port(&self, door: &str) -> u16 {
        self.running.place.port(door).unwrap_or_default()
    }

    /// The certificate that it shows.
    pub(crate) fn certificate(&self) -> String {
        self.file("cert.pem").display().to_string()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.running.place.file(name)
    }

    /// Gives a user of the passwd-file a backend of a test's own.
    pub(crate) fn add_proxied(&self, who: &str, port: u16) -> Result<(), String> {
        let (path, user) = (self.file("users.imap"), self.user(who));
        let mut users = fs::read_to_string(&path).map_err(|e| e.to_string())?;
        users.push_str(&format!("{user}:{{PLAIN}}{PASSWORD}::::::proxy=y host=127.0.0.1 port={port}\n"));
        fs::write(&path, users).map_err(|e| e.to_string())?;
        self.reload()
    }

    /// Adds to the settings; gives what they were. Nothing is reloaded.
    pub(crate) fn add_settings(&self, more: &str) -> Result<String, String> {
        let path = self.file("dovecot.conf");
        let before = fs::read_to_string(&path).map_err(|e| e.to_string())?;
        fs::write(&path, format!("{before}{more}")).map_err(|e| e.to_string())?;
        Ok(before)
    }

    /// Has everything read anew, which must succeed.
    pub(crate) fn reload(&self) -> Result<(), String> {
        let reloads = |log: &str| log.matches("config: Info: reloaded").count();
        let before = reloads(&self.log());
        self.running.signal(Signal::SIGHUP)?;
        let deadline = Instant::now() + PATIENCE;
        while reloads(&self.log()) == before {
            if Instant::now() > deadline {
                return Err("not reloaded".to_owned());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A directory for a client's own files.
    pub(crate) fn home(&self) -> Result<PathBuf, String> {
        let home = self.file("home");
        fs::create_dir_all(&home).map_err(|e| e.to_string())?;
        fs::set_permissions(&home, Permissions::from_mode(0o700)).map_err(|e| e.to_string())?;
        Ok(home)
    }

    /// A connection from an address of its own; TLS at once where the door says so.
    pub(crate) fn connect(&self, door: &str) -> Result<Stream, String> {
        let mut stream = Stream::connect(own_address(), self.port(door)).map_err(|e| e.to_string())?;
        if door.ends_with('s') {
            stream.start_tls()?;
        }
        Ok(stream)
    }

    /// An IMAP connection that has logged in.
    pub(crate) fn log_in(&self, door: &str, who: &str) -> Result<Stream, String> {
        let mut stream = self.connect(door)?;
        expect(&mut stream, "* OK ")?;
        command(&mut stream, &format!("in LOGIN {} {PASSWORD}", self.user(who)))?;
        Ok(stream)
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Waits until the log holds a line with all these parts.
    pub(crate) fn await_log(&self, parts: &[&str]) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
                return Ok(line.to_owned());
            }
            if Instant::now() > deadline {
                return Err(format!("no log line with {parts:?}"));
            }
            sleep(Duration::from_millis(20));
        }
    }
}

fn text(backends: &Backends, name: &str) -> Result<String, String> {
    let Backends { one, two } = backends;
    let (local_imap, local_pop3) = (two.place.port("imap")?, two.place.port("pop3")?);
    let mut text = format!(
        "# A gate.
[dovecot.conf]
ssl = yes
auth_mechanisms = plain login
mail_max_userip_connections = 60
passdb {{
  driver = passwd-file
  args = ${{dir}}/users.%s
}}
passdb {{
  driver = sql
  args = ${{dir}}/sql.conf
}}
gatepost_local_imap = imap://127.0.0.1:{local_imap}
gatepost_local_pop3 = pop3://127.0.0.1:{local_pop3}
[sql.conf]
driver = sqlite
connect = ${{dir}}/users.db
default_pass_scheme = PLAIN
password_query = SELECT password, 'y' AS proxy, host, port_%s AS port FROM users WHERE name = '%u'
[sql users.db]
CREATE TABLE users (name, password, host, port_imap, port_pop3);
INSERT INTO users VALUES ('cleo.{name}', '{PASSWORD}', '127.0.0.1', {}, {});
",
        one.place.port("imap")?,
        one.place.port("pop3")?
    );
    for protocol in ["imap", "pop3"] {
        let (one, two) = (one.place.port(protocol)?, two.place.port(protocol)?);
        text.push_str(&format!(
            "[users.{protocol}]
anna.{name}:{{PLAIN}}{PASSWORD}::::::proxy=y host=127.0.0.1 port={one}
bert.{name}:{{PLAIN}}{PASSWORD}::::::proxy=y host=127.0.0.1 port={two}
dora.{name}:{{PLAIN}}{PASSWORD}
oddo.{name}:{{PLAIN}}{ODD_PASSWORD}::::::proxy=y host=127.0.0.1 port={one}
odda.{name}:{{PLAIN}}{ODD_PASSWORD}
rosa.{name}:{{PLAIN}}{PASSWORD}::::::host=127.0.0.1 port={two} nologin
ruth.{name}:{{PLAIN}}{PASSWORD}::::::host=127.0.0.1 port={one}
"
        ));
    }
    for door in ["imap", "imaps", "pop3", "pop3s"] {
        text.push_str(&format!("[{door}]\nS: …\n"));
    }
    Ok(text)
}

/// The next line, which must begin like this.
pub(crate) fn expect(stream: &mut Stream, start: &str) -> Result<String, String> {
    match stream.line() {
        Heard::Line(line) => {
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.starts_with(start) {
                Ok(line)
            } else {
                Err(format!("expected \"{start}…\", heard \"{line}\""))
            }
        }
        other => Err(format!("expected \"{start}…\", heard {other:?}")),
    }
}

/// Lines up to the one that begins like this.
pub(crate) fn until(stream: &mut Stream, start: &str) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    loop {
        let line =
            expect(stream, "").map_err(|e| format!("{e}, waiting for \"{start}…\", after {lines:?}"))?;
        let found = line.starts_with(start);
        lines.push(line);
        if found {
            return Ok(lines);
        }
    }
}

/// An IMAP command that must succeed; its untagged replies, and the tagged one last.
pub(crate) fn command(stream: &mut Stream, line: &str) -> Result<Vec<String>, String> {
    let tag = line.split(' ').next().unwrap_or_default();
    stream.send_line(line.as_bytes()).map_err(|e| e.to_string())?;
    let replies = until(stream, &format!("{tag} "))?;
    match replies.last() {
        Some(last) if last.starts_with(&format!("{tag} OK")) => Ok(replies),
        last => Err(format!("{line}: {last:?}")),
    }
}
