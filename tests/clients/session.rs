//! What no polite client program does: pipelining behind the login, half-closing, many sessions at once, backends that
//! go away.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Barrier;
use std::thread;

use gatepost_tests::stream::{Heard, Stream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::SockRef;

use crate::Test;
use crate::house::{Gate, ODD_PASSWORD, PASSWORD, PATIENCE, command, expect, until};
use crate::program::holds;
use crate::standin;

pub(crate) const TESTS: &[Test] = &[
    ("session::imap_commands_behind_login_are_carried_out", &[], pipelined_imap),
    ("session::pop3_commands_behind_login_are_carried_out", &[], pipelined_pop3),
    ("session::odd_passwords_reach_the_backend_whole", &[], odd_passwords),
    ("session::a_referral_refuses_or_lets_in", &[], referrals),
    ("session::a_client_that_has_said_all_still_hears_all", &[], half_close),
    ("session::fifty_sessions_at_once", &[], fifty),
    ("session::a_backend_that_crashes_ends_the_session", &[], backend_crashes),
    ("session::a_backend_that_is_killed_ends_the_session", &[], backend_is_killed),
    ("session::a_backend_that_is_down_is_no_wrong_password", &[], backend_is_down),
];

fn pipelined_imap(gate: &mut Gate) -> Result<(), String> {
    for who in ["anna", "bert", "cleo", "dora"] {
        for door in ["imap", "imaps"] {
            let mut client = gate.connect(door)?;
            let text = format!(
                "a CAPABILITY\r\nb LOGIN {} {PASSWORD}\r\nc SELECT INBOX\r\n\
                 d APPEND INBOX {{23+}}\r\nSubject: Pipelined\r\n\r\n\r\ne NOOP\r\nf LOGOUT\r\n",
                gate.user(who)
            );
            client.send(text.as_bytes()).map_err(|e| e.to_string())?;
            for tag in ["a", "b", "c", "d", "e", "f"] {
                until(&mut client, &format!("{tag} OK "))?;
            }
            expect_end(&mut client)?;
        }
    }
    Ok(())
}

fn pipelined_pop3(gate: &mut Gate) -> Result<(), String> {
    for who in ["anna", "bert", "cleo", "dora"] {
        gate.deliver(who, "One")?;
        for door in ["pop3", "pop3s"] {
            let mut client = gate.connect(door)?;
            let text = format!("USER {}\r\nPASS {PASSWORD}\r\nSTAT\r\nNOOP\r\nQUIT\r\n", gate.user(who));
            client.send(text.as_bytes()).map_err(|e| e.to_string())?;
            expect(&mut client, "+OK ")?;
            for start in ["+OK", "+OK Logged in.", "+OK 1 ", "+OK", "+OK Logging out"] {
                expect(&mut client, start)?;
            }
            expect_end(&mut client)?;
        }
    }
    Ok(())
}

/// What a client quotes or counts is quoted or counted anew towards the backend.
fn odd_passwords(gate: &mut Gate) -> Result<(), String> {
    let quoted = ODD_PASSWORD.replace('\\', "\\\\").replace('"', "\\\"");
    let length = ODD_PASSWORD.len();
    for who in ["oddo", "odda"] {
        let user = gate.user(who);
        for login in [
            format!("a LOGIN {user} \"{quoted}\"\r\n"),
            format!("a LOGIN {user} {{{length}+}}\r\n{ODD_PASSWORD}\r\n"),
        ] {
            let mut client = gate.connect("imap")?;
            expect(&mut client, "* OK ")?;
            client.send(login.as_bytes()).map_err(|e| e.to_string())?;
            expect(&mut client, "a OK ")?;
            command(&mut client, "b SELECT INBOX")?;
        }
        let mut client = gate.connect("pop3")?;
        client
            .send(format!("USER {user}\r\nPASS {ODD_PASSWORD}\r\nSTAT\r\n").as_bytes())
            .map_err(|e| e.to_string())?;
        for reply in ["+OK ", "+OK", "+OK", "+OK 0 0"] {
            expect(&mut client, reply)?;
        }
    }
    Ok(())
}

/// RFC 2221: a NO with a REFERRAL and the connection goes on; or an OK with one, and the session goes on.
fn referrals(gate: &mut Gate) -> Result<(), String> {
    let (one, two) = (gate.backends.one.place.port("imap")?, gate.backends.two.place.port("imap")?);
    let (rosa, ruth) = (gate.user("rosa"), gate.user("ruth"));
    let mut client = gate.connect("imap")?;
    expect(&mut client, "* OK ")?;
    let url = format!("[REFERRAL imap://{rosa};AUTH=PLAIN@127.0.0.1:{two}/]");
    client.send_line(format!("a LOGIN {rosa} {PASSWORD}").as_bytes()).map_err(|e| e.to_string())?;
    expect(&mut client, &format!("a NO {url} Try this server instead."))?;
    client.send_line(format!("b LOGIN {rosa} wrong").as_bytes()).map_err(|e| e.to_string())?;
    expect(&mut client, "b NO [AUTHENTICATIONFAILED] Authentication failed.")?;
    let told = command(&mut client, &format!("c LOGIN {ruth} {PASSWORD}"))?;
    let url = format!("c OK [REFERRAL imap://{ruth};AUTH=PLAIN@127.0.0.1:{one}/] ");
    holds(&told.join("\n"), &url)?;
    gate.await_log(&[&format!("Login will be told of <127.0.0.1:{one}> as user {ruth}")])?;
    command(&mut client, "d SELECT INBOX")?;
    command(&mut client, "e LOGOUT")?;
    // POP3 has no way to say where, but rosa is not let in either.
    let mut client = gate.connect("pop3")?;
    client.send(format!("USER {rosa}\r\nPASS {PASSWORD}\r\n").as_bytes()).map_err(|e| e.to_string())?;
    for reply in ["+OK ", "+OK", "-ERR Try this server instead."] {
        expect(&mut client, reply)?;
    }
    Ok(())
}

/// The backend answers only after it has read the end: with how much came, and with megabytes of its own.
fn half_close(gate: &mut Gate) -> Result<(), String> {
    const UP: usize = 3_000_000;
    const DOWN: usize = 5_000_000;
    fn session(mut client: BufReader<TcpStream>) -> std::io::Result<()> {
        let mut all = Vec::new();
        client.read_to_end(&mut all)?;
        client.get_mut().write_all(format!("* {} came\r\n", all.len()).as_bytes())?;
        client.get_mut().write_all(&vec![b'x'; DOWN])
    }
    gate.add_proxied("stan", standin::open(session)?)?;
    let mut client =
        TcpStream::connect((Ipv4Addr::LOCALHOST, gate.port("imap"))).map_err(|e| e.to_string())?;
    client.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    client
        .write_all(format!("a LOGIN {} {PASSWORD}\r\n", gate.user("stan")).as_bytes())
        .map_err(|e| e.to_string())?;
    client.write_all(&vec![b'y'; UP]).map_err(|e| e.to_string())?;
    client.shutdown(Shutdown::Write).map_err(|e| e.to_string())?;
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).map_err(|e| e.to_string())?;
    let count = heard.iter().filter(|&&byte| byte == b'x').count();
    if count < DOWN {
        return Err(format!("{count} bytes of {DOWN} came"));
    }
    heard.truncate(heard.len() - DOWN);
    holds(&String::from_utf8_lossy(&heard), &format!("* {UP} came\r\n"))?;
    gate.await_log(&["Disconnected: Connection closed by the client", &format!("in={UP}")]).map(|_| ())
}

fn fifty(gate: &mut Gate) -> Result<(), String> {
    const SESSIONS: usize = 50;
    let all_in = Barrier::new(SESSIONS);
    let gate = &*gate;
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|number| {
                scope.spawn({
                    let all_in = &all_in;
                    move || {
                        let who = ["anna", "bert", "cleo", "dora"][number % 4];
                        let client = match number / 4 % 4 {
                            0 => log_in_pop3(gate, "pop3", who),
                            1 => log_in_pop3(gate, "pop3s", who),
                            2 => gate.log_in("imap", who),
                            _ => gate.log_in("imaps", who),
                        };
                        // Also when it failed: the others wait.
                        all_in.wait();
                        let mut client = client?;
                        if number / 4 % 4 < 2 {
                            client.send_line(b"NOOP").map_err(|e| e.to_string())?;
                            expect(&mut client, "+OK")?;
                            client.send_line(b"QUIT").map_err(|e| e.to_string())?;
                            expect(&mut client, "+OK")?;
                        } else {
                            command(&mut client, "b NOOP")?;
                            command(&mut client, "c LOGOUT")?;
                        }
                        expect_end(&mut client)
                    }
                })
            })
            .collect();
        sessions
            .into_iter()
            .try_for_each(|session| session.join().map_err(|_| "a session panicked".to_owned())?)
    })
}

fn log_in_pop3(gate: &Gate, door: &str, who: &str) -> Result<Stream, String> {
    let mut client = gate.connect(door)?;
    expect(&mut client, "+OK ")?;
    client.send_line(format!("USER {}", gate.user(who)).as_bytes()).map_err(|e| e.to_string())?;
    expect(&mut client, "+OK")?;
    client.send_line(format!("PASS {PASSWORD}").as_bytes()).map_err(|e| e.to_string())?;
    expect(&mut client, "+OK")?;
    Ok(client)
}

fn backend_crashes(gate: &mut Gate) -> Result<(), String> {
    fn session(client: BufReader<TcpStream>) -> std::io::Result<()> {
        // A reset, as when a machine comes back from a crash.
        SockRef::from(client.get_ref()).set_linger(Some(std::time::Duration::ZERO))?;
        drop(client);
        Ok(())
    }
    gate.add_proxied("stan", standin::open(session)?)?;
    let mut client = gate.log_in("imap", "stan")?;
    expect_end(&mut client)?;
    gate.await_log(&["Disconnected: Connection to the backend lost", &gate.user("stan")]).map(|_| ())
}

fn backend_is_killed(gate: &mut Gate) -> Result<(), String> {
    let mut client = gate.log_in("imap", "bert")?;
    command(&mut client, "b SELECT INBOX")?;
    kill(mail_process(gate, "bert")?, Signal::SIGKILL).map_err(|e| e.to_string())?;
    expect_end(&mut client)?;
    // The gate's own end of the session comes when the client has seen it too.
    drop(client);
    gate.await_log(&["Disconnected: Connection closed by the backend", &gate.user("bert")])?;
    command(&mut gate.log_in("imap", "bert")?, "b SELECT INBOX").map(|_| ())
}

/// The second backend's process that serves a user's only IMAP session, by its title.
fn mail_process(gate: &Gate, who: &str) -> Result<Pid, String> {
    let parent = format!("PPid:\t{}", gate.backends.two.id()?);
    for entry in fs::read_dir("/proc").map_err(|e| e.to_string())?.flatten() {
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let title = read("cmdline");
        if title.contains("dovecot/imap ")
            && title.contains(&gate.user(who))
            && read("status").contains(&parent)
        {
            let id = entry.file_name().to_string_lossy().parse().map_err(|_| "no process id")?;
            return Ok(Pid::from_raw(id));
        }
    }
    Err(format!("no mail process of {}", gate.user(who)))
}

fn backend_is_down(gate: &mut Gate) -> Result<(), String> {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    gate.add_proxied("stan", closed.map_err(|e| e.to_string())?.port())?;
    let mut client = gate.connect("imap")?;
    expect(&mut client, "* OK ")?;
    client
        .send_line(format!("a LOGIN {} {PASSWORD}", gate.user("stan")).as_bytes())
        .map_err(|e| e.to_string())?;
    expect(&mut client, "a NO [UNAVAILABLE] ")?;
    // Nobody guessed a password, and another login may follow.
    gate.await_log(&["connect(127.0.0.1:", "Connection refused", &gate.user("stan")])?;
    command(&mut client, &format!("b LOGIN {} {PASSWORD}", gate.user("anna"))).map(|_| ())
}

fn expect_end(client: &mut Stream) -> Result<(), String> {
    match client.line() {
        Heard::End(rest) if rest.is_empty() => Ok(()),
        other => Err(format!("expected the end, heard {other:?}")),
    }
}
