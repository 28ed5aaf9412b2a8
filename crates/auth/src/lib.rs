//! Who you are, and what becomes of you.
//!
//! One login flows `Facts -> Fields -> Verdict`. Nothing here touches a socket, a
//! file, a clock or a source of chance: the server crate hands those in as facts.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod attempt;
pub mod chain;
pub mod expand;
pub mod fields;
pub mod mechanism;
pub mod nets;
pub mod passdb;
pub mod penalty;
pub mod request;
pub mod scheme;
pub mod trace;
pub mod username;
pub mod users;
pub mod verdict;
