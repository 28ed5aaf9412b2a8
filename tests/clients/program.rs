//! Running a client program: whether it is installed, how long it may take, what it printed.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::house::PATIENCE;

/// Whether a program is installed.
pub(crate) fn is_installed(name: &str) -> bool {
    find(name).is_some()
}

/// Where a program is: in the search path, or where Debian puts servers, which is not in everybody's.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
}

/// A program that is ended when it takes too long, by coreutils' `timeout`.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new("timeout");
    command.arg("--kill-after=5").arg(PATIENCE.as_secs().to_string()).arg(name);
    command.stdin(Stdio::null());
    command
}

/// Runs it; what it printed to standard output when it succeeded, else all there is to know.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(out.into_owned());
    }
    let words: Vec<_> = command.get_args().skip(2).map(|word| word.to_string_lossy()).collect();
    Err(format!("{}\n{}\n{out}{err}", words.join(" "), output.status))
}

/// Fails unless `text` holds `part`.
pub(crate) fn holds(text: &str, part: &str) -> Result<(), String> {
    if text.contains(part) { Ok(()) } else { Err(format!("expected \"{part}\" in:\n{text}")) }
}
