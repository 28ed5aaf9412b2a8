//! The settings themselves, one row each.

pub mod auth;
pub mod login;
pub mod passdb;
pub mod server;
pub mod service;
pub mod ssl;
