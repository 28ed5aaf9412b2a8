//! Gatepost and Dovecot 2.3: they read the same file, so they are given the same file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Doors, Place, Prepared, Product};
use crate::connection::Target;

/// Gatepost.
pub(crate) struct Gatepost {
    /// The program.
    pub(crate) program: PathBuf,
}

/// Dovecot 2.3, in what its manual calls high-performance mode: one login process for all connections.
pub(crate) struct Dovecot {
    /// The master program.
    pub(crate) program: PathBuf,
}

impl Product for Gatepost {
    fn name(&self) -> &'static str {
        "gatepost"
    }

    fn version(&self) -> String {
        version(&self.program)
    }

    fn prepare(&self, place: &Place) -> io::Result<Prepared> {
        prepare(&self.program, &["serve", "-c"], place)
    }
}

impl Product for Dovecot {
    fn name(&self) -> &'static str {
        "dovecot"
    }

    fn version(&self) -> String {
        version(&self.program)
    }

    fn prepare(&self, place: &Place) -> io::Result<Prepared> {
        prepare(&self.program, &["-F", "-c"], place)
    }
}

fn prepare(program: &Path, arguments: &[&str], place: &Place) -> io::Result<Prepared> {
    let file = place.path("dovecot.conf");
    fs::write(&file, configuration(place))?;
    let mut command = Command::new(program);
    command.args(arguments).arg(&file);
    let doors = Doors {
        imap: Target { address: place.imap, tls: None },
        imaps: Some(Target { address: place.imaps, tls: Some(place.tls.clone()) }),
        auth: Some(place.path("auth-perf")),
    };
    Ok(Prepared { command, doors, log: place.path("log") })
}

fn configuration(place: &Place) -> String {
    let folder = place.path("");
    let folder = folder.display().to_string();
    let folder = folder.trim_end_matches('/');
    let (imap, imaps) = (place.imap.port(), place.imaps.port());
    format!(
        "\
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
ssl = yes
ssl_cert = <{folder}/certificate.pem
ssl_key = <{folder}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain
default_vsz_limit = 0
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  client_limit = 20000
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service auth {{
  client_limit = 20000
  unix_listener {folder}/auth-perf {{
    mode = 0666
  }}
}}
service anvil {{
  client_limit = 20000
}}
"
    )
}

fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let said = output.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.filter(|said| !said.is_empty()).unwrap_or_else(|| "of unknown version".to_owned())
}
