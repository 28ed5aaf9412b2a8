//! What a process and all its descendants have used, as /proc tells it.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::process::{Pid, Signal, kill_process};

/// /proc counts time in ticks of this length, whatever the kernel's own (`USER_HZ`, fixed on Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// A process with its descendants.
#[derive(Clone, Copy)]
pub(crate) struct Tree {
    /// The oldest of them.
    pub(crate) root: u32,
}

/// One process; a number alone may be given to another process later.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    number: u32,
    started: u64,
}

struct Stat {
    parent: u32,
    own_ticks: u64,
    /// Those of children that have ended and been waited for.
    children_ticks: u64,
    started: u64,
}

impl Tree {
    /// Every process of the tree that is alive now, the root first.
    pub(crate) fn processes(self) -> io::Result<Vec<Process>> {
        Ok(self
            .members()?
            .into_iter()
            .map(|(number, stat)| Process { number, started: stat.started })
            .collect())
    }

    /// Seconds of processor time used so far, by user and kernel, with those of children that have ended.
    pub(crate) fn cpu_seconds(self) -> io::Result<f64> {
        let ticks: u64 = self.members()?.iter().map(|(_, stat)| stat.own_ticks + stat.children_ticks).sum();
        Ok(ticks as f64 / TICKS_PER_SECOND)
    }

    /// Seconds of processor time used so far by the root alone.
    pub(crate) fn root_cpu_seconds(self) -> io::Result<f64> {
        let stat = Stat::read(self.root)
            .ok_or_else(|| io::Error::other(format!("process {} has ended", self.root)))?;
        Ok(stat.own_ticks as f64 / TICKS_PER_SECOND)
    }

    /// Bytes of memory in use, shared pages divided among those who share them.
    pub(crate) fn pss_bytes(self) -> io::Result<u64> {
        let mut kibibytes = 0;
        for (number, _) in self.members()? {
            let rollup = fs::read_to_string(format!("/proc/{number}/smaps_rollup"))?;
            let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            kibibytes += pss
                .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
                .ok_or_else(|| io::Error::other(format!("/proc/{number}/smaps_rollup: no Pss")))?;
        }
        Ok(kibibytes * 1024)
    }

    fn members(self) -> io::Result<Vec<(u32, Stat)>> {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut stats = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // It may have ended since the folder was read.
            let Some(stat) = Stat::read(number) else { continue };
            children.entry(stat.parent).or_default().push(number);
            stats.insert(number, stat);
        }
        let mut members = Vec::new();
        let mut next = vec![self.root];
        while let Some(number) = next.pop() {
            if let Some(stat) = stats.remove(&number) {
                members.push((number, stat));
                next.extend(children.remove(&number).unwrap_or_default());
            }
        }
        if members.is_empty() {
            return Err(io::Error::other(format!("process {} has ended", self.root)));
        }
        Ok(members)
    }
}

impl Process {
    /// Ends the process at once, unless it has ended already.
    pub(crate) fn kill(self) {
        let alive = Stat::read(self.number).is_some_and(|stat| stat.started == self.started);
        if let (true, Some(pid)) = (alive, pid(self.number)) {
            // It may end by itself in between, and that is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Asks a process to end.
pub(crate) fn terminate(number: u32) {
    if let Some(pid) = pid(number) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

impl Stat {
    fn read(number: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{number}/stat")).ok()?)
    }

    /// The fields are counted behind the last parenthesis, as the program's name before it may hold anything.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(1)?).ok()?,
            own_ticks: number(11)? + number(12)?,
            children_ticks: number(13)? + number(14)?,
            started: number(19)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_and_spaces_hides_no_field() {
        let line = "7 (a) 1 (b) S 3 7 7 0 -1 0 0 0 0 0 10 20 4 1 20 0 1 0 555 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.own_ticks, stat.children_ticks, stat.started), (3, 30, 5, 555));
    }

    #[test]
    fn this_process_is_a_tree_with_memory() {
        let tree = Tree { root: std::process::id() };
        assert_eq!(tree.processes().unwrap()[0].number, std::process::id());
        assert!(tree.pss_bytes().unwrap() > 0);
    }

    #[test]
    fn a_child_belongs_to_the_tree() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let processes = Tree { root: std::process::id() }.processes().unwrap();
        let found = processes.iter().find(|process| process.number == child.id()).copied();
        found.unwrap().kill();
        assert!(!child.wait().unwrap().success());
    }
}
