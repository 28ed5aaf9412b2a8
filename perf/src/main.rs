//! Measures Gatepost beside other login proxies: each server in turn on a core of its own, the load and the backend on
//! another, in interleaved rounds. What counts is the ratio of their costs within one run: a slow hour of the machine
//! slows both.
#![forbid(unsafe_code)]

mod backend;
mod circumstances;
mod connection;
mod cores;
mod measure;
mod report;
mod rounds;
mod server;
mod tree;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use rounds::Plan;

/// Measure Gatepost beside other login proxies
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Fewer and shorter rounds, about 40 seconds altogether
    #[arg(long)]
    quick: bool,
    /// How often every measure is taken with every server
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// How long each timed measure lasts
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// How many sessions are held for the memory measures; each takes two descriptors of the server
    #[arg(long, value_name = "N")]
    sessions: Option<u32>,
    /// Only measures whose name contains one of these words
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    only: Vec<String>,
    /// Servers to measure; ratios are those of the first to each other
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "gatepost,dovecot")]
    servers: Vec<String>,
    /// The program to measure as gatepost [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    gatepost: Option<PathBuf>,
    /// The program to measure as dovecot
    #[arg(long, value_name = "PATH", default_value = "dovecot")]
    dovecot: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The mail server behind the proxies, a process of its own: writes its port, ends with its input
    #[command(hide = true)]
    Backend,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(async {
        if let Some(Part::Backend) = arguments.part {
            return backend::serve().await.map(|()| true);
        }
        // Dropping the unfinished run ends what it started.
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = run(arguments) => result,
            _ = tokio::signal::ctrl_c() => Err(io::Error::other("interrupted")),
            _ = terminate.recv() => Err(io::Error::other("terminated")),
        }
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

async fn run(arguments: Arguments) -> io::Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::Error::other(
            "run as root: the servers start as root and give up its rights, and only root is shown the memory of such processes",
        ));
    }
    let gatepost = match arguments.gatepost {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("gatepost"),
    };
    let products = arguments
        .servers
        .iter()
        .map(|name| server::product(name, &gatepost, &arguments.dovecot))
        .collect::<io::Result<Vec<_>>>()?;
    let rows = measure::rows(&arguments.only);
    if rows.is_empty() {
        return Err(io::Error::other(format!("--only {}: no such measure", arguments.only.join(","))));
    }
    let (rounds, seconds, sessions) = if arguments.quick { (2, 0.8, 500) } else { (5, 1.5, 2000) };
    let plan = Plan {
        rounds: arguments.rounds.unwrap_or(rounds).max(1),
        seconds: arguments.seconds.unwrap_or(seconds).max(0.1),
        sessions: arguments.sessions.unwrap_or(sessions).max(1),
    };
    let results = rounds::run(&plan, &products, &rows).await?;
    print!("{}", report::table(&products, &rows, &results));
    print!("\n{}", circumstances::describe(&plan, &products));
    let failures = report::failures(&products, &rows, &results);
    print!("{failures}");
    Ok(failures.is_empty())
}

fn fail(error: &io::Error) -> ExitCode {
    eprintln!("gatepost-perf: {error}");
    ExitCode::FAILURE
}
