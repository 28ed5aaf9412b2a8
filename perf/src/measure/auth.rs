//! Decisions on the socket of Dovecot's authentication protocol, as Postfix asks for them.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::{Load, Sample, Trial, timed};
use crate::server::{PASSWORD, USERS, user};

/// Each of the connections keeps `depth` requests under way.
pub(super) async fn take(
    trial: &Trial<'_>,
    socket: &Path,
    connections: u32,
    depth: u32,
) -> io::Result<Sample> {
    let load = Arc::new(Load::default());
    let requests: Arc<[String]> = (0..USERS).map(request).collect();
    let mut workers = JoinSet::new();
    for number in 0..connections {
        let asker = Asker { requests: Arc::clone(&requests), last: 0, depth };
        workers.spawn(asker.work(socket.to_owned(), number, Arc::clone(&load)));
    }
    timed(trial, load, workers).await
}

struct Asker {
    /// What follows the number of a request, by user.
    requests: Arc<[String]>,
    last: u32,
    depth: u32,
}

impl Asker {
    async fn work(mut self, socket: PathBuf, number: u32, load: Arc<Load>) -> io::Result<()> {
        let mut stream = connect(&socket, number).await?;
        let mut batch = String::new();
        self.ask(&mut batch, self.depth);
        stream.get_mut().write_all(batch.as_bytes()).await?;
        while load.goes_on() {
            let heard = stream.fill_buf().await?;
            let (answers, used) = answers(heard)?;
            if used == 0 {
                // Half a line: what comes next is read behind it, so it has to leave the buffer.
                let mut line = Vec::new();
                stream.read_until(b'\n', &mut line).await?;
                self::answers(&line)?;
            }
            stream.consume(used);
            let answers = if used == 0 { 1 } else { answers };
            load.count(u64::from(answers));
            batch.clear();
            self.ask(&mut batch, answers);
            stream.get_mut().write_all(batch.as_bytes()).await?;
        }
        Ok(())
    }

    fn ask(&mut self, batch: &mut String, count: u32) {
        for _ in 0..count {
            self.last += 1;
            let user = (self.last % USERS) as usize;
            // Writing to a String cannot fail.
            let _ =
                writeln!(batch, "AUTH\t{}{}", self.last, self.requests.get(user).map_or("", String::as_str));
        }
    }
}

fn request(number: u32) -> String {
    let response = BASE64.encode(format!("\0{}\0{PASSWORD}", user(number)).as_bytes());
    format!("\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip=127.0.0.1\tsecured\tresp={response}")
}

/// Connects and reads the server's side of the handshake, which ends with DONE.
async fn connect(socket: &Path, number: u32) -> io::Result<BufReader<UnixStream>> {
    let mut stream = BufReader::with_capacity(128 * 1024, UnixStream::connect(socket).await?);
    // Servers want every connection to tell another process.
    let process = std::process::id() * 16 + number;
    stream.get_mut().write_all(format!("VERSION\t1\t1\nCPID\t{process}\n").as_bytes()).await?;
    let mut line = String::new();
    while line != "DONE\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed within the handshake"));
        }
    }
    Ok(stream)
}

/// Counts the whole lines, all of which must say OK, and the bytes they take.
fn answers(heard: &[u8]) -> io::Result<(u32, usize)> {
    if heard.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed instead of an answer"));
    }
    let (mut count, mut start) = (0, 0);
    for end in memchr::memchr_iter(b'\n', heard) {
        let line = heard.get(start..end).unwrap_or_default();
        if !line.starts_with(b"OK\t") {
            let said = String::from_utf8_lossy(line);
            return Err(io::Error::other(format!("OK expected, the server said {said:?}")));
        }
        count += 1;
        start = end + 1;
    }
    Ok((count, start))
}
