//! The command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gatepost::{cli, server};

/// An authentication server and login gate for mail.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server in the foreground
    Serve {
        /// Configuration file, in the syntax of dovecot.conf
        #[arg(short, long, default_value = "/etc/gatepost/gatepost.conf")]
        config: PathBuf,
    },
    /// See it work: a folder with a configuration, and demonstration mailboxes behind the gate
    Quickstart(cli::quickstart::Args),
    /// Check or show a configuration
    Config(cli::config::Args),
    /// Make, test and list password hashes
    Pw(cli::pw::Args),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve { config } => server::serve(&config),
        Command::Quickstart(args) => cli::quickstart::run(args),
        Command::Config(args) => cli::config::run(args),
        Command::Pw(args) => cli::pw::run(args),
    }
}
