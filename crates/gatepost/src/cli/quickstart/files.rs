//! The folder that quickstart makes: a configuration to start from, a passwd-file, a SQLite
//! database and a certificate. What is there already is left as it is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Ports;

/// Makes whatever is missing in `folder`.
pub(super) fn make(folder: &Path, ports: &Ports) -> Result<(), String> {
    let fault =
        |what: &str, error: &dyn std::fmt::Display| format!("{}: {error}", folder.join(what).display());
    fs::create_dir_all(folder).map_err(|error| fault("", &error))?;
    let shown = folder.canonicalize().map_err(|error| fault("", &error))?;
    let dir = shown.display().to_string();
    for (name, mode, text) in [
        ("gatepost.conf", 0o644, configuration(&dir, ports)),
        ("users", 0o640, users(ports)),
        ("dovecot-sql.conf.ext", 0o640, sql_configuration(&dir)),
    ] {
        create(&folder.join(name), mode, &text).map_err(|error| fault(name, &error))?;
    }
    let database = folder.join("users.sqlite");
    if !database.exists() {
        make_database(&database, ports).map_err(|error| fault("users.sqlite", &error))?;
    }
    if !folder.join("cert.pem").exists() || !folder.join("key.pem").exists() {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| fault("cert.pem", &error))?;
        create(&folder.join("cert.pem"), 0o644, &made.cert.pem())
            .map_err(|error| fault("cert.pem", &error))?;
        create(&folder.join("key.pem"), 0o600, &made.signing_key.serialize_pem())
            .map_err(|error| fault("key.pem", &error))?;
    }
    Ok(())
}

/// Writes a file that is not there yet, readable by whom `mode` says from its first byte.
fn create(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn configuration(dir: &str, ports: &Ports) -> String {
    let Ports { imap, imaps, pop3, pop3s, local_imap, local_pop3, .. } = ports;
    format!(
        r#"# Gatepost's configuration, in the syntax of dovecot.conf (2.3).
# Check it with:  gatepost config check -c {dir}/gatepost.conf

base_dir = {dir}/run
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1

# Every refusal of a wrong password waits so long.
auth_failure_delay = 1 secs

# TLS for clients: from the first byte on the imaps and pop3s ports, by STARTTLS on the others.
# Passwords may go in the clear between two programs on one machine only.
ssl = yes
ssl_cert = <{dir}/cert.pem
ssl_key = <{dir}/key.pem
disable_plaintext_auth = yes

service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}

# Mail servers (Postfix, Exim) ask here who may send mail.
service auth {{
  unix_listener auth-client {{
    mode = 0660
  }}
}}

# An address whose logins fail has to wait longer and longer. Here every demonstration user
# comes from 127.0.0.1, so that is switched off; leave this block out on a real server.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}

# Logins that are admitted, and neither proxied nor referred, are served by these.
gatepost_local_imap = imap://127.0.0.1:{local_imap}
gatepost_local_pop3 = pop3://127.0.0.1:{local_pop3}

# Whom to ask, in this order. The fields that come back decide what becomes of the login.
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
passdb {{
  driver = sql
  args = {dir}/dovecot-sql.conf.ext
}}
"#
    )
}

fn users(ports: &Ports) -> String {
    let Ports { remote_imap, remote_pop3, dead, .. } = ports;
    format!(
        "# user:password:uid:gid:gecos:home:shell:extra fields\n\
         # Make passwords with: gatepost pw -s SHA512-CRYPT\n\
         alice:{{PLAIN}}wonder\n\
         bob:{{PLAIN}}builder::::::proxy=y host=127.0.0.1 port=%{{if;%s;eq;pop3;{remote_pop3};{remote_imap}}}\n\
         carol:{{PLAIN}}carols::::::host=imap2.example.com nologin\n\
         erin:{{PLAIN}}eraser::::::allow_nets=192.0.2.0/24\n\
         heidi:{{PLAIN}}hidden::::::proxy=y host=127.0.0.1 port={dead} proxy_timeout=1\n"
    )
}

fn sql_configuration(dir: &str) -> String {
    format!(
        "driver = sqlite\n\
         connect = {dir}/users.sqlite\n\
         # Each column becomes a field of that name; NULL means that the field is not there.\n\
         password_query = SELECT userid AS user, password, proxy, host, nologin, reason, \\\n\
         \x20 CASE '%s' WHEN 'pop3' THEN pop3_port ELSE imap_port END AS port \\\n\
         \x20 FROM users WHERE userid = '%u'\n"
    )
}

fn make_database(path: &Path, ports: &Ports) -> rusqlite::Result<()> {
    let Ports { remote_imap, remote_pop3, .. } = ports;
    rusqlite::Connection::open(path)?.execute_batch(&format!(
        "CREATE TABLE users (userid TEXT PRIMARY KEY, password TEXT, proxy TEXT, host TEXT,
             imap_port INTEGER, pop3_port INTEGER, nologin TEXT, reason TEXT);
         INSERT INTO users VALUES ('dave', '{{PLAIN}}diver', NULL, NULL, NULL, NULL, 'Y',
             'Account closed, please call 555-0100.');
         INSERT INTO users VALUES ('frank', '{{PLAIN}}furter', 'Y', '127.0.0.1',
             {remote_imap}, {remote_pop3}, NULL, NULL);
         INSERT INTO users VALUES ('grace', '{{PLAIN}}hopper', NULL, 'imap2.example.com',
             NULL, NULL, NULL, NULL);"
    ))
}
