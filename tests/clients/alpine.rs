//! Alpine on a screen: the one common client that follows login referrals, both when it is refused with one and when
//! it is let in with one (RFC 2221).
//!
//! It follows them unasked, but with AUTHENTICATE it takes a refusal for a wrong password at first and asks for the
//! password three times before it looks at the referral; with LOGIN it goes over at once.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Test;
use crate::house::{Gate, PASSWORD, PATIENCE, deliver};
use crate::screen::Screen;

pub(crate) const TESTS: &[Test] = &[
    ("alpine::reads_through_the_gate", &["alpine", "tmux"], reads),
    ("alpine::reads_under_tls", &["alpine", "tmux"], reads_under_tls),
    ("alpine::follows_a_refusing_referral_after_login", &["alpine", "tmux"], refused_by_login),
    ("alpine::follows_a_refusing_referral_after_authenticate", &["alpine", "tmux"], refused_by_authenticate),
    ("alpine::follows_a_referral_that_lets_in", &["alpine", "tmux"], let_in),
];

const NO_SASL: &str = "disable-these-authenticators=PLAIN,LOGIN\n";

fn reads(gate: &mut Gate) -> Result<(), String> {
    gate.deliver("anna", "Hello anna")?;
    opens_inbox(gate, "anna", "imap", "/notls", "", "Hello anna", &["imap"])
}

fn reads_under_tls(gate: &mut Gate) -> Result<(), String> {
    gate.deliver("dora", "Hello dora")?;
    opens_inbox(gate, "dora", "imaps", "/ssl/novalidate-cert", "", "Hello dora", &["imaps"])
}

fn refused_by_login(gate: &mut Gate) -> Result<(), String> {
    deliver(&gate.backends.two, &gate.user("rosa"), "Found by referral")?;
    opens_inbox(gate, "rosa", "imap", "/notls", NO_SASL, "Found by referral", &["imap", "two"])?;
    let there = format!("Login referred to <127.0.0.1:{}>", gate.backends.two.place.port("imap")?);
    gate.await_log(&[&there, "method=PLAIN", "verdict=referred"])?;
    gate.await_log(&["Disconnected: Logged out (1 logins referred in "]).map(|_| ())
}

fn refused_by_authenticate(gate: &mut Gate) -> Result<(), String> {
    deliver(&gate.backends.two, &gate.user("rosa"), "Found by referral")?;
    let servers = ["imaps", "imaps", "imaps", "two"];
    opens_inbox(gate, "rosa", "imaps", "/ssl/novalidate-cert", "", "Found by referral", &servers)
}

fn let_in(gate: &mut Gate) -> Result<(), String> {
    deliver(&gate.backends.two, &gate.user("ruth"), "Stayed where it was")?;
    deliver(&gate.backends.one, &gate.user("ruth"), "Found by referral")?;
    opens_inbox(gate, "ruth", "imap", "/notls", NO_SASL, "Found by referral", &["imap", "one"])
}

/// Starts it with an inbox at the gate, gives the password whenever it is asked for, and expects a subject on the
/// screen; the prompts must have named these servers, in this order.
fn opens_inbox(
    gate: &Gate,
    who: &str,
    door: &str,
    options: &str,
    settings: &str,
    subject: &str,
    servers: &[&str],
) -> Result<(), String> {
    let home = gate.home()?;
    fs::create_dir_all(home.join("mail")).map_err(|e| e.to_string())?;
    let (user, port, pinerc) = (gate.user(who), gate.port(door), home.join("pinerc"));
    let text = format!(
        "personal-name={who}\nuser-domain=example.com\nlast-version-used=9.99\n\
         inbox-path={{127.0.0.1:{port}/user={user}{options}}}INBOX\n\
         feature-list=disable-password-file-saving,no-enable-newmail-xterm-icon,quit-without-confirm\n{settings}"
    );
    fs::write(&pinerc, text).map_err(|e| e.to_string())?;
    // -i: the inbox first, instead of the menu.
    let pinerc = pinerc.display().to_string();
    let screen = Screen::open(&home, &["alpine", "-nowrite_password_cache", "-p", &pinerc, "-i"])?;
    let mut asked = Vec::new();
    loop {
        let text = screen
            .wait("a prompt or the subject", |text| typed(text) == Some(0) || text.contains(subject))?;
        let Some(line) = prompt(&text) else { break };
        asked.push(line.to_owned());
        give_password(&screen)?;
    }
    let mut ports = Vec::new();
    for server in servers {
        ports.push(match *server {
            "one" => gate.backends.one.place.port("imap")?,
            "two" => gate.backends.two.place.port("imap")?,
            door => gate.port(door),
        });
    }
    let right = asked.len() == ports.len()
        && asked
            .iter()
            .zip(&ports)
            .all(|(line, port)| line.contains(&format!(":{port} ")) && line.contains(&user));
    if right { Ok(()) } else { Err(format!("expected prompts for {ports:?}, saw {asked:#?}")) }
}

/// Types until all of it is there: Alpine throws away what is typed while it draws the prompt.
fn give_password(screen: &Screen) -> Result<(), String> {
    let whole = Some(PASSWORD.len());
    let deadline = Instant::now() + PATIENCE;
    loop {
        screen.press(&["C-k", PASSWORD])?;
        sleep(Duration::from_millis(300));
        if typed(&screen.text()?) == whole {
            screen.press(&["Enter"])?;
            return screen.wait("the prompt to go", |text| typed(text) != whole).map(|_| ());
        }
        if Instant::now() > deadline {
            return Err(format!("the password does not get into the prompt:\n{}", screen.text()?));
        }
    }
}

/// The line that asks for a password.
fn prompt(screen: &str) -> Option<&str> {
    screen.lines().find(|line| line.contains("ENTER PASSWORD:"))
}

/// How much of a password has been typed there.
fn typed(screen: &str) -> Option<usize> {
    let (_, typed) = prompt(screen)?.split_once("ENTER PASSWORD:")?;
    Some(typed.trim().len())
}
