//! Lists of networks: the fields `allow_nets` and `allow_real_nets`.
//! Knows nothing of which address of a login is the right one to check.

use std::fmt;
use std::net::IpAddr;

use config::value::Net;

/// Why an address may not log in. Displays as the end of the log line
/// `allow_nets check failed: …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No network of the list holds the address.
    NotListed(IpAddr),
    /// The request came without an address, and the list has no `local`.
    Unknown,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed(address) => write!(f, "IP {address} not in allowed networks"),
            Self::Unknown => f.write_str("Remote IP not known and 'local' missing"),
        }
    }
}

impl std::error::Error for Denied {}

/// Whether a list lets an address in: addresses and `network/bits`, separated by commas or blanks, and
/// `local` for requests without an address. An empty list lets nobody in. An entry that cannot be read
/// lets nobody in either and is handed to `unreadable`, for the log line `allow_nets: Invalid network 'x'`;
/// of very many such entries only the first ten are.
pub fn allowed(list: &str, address: Option<IpAddr>, unreadable: &mut dyn FnMut(&str)) -> Result<(), Denied> {
    let mut reports = 10_u8;
    for entry in list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
        if entry == "local" {
            if address.is_none() {
                return Ok(());
            }
            continue;
        }
        match (Net::parse(entry), address) {
            (Ok(net), Some(address)) if net.contains(address) => return Ok(()),
            (Ok(_), _) => {}
            (Err(_), _) => {
                if let Some(left) = reports.checked_sub(1) {
                    reports = left;
                    unreadable(entry);
                }
            }
        }
    }
    Err(address.map_or(Denied::Unknown, |address| Denied::NotListed(address.to_canonical())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, address: &str) -> (bool, Vec<String>) {
        let mut unreadable = Vec::new();
        let address = (!address.is_empty()).then(|| address.parse().unwrap());
        let result = allowed(list, address, &mut |entry| unreadable.push(entry.to_owned()));
        (result.is_ok(), unreadable)
    }

    fn lets_in(list: &str, address: &str) -> bool {
        check(list, address).0
    }

    #[test]
    fn addresses_and_networks_are_separated_by_commas_or_blanks() {
        for list in
            ["127.0.0.0/8,10.1.2.3", "10.1.2.3 192.0.2.0/24", ", 10.1.2.3 ,", "10.1.2.200/24", "0.0.0.0/0"]
        {
            assert!(lets_in(list, "10.1.2.3"), "{list}");
        }
        for list in ["10.1.2.4", "10.1.3.0/24", "10.1.2.4/31,local", "10.1.2.3;"] {
            assert!(!lets_in(list, "10.1.2.3"), "{list}");
        }
        assert!(lets_in("10.1.2.2/31", "10.1.2.3"));
    }

    #[test]
    fn an_empty_list_lets_nobody_in() {
        for list in ["", " ", ",", ", ,"] {
            assert!(!lets_in(list, "127.0.0.1"));
            assert!(!lets_in(list, ""));
        }
    }

    #[test]
    fn local_means_a_request_without_address() {
        assert!(lets_in("10.0.0.0/8,local", ""));
        assert!(!lets_in("local", "127.0.0.1"));
        assert!(!lets_in("0.0.0.0/0,::/0", ""));
        assert!(!lets_in("LOCAL", ""));
    }

    #[test]
    fn an_unreadable_entry_is_skipped_and_reported() {
        for entry in [
            "x",
            "127.0.0.1/33",
            "::1/129",
            "127.0.0.1/",
            "127.0.0.1/+8",
            "127.0.0.1/-1",
            "/8",
            "127.1",
            "[::1",
            "::1]",
            "fe80::1%eth0",
            "127.0.0.1/8/8",
            "127.0.0.1/256",
            "127.0.0.0/255.0.0.0",
            "local/1",
        ] {
            assert_eq!(check(entry, "127.0.0.1"), (false, vec![entry.to_owned()]));
            assert_eq!(check(&format!("{entry},127.0.0.1"), "127.0.0.1"), (true, vec![entry.to_owned()]));
        }
    }

    #[test]
    fn a_hostile_list_does_not_flood_the_log() {
        let (allowed, unreadable) = check(&"junk,".repeat(100_000), "127.0.0.1");
        assert!(!allowed);
        assert_eq!(unreadable.len(), 10);
    }

    #[test]
    fn v4_in_v6_form_counts_as_v4() {
        assert!(lets_in("127.0.0.0/8", "::ffff:127.0.0.1"));
        assert!(lets_in("::ffff:127.0.0.0/104", "127.0.0.1"));
        assert!(lets_in("::ffff:127.0.0.1", "::ffff:127.0.0.1"));
        assert!(!lets_in("::1", "::ffff:127.0.0.1"));
        assert!(!lets_in("::/0", "::ffff:127.0.0.1"));
        assert!(!lets_in("::/0", "127.0.0.1"));
        assert!(!lets_in("0.0.0.0/0", "::1"));
    }

    #[test]
    fn v6_networks() {
        assert!(lets_in("2001:db8::/32", "2001:db8:1::1"));
        assert!(lets_in("[2001:db8::1]", "2001:db8::1"));
        assert!(lets_in("[2001:db8::]/32", "2001:db8::1"));
        assert!(!lets_in("2001:db8::/32", "2001:db9::1"));
        assert!(lets_in("::/0", "2001:db8::1"));
        assert!(!lets_in("::1", "::2"));
    }

    #[test]
    fn refusals_read_as_in_the_log() {
        let denied = |list: &str, address: Option<&str>| {
            allowed(list, address.map(|address| address.parse().unwrap()), &mut |_| {})
                .unwrap_err()
                .to_string()
        };
        assert_eq!(denied("10.0.0.0/8", Some("::ffff:127.0.0.1")), "IP 127.0.0.1 not in allowed networks");
        assert_eq!(denied("10.0.0.0/8", None), "Remote IP not known and 'local' missing");
    }
}
