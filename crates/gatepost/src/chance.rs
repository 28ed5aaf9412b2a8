//! The clock and the dice: the facts that deciding code is handed instead of asking for them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A random number; 0 when the kernel gives none, which spreads a load less and guards nothing.
pub fn number() -> u64 {
    getrandom::u64().unwrap_or_default()
}

/// Random bytes for an auth socket's cookie, which guards nothing on sockets that clients ask on.
pub fn cookie() -> [u8; 16] {
    let mut cookie = [0; 16];
    let _ = getrandom::fill(&mut cookie);
    cookie
}
