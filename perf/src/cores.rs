//! Which core the server has, and which the load, and how many descriptors. Knows nothing of what runs there.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores of a run; the same one twice where the machine has no second.
pub(crate) struct Cores {
    server: CpuSet,
    load: CpuSet,
}

impl Cores {
    /// Takes the first two cores this process may use and moves the calling thread to the second, the load's.
    pub(crate) fn divide() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut numbers = (0..CpuSet::MAX_CPU).filter(|&number| allowed.is_set(number));
        let first = numbers.next().ok_or_else(|| io::Error::other("no core is allowed to this process"))?;
        let second = numbers.next().unwrap_or(first);
        if first == second {
            eprintln!("only one core: server and load share it, and the figures suffer");
        }
        let cores = Self { server: only(first), load: only(second) };
        sched_setaffinity(None, &cores.load)?;
        Ok(cores)
    }

    /// Runs `start` on the server's core: a process started there stays there, with all its children.
    pub(crate) fn on_server<T>(&self, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        sched_setaffinity(None, &self.server)?;
        let started = start();
        sched_setaffinity(None, &self.load)?;
        started
    }
}

/// Raises the limit of open descriptors as far as it goes; processes started later inherit it.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

fn only(number: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(number);
    set
}
