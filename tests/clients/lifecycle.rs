//! The gate's own life as clients see it: reload, a bad configuration, a new certificate, the end.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gatepost_tests::stream::{Heard, Stream};
use nix::sys::signal::Signal;
use rcgen::generate_simple_self_signed;

use crate::Test;
use crate::house::{Gate, PASSWORD, PATIENCE, command, expect, until};
use crate::program::{program, run};

pub(crate) const TESTS: &[Test] = &[
    ("lifecycle::a_reload_keeps_sessions", &[], reload),
    ("lifecycle::reloads_disturb_no_login", &[], reload_under_load),
    ("lifecycle::a_log_that_was_moved_away_is_begun_anew", &[], rotate_log),
    ("lifecycle::a_useless_setting_is_warned_of", &[], warned),
    ("lifecycle::a_bad_configuration_changes_nothing", &[], bad_configuration),
    ("lifecycle::a_new_certificate_is_shown_after_a_reload", &["curl"], new_certificate),
    ("lifecycle::sigterm_ends_sessions", &[], terminate),
];

/// A setting that is known and does nothing.
fn warned(gate: &mut Gate) -> Result<(), String> {
    gate.add_settings("verbose_proctitle = yes\n")?;
    gate.reload()?;
    let line = gate.await_log(&["verbose_proctitle"])?;
    if line.matches("arning").count() == 1 { Ok(()) } else { Err(line) }
}

fn reload(gate: &mut Gate) -> Result<(), String> {
    let mut sessions =
        [gate.log_in("imap", "anna")?, gate.log_in("imaps", "bert")?, gate.log_in("imap", "dora")?];
    let mut before = gate.connect("imap")?;
    expect(&mut before, "* OK ")?;
    gate.add_settings("login_greeting = Reloaded.\n")?;
    gate.reload()?;
    for session in &mut sessions {
        command(session, "b SELECT INBOX")?;
    }
    // Connected before, logs in after.
    command(&mut before, &format!("a LOGIN {} {PASSWORD}", gate.user("cleo")))?;
    until(&mut gate.connect("imap")?, "* OK ").and_then(|lines| ends_with(&lines, "Reloaded."))?;
    for session in &mut sessions {
        command(session, "c LOGOUT")?;
    }
    Ok(())
}

/// Nobody is refused or cut off while everything is read anew, again and again.
fn reload_under_load(gate: &mut Gate) -> Result<(), String> {
    let gate = &*gate;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients =
            [("imap", "anna"), ("imaps", "bert"), ("imap", "cleo"), ("imaps", "dora")].map(|(door, who)| {
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let mut client = gate.log_in(door, who)?;
                        command(&mut client, "b SELECT INBOX")?;
                        command(&mut client, "c LOGOUT")?;
                    }
                    Ok::<(), String>(())
                })
            });
        let reloads = (0..20).try_for_each(|_| gate.reload());
        over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| "a client panicked".to_owned())??;
        }
        reloads
    })
}

/// SIGUSR1, as log rotation sends it to Dovecot.
fn rotate_log(gate: &mut Gate) -> Result<(), String> {
    let mut session = gate.log_in("imap", "anna")?;
    fs::rename(gate.file("log"), gate.file("log.1")).map_err(|e| e.to_string())?;
    gate.running.signal(Signal::SIGUSR1)?;
    let deadline = Instant::now() + PATIENCE;
    while !gate.file("log").exists() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    command(&mut session, "b LOGOUT")?;
    drop(session);
    gate.await_log(&["Disconnected: ", &gate.user("anna")]).map(|_| ())
}

fn bad_configuration(gate: &mut Gate) -> Result<(), String> {
    let mut session = gate.log_in("imap", "anna")?;
    for (bad, complaint) in [
        ("login_greetin = x\n", "unknown setting"),
        ("ssl_cert = </nowhere/cert.pem\n", "/nowhere/cert.pem"),
        ("passdb {\n  driver = sqll\n}\n", "did you mean \"sql\"?"),
    ] {
        let good = gate.add_settings(bad)?;
        gate.running.signal(Signal::SIGHUP)?;
        gate.await_log(&["config: Error: ", complaint])?;
        gate.await_log(&["reload failed"])?;
        command(&mut session, "b NOOP")?;
        command(&mut gate.log_in("imaps", "dora")?, "b LOGOUT")?;
        fs::write(gate.file("dovecot.conf"), good).map_err(|e| e.to_string())?;
        fs::write(gate.file("log"), "").map_err(|e| e.to_string())?;
    }
    gate.reload()?;
    command(&mut session, "c LOGOUT").map(|_| ())
}

fn new_certificate(gate: &mut Gate) -> Result<(), String> {
    let old = gate.file("old.pem");
    fs::copy(gate.certificate(), &old).map_err(|e| e.to_string())?;
    let mut session = gate.log_in("imaps", "anna")?;
    let fresh = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).map_err(|e| e.to_string())?;
    fs::write(gate.file("key.pem"), fresh.signing_key.serialize_pem()).map_err(|e| e.to_string())?;
    // The key alone belongs to no certificate: the old pair stays in use.
    gate.running.signal(Signal::SIGHUP)?;
    gate.await_log(&["reload failed"])?;
    trusts(gate, &old.display().to_string())?;

    fs::write(gate.certificate(), fresh.cert.pem()).map_err(|e| e.to_string())?;
    gate.reload()?;
    trusts(gate, &gate.certificate())?;
    if trusts(gate, &old.display().to_string()).is_ok() {
        return Err("the old certificate is still shown".to_owned());
    }
    command(&mut session, "b LOGOUT").map(|_| ())
}

/// That a client which trusts only this certificate gets through.
fn trusts(gate: &Gate, certificate: &str) -> Result<(), String> {
    for (door, scheme) in [("imaps", "imaps"), ("imap", "imap"), ("pop3s", "pop3s"), ("pop3", "pop3")] {
        let mut curl = program("curl");
        curl.args([
            "-q",
            "--silent",
            "--show-error",
            "--ssl-reqd",
            "--noproxy",
            "*",
            "--cacert",
            certificate,
        ]);
        curl.args(["--user", &format!("{}:{PASSWORD}", gate.user("anna"))]);
        run(curl.arg(format!("{scheme}://127.0.0.1:{}", gate.port(door))))?;
    }
    Ok(())
}

fn terminate(gate: &mut Gate) -> Result<(), String> {
    let mut relayed = gate.log_in("imaps", "anna")?;
    // Whoever has not logged in is told why.
    let (mut imap, mut pop3) = (gate.connect("imap")?, gate.connect("pop3s")?);
    expect(&mut imap, "* OK ")?;
    expect(&mut pop3, "+OK ")?;
    gate.running.signal(Signal::SIGTERM)?;
    expect(&mut imap, "* BYE ")?;
    expect(&mut pop3, "-ERR [SYS/TEMP] ")?;
    for client in [&mut imap, &mut pop3, &mut relayed] {
        end(client)?;
    }
    let status = gate.running.wait(PATIENCE)?;
    if !status.success() {
        return Err(format!("ended with {status}"));
    }
    gate.await_log(&["Ended, sessions cut: 1"]).map(|_| ())
}

fn end(stream: &mut Stream) -> Result<(), String> {
    match stream.line() {
        Heard::End(rest) if rest.is_empty() => Ok(()),
        other => Err(format!("expected the end, heard {other:?}")),
    }
}

fn ends_with(lines: &[String], end: &str) -> Result<(), String> {
    match lines.last() {
        Some(last) if last.ends_with(end) => Ok(()),
        other => Err(format!("expected a line that ends in \"{end}\", heard {other:?}")),
    }
}
