//! `protocol`, `local`, `local_name` and `remote` blocks: whom each is for, and how they nest.

use super::{Block, Reader};
use crate::filter::{Filter, Protocol};
use crate::nearest::nearest;
use crate::problem::Problem;
use crate::syntax::Section;
use crate::value::{Invalid, Net};

/// The order in which filters stand inside each other, outermost first.
pub(super) const FILTERS: &[&str] = &["local", "local_name", "remote", "protocol"];

impl Reader {
    /// A filter block, inside the filter blocks `path`.
    pub(super) fn filter(&mut self, section: &Section, path: &[usize]) {
        let outer = self.innermost(path);
        let mut filter = outer.filter.clone();
        let mut titles = outer.titles.clone();
        let depth = |kind: &str| FILTERS.iter().position(|filter| *filter == kind);
        if let Some((kind, _)) = titles.iter().find(|(kind, _)| depth(kind) > depth(&section.kind)) {
            let text = format!("{}: not allowed inside {kind}", section.kind);
            let hint = format!("put the {kind} block inside the {} block", section.kind);
            return self.error(&section.place, text, Some(hint));
        }
        match narrow(&mut filter, section) {
            Ok(()) => {}
            Err(invalid) => return self.invalid(&section.place, &section.kind, invalid),
        }
        self.protocol_name(section);
        titles.push((section.kind.clone(), section.name.clone()));
        let index = self.blocks.iter().position(|block| block.filter == filter).unwrap_or_else(|| {
            self.blocks.push(Block { filter, titles, ..Block::default() });
            self.blocks.len() - 1
        });
        let inner: Vec<usize> = path.iter().copied().chain([index]).collect();
        self.nodes(&section.nodes, &inner);
    }

    /// Any name may be meant, as clients of the auth socket bring their own; but not a misspelt one.
    fn protocol_name(&mut self, section: &Section) {
        const NAMES: &[&str] = &[
            "doveadm",
            "imap",
            "lda",
            "lmtp",
            "pop3",
            "sieve",
            "smtp",
            "submission",
            "xmpp",
            "ldap",
            "smtps",
        ];
        let name = section.name.trim_start_matches('!');
        if section.kind == "protocol"
            && !NAMES.contains(&name)
            && let Some(hint) = nearest(name, NAMES.iter().copied())
        {
            let text = format!("protocol {name}: there is no such protocol");
            self.problems.push(Problem::warning(&section.place, text).hint(hint));
        }
    }
}

/// Narrows a filter by one more block.
fn narrow(filter: &mut Filter, section: &Section) -> Result<(), Invalid> {
    // A filter without a name would be none at all, and what it holds would hold for everybody.
    if section.name.trim_start_matches('!').trim().is_empty() {
        return Err(Invalid::new("which one?").hint(format!("write {} NAME {{", section.kind)));
    }
    let twice = |kind: &str| Err(Invalid::new(format!("not allowed inside another {kind} block")));
    match section.kind.as_str() {
        "protocol" if filter.protocol.is_some() => return twice("protocol"),
        "protocol" => {
            let (name, negated) = match section.name.strip_prefix('!') {
                Some(name) => (name, true),
                None => (section.name.as_str(), false),
            };
            filter.protocol = Some(Protocol { name: name.to_owned(), negated });
        }
        "local" => filter.local = Some(narrower(filter.local, &section.name)?),
        "remote" => filter.remote = Some(narrower(filter.remote, &section.name)?),
        _ if !filter.local_names.is_empty() => return twice("local_name"),
        _ => filter.local_names = section.name.split_whitespace().map(str::to_ascii_lowercase).collect(),
    }
    Ok(())
}

fn narrower(outer: Option<Net>, name: &str) -> Result<Net, Invalid> {
    let net = Net::parse(name)?;
    match outer {
        Some(outer) if !outer.includes(&net) => {
            Err(Invalid::new(format!("{net} is not inside {outer}, the block around it")))
        }
        _ => Ok(net),
    }
}
