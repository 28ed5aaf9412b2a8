//! Servers to measure: how each is configured, started and ended. A further one is a file here and a line in
//! [`product`].

mod gate;
mod place;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, Target};
use crate::cores::Cores;
use crate::tree::{self, Tree};

pub(crate) use place::{PASSWORD, Place, USERS, user};

/// A server has to answer this soon after its start.
const START: Duration = Duration::from_secs(10);
/// And to be gone this soon after being asked.
const END: Duration = Duration::from_secs(5);

/// A program that can be measured.
pub(crate) trait Product {
    /// One word, for the table.
    fn name(&self) -> &'static str;
    /// Its version, as it tells it itself.
    fn version(&self) -> String;
    /// Writes its configuration into the place's folder; the command runs it in the foreground.
    fn prepare(&self, place: &Place) -> io::Result<Prepared>;
}

/// A server ready to be started.
pub(crate) struct Prepared {
    /// Runs in the foreground until it gets SIGTERM.
    pub(crate) command: Command,
    /// Where it will take logins and authentication requests.
    pub(crate) doors: Doors,
    /// Where it writes what went wrong.
    pub(crate) log: PathBuf,
}

/// Where a server can be asked. What is absent cannot be measured and shows as a dash.
#[derive(Clone)]
pub(crate) struct Doors {
    /// IMAP in the clear.
    pub(crate) imap: Target,
    /// IMAP in TLS.
    pub(crate) imaps: Option<Target>,
    /// The socket of the authentication protocol.
    pub(crate) auth: Option<PathBuf>,
}

/// A running server; ends when dropped.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    /// Where it can be asked.
    pub(crate) doors: Doors,
}

/// The product of that name.
pub(crate) fn product(name: &str, gatepost: &Path, dovecot: &Path) -> io::Result<Box<dyn Product>> {
    match name {
        "gatepost" => Ok(Box::new(gate::Gatepost { program: gatepost.to_owned() })),
        "dovecot" => Ok(Box::new(gate::Dovecot { program: dovecot.to_owned() })),
        _ => Err(io::Error::other(format!("--servers {name}: no such server (gatepost, dovecot)"))),
    }
}

impl Server {
    /// Starts it on the server's core and waits until every door is open.
    pub(crate) async fn start(product: &dyn Product, place: &Place, cores: &Cores) -> io::Result<Self> {
        let Prepared { mut command, doors, log } = product.prepare(place)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(place.path("stderr"))?);
        let child = cores.on_server(|| command.spawn()).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", command.get_program().to_string_lossy()))
        })?;
        let mut server = Self { child, log, doors };
        let deadline = Instant::now() + START;
        while let Err(error) = server.answers().await {
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let state =
                    ended.map_or_else(|| "does not answer".to_owned(), |status| format!("ended ({status})"));
                return Err(server.explain(&io::Error::other(format!("{state}: {error}")), place));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    /// Its processes.
    pub(crate) fn tree(&self) -> Tree {
        Tree { root: self.child.id() }
    }

    /// The error with the last the server wrote.
    pub(crate) fn explain(&self, error: &io::Error, place: &Place) -> io::Error {
        let said = [place.path("stderr"), self.log.clone()]
            .iter()
            .filter_map(|path| fs::read(path).ok())
            .flat_map(|text| {
                let text = String::from_utf8_lossy(&text).into_owned();
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().to_vec()
            })
            .collect::<Vec<_>>();
        io::Error::other(format!("{error}; its log ends: {}", said.join(" | ")))
    }

    async fn answers(&self) -> io::Result<()> {
        for target in std::iter::once(&self.doors.imap).chain(&self.doors.imaps) {
            timeout(START, Connection::open(target)).await??;
        }
        if let Some(path) = &self.doors.auth {
            UnixStream::connect(path).await?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let processes = self.tree().processes().unwrap_or_default();
        tree::terminate(self.child.id());
        let deadline = Instant::now() + END;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        for process in processes {
            process.kill();
        }
        let _ = self.child.wait();
    }
}
