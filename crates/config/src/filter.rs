//! Which connections a block is for, and whether one block is inside another.

use std::net::IpAddr;

use crate::value::Net;

/// What is known of a connection when its settings are chosen.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionKey<'a> {
    /// The login protocol, such as `imap`.
    pub protocol: &'a str,
    /// The address that the client connected to.
    pub local: Option<IpAddr>,
    /// The client's address.
    pub remote: Option<IpAddr>,
    /// The name that the client asked for by TLS SNI.
    pub local_name: Option<&'a str>,
}

/// Which connections a block is for. Parts that are absent do not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// `protocol NAME` or `protocol !NAME`.
    pub(crate) protocol: Option<Protocol>,
    /// `local NET`.
    pub(crate) local: Option<Net>,
    /// `local_name NAME …`, in lower case; empty: none.
    pub(crate) local_names: Vec<String>,
    /// `remote NET`.
    pub(crate) remote: Option<Net>,
}

/// `protocol NAME` or `protocol !NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    /// The name.
    pub(crate) name: String,
    /// Whether it is any other protocol that is meant.
    pub(crate) negated: bool,
}

impl Protocol {
    fn matches(&self, name: &str) -> bool {
        (self.name == name) != self.negated
    }
}

impl Filter {
    /// Whether the block holds for the connection.
    pub(crate) fn matches(&self, key: &ConnectionKey<'_>) -> bool {
        self.protocol.as_ref().is_none_or(|protocol| protocol.matches(key.protocol))
            && self.local.is_none_or(|net| key.local.is_some_and(|address| net.contains(address)))
            && self.remote.is_none_or(|net| key.remote.is_some_and(|address| net.contains(address)))
            && (self.local_names.is_empty()
                || key
                    .local_name
                    .is_some_and(|name| self.local_names.iter().any(|ours| name_matches(ours, name))))
    }

    /// Whether it is free of addresses and names.
    pub(crate) fn only_protocol(&self) -> bool {
        self.local.is_none() && self.remote.is_none() && self.local_names.is_empty()
    }

    /// Whether no block is meant: the settings outside of all.
    pub(crate) fn is_global(&self) -> bool {
        self.protocol.is_none() && self.only_protocol()
    }

    pub(crate) fn follows_protocol_alone(&self, name: &str) -> bool {
        self.only_protocol() && self.protocol.as_ref().is_none_or(|protocol| protocol.matches(name))
    }

    /// Larger for a filter that is inside another. Of two that are not, the one that says more about
    /// the protocol, then the client, then the name asked for, then the address connected to.
    pub(crate) fn narrowness(&self) -> impl Ord + use<> {
        let bits = |net: Option<Net>| net.map_or(0, |net| 1 + usize::from(net.bits));
        let protocol = self.protocol.as_ref().map_or(0, |protocol| if protocol.negated { 1 } else { 2 });
        let name = match self.local_names.as_slice() {
            [] => 0,
            names if names.iter().any(|name| name.contains('*')) => 1,
            // Fewer names are narrower.
            names => 1 + 1000 / names.len(),
        };
        (protocol, bits(self.remote), name, bits(self.local))
    }

    /// Whether every connection of `other` is one of this.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        let protocol = match (&self.protocol, &other.protocol) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) if theirs.negated => ours == theirs,
            (Some(ours), Some(theirs)) => ours.matches(&theirs.name),
        };
        protocol
            && inside(self.local, other.local)
            && inside(self.remote, other.remote)
            && (self.local_names.is_empty()
                || (!other.local_names.is_empty()
                    && other.local_names.iter().all(|theirs| {
                        self.local_names.iter().any(|ours| ours == theirs || name_matches(ours, theirs))
                    })))
    }

    /// Whether one connection can be of both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let either = |a: Option<Net>, b: Option<Net>| match (a, b) {
            (Some(a), Some(b)) => a.includes(&b) || b.includes(&a),
            _ => true,
        };
        let protocols = match (&self.protocol, &other.protocol) {
            (Some(a), Some(b)) if a.negated && b.negated => true,
            (Some(a), Some(b)) if a.negated => a.matches(&b.name),
            (Some(a), Some(b)) => b.matches(&a.name),
            _ => true,
        };
        let names = self.local_names.is_empty()
            || other.local_names.is_empty()
            || self.local_names.iter().any(|a| {
                other.local_names.iter().any(|b| a == b || name_matches(a, b) || name_matches(b, a))
            });
        protocols && names && either(self.local, other.local) && either(self.remote, other.remote)
    }
}

fn inside(outer: Option<Net>, inner: Option<Net>) -> bool {
    match (outer, inner) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => outer.includes(&inner),
    }
}

/// Whether `name` is the one that `pattern`, in lower case, names; `*.rest` stands for one label more.
fn name_matches(pattern: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    match pattern.strip_prefix("*.") {
        Some(rest) => name
            .split_once('.')
            .is_some_and(|(label, parent)| !label.is_empty() && parent.eq_ignore_ascii_case(rest)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}
