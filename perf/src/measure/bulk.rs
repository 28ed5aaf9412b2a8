//! Messages on their way from the backend to the client.

use std::io;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Load, Sample, Trial, timed};
use crate::connection::{Connection, Target, large_buffer};
use crate::server::{PASSWORD, user};

/// So many clients download at a time.
const CLIENTS: u32 = 4;
/// The UID of a message is its size in MiB.
const UID: u32 = 64;

pub(super) async fn take(trial: &Trial<'_>, target: Target) -> io::Result<Sample> {
    let load = Arc::new(Load::default());
    let mut workers = JoinSet::new();
    for number in 0..CLIENTS {
        workers.spawn(work(target.clone(), user(number), Arc::clone(&load)));
    }
    timed(trial, load, workers).await
}

async fn work(target: Target, user: String, load: Arc<Load>) -> io::Result<()> {
    let mut connection = Connection::open(&target).await?;
    connection.login(&user, PASSWORD).await?;
    let mut buffer = large_buffer();
    while load.goes_on() {
        connection.send(format!("b UID FETCH {UID} BODY[]\r\n").as_bytes()).await?;
        connection.message(&mut buffer, |count| load.count(count)).await?;
        connection.answer(b"b ").await?;
    }
    Ok(())
}
