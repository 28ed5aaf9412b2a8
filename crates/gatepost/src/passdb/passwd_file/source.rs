//! A passwd-file on disk: when it is read again, and when what was read is trusted.
//!
//! The file is looked at when a login asks and the last look is a second old. That one login waits for the
//! look; all others, and always when in doubt, are served from the table read before:
//! - the file is missing, unreadable or empty: its former users stay until it has users again;
//! - it lacks users it had, or ends in the middle of a line: perhaps somebody is writing it, so it is
//!   taken only when it has not changed for two seconds;
//! - it changed while it was read: it is read again at the next look;
//! - it is large: it is read on a thread of its own and taken when that is done.
//!
//! A file read less than two seconds after its last change is read once more afterwards, because a
//! second change within one tick of the file system's clock cannot be seen.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;

use super::table::{LARGEST, Table};
use crate::passdb::{Level, Log};

/// How long a look at the file counts.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a file must have been left alone before it is believed to lose users.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// A changed file up to this size is read while the login that noticed the change waits.
const READ_AT_ONCE: u64 = 1024 * 1024;

/// All open passwd-files by path, so that a passdb and a userdb on one file share its table.
#[derive(Clone, Default)]
pub struct Files {
    open: Arc<Mutex<HashMap<PathBuf, Weak<Source>>>>,
}

impl Files {
    /// The file at this path. Reads nothing yet.
    /// `expected`: its absence is worth a report even before it was ever there.
    pub(crate) fn source(&self, path: &Path, expected: bool, log: &Log) -> Arc<Source> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = open.get(path).and_then(Weak::upgrade) {
            return source;
        }
        open.retain(|_, source| source.strong_count() > 0);
        let source = Arc::new(Source::new(path.to_owned(), expected, Arc::clone(log)));
        open.insert(path.to_owned(), Arc::downgrade(&source));
        source
    }
}

/// One passwd-file.
pub(crate) struct Source {
    path: PathBuf,
    expected: bool,
    log: Log,
    table: ArcSwapOption<Table>,
    state: Mutex<State>,
    origin: Instant,
    /// Milliseconds after `origin` from which the file is to be looked at again.
    due: AtomicU64,
    serves_userdb: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The file as it was when the table was read.
    taken: Option<Signature>,
    /// Nothing can have changed unseen since.
    settled: bool,
    /// The file as last seen, and since when.
    seen: Option<(Signature, Instant)>,
    /// Why the file as it is now does not serve.
    complaint: Option<String>,
}

/// What tells one version of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Signature {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            changed: (file.mtime(), file.mtime_nsec()),
        }
    }
}

/// What became of reading the file.
enum Reading {
    /// All of it.
    Whole(Vec<u8>),
    /// It changed meanwhile.
    Torn,
}

impl Source {
    fn new(path: PathBuf, expected: bool, log: Log) -> Self {
        Self {
            path,
            expected,
            log,
            table: ArcSwapOption::empty(),
            state: Mutex::default(),
            origin: Instant::now(),
            due: AtomicU64::new(0),
            serves_userdb: AtomicBool::new(false),
        }
    }

    /// The table that serves now. `Err`: none was ever read, and why.
    pub(crate) fn table(&self) -> Result<Arc<Table>, String> {
        self.table.load_full().ok_or_else(|| {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let why = state.complaint.as_deref().unwrap_or("has not been read yet");
            format!("passwd-file {} {why}", self.path.display())
        })
    }

    /// Whether it is time to look at the file, and the asker is the one to do it by [`Source::refresh`].
    pub(crate) fn claim_look(&self) -> bool {
        let now = self.origin.elapsed().as_millis() as u64;
        let due = self.due.load(Ordering::Relaxed);
        let later = now + LOOK_EVERY.as_millis() as u64;
        now >= due && self.due.compare_exchange(due, later, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Looks at the file, and reads it if it has changed. Blocks: for the time of a look on a large file
    /// that has been read before, else until the file has been read.
    pub(crate) fn refresh(self: &Arc<Self>) {
        let has_table = self.table.load().is_some();
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            // Somebody else is reading: the old table serves; without one there is nothing but to wait.
            Err(TryLockError::WouldBlock) if has_table => return,
            Err(_) => self.state.lock().unwrap_or_else(PoisonError::into_inner),
        };
        match self.change(&mut state) {
            Some(size) if has_table && size > READ_AT_ONCE => self.read_beside(state),
            Some(_) => self.read(&mut state),
            None => {}
        }
    }

    /// Says that a userdb uses this file: then lines that the userdb must refuse do not log in either.
    pub(crate) fn serve_userdb(&self) {
        self.serves_userdb.store(true, Ordering::Relaxed);
    }

    /// Whether a userdb uses this file.
    pub(crate) fn serves_userdb(&self) -> bool {
        self.serves_userdb.load(Ordering::Relaxed)
    }

    /// The file's path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the file when it must be read: it has changed, or may have.
    fn change(&self, state: &mut State) -> Option<u64> {
        let signature = match std::fs::metadata(&self.path) {
            Ok(file) => Signature::of(&file),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
                self.complain(state, Level::Warning, "is missing".to_owned());
                return None;
            }
            Err(fault) => {
                self.complain(state, Level::Error, format!("cannot be read: {fault}"));
                return None;
            }
        };
        if state.seen.is_none_or(|(seen, _)| seen != signature) {
            state.seen = Some((signature, Instant::now()));
        }
        let same = state.taken == Some(signature) && state.complaint.is_none();
        (!same || (!state.settled && is_settled(state, &signature))).then_some(signature.size)
    }

    /// Reads the file on a thread of its own, so that no login waits for it.
    fn read_beside(self: &Arc<Self>, state: MutexGuard<'_, State>) {
        drop(state);
        let source = Arc::clone(self);
        let reader = std::thread::Builder::new().name("passwd-file".to_owned());
        let started = reader.spawn(move || {
            let mut state = source.state.lock().unwrap_or_else(PoisonError::into_inner);
            source.read(&mut state);
        });
        if let Err(fault) = started {
            let text = format!("passwd-file {}: no thread to read it: {fault}", self.path.display());
            (self.log)(Level::Error, &text);
        }
    }

    /// Reads the file and takes it if it may be trusted.
    fn read(&self, state: &mut State) {
        let (signature, bytes) = match self.read_bytes() {
            Ok((signature, Reading::Whole(bytes))) => (signature, bytes),
            Ok((_, Reading::Torn)) => return,
            Err(why) => return self.complain(state, Level::Error, why),
        };
        let settled = is_settled(state, &signature);
        let old = self.table.load_full();
        if old.as_ref().is_some_and(|old| old.bytes() == bytes) {
            self.took(state, signature, settled);
            return;
        }
        let (table, faults) = Table::build(bytes);
        if let Some(old) = old {
            if table.users() == 0 && old.users() > 0 {
                return self.complain(state, Level::Warning, "has no users any more".to_owned());
            }
            if !settled && (!table.ends_in_newline() || old.loses_users_to(&table)) {
                return;
            }
        }
        for (line, fault) in &faults.told {
            (self.log)(Level::Error, &format!("{}:{line}: {fault}", self.path.display()));
        }
        if faults.more > 0 {
            (self.log)(Level::Error, &format!("{}: {} more faults", self.path.display(), faults.more));
        }
        let users = table.users();
        self.table.store(Some(Arc::new(table)));
        self.took(state, signature, settled);
        (self.log)(Level::Debug, &format!("passwd-file {}: {users} users", self.path.display()));
    }

    /// The file's bytes, and what it was while they were read.
    fn read_bytes(&self) -> Result<(Signature, Reading), String> {
        let cannot = |fault: std::io::Error| format!("cannot be read: {fault}");
        let mut file = File::open(&self.path).map_err(cannot)?;
        let before = file.metadata().map_err(cannot)?;
        if !before.is_file() {
            return Err("is no regular file".to_owned());
        }
        if before.size() > LARGEST {
            return Err("is larger than 4 GiB".to_owned());
        }
        let mut bytes = Vec::with_capacity(before.size() as usize + 1);
        // One byte more than it should have tells growth; more is never held.
        file.by_ref().take(before.size() + 1).read_to_end(&mut bytes).map_err(cannot)?;
        let after = Signature::of(&file.metadata().map_err(cannot)?);
        let torn = after != Signature::of(&before) || bytes.len() as u64 != before.size();
        // Without a table any reading is better than none.
        if torn && self.table.load().is_some() {
            return Ok((after, Reading::Torn));
        }
        bytes.shrink_to_fit();
        Ok((Signature::of(&before), Reading::Whole(bytes)))
    }

    fn took(&self, state: &mut State, signature: Signature, settled: bool) {
        state.taken = Some(signature);
        state.settled = settled;
        if state.complaint.take().is_some() {
            (self.log)(Level::Info, &format!("passwd-file {} has been read again", self.path.display()));
        }
    }

    /// Notes why the file does not serve, and logs it once.
    fn complain(&self, state: &mut State, level: Level, why: String) {
        if state.complaint.as_ref() == Some(&why) {
            return;
        }
        let has_table = self.table.load().is_some();
        if has_table || self.expected {
            let stay = if has_table { "; the users it had before stay" } else { "" };
            (self.log)(level, &format!("passwd-file {} {why}{stay}", self.path.display()));
        }
        state.complaint = Some(why);
    }
}

#[cfg(test)]
impl Source {
    /// Makes the next look due.
    pub(crate) fn expire(&self) {
        self.due.store(0, Ordering::Relaxed);
    }
}

/// Whether this version of the file has been left alone long enough, by the file's own clock or by ours
/// (which also counts when the file's clock is in the future).
fn is_settled(state: &State, signature: &Signature) -> bool {
    let watched =
        state.seen.is_some_and(|(seen, since)| seen == *signature && since.elapsed() >= SETTLED_AFTER);
    let (seconds, nanoseconds) = signature.changed;
    let changed = Duration::new(seconds.max(0) as u64, nanoseconds.clamp(0, 999_999_999) as u32);
    let changed = SystemTime::UNIX_EPOCH.checked_add(changed);
    let age = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
    watched || age.is_some_and(|age| age >= SETTLED_AFTER)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    struct Setup {
        folder: tempfile::TempDir,
        source: Arc<Source>,
        said: Arc<Mutex<Vec<String>>>,
    }

    impl Setup {
        fn new(text: Option<&str>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("users");
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            let said = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&said);
            let log: Log =
                Arc::new(move |level, text| sink.lock().unwrap().push(format!("{level:?} {text}")));
            let source = Files::default().source(&path, true, &log);
            Self { folder, source, said }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("users")
        }

        fn look(&self) {
            self.source.refresh();
        }

        /// Makes the file two seconds older than it is for both clocks.
        fn settle(&self) {
            let file = File::options().append(true).open(self.path()).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(10)).unwrap();
        }

        fn has(&self, user: &str) -> bool {
            self.source.table().unwrap().find(user.as_bytes()).is_some()
        }

        fn said(&self) -> Vec<String> {
            let place = format!("{}/", self.folder.path().display());
            std::mem::take(&mut *self.said.lock().unwrap()).iter().map(|s| s.replace(&place, "")).collect()
        }
    }

    #[test]
    fn a_file_that_is_absent_at_start_is_taken_when_it_appears() {
        let setup = Setup::new(None);
        setup.look();
        let failed = setup.source.table().err().unwrap();
        assert!(failed.ends_with("/users is missing"), "{failed}");
        fs::write(setup.path(), "a:x\n").unwrap();
        setup.look();
        assert!(setup.has("a"));
        assert_eq!(
            setup.said(),
            [
                "Warning passwd-file users is missing",
                "Info passwd-file users has been read again",
                "Debug passwd-file users: 1 users"
            ]
        );
    }

    #[test]
    fn users_of_a_vanished_emptied_or_unreadable_file_stay() {
        let setup = Setup::new(Some("a:x\n"));
        setup.look();
        setup.said();
        fs::remove_file(setup.path()).unwrap();
        for _ in 0..3 {
            setup.look();
            assert!(setup.has("a"));
        }
        assert_eq!(setup.said(), ["Warning passwd-file users is missing; the users it had before stay"]);
        fs::write(setup.path(), "# nobody\n").unwrap();
        setup.settle();
        setup.look();
        setup.look();
        assert!(setup.has("a"));
        assert_eq!(
            setup.said(),
            ["Warning passwd-file users has no users any more; the users it had before stay"]
        );
        fs::remove_file(setup.path()).unwrap();
        fs::create_dir(setup.path()).unwrap();
        setup.look();
        assert!(setup.has("a"));
        fs::remove_dir(setup.path()).unwrap();
        fs::write(setup.path(), "a:x\nb:y\n").unwrap();
        setup.look();
        assert!(setup.has("a") && setup.has("b"));
    }

    #[test]
    fn a_change_that_loses_nobody_is_taken_at_once() {
        let setup = Setup::new(Some("a:x\n"));
        setup.look();
        File::options().append(true).open(setup.path()).unwrap().write_all(b"b:y\n").unwrap();
        setup.look();
        assert!(setup.has("b"));
    }

    #[test]
    fn a_file_that_loses_users_is_taken_when_it_is_left_alone() {
        let setup = Setup::new(Some("a:x\nb:y\n"));
        setup.look();
        fs::write(setup.path(), "a:x\n").unwrap();
        setup.look();
        assert!(setup.has("b"));
        setup.settle();
        setup.look();
        assert!(!setup.has("b") && setup.has("a"));
    }

    #[test]
    fn a_line_cut_short_is_not_taken_while_it_is_young() {
        let setup = Setup::new(Some("a:x\nb:yyyy\n"));
        setup.look();
        fs::write(setup.path(), "a:x\nb:y").unwrap();
        setup.look();
        let table = setup.source.table().unwrap();
        assert_eq!(
            table.find(b"b").unwrap().column(super::super::table::Column::Password),
            Some(&b"yyyy"[..])
        );
        drop(table);
        setup.settle();
        setup.look();
        let table = setup.source.table().unwrap();
        assert_eq!(table.find(b"b").unwrap().column(super::super::table::Column::Password), Some(&b"y"[..]));
    }

    #[test]
    fn a_change_in_the_same_tick_is_seen_later() {
        let setup = Setup::new(Some("a:x\n"));
        let stamp = SystemTime::now();
        let keep_stamp =
            || File::options().append(true).open(setup.path()).unwrap().set_modified(stamp).unwrap();
        keep_stamp();
        setup.look();
        fs::write(setup.path(), "b:x\n").unwrap();
        keep_stamp();
        setup.look();
        assert!(setup.has("a"));
        let mut state = setup.source.state.lock().unwrap();
        let earlier = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        state.seen.as_mut().unwrap().1 = earlier;
        drop(state);
        setup.look();
        assert!(setup.has("b") && !setup.has("a"));
        assert!(setup.source.state.lock().unwrap().settled);
    }

    #[test]
    fn a_large_file_is_read_beside_the_logins() {
        let many: String = (0..100_000).map(|n| format!("user{n}:{{PLAIN}}x\n")).collect();
        let setup = Setup::new(Some(&many));
        setup.look();
        assert!(setup.has("user99999"));
        fs::write(setup.path(), format!("{many}new:x\n")).unwrap();
        setup.look();
        let begun = Instant::now();
        while !setup.has("new") {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", setup.said());
            std::thread::yield_now();
        }
    }

    // A file of 100,000 lines is rewritten in place 100 times while its users log in.
    #[test]
    fn nobody_is_lost_while_a_file_is_rewritten_in_place() {
        let lines: Vec<String> =
            (0..100_000).map(|n| format!("user{n}:{{PLAIN}}password{n}::::::\n")).collect();
        let setup = Setup::new(Some(&lines.concat()));
        setup.look();
        let done = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (path, done) = (setup.path(), Arc::clone(&done));
            move || {
                for round in 0..100 {
                    // In pieces and with another first line each time, so that sizes and lines move.
                    let mut file = File::create(&path).unwrap();
                    file.write_all(format!("# round {round}\nfirst{round}:x\n").as_bytes()).unwrap();
                    for piece in lines.chunks(7_001) {
                        file.write_all(piece.concat().as_bytes()).unwrap();
                    }
                }
                done.store(true, Ordering::Relaxed);
            }
        });
        let mut looks = 0usize;
        while !done.load(Ordering::Relaxed) {
            setup.look();
            looks += 1;
            for user in ["user0", "user50000", "user99999"] {
                assert!(setup.has(user), "{user} lost at look {looks}");
            }
        }
        writer.join().unwrap();
        let begun = Instant::now();
        while !setup.has("first99") {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", setup.said());
            setup.look();
        }
        assert!(looks > 10);
    }

    #[test]
    fn one_asker_a_second_looks() {
        let setup = Setup::new(None);
        let claims = (0..100).filter(|_| setup.source.claim_look()).count();
        assert_eq!(claims, 1);
        setup.source.expire();
        assert!(setup.source.claim_look());
    }

    #[test]
    fn one_file_has_one_table() {
        let setup = Setup::new(Some("a:x\n"));
        let files = Files::default();
        let log: Log = Arc::new(|_, _| {});
        let one = files.source(&setup.path(), true, &log);
        assert!(Arc::ptr_eq(&one, &files.source(&setup.path(), true, &log)));
        drop(one);
        files.source(Path::new("/other"), true, &log);
        assert_eq!(files.open.lock().unwrap().len(), 1);
    }
}
