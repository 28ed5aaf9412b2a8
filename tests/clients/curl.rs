//! curl: every kind of URL it has for mail.

use std::fs;

use crate::Test;
use crate::house::{Gate, ODD_PASSWORD, PASSWORD};
use crate::program::{holds, program, run};

pub(crate) const TESTS: &[Test] = &[
    ("curl::reads_and_appends_over_imap", &["curl"], imap),
    ("curl::lists_and_reads_over_pop3", &["curl"], pop3),
    ("curl::logs_in_with_each_mechanism", &["curl"], mechanisms),
    ("curl::logs_in_with_an_odd_password", &["curl"], odd_password),
    ("curl::keeps_its_password_until_there_is_tls", &["curl"], disabled_plaintext),
    ("curl::is_told_of_a_wrong_password", &["curl"], wrong_password),
];

/// curl's exit status for a login that was denied.
const LOGIN_DENIED: &str = "exit status: 67";

fn imap(gate: &mut Gate) -> Result<(), String> {
    let message = gate.home()?.join("message");
    fs::write(&message, "From: me@example.com\r\nSubject: Sent by curl\r\n\r\nText.\r\n")
        .map_err(|e| e.to_string())?;
    for who in ["anna", "bert", "cleo", "dora"] {
        gate.deliver(who, &format!("Hello {who}"))?;
        let ways = doors(gate, "imap");
        for (index, (base, options)) in ways.iter().enumerate() {
            let ask = |what: &str, more: &[&str]| {
                curl(gate, who, PASSWORD, &format!("{base}/{what}"), &[options, more].concat())
            };
            holds(&ask("INBOX;MAILINDEX=1", &[])?, &format!("Subject: Hello {who}"))?;
            holds(&ask("", &[])?, "INBOX")?;
            ask("INBOX", &["-T", &message.display().to_string()])?;
            holds(&ask(&format!("INBOX;MAILINDEX={}", index + 2), &[])?, "Subject: Sent by curl")?;
        }
    }
    Ok(())
}

fn pop3(gate: &mut Gate) -> Result<(), String> {
    for who in ["anna", "bert", "cleo", "dora"] {
        gate.deliver(who, &format!("Hello {who}"))?;
        for (base, options) in doors(gate, "pop3") {
            holds(&curl(gate, who, PASSWORD, &base, &options)?, "1 ")?;
            holds(
                &curl(gate, who, PASSWORD, &format!("{base}/1"), &options)?,
                &format!("Subject: Hello {who}"),
            )?;
        }
    }
    Ok(())
}

fn mechanisms(gate: &mut Gate) -> Result<(), String> {
    gate.deliver("anna", "Hello anna")?;
    for (protocol, what) in [("imap", "/INBOX;MAILINDEX=1"), ("pop3", "/1")] {
        for mechanism in ["AUTH=PLAIN", "AUTH=LOGIN"] {
            for sasl_ir in [&["--sasl-ir"][..], &[]] {
                let options = [&["--login-options", mechanism], sasl_ir].concat();
                let url = format!("{protocol}://127.0.0.1:{}{what}", gate.port(protocol));
                holds(&curl(gate, "anna", PASSWORD, &url, &options)?, "Subject: Hello anna")?;
            }
        }
    }
    for method in ["method=PLAIN", "method=LOGIN"] {
        gate.await_log(&["Started proxying", method])?;
    }
    Ok(())
}

fn odd_password(gate: &mut Gate) -> Result<(), String> {
    for who in ["oddo", "odda"] {
        gate.deliver(who, "Hello")?;
        for (protocol, what) in [("imap", "/INBOX;MAILINDEX=1"), ("pop3", "/1")] {
            for mechanism in ["AUTH=PLAIN", "AUTH=LOGIN"] {
                let url = format!("{protocol}://127.0.0.1:{}{what}", gate.port(protocol));
                let options = ["--login-options", mechanism];
                holds(&curl(gate, who, ODD_PASSWORD, &url, &options)?, "Subject: Hello")?;
            }
        }
    }
    Ok(())
}

/// From an address that is not the gate's own, plaintext logins need TLS.
fn disabled_plaintext(gate: &mut Gate) -> Result<(), String> {
    gate.deliver("anna", "Hello")?;
    gate.add_settings("disable_plaintext_auth = yes\n")?;
    gate.reload()?;
    for (protocol, what) in [("imap", "/INBOX;MAILINDEX=1"), ("pop3", "/1")] {
        let url = format!("{protocol}://127.0.0.1:{}{what}", gate.port(protocol));
        let from = ["--interface", "127.0.0.9"];
        match curl(gate, "anna", PASSWORD, &url, &from) {
            Ok(out) => return Err(format!("let in without TLS: {out}")),
            Err(fault) => holds(&fault, LOGIN_DENIED)?,
        }
        holds(&curl(gate, "anna", PASSWORD, &url, &[&from[..], &["--ssl"]].concat())?, "Subject: Hello")?;
    }
    if gate.log().contains("tried to use disallowed plaintext auth") {
        return Err("curl was not told that plaintext logins are disabled".to_owned());
    }
    Ok(())
}

fn wrong_password(gate: &mut Gate) -> Result<(), String> {
    for protocol in ["imap", "pop3"] {
        for who in ["anna", "cleo", "dora", "nobody"] {
            for (base, options) in doors(gate, protocol) {
                match curl(gate, who, "wrong", &base, &options) {
                    Ok(out) => return Err(format!("{who} was let in: {out}")),
                    Err(fault) => holds(&fault, LOGIN_DENIED)?,
                }
            }
        }
    }
    Ok(())
}

/// In the clear, under TLS, and with STARTTLS: the URL's beginning, and options.
fn doors(gate: &Gate, protocol: &str) -> [(String, Vec<&'static str>); 3] {
    let (plain, tls) = (gate.port(protocol), gate.port(&format!("{protocol}s")));
    [
        (format!("{protocol}://127.0.0.1:{plain}"), vec![]),
        (format!("{protocol}s://127.0.0.1:{tls}"), vec![]),
        (format!("{protocol}://127.0.0.1:{plain}"), vec!["--ssl-reqd"]),
    ]
}

fn curl(gate: &Gate, who: &str, password: &str, url: &str, options: &[&str]) -> Result<String, String> {
    let mut command = program("curl");
    command.args(["-q", "--silent", "--show-error", "--noproxy", "*", "--cacert", &gate.certificate()]);
    command.args(["--user", &format!("{}:{password}", gate.user(who)), "--url", url]).args(options);
    run(&mut command)
}
