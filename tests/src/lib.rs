//! Scenario tests: one file holds a configuration, its data and the dialogues that must follow from it, and is
//! run against the real Dovecot 2.3 as well as against Gatepost. What the original does is thereby proven, not
//! remembered. The README beside this crate explains the file format.

#![forbid(unsafe_code)]

pub mod backend;
pub mod dovecot;
pub mod gatepost;
pub mod local;
pub mod run;
pub mod sasl;
pub mod scenario;
pub mod stream;
pub mod subject;
pub mod talk;
pub mod text;
pub mod workplace;
