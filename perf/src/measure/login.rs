//! Logins: connect, log in through to the backend, log out, wait for the close. TLS handshakes are full ones only if the
//! client keeps no tickets.

use std::io;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Load, Sample, Trial, timed};
use crate::connection::{Connection, Target};
use crate::server::{PASSWORD, user};

/// So many clients log in at a time.
const CLIENTS: u32 = 32;

pub(super) async fn take(trial: &Trial<'_>, target: Target) -> io::Result<Sample> {
    let load = Arc::new(Load::default());
    let mut workers = JoinSet::new();
    for number in 0..CLIENTS {
        workers.spawn(work(target.clone(), user(number), Arc::clone(&load)));
    }
    timed(trial, load, workers).await
}

async fn work(target: Target, user: String, load: Arc<Load>) -> io::Result<()> {
    while load.goes_on() {
        let mut connection = Connection::open(&target).await?;
        connection.login(&user, PASSWORD).await?;
        connection.logout().await?;
        load.count(1);
    }
    Ok(())
}
