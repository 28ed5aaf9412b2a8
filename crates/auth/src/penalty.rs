//! The growing delay of a remote address whose logins fail. Knows neither clock nor chance: the time is an
//! argument (any clock that does not jump), the key of its digests is given once.
//!
//! A v4 address stands for itself, a v6 address for its /64. A request without an address has no delay,
//! and does not count: counting them together would let one client delay all the others of a mail server
//! that does not say whom it asks for. A penalty lapses 15 seconds after the failure that raised it, which
//! is as long as the longest delay: who waits that long by himself need not be made to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Failures by address. Holds 100000 addresses, the oldest goes first.
#[derive(Debug)]
pub struct Penalties {
    /// Keyed for every fingerprint.
    mac: Hmac<Sha256>,
    entries: BTreeMap<IpAddr, Entry>,
    /// The addresses in the order last raised.
    order: BTreeMap<u64, IpAddr>,
    raises: u64,
    capacity: usize,
}

/// A user and password without the user and the password: 64 bits of a keyed digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Penalties {
    /// An empty table. The key is random bytes of the process's own: without it nobody can try passwords
    /// on a fingerprint.
    pub fn new(key: &[u8; 32]) -> Self {
        Self::with_capacity(key, CAPACITY)
    }

    /// How long a login from this address waits before it is looked up: 0, 4, 8, then 15 seconds.
    pub fn wait(&self, address: Option<IpAddr>, now: Duration) -> Duration {
        let failures = address
            .and_then(|address| self.entries.get(&source(address)))
            .filter(|entry| entry.counts_at(now))
            .map_or(0, |entry| entry.failures);
        Duration::from_secs(match failures {
            0 => 0,
            1 => 4,
            2 => 8,
            _ => 15,
        })
    }

    /// What to remember of a failed login. A mechanism without a password gives an empty one.
    pub fn fingerprint(&self, user: &str, password: &[u8]) -> Fingerprint {
        let mut mac = self.mac.clone();
        mac.update(&u64::try_from(user.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(user.as_bytes());
        mac.update(password);
        let digest = mac.finalize().into_bytes();
        Fingerprint(digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }

    /// A login from this address failed at `now`. `asked` is when [`Penalties::wait`] was asked for it: its
    /// own waiting does not make the penalty lapse. The same user and password again raise nothing, so that
    /// a telephone with an old password does not delay its whole office.
    pub fn failed(
        &mut self,
        address: Option<IpAddr>,
        fingerprint: Fingerprint,
        asked: Duration,
        now: Duration,
    ) {
        let Some(source) = address.map(source) else { return };
        let mut entry = match self.entries.remove(&source) {
            Some(entry) if entry.counts_at(asked) && entry.seen.contains(&fingerprint) => {
                self.entries.insert(source, entry);
                return;
            }
            Some(entry) => {
                self.order.remove(&entry.raise);
                if entry.counts_at(asked) { entry } else { Entry::default() }
            }
            None => Entry::default(),
        };
        entry.failures = entry.failures.saturating_add(1);
        entry.raised = now;
        entry.raise = self.raises;
        self.raises += 1;
        if entry.seen.len() >= REMEMBERED {
            entry.seen.remove(0);
        }
        entry.seen.push(fingerprint);
        self.order.insert(entry.raise, source);
        self.entries.insert(source, entry);
        self.forget(now);
    }

    /// A login from this address succeeded: it starts afresh.
    pub fn succeeded(&mut self, address: Option<IpAddr>) {
        if let Some(entry) = address.and_then(|address| self.entries.remove(&source(address))) {
            self.order.remove(&entry.raise);
        }
    }

    /// Number of addresses remembered, for metrics.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no address is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn with_capacity(key: &[u8; 32], capacity: usize) -> Self {
        // HMAC pads a key to its block with zeros.
        let mut block = [0; 64];
        for (padded, byte) in block.iter_mut().zip(key) {
            *padded = *byte;
        }
        Self {
            mac: Hmac::new(&block.into()),
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            raises: 0,
            capacity,
        }
    }

    /// Drops what no login can still be waiting for, and the oldest above the capacity.
    fn forget(&mut self, now: Duration) {
        while let Some(first) = self.order.first_entry() {
            let raised = self.entries.get(first.get()).map_or(Duration::ZERO, |entry| entry.raised);
            if self.entries.len() <= self.capacity && now.saturating_sub(raised) < KEPT {
                return;
            }
            self.entries.remove(&first.remove());
        }
    }
}

/// Addresses remembered: some 20 MB at worst.
const CAPACITY: usize = 100_000;
/// Fingerprints remembered per address.
const REMEMBERED: usize = 10;
/// How long a penalty counts.
const LAPSE: Duration = Duration::from_secs(15);
/// How long an address is remembered: a login asked just before the lapse waits 15 seconds and may then be
/// looked up for as long as a slow database takes.
const KEPT: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
struct Entry {
    failures: u8,
    /// When the last failure was that counted.
    raised: Duration,
    /// Its number in the order of all.
    raise: u64,
    seen: Vec<Fingerprint>,
}

impl Entry {
    fn counts_at(&self, now: Duration) -> bool {
        now.saturating_sub(self.raised) < LAPSE
    }
}

/// What an address is counted as: a v6 client has a whole /64 at hand.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table and the seconds its clock shows.
    struct Table(Penalties, u64);

    impl Table {
        fn new() -> Self {
            Self(Penalties::new(&[7; 32]), 1000)
        }

        fn wait(&self, address: &str) -> u64 {
            self.0.wait(at(address), Duration::from_secs(self.1)).as_secs()
        }

        /// Fails as a client would: asks, waits, fails. Returns what it waited.
        fn fail(&mut self, address: &str, password: &str) -> u64 {
            let asked = self.1;
            let wait = self.wait(address);
            self.1 += wait;
            let print = self.0.fingerprint("bob", password.as_bytes());
            self.0.failed(at(address), print, Duration::from_secs(asked), Duration::from_secs(self.1));
            wait
        }
    }

    fn at(address: &str) -> Option<IpAddr> {
        (!address.is_empty()).then(|| address.parse().unwrap())
    }

    // As measured with the original: no delay after no failure, then 4, 8, 15, 15, …
    #[test]
    fn the_delay_grows_to_fifteen_seconds() {
        let mut table = Table::new();
        let waits: Vec<_> =
            ["a", "b", "c", "d", "e", "f"].map(|password| table.fail("192.0.2.1", password)).into();
        assert_eq!(waits, [0, 4, 8, 15, 15, 15]);
        for _ in 0..300 {
            let password = table.1.to_string();
            table.fail("192.0.2.1", &password);
        }
        assert_eq!(table.wait("192.0.2.1"), 15);
        assert_eq!(table.wait("192.0.2.2"), 0);
    }

    #[test]
    fn the_same_user_and_password_do_not_raise_it() {
        let mut table = Table::new();
        assert_eq!(table.fail("192.0.2.1", "old"), 0);
        assert_eq!(table.fail("192.0.2.1", "old"), 4);
        assert_eq!(table.fail("192.0.2.1", "old"), 4);
        assert_eq!(table.fail("192.0.2.1", "new"), 4);
        assert_eq!(table.fail("192.0.2.1", "old"), 8);
        assert_eq!(table.wait("192.0.2.1"), 8);
    }

    // As measured: 'a', 'a' eight seconds later, and twenty seconds after the first there is no delay.
    #[test]
    fn a_repetition_does_not_prolong_it() {
        let mut table = Table::new();
        table.fail("192.0.2.1", "a");
        table.1 += 8;
        table.fail("192.0.2.1", "a");
        table.1 += 8;
        assert_eq!(table.wait("192.0.2.1"), 0);
    }

    // As measured: twelve seconds after a failure the whole delay, after fifteen none; and then counting
    // starts again from one.
    #[test]
    fn it_lapses_after_fifteen_seconds() {
        let mut table = Table::new();
        table.fail("192.0.2.1", "a");
        table.fail("192.0.2.1", "b");
        table.1 += 12;
        assert_eq!(table.wait("192.0.2.1"), 8);
        table.1 += 3;
        assert_eq!(table.wait("192.0.2.1"), 0);
        table.1 += 5;
        assert_eq!(table.fail("192.0.2.1", "b"), 0);
        assert_eq!(table.wait("192.0.2.1"), 4);
    }

    #[test]
    fn a_success_resets_it() {
        let mut table = Table::new();
        table.fail("192.0.2.1", "a");
        table.fail("192.0.2.1", "b");
        table.0.succeeded(at("192.0.2.1"));
        assert_eq!(table.wait("192.0.2.1"), 0);
        assert!(table.0.is_empty() && table.0.order.is_empty());
        assert_eq!(table.fail("192.0.2.1", "a"), 0);
        assert_eq!(table.wait("192.0.2.1"), 4);
    }

    #[test]
    fn logins_tried_at_once_all_count() {
        let mut table = Table::new();
        let now = Duration::from_secs(table.1);
        for password in ["a", "b", "c"] {
            let print = table.0.fingerprint("bob", password.as_bytes());
            table.0.failed(at("192.0.2.1"), print, now, now);
        }
        assert_eq!(table.wait("192.0.2.1"), 15);
    }

    #[test]
    fn a_v6_network_counts_as_one_and_v4_in_v6_form_as_v4() {
        let mut table = Table::new();
        table.fail("2001:db8:1:1::1", "a");
        assert_eq!(table.wait("2001:db8:1:1:ffff::9"), 4);
        assert_eq!(table.wait("2001:db8:1:2::1"), 0);
        table.fail("::ffff:192.0.2.1", "a");
        assert_eq!(table.wait("192.0.2.1"), 4);
        assert_eq!(table.wait("::ffff:192.0.2.2"), 0);
    }

    #[test]
    fn without_an_address_there_is_no_delay() {
        let mut table = Table::new();
        table.fail("", "a");
        table.fail("", "b");
        assert_eq!(table.wait(""), 0);
        assert!(table.0.is_empty());
        table.0.succeeded(None);
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_goes_first() {
        let mut table = Table(Penalties::with_capacity(&[7; 32], 3), 1000);
        table.fail("192.0.2.1", "a");
        table.fail("192.0.2.2", "a");
        table.fail("192.0.2.3", "a");
        table.fail("192.0.2.1", "b");
        table.fail("192.0.2.4", "a");
        assert_eq!(table.0.len(), 3);
        assert_eq!(table.0.order.len(), 3);
        assert_eq!(["1", "2", "3", "4"].map(|last| table.wait(&format!("192.0.2.{last}"))), [8, 0, 4, 4]);
    }

    #[test]
    fn old_entries_are_forgotten() {
        let mut table = Table::new();
        for last in 0..100 {
            table.fail(&format!("192.0.2.{last}"), "a");
        }
        table.1 += 120;
        table.fail("192.0.2.200", "a");
        assert_eq!((table.0.len(), table.0.order.len()), (1, 1));
    }

    #[test]
    fn few_fingerprints_are_kept_per_address() {
        let mut table = Table::new();
        for password in 0..50 {
            table.fail("192.0.2.1", &password.to_string());
        }
        assert_eq!(table.0.entries.values().map(|entry| entry.seen.len()).sum::<usize>(), 10);
    }

    #[test]
    fn fingerprints_tell_apart_and_depend_on_the_key() {
        let (table, other) = (Penalties::new(&[1; 32]), Penalties::new(&[2; 32]));
        assert_eq!(table.fingerprint("bob", b"pw"), table.fingerprint("bob", b"pw"));
        assert_ne!(table.fingerprint("bob", b"pw"), table.fingerprint("bobp", b"w"));
        assert_ne!(table.fingerprint("bob", b"pw"), other.fingerprint("bob", b"pw"));
    }

    #[test]
    fn a_clock_that_steps_back_does_no_harm() {
        let mut table = Table::new();
        table.fail("192.0.2.1", "a");
        table.1 -= 500;
        assert_eq!(table.wait("192.0.2.1"), 4);
        table.fail("192.0.2.1", "b");
        assert_eq!(table.wait("192.0.2.1"), 8);
    }
}
