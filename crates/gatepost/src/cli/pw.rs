//! `gatepost pw`.
