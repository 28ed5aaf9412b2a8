//! The server and its command line: acts on what `wire` hears and `auth` decides.
#![forbid(unsafe_code)]

pub mod admit;
pub mod chance;
pub mod cli;
pub mod connection;
pub mod gate;
pub mod listen;
pub mod local;
pub mod log;
pub mod passdb;
pub mod proxy;
pub mod relay;
pub mod server;
pub mod session;
pub mod sessions;
pub mod stream;
pub mod tls;
pub mod userdb;
pub mod workers;
