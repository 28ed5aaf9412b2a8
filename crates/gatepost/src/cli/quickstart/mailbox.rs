//! A demonstration mailbox: one message for whoever logs in, over IMAP and POP3. Just enough of
//! both for a mail client to open the inbox; it keeps nothing.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::cut::Cutter;
use wire::protocols::Protocol;
use wire::{Answer, Code, Event, Front, MechanismOffer, Offer, Welcome};

/// Longest command that a mailbox reads.
const LINE_LIMIT: usize = 8192;

/// One demonstration mail server.
pub(super) struct Mailbox {
    /// What it calls itself.
    pub(super) name: &'static str,
    /// Who may log in with which password.
    pub(super) users: Vec<(String, String)>,
}

impl Mailbox {
    /// Serves every client of a listener.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener, protocol: &'static Protocol) {
        while let Ok((socket, _)) = listener.accept().await {
            let mailbox = Arc::clone(&self);
            // A client that breaks off ends its own task and nothing else.
            tokio::spawn(async move { mailbox.client(socket, protocol).await.unwrap_or_default() });
        }
    }

    async fn client(&self, mut socket: TcpStream, protocol: &'static Protocol) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        let mut front = (protocol.front)(Offer {
            greeting: format!("{} ready.", self.name),
            mechanisms: vec![MechanismOffer { name: "PLAIN", plaintext: true }],
            secure: true,
            plaintext: true,
            ..Offer::default()
        });
        let Some(user) = self.log_in(&mut socket, front.as_mut()).await? else { return Ok(()) };
        let mut input = Cutter::new(LINE_LIMIT);
        input.feed(&front.leftover());
        let message = self.message(&user);
        loop {
            while let Ok(Some(line)) = input.line() {
                let line = String::from_utf8_lossy(&line).into_owned();
                let (reply, done) = match protocol.name {
                    "pop3" => pop3(&line, &message),
                    _ => imap(&line, &message),
                };
                socket.write_all(reply.as_bytes()).await?;
                if done {
                    return Ok(());
                }
            }
            if !read(&mut socket, |bytes| input.feed(bytes)).await? || input.pending() >= LINE_LIMIT {
                return Ok(());
            }
        }
    }

    async fn log_in(&self, socket: &mut TcpStream, front: &mut dyn Front) -> std::io::Result<Option<String>> {
        loop {
            let event = front.next();
            socket.write_all(front.output()).await?;
            front.output().clear();
            match event {
                Some(Event::Login { initial: Some(initial), .. }) => {
                    let mut parts = initial.expose_secret().splitn(3, |&byte| byte == 0);
                    let (_, user, password) = (parts.next(), text(parts.next()), text(parts.next()));
                    if self.users.iter().any(|known| *known == (user.clone(), password.clone())) {
                        front.answer(Answer::Welcome(Welcome::default()));
                        socket.write_all(front.output()).await?;
                        return Ok(Some(user));
                    }
                    let text = "Authentication failed.";
                    front.answer(Answer::Refusal { code: Code::AuthenticationFailed, text });
                }
                Some(Event::Login { initial: None, .. }) => {
                    front.answer(Answer::Refusal { code: Code::Mechanism, text: "Send it at once." });
                }
                Some(Event::Quit | Event::Fault(_)) => return Ok(None),
                Some(_) => {}
                None => {
                    if !read(socket, |bytes| front.feed(bytes)).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn message(&self, user: &str) -> String {
        format!(
            "From: {name} <postmaster@example.com>\r\nTo: {user}@example.com\r\n\
             Subject: You reached {name}\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\
             Message-ID: <welcome@{user}.example.com>\r\n\r\n\
             Hello {user}, this is {name}.\r\n",
            name = self.name
        )
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

async fn read(socket: &mut TcpStream, mut feed: impl FnMut(&[u8])) -> std::io::Result<bool> {
    let mut bytes = [0; 4096];
    let count = socket.read(&mut bytes).await?;
    feed(&bytes[..count]);
    Ok(count > 0)
}

/// One POP3 command (RFC 1939): what is said, and whether that was all.
fn pop3(line: &str, message: &str) -> (String, bool) {
    let command = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
    let size = message.len();
    let reply = match command.as_str() {
        "STAT" => format!("+OK 1 {size}\r\n"),
        "LIST" if line.len() > 4 => format!("+OK 1 {size}\r\n"),
        "LIST" => format!("+OK\r\n1 {size}\r\n.\r\n"),
        "UIDL" if line.len() > 4 => "+OK 1 welcome\r\n".into(),
        "UIDL" => "+OK\r\n1 welcome\r\n.\r\n".into(),
        "RETR" | "TOP" => format!("+OK\r\n{message}.\r\n"),
        "CAPA" => "+OK\r\nTOP\r\nUIDL\r\n.\r\n".into(),
        "NOOP" | "DELE" | "RSET" => "+OK\r\n".into(),
        "QUIT" => return ("+OK Bye\r\n".into(), true),
        _ => "-ERR Unknown command.\r\n".into(),
    };
    (reply, false)
}

/// One IMAP command (RFC 9051): what is said, and whether that was all.
fn imap(line: &str, message: &str) -> (String, bool) {
    let mut words = line.split(' ');
    let tag = words.next().unwrap_or("*");
    let mut command = words.next().unwrap_or_default().to_ascii_uppercase();
    let by_uid = command == "UID";
    if by_uid {
        command = words.next().unwrap_or_default().to_ascii_uppercase();
    }
    let size = message.len();
    let untagged = match command.as_str() {
        "CAPABILITY" => "* CAPABILITY IMAP4rev1\r\n".into(),
        "LIST" | "LSUB" => format!("* {command} () \"/\" INBOX\r\n"),
        "STATUS" => "* STATUS INBOX (MESSAGES 1 RECENT 0 UIDNEXT 2 UIDVALIDITY 1 UNSEEN 1)\r\n".into(),
        "SELECT" | "EXAMINE" => "* FLAGS (\\Seen)\r\n* 1 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1] .\r\n\
             * OK [UIDNEXT 2] .\r\n"
            .into(),
        "SEARCH" => "* SEARCH 1\r\n".into(),
        "FETCH" => {
            let wanted = line.to_ascii_uppercase();
            let mut items = "UID 1 FLAGS ()".to_owned();
            if wanted.contains("SIZE") {
                items += &format!(" RFC822.SIZE {size}");
            }
            if wanted.contains("BODY") {
                items += &format!(" BODY[] {{{size}}}\r\n{message}");
            }
            format!("* 1 FETCH ({items})\r\n")
        }
        "NOOP" | "CLOSE" | "STORE" | "CHECK" => String::new(),
        "LOGOUT" => return (format!("* BYE Bye\r\n{tag} OK Done.\r\n"), true),
        _ => return (format!("{tag} BAD Unknown command.\r\n"), false),
    };
    (format!("{untagged}{tag} OK Done.\r\n"), false)
}
