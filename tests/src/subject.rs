//! A running subject: its process, how to know that it is ready, its log, and its end.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::local::LocalMail;
use crate::scenario::{Scenario, Subject};
use crate::stream::{Heard, PATIENCE, Stream};
use crate::workplace::Workplace;
use crate::{dovecot, gatepost};

/// A subject that has been started; dropping it ends its process.
pub struct Running {
    process: Child,
    /// Where it runs.
    pub place: Workplace,
    /// Connections of dialogues that keep theirs.
    pub kept: Vec<Stream>,
    _local: Option<LocalMail>,
}

impl Running {
    /// Starts `subject` and returns when it accepts connections.
    pub fn start(scenario: &Scenario, subject: Subject) -> Result<Running, String> {
        let mut attempts = 3;
        loop {
            attempts -= 1;
            match Running::start_once(scenario, subject) {
                // Between finding a free port and using it another test run may have come along.
                Err(fault) if attempts > 0 && fault.contains("Address already in use") => {}
                result => return result,
            }
        }
    }

    fn start_once(scenario: &Scenario, subject: Subject) -> Result<Running, String> {
        let place = Workplace::set_up(scenario, subject)?;
        let (configuration, mut command, local) = match subject {
            Subject::Dovecot => (dovecot::configuration(&place)?, dovecot::command(&place), None),
            Subject::Gatepost => {
                let local = LocalMail::open()?;
                (gatepost::configuration(&place, &local)?, gatepost::command(&place)?, Some(local))
            }
        };
        fs::write(place.file("dovecot.conf"), configuration).map_err(|e| e.to_string())?;
        let console = fs::File::create(place.file("console")).map_err(|e| e.to_string())?;
        let process = command
            .stdin(Stdio::null())
            .stdout(console.try_clone().map_err(|e| e.to_string())?)
            .stderr(console)
            .spawn()
            .map_err(|e| format!("{}: {e}", command.get_program().display()))?;
        let mut running = Running { process, place, kept: Vec::new(), _local: local };
        running.wait_until_ready(scenario).map_err(|e| format!("{e}\n{}", running.log_tail()))?;
        Ok(running)
    }

    /// The auth socket says its last greeting line only when logins can be answered; the ports must be open too.
    fn wait_until_ready(&mut self, scenario: &Scenario) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let ports: Vec<u16> = scenario
            .dialogues
            .iter()
            .filter_map(|dialogue| dialogue.door.port_name())
            .map(|name| self.place.port(name))
            .collect::<Result<_, _>>()?;
        while !self.auth_is_ready() || !ports.iter().all(|&port| is_open(port)) {
            if let Some(status) = self.process.try_wait().map_err(|e| e.to_string())? {
                return Err(format!("did not start: {status}"));
            }
            if Instant::now() > deadline {
                return Err("did not open its ports in time".to_owned());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn auth_is_ready(&self) -> bool {
        let Ok(mut socket) = Stream::connect_unix(&self.place.file("run/auth-client")) else {
            return false;
        };
        loop {
            match socket.line() {
                Heard::Line(line) if line == b"DONE" => return true,
                Heard::Line(_) => {}
                Heard::End(_) | Heard::Silence(_) => return false,
            }
        }
    }

    /// Its process.
    pub fn id(&self) -> Result<Pid, String> {
        i32::try_from(self.process.id()).map(Pid::from_raw).map_err(|e| e.to_string())
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        kill(self.id()?, signal).map_err(|e| e.to_string())
    }

    /// Waits until its process has ended by itself.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.process.try_wait().map_err(|e| e.to_string())? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err("did not end in time".to_owned());
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The last lines of what it printed and logged.
    pub fn log_tail(&self) -> String {
        let mut out = String::new();
        for name in ["console", "log"] {
            let text = fs::read(self.place.file(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(20)..] {
                out.push_str(&format!("    {name}| {line}\n"));
            }
        }
        out
    }
}

fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

impl Drop for Running {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        // Not when it has ended by itself: its number may be another's by now.
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.signal(Signal::SIGTERM);
        }
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.process.kill();
            }
            sleep(Duration::from_millis(5));
        }
    }
}

/// Settings that both subjects get before the scenario's own text, which may say otherwise.
pub fn base(place: &Workplace) -> Result<String, String> {
    let dir = place.path().display();
    let mut text = format!(
        "base_dir = {dir}/run
log_path = {dir}/log
protocols = imap pop3
listen = 127.0.0.1
ssl = no
ssl_cert = <{dir}/cert.pem
ssl_key = <{dir}/key.pem
disable_plaintext_auth = no
auth_failure_delay = 0
auth_verbose = yes
service auth {{
  unix_listener auth-client {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"
    );
    for protocol in ["imap", "pop3"] {
        let port = place.port(protocol)?;
        let tls_port = place.port(&format!("{protocol}s"))?;
        text.push_str(&format!(
            "service {protocol}-login {{
  inet_listener {protocol} {{
    port = {port}
  }}
  inet_listener {protocol}s {{
    port = {tls_port}
    ssl = yes
  }}
}}
"
        ));
    }
    Ok(text)
}
