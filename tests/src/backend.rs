//! The fake backends of a scenario: each owns a port for as long as the scenario runs and says only what the
//! dialogue scripts.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::stream::{PATIENCE, Stream};

/// One listening port and the connection being scripted.
pub struct Backend {
    /// `backend`, `backend2` …, as in `${port:backend}`.
    pub name: String,
    listener: TcpListener,
    current: Option<Stream>,
}

impl Backend {
    /// Takes a free port.
    pub fn open(name: &str) -> Result<Backend, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| format!("{name}: {e}"))?;
        listener.set_nonblocking(true).map_err(|e| e.to_string())?;
        Ok(Backend { name: name.to_owned(), listener, current: None })
    }

    /// The port it listens on.
    pub fn port(&self) -> Result<u16, String> {
        self.listener.local_addr().map(|address| address.port()).map_err(|e| e.to_string())
    }

    /// Waits for the next connection, dropping the one before.
    pub fn accept(&mut self) -> Result<(), String> {
        self.current = None;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    socket.set_nonblocking(false).map_err(|e| e.to_string())?;
                    self.current = Some(Stream::accepted(socket).map_err(|e| e.to_string())?);
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                    sleep(Duration::from_millis(5));
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return Err(format!("{}: nobody connected", self.name));
                }
                Err(e) => return Err(format!("{}: {e}", self.name)),
            }
        }
    }

    /// The scripted connection; the first use waits for it.
    pub fn connection(&mut self) -> Result<&mut Stream, String> {
        if self.current.is_none() {
            self.accept()?;
        }
        self.current.as_mut().ok_or_else(|| format!("{}: no connection", self.name))
    }

    /// Hangs up.
    pub fn hang_up(&mut self) -> Result<(), String> {
        self.connection()?;
        self.current = None;
        Ok(())
    }

    /// After a dialogue: the connection is dropped, and one that nobody scripted is a fault.
    pub fn finish(&mut self) -> Result<(), String> {
        if let Some(mut stream) = self.current.take()
            && let Some(rest) = stream.rest()
        {
            return Err(format!("{}: also heard {:?}", self.name, String::from_utf8_lossy(&rest)));
        }
        match self.listener.accept() {
            Ok(_) => Err(format!("{}: a connection that the dialogue does not mention", self.name)),
            Err(_) => Ok(()),
        }
    }
}
