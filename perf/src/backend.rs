//! The mail server behind the proxies: lets everybody in, and has one message per size: the message with UID n is n MiB
//! long. A process of its own, so that its descriptors and its processor time are.

use std::io::{self, BufRead, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::tree::Tree;

const MEBIBYTE: usize = 1024 * 1024;
/// So much of a message is written at once.
const PIECE: usize = 256 * 1024;
/// No proxy writes a longer line.
const LONGEST_LINE: u64 = 8192;

/// A running backend; ends when dropped.
pub(crate) struct Backend {
    child: Child,
    /// It ends when this is closed, even if the one who started it was killed.
    _input: Option<ChildStdin>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Backend {
    /// Starts this program again as the backend, on the caller's core.
    pub(crate) fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("backend")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or_else(|| io::Error::other("backend: no output"))?;
        let mut backend = Self { child, _input: input, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut line = String::new();
        io::BufReader::new(output).read_line(&mut line)?;
        backend.address = line.trim().parse().map_err(io::Error::other)?;
        Ok(backend)
    }

    /// The backend's process.
    pub(crate) fn tree(&self) -> Tree {
        Tree { root: self.child.id() }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves on a free port, which it writes to standard output, until standard input ends.
pub(crate) async fn serve() -> io::Result<()> {
    crate::cores::raise_descriptor_limit()?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = socket.listen(4096)?;
    println!("{}", listener.local_addr()?);
    std::thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let piece: Arc<[u8]> = vec![b'x'; PIECE].into();
    loop {
        let (socket, _) = listener.accept().await?;
        // A client that goes away in the middle is its own affair.
        tokio::spawn(session(socket, Arc::clone(&piece)));
    }
}

async fn session(socket: TcpStream, piece: Arc<[u8]>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(512, socket);
    stream.get_mut().write_all(b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID] backend\r\n").await?;
    let mut line = Vec::with_capacity(64);
    loop {
        line.clear();
        if !command(&mut stream, &mut line).await? {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        let mut words = text.split_whitespace();
        let tag = words.next().unwrap_or("*").to_owned();
        let done = format!("{tag} OK done\r\n");
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            Some("AUTHENTICATE") if words.nth(1).is_none() => {
                stream.get_mut().write_all(b"+ \r\n").await?;
                line.clear();
                if !command(&mut stream, &mut line).await? {
                    return Ok(());
                }
                stream.get_mut().write_all(done.as_bytes()).await?;
            }
            Some("UID") => {
                let size = words.nth(1).and_then(|uid| uid.parse::<usize>().ok()).unwrap_or(0) * MEBIBYTE;
                let head = format!("* 1 FETCH (BODY[] {{{size}}}\r\n");
                stream.get_mut().write_all(head.as_bytes()).await?;
                for _ in 0..size / PIECE {
                    stream.get_mut().write_all(&piece).await?;
                }
                stream.get_mut().write_all(format!(")\r\n{done}").as_bytes()).await?;
            }
            Some("LOGOUT") => {
                return stream.get_mut().write_all(format!("* BYE\r\n{done}").as_bytes()).await;
            }
            Some("ID") => stream.get_mut().write_all(format!("* ID NIL\r\n{done}").as_bytes()).await?,
            Some("CAPABILITY") => {
                stream.get_mut().write_all(format!("* CAPABILITY IMAP4rev1\r\n{done}").as_bytes()).await?;
            }
            _ => stream.get_mut().write_all(done.as_bytes()).await?,
        }
    }
}

/// Reads a command, asking for its literals where it has some; false at the end of the connection.
async fn command(stream: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let before = line.len();
        let read = (&mut *stream).take(LONGEST_LINE).read_until(b'\n', line).await?;
        if read == 0 {
            return Ok(false);
        }
        let Some(literal) = literal(line.get(before..).unwrap_or_default()) else { return Ok(true) };
        if literal.waits {
            stream.get_mut().write_all(b"+ \r\n").await?;
        }
        (&mut *stream).take(literal.length.min(LONGEST_LINE)).read_to_end(line).await?;
    }
}

struct Literal {
    length: u64,
    waits: bool,
}

/// The literal a line announces at its end: `{5}`, or `{5+}`, which waits for nothing.
fn literal(line: &[u8]) -> Option<Literal> {
    let text = std::str::from_utf8(line).ok()?.trim_end().strip_suffix('}')?;
    let (_, number) = text.rsplit_once('{')?;
    let length = number.trim_end_matches('+').parse().ok()?;
    Some(Literal { length, waits: !number.ends_with('+') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_found_at_the_end_of_lines_only() {
        assert!(literal(b"a LOGIN {3} pw\r\n").is_none());
        assert!(literal(b"a LOGIN {3}\r\n").is_some_and(|literal| literal.length == 3 && literal.waits));
        assert!(literal(b"a LOGIN {3+}\r\n").is_some_and(|literal| literal.length == 3 && !literal.waits));
    }

    /// RFC 3501 section 4.3: a synchronising literal is asked for with a line that starts with a plus.
    #[tokio::test]
    async fn a_login_of_literals_is_let_in() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let piece: Arc<[u8]> = vec![b'x'; PIECE].into();
        let server = tokio::spawn(session(socket, piece));
        client
            .write_all(b"a LOGIN {3}\r\nbob {2}\r\npw\r\nb UID FETCH 1 BODY[]\r\nc LOGOUT\r\n")
            .await
            .unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        server.await.unwrap().unwrap();
        let said = String::from_utf8(said).unwrap();
        let message = "x".repeat(MEBIBYTE);
        let (before, after) = said.split_once(&message).unwrap();
        let greeting = "* OK [CAPABILITY IMAP4rev1 SASL-IR ID] backend\r\n";
        assert_eq!(before, format!("{greeting}+ \r\n+ \r\na OK done\r\n* 1 FETCH (BODY[] {{1048576}}\r\n"));
        assert_eq!(after, ")\r\nb OK done\r\n* BYE\r\nc OK done\r\n");
    }
}
