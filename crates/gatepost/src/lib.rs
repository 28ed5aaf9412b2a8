//! The server and its command line: acts on what `wire` hears and `auth` decides.
#![forbid(unsafe_code)]

pub mod cli;
pub mod passdb;
pub mod relay;
pub mod stream;
pub mod tls;
pub mod userdb;
pub mod workers;
