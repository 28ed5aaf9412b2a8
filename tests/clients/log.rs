//! What the log says of logins: a JSON object a line where that is asked for, and never a password.

use serde_json::Value;

use crate::Test;
use crate::house::{Gate, PASSWORD, expect, until};

pub(crate) const TESTS: &[Test] = &[
    ("log::json_says_all_and_no_password", &[], json),
    ("log::a_database_may_be_verbose_alone", &[], verbose_alone),
];

/// Typed as a password, and nowhere to be seen afterwards.
const CANARY: &str = "canary-4711-typed";

fn json(gate: &mut Gate) -> Result<(), String> {
    let settings = "gatepost_log_format = json\nauth_verbose = yes\nauth_debug = yes\n\
                    auth_verbose_passwords = plain\n";
    gate.add_settings(settings)?;
    gate.running.signal(nix::sys::signal::Signal::SIGHUP)?;
    gate.await_log(&["\"message\":\"reloaded"])?;
    for (who, password, verdict, reason) in [
        ("anna", PASSWORD, "proxied", "proxied"),
        ("dora", PASSWORD, "admitted", "admitted"),
        ("rosa", PASSWORD, "referred", "referred"),
        ("anna", CANARY, "refused", "wrong_password"),
        ("nobody", CANARY, "refused", "unknown_user"),
    ] {
        let mut client = gate.connect("imaps")?;
        expect(&mut client, "* OK ")?;
        let user = gate.user(who);
        client.send(format!("a LOGIN {user} {password}\r\n").as_bytes()).map_err(|e| e.to_string())?;
        until(&mut client, "a ")?;
        let user = format!("\"user\":\"{user}\"");
        let line = gate.await_log(&[&user, &format!("\"reason\":\"{reason}\"")])?;
        let record: Value = serde_json::from_str(&line).map_err(|e| format!("{e}: {line}"))?;
        for (name, expected) in [
            ("event", "login"),
            ("verdict", verdict),
            ("protocol", "imap"),
            ("mechanism", "PLAIN"),
            ("tls", "true"),
            ("service", "imap-login"),
        ] {
            if record[name] != expected {
                return Err(format!("{name} is {} instead of {expected}: {line}", record[name]));
            }
        }
    }
    let log = gate.log();
    for secret in [CANARY, &format!(" {PASSWORD}"), &format!("\"{PASSWORD}\"")] {
        if log.contains(secret) {
            return Err(format!("{secret:?} stands in the log:\n{log}"));
        }
    }
    Ok(())
}

fn verbose_alone(gate: &mut Gate) -> Result<(), String> {
    gate.add_settings(
        "auth_verbose = no\npassdb {\n  driver = static\n  args = password=another\n  auth_verbose = yes\n}\n",
    )?;
    gate.reload()?;
    let mut client = gate.connect("imaps")?;
    expect(&mut client, "* OK ")?;
    let user = gate.user("anna");
    client.send(format!("a LOGIN {user} wrong\r\n").as_bytes()).map_err(|e| e.to_string())?;
    until(&mut client, "a NO ")?;
    gate.await_log(&[&format!("static({user},"), "Password mismatch"])?;
    let line = gate.await_log(&["asked=", &user])?;
    match gate.log().lines().find(|line| line.contains(&format!("passwd-file({user},"))) {
        Some(line) => Err(format!("the passwd-file was to be silent: {line}")),
        None if line.contains("passwd-file:mismatch") => Ok(()),
        None => Err(format!("the passwd-file was not asked: {line}")),
    }
}
