//! Gatepost as a subject: a program like any other, started with the scenario's configuration.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use nix::unistd::Uid;

use crate::local::LocalMail;
use crate::subject;
use crate::workplace::Workplace;

/// The whole `dovecot.conf`: Gatepost reads the same file, and is told where admitted sessions go.
pub fn configuration(place: &Workplace, local: &LocalMail) -> Result<String, String> {
    let mut text = subject::base(place)?;
    if Uid::effective().is_root() {
        text.push_str("default_login_user = nobody\ndefault_internal_user = nobody\n");
    }
    text.push_str(&format!(
        "gatepost_local_imap = imap://127.0.0.1:{}\ngatepost_local_pop3 = pop3://127.0.0.1:{}\n",
        local.imap_port, local.pop3_port
    ));
    text.push_str(&place.configuration);
    Ok(text)
}

/// What starts it.
pub fn command(place: &Workplace) -> Result<Command, String> {
    let mut command = Command::new(program()?);
    command.arg("serve").arg("-c").arg(place.file("dovecot.conf"));
    Ok(command)
}

/// `GATEPOST_BIN`, else the workspace's own, built once per run so that it is never an old one.
pub fn program() -> Result<PathBuf, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM.get_or_init(|| env::var_os("GATEPOST_BIN").map_or_else(build, |path| Ok(path.into()))).clone()
}

fn build() -> Result<PathBuf, String> {
    let test = env::current_exe().map_err(|e| e.to_string())?;
    // target/PROFILE/deps/it-HASH
    let folder = test.ancestors().nth(2).ok_or("the test program lies in no target folder")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["build", "--quiet", "--package", "gatepost", "--bin", "gatepost", "--target-dir"]);
    command.arg(folder.parent().ok_or("the test program lies in no target folder")?);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().map_err(|e| format!("cargo build: {e}"))?;
    if !status.success() {
        return Err("cargo build --package gatepost failed".to_owned());
    }
    Ok(folder.join("gatepost"))
}
