//! The kinds of values: how each is written and shown. Knows no setting's name.

use std::net::IpAddr;
use std::path::PathBuf;

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// Any address in it.
    pub address: IpAddr,
    /// Leading bits that count: 0–32 or 0–128.
    pub bits: u8,
}

/// A value that may come from a file: `<FILE` or the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Read when used.
    File(PathBuf),
    /// Written in the configuration.
    Text(String),
}

/// Where something was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as named on the command line or by the include.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
}
