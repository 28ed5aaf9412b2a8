//! Python's imaplib and poplib: strict about literals and tags, and easy to drive. The scripts beside this file do the
//! talking and fail with a traceback.

use std::path::Path;

use crate::Test;
use crate::house::{Gate, PASSWORD};
use crate::program::{holds, program, run};

pub(crate) const TESTS: &[Test] =
    &[("python::imaplib", &["python3"], imap), ("python::poplib", &["python3"], pop3)];

fn imap(gate: &mut Gate) -> Result<(), String> {
    for who in ["anna", "bert", "cleo", "dora"] {
        holds(&script(gate, "imap_client.py", who, ["imap", "imaps"])?, "done")?;
    }
    Ok(())
}

fn pop3(gate: &mut Gate) -> Result<(), String> {
    for who in ["anna", "bert", "cleo", "dora"] {
        gate.deliver(who, "First")?;
        gate.deliver(who, "Second")?;
        holds(&script(gate, "pop3_client.py", who, ["pop3", "pop3s"])?, "done")?;
    }
    Ok(())
}

fn script(gate: &Gate, name: &str, who: &str, doors: [&str; 2]) -> Result<String, String> {
    let mut command = program("python3");
    command.arg("-I").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name));
    command.args(doors.map(|door| gate.port(door).to_string()));
    run(command.args([gate.certificate(), gate.user(who), PASSWORD.to_owned()]))
}
