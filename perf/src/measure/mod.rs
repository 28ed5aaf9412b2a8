//! What is measured: a row of the table each, and how a measurement is taken. A variant of a measure is a further row.

mod auth;
mod bulk;
mod idle;
mod login;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::rounds::Plan;
use crate::server::Server;
use crate::tree::Tree;

/// Before a timed measurement starts, everything has run this long.
const WARM_UP: Duration = Duration::from_millis(200);

/// A measure and one variant of it.
pub(crate) struct Row {
    /// What is measured.
    pub(crate) name: &'static str,
    /// How its value is written.
    pub(crate) unit: Unit,
    take: Take,
}

/// How a sample becomes a value.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Things done in a second of processor time.
    PerCpuSecond,
    /// Bytes moved in a second of processor time, in GiB.
    GibPerCpuSecond,
    /// Bytes of memory for a thing, in KiB.
    KibEach,
}

/// What one measurement found.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// How much was done: logins, decisions, bytes, sessions.
    pub(crate) done: f64,
    /// What it took: seconds of the server's processor time, or bytes of its memory.
    pub(crate) cost: f64,
    /// Shares of a core that server and load used meanwhile; absent where nothing was timed.
    pub(crate) busy: Option<(f64, f64)>,
}

type Take = for<'a> fn(&'a Trial<'a>) -> Option<Pin<Box<dyn Future<Output = io::Result<Sample>> + 'a>>>;

/// What a measurement is given.
pub(crate) struct Trial<'a> {
    /// The server to ask.
    pub(crate) server: &'a Server,
    /// The mail server behind it.
    pub(crate) backend: Tree,
    /// How long and how many.
    pub(crate) plan: &'a Plan,
}

/// All rows, or those with one of the words in their name.
pub(crate) fn rows(words: &[String]) -> Vec<Row> {
    use Unit::{GibPerCpuSecond, KibEach, PerCpuSecond};
    let row = |name, unit, take: Take| Row { name, unit, take };
    let all = vec![
        row("login, plaintext", PerCpuSecond, |trial| {
            Some(Box::pin(login::take(trial, trial.server.doors.imap.clone())))
        }),
        row("idle session, plaintext", KibEach, |trial| {
            Some(Box::pin(idle::take(trial, trial.server.doors.imap.clone())))
        }),
        row("idle session, TLS", KibEach, |trial| {
            let imaps = trial.server.doors.imaps.clone()?;
            Some(Box::pin(idle::take(trial, imaps)))
        }),
        row("auth request, 4 connections of 64", PerCpuSecond, |trial| {
            let path = trial.server.doors.auth.as_deref()?;
            Some(Box::pin(auth::take(trial, path, 4, 64)))
        }),
        row("auth request, one at a time", PerCpuSecond, |trial| {
            let path = trial.server.doors.auth.as_deref()?;
            Some(Box::pin(auth::take(trial, path, 1, 1)))
        }),
        row("download, plaintext", GibPerCpuSecond, |trial| {
            Some(Box::pin(bulk::take(trial, trial.server.doors.imap.clone())))
        }),
    ];
    all.into_iter()
        .filter(|row| words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str())))
        .collect()
}

impl Row {
    /// Takes the measurement; `None` when the server has no such door.
    pub(crate) async fn take(&self, trial: &Trial<'_>) -> io::Result<Option<Sample>> {
        match (self.take)(trial) {
            Some(taking) => taking.await.map(Some),
            None => Ok(None),
        }
    }
}

impl Sample {
    /// What one thing cost.
    pub(crate) fn cost_each(&self) -> f64 {
        self.cost / self.done
    }
}

/// What those who make the load share.
#[derive(Default)]
struct Load {
    done: AtomicU64,
    over: AtomicBool,
}

impl Load {
    fn count(&self, done: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

/// Lets the workers run and compares what was done with the processor time it took.
async fn timed(
    trial: &Trial<'_>,
    load: Arc<Load>,
    mut workers: JoinSet<io::Result<()>>,
) -> io::Result<Sample> {
    let watch = async {
        sleep(WARM_UP).await;
        let before = Reading::take(trial, &load)?;
        sleep(Duration::from_secs_f64(trial.plan.seconds)).await;
        let after = Reading::take(trial, &load)?;
        load.over.store(true, Ordering::Relaxed);
        let passed = (after.at - before.at).as_secs_f64();
        let server = after.server - before.server;
        Ok::<_, io::Error>(Sample {
            done: (after.done - before.done) as f64,
            cost: server,
            busy: Some((server / passed, (after.load - before.load) / passed)),
        })
    };
    let work = async {
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        Ok(())
    };
    // A worker's failure ends the measurement at once.
    let (sample, ()) = tokio::try_join!(watch, work)?;
    if sample.done == 0.0 || sample.cost == 0.0 {
        return Err(io::Error::other("nothing was done in the time given"));
    }
    Ok(sample)
}

struct Reading {
    at: Instant,
    done: u64,
    server: f64,
    load: f64,
}

impl Reading {
    fn take(trial: &Trial<'_>, load: &Load) -> io::Result<Self> {
        let this = Tree { root: std::process::id() };
        Ok(Self {
            at: Instant::now(),
            done: load.done.load(Ordering::Relaxed),
            server: trial.server.tree().cpu_seconds()?,
            load: this.root_cpu_seconds()? + trial.backend.cpu_seconds()?,
        })
    }
}
