//! Who is here: a count of sessions, and per user, address and protocol those that the limit
//! `mail_max_userip_connections` is about.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::relay::Halt;

/// Whose sessions are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Owner {
    user: String,
    remote: Option<IpAddr>,
    protocol: &'static str,
}

/// How far the server is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    #[default]
    Up,
    /// No new connections; logins in progress may finish, clients who have not begun one are sent away.
    Closing,
    /// Everything ends now.
    Down,
}

/// Everybody who is connected.
pub struct Sessions {
    owners: Arc<Mutex<HashMap<Owner, u32>>>,
    phase: watch::Sender<Phase>,
    open: Arc<Mutex<HashMap<u64, Connection>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Connection {
    halt: Halt,
    /// Its login is over and went well.
    relayed: bool,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            owners: Arc::default(),
            phase: watch::Sender::new(Phase::Up),
            open: Arc::default(),
            next: AtomicU64::new(1),
        }
    }
}

/// A connection that counts as long as this lives.
#[derive(Debug)]
pub struct Present {
    open: Arc<Mutex<HashMap<u64, Connection>>>,
    id: u64,
    halt: Halt,
}

impl Present {
    /// Ends the session from outside.
    pub fn halt(&self) -> Halt {
        self.halt.clone()
    }

    /// Notes that the login is over, and that a relay follows.
    pub fn relayed(&self) {
        if let Some(connection) = lock(&self.open).get_mut(&self.id) {
            connection.relayed = true;
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        lock(&self.open).remove(&self.id);
    }
}

/// The maps here are whole at every step, so a panic elsewhere leaves them usable.
fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A user's session that counts towards their limit as long as this lives.
pub struct Place {
    owners: Arc<Mutex<HashMap<Owner, u32>>>,
    owner: Owner,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut owners = lock(&self.owners);
        if let Some(count) = owners.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                owners.remove(&self.owner);
            }
        }
    }
}

impl Sessions {
    /// Counts a connection.
    pub fn enter(&self) -> Present {
        let (id, halt) = (self.next.fetch_add(1, Ordering::Relaxed), Halt::new());
        lock(&self.open).insert(id, Connection { halt: halt.clone(), relayed: false });
        Present { open: Arc::clone(&self.open), id, halt }
    }

    /// How many connections there are.
    pub fn open(&self) -> usize {
        lock(&self.open).len()
    }

    /// How many of them have not logged in.
    pub fn logging_in(&self) -> usize {
        lock(&self.open).values().filter(|connection| !connection.relayed).count()
    }

    /// Takes a place for a user's session, unless they have `limit` already (0: no limit).
    pub fn place(
        &self,
        user: &str,
        remote: Option<IpAddr>,
        protocol: &'static str,
        limit: u32,
    ) -> Option<Place> {
        let owner = Owner { user: user.to_owned(), remote, protocol };
        let mut owners = lock(&self.owners);
        let count = owners.entry(owner.clone()).or_insert(0);
        if limit != 0 && *count >= limit {
            return None;
        }
        *count += 1;
        Some(Place { owners: Arc::clone(&self.owners), owner })
    }

    /// Watches the server's way out.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Moves the server on its way out.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_replace(phase);
        if phase == Phase::Down {
            for connection in lock(&self.open).values() {
                connection.halt.stop();
            }
        }
    }
}
