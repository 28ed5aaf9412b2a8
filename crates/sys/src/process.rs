//! What a process is and may do: its ids, its limits, its core dumps, and who is at the other end of a unix socket.
//! Knows no user names and no policy.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::process::{DumpableBehavior, Resource, getrlimit, set_dumpable_behavior, setrlimit};

/// Whom a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub user: u32,
    /// Primary group id.
    pub group: u32,
    /// Every other group.
    pub groups: Vec<u32>,
}

/// The process at the other end of a unix socket, as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process id.
    pub process: u32,
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
}

/// Who is at the other end of a unix socket (`SO_PEERCRED`).
///
/// # Errors
/// Those of getsockopt(2).
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)?;
    Ok(Peer {
        process: credentials.pid.as_raw_nonzero().get().unsigned_abs(),
        user: credentials.uid.as_raw(),
        group: credentials.gid.as_raw(),
    })
}

/// Becomes somebody else for good, with every thread of the process.
///
/// # Errors
/// Those of setgroups(2), setresgid(2) and setresuid(2); `PermissionDenied` as well when root's rights could be had
/// back afterwards. After an error the process may be half changed and should end.
pub fn become_identity(identity: &Identity) -> io::Result<()> {
    let Identity { user, group, groups } = identity;
    // SAFETY: the pointer and the length are those of one live slice of gid_t (u32 on Linux), which is only read.
    // The groups come first, as setting them needs the privilege that setresuid gives up. libc, not the bare system
    // call: a system call changes the calling thread alone.
    done(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: takes and returns integers only.
    done(unsafe { libc::setresgid(*group, *group, *group) })?;
    // SAFETY: as above.
    done(unsafe { libc::setresuid(*user, *user, *user) })?;
    // SAFETY: as above; it must fail unless root was asked for.
    if *user != 0 && unsafe { libc::setresuid(0, 0, 0) } == 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "root's rights were not given up"));
    }
    Ok(())
}

/// Raises the limit of open descriptors as far as it goes; returns the limit that holds now.
///
/// # Errors
/// Those of setrlimit(2).
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// Keeps passwords out of core files and out of reach of other processes of the same user.
///
/// # Errors
/// Those of prctl(2).
pub fn disable_core_dumps() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_peer_of_a_socket_pair_is_this_process() {
        let (near, _far) = UnixStream::pair().unwrap();
        let peer = peer(near.as_fd()).unwrap();
        assert_eq!(peer.process, std::process::id());
        assert_eq!(peer.user, rustix::process::getuid().as_raw());
        assert_eq!(peer.group, rustix::process::getgid().as_raw());
    }

    #[test]
    fn the_descriptor_limit_ends_at_the_hard_limit() {
        let limit = raise_descriptor_limit().unwrap();
        assert_eq!(limit, getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX));
    }

    #[test]
    fn core_dumps_are_off_afterwards() {
        disable_core_dumps().unwrap();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    /// Runs itself once more as a child, so that the other tests keep their identity.
    #[test]
    fn every_thread_changes_identity_and_none_can_go_back() {
        const CHILD: &str = "GATEPOST_TEST_BECOMES_NOBODY";
        if std::env::var_os(CHILD).is_none() {
            if !rustix::process::geteuid().is_root() {
                eprintln!("skipped: changing identity needs root");
                return;
            }
            let name = "process::tests::every_thread_changes_identity_and_none_can_go_back";
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture"])
                .env(CHILD, "1")
                .output()
                .unwrap();
            assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
            return;
        }
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            wait.recv().unwrap();
            (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
        });
        become_identity(&Identity { user: 65534, group: 65534, groups: vec![65533] }).unwrap();
        go.send(()).unwrap();
        assert_eq!(other.join().unwrap(), (65534, 65534));
        assert_eq!(rustix::process::getgroups().unwrap().len(), 1);
        assert!(become_identity(&Identity { user: 0, group: 0, groups: vec![] }).is_err());
    }
}
