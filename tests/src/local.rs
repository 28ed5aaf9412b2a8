//! The local mail service behind Gatepost: an IMAP and a POP3 server that let everybody in. With it an admitted
//! login looks to the client as it does with Dovecot's own mail processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Both servers; they end when this is dropped.
pub struct LocalMail {
    /// Where IMAP sessions go.
    pub imap_port: u16,
    /// Where POP3 sessions go.
    pub pop3_port: u16,
    over: Arc<AtomicBool>,
}

impl LocalMail {
    /// Starts both on free ports.
    pub fn open() -> Result<LocalMail, String> {
        let over = Arc::new(AtomicBool::new(false));
        let imap_port = serve(Arc::clone(&over), imap)?;
        let pop3_port = serve(Arc::clone(&over), pop3)?;
        Ok(LocalMail { imap_port, pop3_port, over })
    }
}

impl Drop for LocalMail {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for port in [self.imap_port, self.pop3_port] {
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
    }
}

type Session = fn(&mut BufReader<TcpStream>) -> std::io::Result<()>;

fn serve(over: Arc<AtomicBool>, session: Session) -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            if over.load(Ordering::Relaxed) {
                return;
            }
            thread::spawn(move || {
                let mut reader = BufReader::new(socket);
                let _ = session(&mut reader);
                let _ = reader.get_ref().shutdown(Shutdown::Both);
            });
        }
    });
    Ok(port)
}

fn imap(client: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    say(client, "* OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN] Local mail ready.")?;
    loop {
        let line = whole_command(client)?;
        let mut words = line.split_whitespace();
        let tag = words.next().unwrap_or("*").to_owned();
        match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "LOGIN" => say(client, &format!("{tag} OK [CAPABILITY IMAP4rev1 IDLE MOVE] Logged in"))?,
            "AUTHENTICATE" => {
                if words.nth(1).is_none() {
                    say(client, "+ ")?;
                    whole_command(client)?;
                }
                say(client, &format!("{tag} OK [CAPABILITY IMAP4rev1 IDLE MOVE] Logged in"))?;
            }
            "ID" => {
                say(client, "* ID NIL")?;
                say(client, &format!("{tag} OK ID completed."))?;
            }
            "CAPABILITY" => {
                say(client, "* CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN")?;
                say(client, &format!("{tag} OK Capability completed."))?;
            }
            "LOGOUT" => {
                say(client, "* BYE Logging out")?;
                return say(client, &format!("{tag} OK Logout completed."));
            }
            "NOOP" => say(client, &format!("{tag} OK NOOP completed."))?,
            _ => say(client, &format!("{tag} BAD Unknown command."))?,
        }
    }
}

/// A line, and the literals it announces.
fn whole_command(client: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut whole = String::new();
    loop {
        let mut line = Vec::new();
        if client.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        whole.push_str(&line);
        let Some(announced) = line.strip_suffix('}').and_then(|rest| rest.rsplit_once('{')) else {
            return Ok(whole);
        };
        let digits = announced.1.trim_end_matches('+');
        if digits.len() == announced.1.len() {
            say(client, "+ OK")?;
        }
        let mut literal = vec![0; digits.parse().unwrap_or(0)];
        client.read_exact(&mut literal)?;
        whole.push_str(&String::from_utf8_lossy(&literal));
    }
}

fn pop3(client: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    say(client, "+OK Local mail ready.")?;
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "USER" => say(client, "+OK")?,
            "PASS" => say(client, "+OK Logged in.")?,
            "AUTH" => {
                if words.nth(1).is_none() {
                    say(client, "+ ")?;
                    client.read_line(&mut line)?;
                }
                say(client, "+OK Logged in.")?;
            }
            "CAPA" => say(client, "+OK\r\nCAPA\r\nSASL PLAIN\r\n.")?,
            "STAT" => say(client, "+OK 0 0")?,
            "NOOP" => say(client, "+OK")?,
            "QUIT" => return say(client, "+OK Logging out."),
            _ => say(client, "-ERR Unknown command.")?,
        }
    }
}

fn say(client: &mut BufReader<TcpStream>, line: &str) -> std::io::Result<()> {
    client.get_mut().write_all(format!("{line}\r\n").as_bytes())
}
