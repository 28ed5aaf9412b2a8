//! `cargo xtask lint` and `cargo xtask test`: what `.ci/run` runs, and a developer too; `cargo xtask perf`.

mod perf;

use std::env;
use std::process::{Command, ExitCode, Stdio};

/// Debian packages that tests need, each with a file it brings or a program it puts into the search path: the
/// original, which scenarios are proven against, and the mail clients that are driven through the gate.
const PACKAGES: [(&str, &str); 12] = [
    ("dovecot-core", "/usr/sbin/dovecot"),
    ("dovecot-imapd", "/usr/lib/dovecot/imap-login"),
    ("dovecot-pop3d", "/usr/lib/dovecot/pop3-login"),
    ("dovecot-sqlite", "/usr/lib/dovecot/modules/libdriver_sqlite.so"),
    ("alpine", "alpine"),
    ("curl", "curl"),
    ("gsasl", "gsasl"),
    ("haproxy", "/usr/sbin/haproxy"),
    ("isync", "mbsync"),
    ("mutt", "mutt"),
    ("python3", "python3"),
    ("tmux", "tmux"),
];

fn main() -> ExitCode {
    let task = env::args().nth(1).unwrap_or_default();
    let result = match task.as_str() {
        "lint" => lint(),
        "test" => test(),
        "perf" => perf::perf(env::args().skip(2)),
        _ => Err("usage: cargo xtask lint|test|perf".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("xtask: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Format, clippy and documentation, warnings denied.
fn lint() -> Result<(), String> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// Every test, scenarios against both subjects; nothing is left out silently.
fn test() -> Result<(), String> {
    install_packages()?;
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let me = env::current_exe().map_err(|e| e.to_string())?;
    let gatepost = me.with_file_name("gatepost");
    run(cargo().args(["test", "--workspace"]).env("REQUIRE_SUBJECTS", "1").env("GATEPOST_BIN", gatepost))
}

fn install_packages() -> Result<(), String> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, part)| !is_there(part)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("install what the tests need: apt-get install {}", missing.join(" "));
    if !is_root() {
        return Err(by_hand);
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(apt().arg("update")).map_err(|fault| format!("{fault}; {by_hand}"))?;
    // Without recommended packages no service is started.
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(&missing))
        .map_err(|fault| format!("{fault}; {by_hand}"))
}

/// A path as it is, a name anywhere in the search path.
fn is_there(part: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(part).exists())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    eprintln!("xtask: {command:?}");
    let status = command.stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", command.get_program().display())),
        Err(e) => Err(format!("{}: {e}", command.get_program().display())),
    }
}
