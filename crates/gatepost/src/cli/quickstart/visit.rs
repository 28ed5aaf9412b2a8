//! Logs in as every demonstration user, over IMAP and POP3, in the clear and with TLS, and
//! compares what comes back with what must.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use config::rows::ssl::SslSettings;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::Ports;
use super::demo::{DEMOS, Demo};
use crate::stream::Stream;
use crate::tls::{ClientTls, Verify};

/// How long one visit may take; a refused one waits for the failure delay and the penalty.
const PATIENCE: Duration = Duration::from_secs(60);

/// One way in.
struct Door {
    name: &'static str,
    port: u16,
    tls: bool,
}

/// Everybody through every door. Prints a line each; `false` if any came out wrong.
pub(super) async fn everybody(ports: &Ports) -> bool {
    let doors = [
        Door { name: "IMAP", port: ports.imap, tls: false },
        Door { name: "IMAPS", port: ports.imaps, tls: true },
        Door { name: "POP3", port: ports.pop3, tls: false },
        Door { name: "POP3S", port: ports.pop3s, tls: true },
    ];
    let mut wrong = 0;
    for demo in DEMOS {
        println!("{} / {}: to be {} ({})", demo.user, demo.password, demo.verdict, demo.because);
        for door in &doors {
            let seen = match tokio::time::timeout(PATIENCE, visit(door, demo)).await {
                Ok(Ok(seen)) => seen,
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no answer in time".to_owned()),
            };
            match seen {
                Ok(seen) => println!("  {:<6} right  {seen}", door.name),
                Err(seen) => {
                    wrong += 1;
                    println!("  {:<6} WRONG  {seen}", door.name);
                }
            }
        }
    }
    let total = DEMOS.len() * doors.len();
    match wrong {
        0 => println!("\nAll {total} logins came out right."),
        wrong => println!("\n{wrong} of {total} logins came out WRONG."),
    }
    wrong == 0
}

/// One login: what was seen, as an error when it is not what must be.
async fn visit(door: &Door, demo: &Demo) -> io::Result<Result<String, String>> {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, door.port)).await?;
    let mut stream = Stream::plain(socket);
    if door.tls {
        // The folder's certificate is self-signed: what counts here is that TLS works.
        let tls = ClientTls::load(&SslSettings::default()).map_err(|all| io::Error::other(all.join("; ")))?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        stream = stream.connect_tls(&tls, Verify::AnyCertificate, name).await?;
    }
    let mut talk = Talk { stream, bytes: Vec::new() };
    talk.line().await?;
    let pop3 = door.name.starts_with("POP3");
    let (answer, expected) = if pop3 {
        talk.say(&format!("USER {}", demo.user)).await?;
        talk.line().await?;
        talk.say(&format!("PASS {}", demo.password)).await?;
        (talk.line().await?, demo.pop3)
    } else {
        talk.say(&format!("a LOGIN {} {}", demo.user, demo.password)).await?;
        let answer = talk.tagged("a ").await?;
        (answer.trim_start_matches("a ").to_owned(), demo.imap)
    };
    if !answer.starts_with(expected) {
        return Ok(Err(format!("{answer:?} instead of {expected:?}")));
    }
    let Some(reaches) = demo.reaches else { return Ok(Ok(answer)) };
    if pop3 {
        talk.say("RETR 1").await?;
    } else {
        talk.say("b SELECT INBOX").await?;
        talk.tagged("b ").await?;
        talk.say("c FETCH 1 BODY.PEEK[]").await?;
    }
    let wanted = format!("Subject: You reached {reaches}");
    loop {
        let line = talk.line().await?;
        if line == wanted {
            return Ok(Ok(format!("{answer} -> {reaches}")));
        }
        if line == "." || line.starts_with("c ") || line.starts_with("-ERR") {
            return Ok(Err(format!("logged in, but the message is not that of {reaches}: {line:?}")));
        }
    }
}

/// A client's end of a dialogue.
struct Talk {
    stream: Stream,
    bytes: Vec<u8>,
}

impl Talk {
    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.bytes) {
                let line: Vec<u8> = self.bytes.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.stream.read(&mut self.bytes).await? == 0 {
                return Err(io::Error::other("the connection was closed"));
            }
        }
    }

    async fn tagged(&mut self, tag: &str) -> io::Result<String> {
        loop {
            let line = self.line().await?;
            if line.starts_with(tag) {
                return Ok(line);
            }
        }
    }
}
