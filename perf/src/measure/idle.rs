//! Memory of proxied sessions in which nothing happens.

use std::io;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Sample, Trial};
use crate::connection::{Connection, Target};
use crate::server::{PASSWORD, user};

/// So many sessions begin at a time.
const CLIENTS: u32 = 16;
/// Then the server is given this long to put away what it needs no more.
const SETTLE: Duration = Duration::from_millis(300);

/// The growth of the server's memory: what it needs before the first session, and whatever the first of them make it
/// load or allocate once, is not counted.
pub(super) async fn take(trial: &Trial<'_>, target: Target) -> io::Result<Sample> {
    for mut connection in sessions(&target, CLIENTS).await? {
        connection.logout().await?;
    }
    sleep(SETTLE).await;
    let before = trial.server.tree().pss_bytes()?;
    let held = sessions(&target, trial.plan.sessions).await?;
    sleep(SETTLE).await;
    let after = trial.server.tree().pss_bytes()?;
    if after <= before {
        return Err(io::Error::other("too few sessions for their memory to show (more with --sessions)"));
    }
    Ok(Sample { done: held.len() as f64, cost: (after - before) as f64, busy: None })
}

async fn sessions(target: &Target, count: u32) -> io::Result<Vec<Connection>> {
    let mut openers = JoinSet::new();
    for opener in 0..CLIENTS.min(count) {
        let target = target.clone();
        openers.spawn(async move {
            let mut opened = Vec::new();
            for number in (opener..count).step_by(CLIENTS as usize) {
                let mut connection = Connection::open(&target).await?;
                connection.login(&user(number), PASSWORD).await?;
                opened.push(connection);
            }
            Ok::<_, io::Error>(opened)
        });
    }
    let mut held = Vec::new();
    while let Some(opened) = openers.join_next().await {
        held.extend(opened??);
    }
    Ok(held)
}
