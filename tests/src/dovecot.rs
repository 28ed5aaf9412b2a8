//! The real Dovecot as a subject: what it needs beyond the common settings to run from a private directory,
//! as root or as anybody, and whether it is installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Group, Uid, User};

use crate::subject;
use crate::workplace::Workplace;

/// Debian packages and a file of each.
const PARTS: [(&str, &str); 4] = [
    ("dovecot-core", "/usr/sbin/dovecot"),
    ("dovecot-imapd", "/usr/lib/dovecot/imap-login"),
    ("dovecot-pop3d", "/usr/lib/dovecot/pop3-login"),
    ("dovecot-sqlite", "/usr/lib/dovecot/modules/libdriver_sqlite.so"),
];

/// What is not installed; another version than 2.3 proves nothing.
pub fn missing() -> Vec<&'static str> {
    let mut missing: Vec<&str> =
        PARTS.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        let version = Command::new(PARTS[0].1).arg("--version").output();
        if !version.is_ok_and(|version| version.stdout.starts_with(b"2.3.")) {
            missing.push("version 2.3");
        }
    }
    missing
}

/// The whole `dovecot.conf`.
pub fn configuration(place: &Workplace) -> Result<String, String> {
    let dir = place.path().display();
    let mail = place.file("mail");
    fs::create_dir(&mail).map_err(|e| e.to_string())?;
    fs::set_permissions(&mail, fs::Permissions::from_mode(0o777)).map_err(|e| e.to_string())?;
    let mut text = subject::base(place)?;
    text.push_str(&format!("state_dir = {dir}/state\nmail_location = maildir:~/Maildir\n"));
    let (uid, gid) = if Uid::effective().is_root() {
        (65_534, 65_534)
    } else {
        text.push_str(&unprivileged()?);
        (Uid::effective().as_raw(), Gid::effective().as_raw())
    };
    text.push_str(&place.configuration);
    if !place.configuration.contains("userdb {") {
        // Whoever may log in has a mailbox.
        text.push_str(&format!(
            "userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/mail/%u allow_all_users=yes
}}
"
        ));
    }
    Ok(text)
}

/// One user for everything and no chroot.
fn unprivileged() -> Result<String, String> {
    let user = User::from_uid(Uid::effective()).ok().flatten().ok_or("the tests' user has no name")?.name;
    let group = Group::from_gid(Gid::effective()).ok().flatten().ok_or("the tests' group has no name")?.name;
    let mut text = format!(
        "default_login_user = {user}\ndefault_internal_user = {user}\ndefault_internal_group = {group}\n"
    );
    for service in ["imap-login", "pop3-login", "anvil"] {
        text.push_str(&format!("service {service} {{\n  chroot =\n}}\n"));
    }
    Ok(text)
}

/// What starts it.
pub fn command(place: &Workplace) -> Command {
    let mut command = Command::new("/usr/sbin/dovecot");
    command.arg("-F").arg("-c").arg(place.file("dovecot.conf"));
    command
}
