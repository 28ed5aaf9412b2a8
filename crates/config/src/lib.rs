//! What an administrator may write, as types.
//!
//! `dovecot.conf` becomes a tree with a place on every node ([`syntax`]), then written settings
//! by row ([`rows`]), then resolved settings per scope ([`scope`]), checked ([`check`]).
//! Knows nothing of what a setting causes. Opens configuration files and nothing else.
#![forbid(unsafe_code)]

pub mod check;
pub mod database;
mod files;
mod filter;
mod nearest;
pub mod problem;
pub mod rows;
pub mod scope;
mod services;
pub mod show;
pub mod syntax;
pub mod value;
mod written;

pub use check::{Loaded, load, load_text};
pub use scope::{Config, ConnectionKey};
