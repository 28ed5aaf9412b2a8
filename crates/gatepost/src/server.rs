//! The server's life: start, ready, reload, end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use config::check;
use config::problem::Severity;
use config::scope::Config;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::gate::{Gate, Shared};
use crate::listen::Listeners;
use crate::log::{Level, Log};
use crate::sessions::Phase;
use crate::workers::Workers;

/// How long logins in progress have to finish once the server is told to end.
const CLOSING: Duration = Duration::from_secs(10);
/// How long relayed sessions have to end after that.
const DOWN: Duration = Duration::from_secs(5);

/// Runs the server in the foreground until it is told to end.
pub fn serve(path: &Path) -> ExitCode {
    let (config, warnings) = match load(path) {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    let log = match Log::start(config.server()) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("gatepost: cannot start the log's thread: {error}");
            return ExitCode::FAILURE;
        }
    };
    for warning in warnings {
        log.say(Level::Warning, "config", warning);
    }
    for (what, done) in [
        ("raise the limit on open files", sys::process::raise_descriptor_limit().map(|_| ())),
        ("switch core dumps off", sys::process::disable_core_dumps()),
    ] {
        if let Err(error) = done {
            log.say(Level::Warning, "gatepost", format!("cannot {what}: {error}"));
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log.say(Level::Fatal, "gatepost", format!("cannot start: {error}"));
            log.flush();
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(path.to_owned(), config, log.clone()));
    runtime.shutdown_timeout(Duration::from_secs(1));
    log.flush();
    code
}

async fn run(path: PathBuf, config: Config, log: Log) -> ExitCode {
    // SIGUSR1 is what log rotation sends to Dovecot.
    let caught =
        [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::terminate(), SignalKind::interrupt()];
    let [Ok(mut hangup), Ok(mut rotated), Ok(mut terminate), Ok(mut interrupt)] = caught.map(signal) else {
        log.say(Level::Fatal, "gatepost", "cannot catch signals");
        return ExitCode::FAILURE;
    };
    let mut server = match Server::start(path, config, &log) {
        Ok(server) => server,
        Err(faults) => {
            for fault in faults {
                log.say(Level::Error, "config", fault);
            }
            log.say(Level::Fatal, "gatepost", "not started: see the errors above");
            return ExitCode::FAILURE;
        }
    };
    // Outside systemd there is nobody to notify, and that is no fault.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            _ = hangup.recv() => server.reload(),
            _ = rotated.recv() => log.reopen(server.gate.load().config.server()),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    server.end().await;
    ExitCode::SUCCESS
}

/// A server that runs.
pub struct Server {
    path: PathBuf,
    gate: Arc<ArcSwap<Gate>>,
    listeners: Listeners,
    shared: Arc<Shared>,
}

impl Server {
    /// Opens databases, certificates and listeners. All faults are reported together.
    pub fn start(path: PathBuf, config: Config, log: &Log) -> Result<Self, Vec<String>> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let lookups = usize::try_from(config.auth("").worker_max_count).unwrap_or(1);
        let workers = Arc::new(Workers::new(lookups, cores));
        let shared = Arc::new(Shared::new(log.clone(), workers));
        let gate = Arc::new(ArcSwap::from_pointee(Gate::open(config, Arc::clone(&shared))?));
        let mut listeners = Listeners::default();
        listeners.adopt(&gate, &gate.load().config)?;
        if listeners.is_empty() {
            let hint = "set protocols, or a listener in service auth";
            return Err(vec![format!("{}: no listener: nothing to do ({hint})", path.display())]);
        }
        log.say(Level::Info, "gatepost", format!("Gatepost v{} is ready", env!("CARGO_PKG_VERSION")));
        Ok(Self { path, gate, listeners, shared })
    }

    /// Reads everything anew. Faults leave everything as it is.
    pub fn reload(&mut self) {
        let log = self.shared.log.clone();
        match self.try_reload() {
            Ok(warnings) => {
                for warning in warnings {
                    log.say(Level::Warning, "config", warning);
                }
                log.say(Level::Info, "config", "reloaded; sessions go on");
            }
            Err(faults) => {
                for fault in faults {
                    log.say(Level::Error, "config", fault);
                }
                let text = "reload failed: the configuration before it stays in use, see the errors above";
                log.say(Level::Error, "config", text);
            }
        }
    }

    fn try_reload(&mut self) -> Result<Vec<String>, Vec<String>> {
        let (config, warnings) = load(&self.path)?;
        let fresh = Gate::open(config, Arc::clone(&self.shared))?;
        self.listeners.adopt(&self.gate, &fresh.config)?;
        self.shared.log.reopen(fresh.config.server());
        self.gate.store(Arc::new(fresh));
        Ok(warnings)
    }

    /// Accepts no more, lets logins in progress finish within a bound, and ends the sessions that are relayed.
    pub async fn end(mut self) {
        let (shared, log) = (&self.shared, &self.shared.log);
        log.say(Level::Info, "gatepost", "Closing: no new connections, logins in progress may finish");
        self.listeners.close();
        shared.sessions.advance(Phase::Closing);
        let sessions = &shared.sessions;
        let _ = timeout(CLOSING, until(|| sessions.logging_in() == 0)).await;
        let cut = sessions.open();
        sessions.advance(Phase::Down);
        let _ = timeout(DOWN, until(|| sessions.open() == 0)).await;
        log.say(Level::Info, "gatepost", format!("Ended, sessions cut: {cut}"));
    }
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads a configuration: it and its warnings, or all its problems.
pub fn load(path: &Path) -> Result<(Config, Vec<String>), Vec<String>> {
    let loaded = check::load(path);
    let text = |severity| {
        let problems = loaded.problems.iter().filter(move |problem| problem.severity == severity);
        problems.map(|problem| format!("{problem:#}")).collect::<Vec<_>>()
    };
    let (errors, warnings) = (text(Severity::Error), text(Severity::Warning));
    match loaded.config {
        Some(config) if errors.is_empty() => Ok((config, warnings)),
        _ => Err(errors),
    }
}
