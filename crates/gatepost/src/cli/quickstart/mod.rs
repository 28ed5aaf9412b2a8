//! `gatepost quickstart`: a folder with a small configuration, the gate on unprivileged ports and
//! two demonstration mail servers behind it, all in one process.

mod demo;
mod files;
mod mailbox;
mod visit;

use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use config::rows::server::LogFormat;
use config::scope::ConnectionKey;
use tokio::net::TcpListener;

use crate::log::Log;
use crate::server::{Server, load};
use demo::{DEMOS, LOCAL, REMOTE};
use mailbox::Mailbox;

/// Arguments of `gatepost quickstart`.
#[derive(clap::Args)]
pub struct Args {
    /// Where to make the folder
    #[arg(long, default_value = "gatepost-quickstart")]
    dir: PathBuf,
    /// Log in as every demonstration user, print what happens, and end
    #[arg(long)]
    once: bool,
}

/// Where everything listens, on 127.0.0.1.
struct Ports {
    imap: u16,
    imaps: u16,
    pop3: u16,
    pop3s: u16,
    local_imap: u16,
    local_pop3: u16,
    remote_imap: u16,
    remote_pop3: u16,
    /// Nothing listens here.
    dead: u16,
}

/// Runs the demonstration until it is interrupted, or once.
pub fn run(args: &Args) -> ExitCode {
    match start(args) {
        Ok(code) => code,
        Err(faults) => {
            for fault in faults {
                eprintln!("gatepost quickstart: {fault}");
            }
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<ExitCode, Vec<String>> {
    let one = |error: &dyn std::fmt::Display| vec![error.to_string()];
    let scratch;
    let folder = if args.once && args.dir == Path::new("gatepost-quickstart") {
        scratch = Scratch::new().map_err(|error| one(&error))?;
        scratch.0.as_path()
    } else {
        args.dir.as_path()
    };
    let conf = folder.join("gatepost.conf");
    let had_conf = conf.exists();
    let ports =
        if had_conf { Ports::default() } else { Ports::free(args.once).map_err(|error| one(&error))? };
    files::make(folder, &ports).map_err(|fault| vec![fault])?;
    let (config, warnings) = load(&conf)?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    // A folder from an earlier run says itself where everything listens.
    let ports = if had_conf { Ports::read(&config, folder)? } else { ports };
    let mut settings = config.server().clone();
    settings.log_format = LogFormat::Dovecot;
    if args.once {
        settings.log_path = folder.join("log").display().to_string();
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| one(&error))?;
    runtime.block_on(async {
        serve_mailboxes(&ports).await.map_err(|error| one(&error))?;
        let log = Log::start(&settings).map_err(|error| one(&error))?;
        if args.once {
            let server = Server::start(conf.clone(), config, &log)?;
            let all_right = visit::everybody(&ports).await;
            server.end().await;
            log.flush();
            return Ok(if all_right { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        introduce(&conf, &ports);
        let mut server = Server::start(conf.clone(), config, &log)?;
        let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) else {
            return Err(vec!["cannot catch signals".into()]);
        };
        loop {
            tokio::select! {
                _ = hangup.recv() => server.reload(),
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        server.end().await;
        log.flush();
        Ok(ExitCode::SUCCESS)
    })
}

async fn serve_mailboxes(ports: &Ports) -> std::io::Result<()> {
    for (name, imap, pop3) in
        [(LOCAL, ports.local_imap, ports.local_pop3), (REMOTE, ports.remote_imap, ports.remote_pop3)]
    {
        let users = DEMOS.iter().filter(|demo| demo.reaches == Some(name));
        let users = users.map(|demo| (demo.user.to_owned(), demo.password.to_owned())).collect();
        let mailbox = Arc::new(Mailbox { name, users });
        for (protocol, port) in [("imap", imap), ("pop3", pop3)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
                std::io::Error::new(error.kind(), format!("demonstration mailbox on port {port}: {error}"))
            })?;
            let protocol = wire::protocols::find(protocol).ok_or(std::io::ErrorKind::Unsupported)?;
            tokio::spawn(Arc::clone(&mailbox).serve(listener, protocol));
        }
    }
    Ok(())
}

/// What an admin reads first: who is who, and what to paste.
fn introduce(conf: &Path, ports: &Ports) {
    let Ports { imap, imaps, pop3, pop3s, .. } = ports;
    println!("Gatepost is in front of two demonstration mail servers, \"{LOCAL}\" and \"{REMOTE}\".");
    println!("Its configuration is {}.\n", conf.display());
    println!("  {:<7} {:<9} {:<10} why", "user", "password", "becomes");
    for demo in DEMOS {
        println!("  {:<7} {:<9} {:<10} {}", demo.user, demo.password, demo.verdict, demo.because);
    }
    println!("\nTry, from another terminal:\n");
    println!("  curl -v 'imap://127.0.0.1:{imap}/INBOX;MAILINDEX=1' -u alice:wonder");
    println!("  curl -v 'imap://127.0.0.1:{imap}/INBOX;MAILINDEX=1' -u bob:builder");
    println!("  curl -v 'imap://127.0.0.1:{imap}/' -u carol:carols");
    println!("  curl -vk 'imaps://127.0.0.1:{imaps}/INBOX;MAILINDEX=1' -u frank:furter");
    println!("  curl -v 'pop3://127.0.0.1:{pop3}/1' -u bob:builder");
    println!("  curl -vk 'pop3s://127.0.0.1:{pop3s}/1' -u dave:diver\n");
    println!("Each login is logged below. Ctrl-C ends everything.\n");
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            imap: 10143,
            imaps: 10993,
            pop3: 10110,
            pop3s: 10995,
            local_imap: 20143,
            local_pop3: 20110,
            remote_imap: 30143,
            remote_pop3: 30110,
            dead: 40143,
        }
    }
}

impl Ports {
    /// The usual ports where they are free, any other where not; with `any`, any at once.
    fn free(any: bool) -> std::io::Result<Self> {
        let mut held = Vec::new();
        let mut pick = |wanted: u16| -> std::io::Result<u16> {
            let bind = |port| StdListener::bind((Ipv4Addr::LOCALHOST, port));
            let socket = if any { bind(0) } else { bind(wanted).or_else(|_| bind(0)) }?;
            let port = socket.local_addr()?.port();
            held.push(socket);
            Ok(port)
        };
        let usual = Self::default();
        Ok(Self {
            imap: pick(usual.imap)?,
            imaps: pick(usual.imaps)?,
            pop3: pick(usual.pop3)?,
            pop3s: pick(usual.pop3s)?,
            local_imap: pick(usual.local_imap)?,
            local_pop3: pick(usual.local_pop3)?,
            remote_imap: pick(usual.remote_imap)?,
            remote_pop3: pick(usual.remote_pop3)?,
            dead: pick(usual.dead)?,
        })
    }

    /// The ports of a folder that was made earlier.
    fn read(config: &config::scope::Config, folder: &Path) -> Result<Self, Vec<String>> {
        let listener = |service: &str, tls: bool| {
            let services = config.services().iter().filter(|other| other.name == service);
            services.flat_map(|service| &service.inet).find(|l| l.ssl == tls && l.port != 0).map(|l| l.port)
        };
        let key = |protocol| ConnectionKey { protocol, local: None, remote: None, local_name: None };
        let after = |text: &str| text.rsplit(':').next().and_then(|port| port.parse().ok());
        let users = std::fs::read_to_string(folder.join("users")).unwrap_or_default();
        let mut remote = users
            .lines()
            .find(|line| line.starts_with("bob:"))
            .into_iter()
            .flat_map(|line| line.split(';').filter_map(|word| word.trim_end_matches('}').parse().ok()));
        let mut read = || {
            let (remote_pop3, remote_imap) = (remote.next()?, remote.next()?);
            Some(Self {
                imap: listener("imap-login", false)?,
                imaps: listener("imap-login", true)?,
                pop3: listener("pop3-login", false)?,
                pop3s: listener("pop3-login", true)?,
                local_imap: after(&config.connection(&key("imap")).local_imap)?,
                local_pop3: after(&config.connection(&key("pop3")).local_pop3)?,
                remote_imap,
                remote_pop3,
                dead: 0,
            })
        };
        read().ok_or_else(|| {
            let folder = folder.display();
            vec![format!("{folder} was changed beyond the demonstration: run `gatepost serve -c {folder}/gatepost.conf`, or choose another --dir")]
        })
    }
}

/// A folder that goes away again.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        let name = format!("gatepost-quickstart-{}", data_encoding::HEXLOWER.encode(&bytes));
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary directory anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
