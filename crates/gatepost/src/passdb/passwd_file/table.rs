//! The contents of a passwd-file as bytes and a table of where each user's line begins.
//! Lines are taken apart when they are looked up. Knows no file and no request.

use std::hash::{BuildHasher, RandomState};

use memchr::{memchr, memchr_iter};

/// Faults told of one load; the rest is only counted.
const FAULTS_TOLD: usize = 10;

/// Longest line that is taken apart.
const LONGEST_LINE: usize = 64 * 1024;

/// A passwd-file in memory: its bytes and eight bytes of index per slot.
pub(crate) struct Table {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    /// Keyed, so that whoever chooses user names cannot choose collisions.
    hasher: RandomState,
    users: usize,
}

/// Where a line begins, and some bits of its name's hash to spare most comparisons.
#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    start: u32,
}

const FREE: Slot = Slot { tag: 0, start: u32::MAX };

/// What is wrong with lines of a file, for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Line number from 1, and the fault; the first few.
    pub(crate) told: Vec<(usize, String)>,
    /// How many more there were.
    pub(crate) more: usize,
}

impl Faults {
    fn add(&mut self, line: usize, what: impl FnOnce() -> String) {
        if self.told.len() < FAULTS_TOLD {
            self.told.push((line, what()));
        } else {
            self.more += 1;
        }
    }
}

/// Largest file that can be indexed, in bytes.
pub(crate) const LARGEST: u64 = u32::MAX as u64 - 1;

impl Table {
    /// Indexes `bytes`, at most [`LARGEST`] of them. Of two lines with one name the first counts.
    pub(crate) fn build(bytes: Vec<u8>) -> (Self, Faults) {
        let mut faults = Faults::default();
        let lines = memchr_iter(b'\n', &bytes).count() + 1;
        let slots = vec![FREE; (lines + lines / 4 + 1).next_power_of_two()];
        let mut table = Self { bytes: Vec::new(), slots, hasher: RandomState::new(), users: 0 };
        let has_nul = memchr(0, &bytes).is_some();
        let mut start = 0;
        for (index, end) in memchr_iter(b'\n', &bytes).chain([bytes.len()]).enumerate() {
            let line = Line::at(&bytes, start, end);
            let begin = std::mem::replace(&mut start, end + 1);
            if line.bytes.is_empty() || line.bytes[0] == b'#' {
                continue;
            }
            if line.name().is_empty() {
                faults.add(index + 1, || "the line has no user name".to_owned());
                continue;
            }
            let suspect = has_nul || line.bytes.len() > LONGEST_LINE;
            if suspect && let Err(fault) = line.check() {
                faults.add(index + 1, || fault.to_owned());
            }
            if !table.insert(&bytes, line.name(), begin) {
                faults.add(index + 1, || {
                    format!("user {:?} exists more than once", String::from_utf8_lossy(line.name()))
                });
            }
        }
        table.bytes = bytes;
        (table, faults)
    }

    /// The line of the user of this name, compared byte for byte.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Line<'_>> {
        let slot = self.slots[self.slot_of(&self.bytes, name, self.hasher.hash_one(name))];
        (slot.start != FREE.start).then(|| Line::from(&self.bytes, slot.start))
    }

    /// How many users there are.
    pub(crate) fn users(&self) -> usize {
        self.users
    }

    /// The bytes this table was made from.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether `newer` lacks a user that is here.
    pub(crate) fn loses_users_to(&self, newer: &Self) -> bool {
        let used = self.slots.iter().filter(|slot| slot.start != FREE.start);
        used.map(|slot| Line::from(&self.bytes, slot.start)).any(|line| newer.find(line.name()).is_none())
    }

    /// The number of a line of this table, from 1. Counts through the file.
    pub(crate) fn number(&self, line: Line<'_>) -> usize {
        memchr_iter(b'\n', &self.bytes[..line.start]).count() + 1
    }

    /// Whether the file ends where a line ends.
    pub(crate) fn ends_in_newline(&self) -> bool {
        self.bytes.last().is_none_or(|last| *last == b'\n')
    }

    fn insert(&mut self, bytes: &[u8], name: &[u8], start: usize) -> bool {
        let hash = self.hasher.hash_one(name);
        let at = self.slot_of(bytes, name, hash);
        if self.slots[at].start != FREE.start {
            return false;
        }
        self.slots[at] = Slot { tag: tag(hash), start: start as u32 };
        self.users += 1;
        true
    }

    /// The slot that holds this name, or the free one where it would go. There is always a free one.
    fn slot_of(&self, bytes: &[u8], name: &[u8], hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            let ours = slot.tag == tag(hash)
                && slot.start != FREE.start
                && Line::from(bytes, slot.start).name() == name;
            if ours || slot.start == FREE.start {
                return at;
            }
            at = (at + 1) & mask;
        }
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// One user's line: `user:password:uid:gid:gecos:home:shell:extra fields`.
#[derive(Clone, Copy)]
pub(crate) struct Line<'t> {
    bytes: &'t [u8],
    start: usize,
}

/// A column of a line. Those behind it may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// The password with its `{SCHEME}`.
    Password = 1,
    /// Numeric user id, or a name.
    Uid = 2,
    /// Numeric group id, or a name.
    Gid = 3,
    /// Home directory.
    Home = 5,
    /// Everything behind the seventh colon.
    Extra = 7,
}

impl<'t> Line<'t> {
    fn at(bytes: &'t [u8], start: usize, end: usize) -> Self {
        let line = &bytes[start.min(end)..end];
        Self { bytes: line.strip_suffix(b"\r").unwrap_or(line), start }
    }

    fn from(bytes: &'t [u8], start: u32) -> Self {
        let start = start as usize;
        Self::at(bytes, start, memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |length| start + length))
    }

    /// The user's name.
    pub(crate) fn name(self) -> &'t [u8] {
        &self.bytes[..memchr(b':', self.bytes).unwrap_or(self.bytes.len())]
    }

    /// A column's bytes; `None` when the line ends before it.
    pub(crate) fn column(self, column: Column) -> Option<&'t [u8]> {
        self.bytes.splitn(8, |byte| *byte == b':').nth(column as usize)
    }

    /// The extra fields as name and value, in order. Blanks separate them, TABs are part of a value.
    pub(crate) fn fields(self) -> impl Iterator<Item = (&'t [u8], &'t [u8])> {
        let words = self.column(Column::Extra).unwrap_or_default().split(|byte| *byte == b' ');
        words.filter(|word| !word.is_empty()).map(|word| match memchr(b'=', word) {
            Some(at) => (&word[..at], &word[at + 1..]),
            None => (word, &[][..]),
        })
    }

    /// Refuses what no line should hold.
    pub(crate) fn check(self) -> Result<(), &'static str> {
        if self.bytes.len() > LONGEST_LINE {
            Err("the line is longer than 64 KiB")
        } else if memchr(0, self.bytes).is_some() {
            Err("the line has a NUL byte")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (Table, Faults) {
        Table::build(text.as_bytes().to_vec())
    }

    fn password(table: &Table, name: &str) -> Option<String> {
        let column = table.find(name.as_bytes())?.column(Column::Password).unwrap_or(b"(none)");
        Some(String::from_utf8_lossy(column).into_owned())
    }

    // passwd-file: comments and empty lines are skipped, blanks belong to names, missing columns are fine.
    #[test]
    fn lines_are_found_by_their_exact_name() {
        let (table, faults) = table("# note\n\na:pw\r\n b:x\nuser :y\nalone\n #c:z\nlast:1:2:3:4:/h");
        assert_eq!(faults, Faults::default());
        assert_eq!(table.users(), 6);
        assert_eq!(password(&table, "a").as_deref(), Some("pw"));
        assert_eq!(password(&table, " b").as_deref(), Some("x"));
        assert_eq!(password(&table, "user ").as_deref(), Some("y"));
        assert_eq!(password(&table, "alone").as_deref(), Some("(none)"));
        assert_eq!(password(&table, " #c").as_deref(), Some("z"));
        assert_eq!(table.find(b"last").unwrap().column(Column::Home), Some(&b"/h"[..]));
        for absent in ["b", "user", "A", "", "# note", "a:pw", "alon", "alone\n", "#c", "a:"] {
            assert!(table.find(absent.as_bytes()).is_none(), "{absent:?}");
        }
    }

    #[test]
    fn the_first_of_two_lines_counts_and_the_second_is_told() {
        let (table, faults) = table("u1:a\nu2:b\nu1:c\n");
        assert_eq!(password(&table, "u1").as_deref(), Some("a"));
        assert_eq!(faults.told, [(3, "user \"u1\" exists more than once".to_owned())]);
    }

    // passwd-file: runs of blanks count once, colons and TABs are ordinary in extra fields.
    #[test]
    fn extra_fields_are_words_behind_the_seventh_colon() {
        let (table, _) = table("u:p:1:2:g:/h:sh:host=2001:db8::1  flag  x=a\tb =y z=\n");
        let fields: Vec<_> = table.find(b"u").unwrap().fields().collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"host", b"2001:db8::1"), (b"flag", b""), (b"x", b"a\tb"), (b"", b"y"), (b"z", b"")];
        assert_eq!(fields, expected);
    }

    #[test]
    fn broken_lines_are_told_with_their_number_and_not_without_end() {
        let (_, faults) = table(":pw\nok:x\nbad\0:x\n");
        assert_eq!(
            faults.told,
            [(1, "the line has no user name".to_owned()), (3, "the line has a NUL byte".to_owned())]
        );
        let (_, faults) = table(&":\n".repeat(25));
        assert_eq!((faults.told.len(), faults.more), (FAULTS_TOLD, 15));
    }

    #[test]
    fn a_line_knows_its_number() {
        let (table, _) = table("a\n\n#\nb\n");
        assert_eq!(table.number(table.find(b"b").unwrap()), 4);
    }

    #[test]
    fn lost_users_are_noticed() {
        let (old, _) = table("a:1\nb:2\n");
        assert!(old.loses_users_to(&table("a:1\n").0));
        assert!(!old.loses_users_to(&table("b:9\nc:1\na:1\n").0));
    }

    #[test]
    fn every_user_of_any_file_is_found_as_a_plain_search_finds_them() {
        let mut random = 7u64;
        for _ in 0..2_000 {
            let text: Vec<u8> = (0..random % 60)
                .map(|_| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    b"ab:#\n\r \0=\xff"[(random >> 33) as usize % 10]
                })
                .collect();
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (table, _) = Table::build(text.clone());
            let mut seen: Vec<&[u8]> = Vec::new();
            for line in text.split(|b| *b == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let name = line.split(|b| *b == b':').next().unwrap();
                if line.starts_with(b"#") || name.is_empty() {
                    continue;
                }
                let found = table.find(name).unwrap_or_else(|| panic!("{name:?} in {text:?}"));
                if !seen.contains(&name) {
                    seen.push(name);
                    assert_eq!(found.bytes, line, "{text:?}");
                }
                let _ = (found.fields().count(), found.check(), table.number(found));
            }
            assert_eq!(table.users(), seen.len());
        }
    }

    #[test]
    fn a_million_lines_are_indexed() {
        let mut text = String::new();
        for n in 0..1_000_000 {
            text.push_str(&format!("user{n}@example.com:{{SSHA256}}0123456789012345678901234567890123\n"));
        }
        let bytes = text.into_bytes();
        let size = bytes.len();
        let begun = std::time::Instant::now();
        let (table, faults) = Table::build(bytes);
        println!(
            "{} users, {} MiB of file, {} MiB of table, indexed in {:?}",
            table.users(),
            size >> 20,
            (table.slots.len() * size_of::<Slot>()) >> 20,
            begun.elapsed()
        );
        assert_eq!((table.users(), faults), (1_000_000, Faults::default()));
        assert!(table.slots.len() * size_of::<Slot>() <= 17 << 20);
        assert!(table.find(b"user999999@example.com").is_some());
    }
}
