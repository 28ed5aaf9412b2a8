//! A backend that does what a test tells it, where a real one cannot be made to: it lets everybody in over IMAP and
//! then hands the connection to the test.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use crate::house::PATIENCE;

/// Serves one connection in a thread of its own; gives its port.
pub(crate) fn open(session: fn(BufReader<TcpStream>) -> std::io::Result<()>) -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    thread::spawn(move || {
        let (client, _) = listener.accept()?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        session(let_in(BufReader::new(client))?)
    });
    Ok(port)
}

fn let_in(mut client: BufReader<TcpStream>) -> std::io::Result<BufReader<TcpStream>> {
    client.get_mut().write_all(b"* OK [CAPABILITY IMAP4rev1] Hello.\r\n")?;
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let tag = line.split(' ').next().unwrap_or_default().to_owned();
        client.get_mut().write_all(format!("{tag} OK [CAPABILITY IMAP4rev1] Done.\r\n").as_bytes())?;
        if line.contains(" LOGIN ") {
            return Ok(client);
        }
    }
}
