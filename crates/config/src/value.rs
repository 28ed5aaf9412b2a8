//! The kinds of values: how each is read and how it is shown again. Knows no setting's name.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A value as an administrator gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The text itself, unquoted and with `$variables` replaced.
    Text(String),
    /// `<FILE`: what the file holds, read when it is used.
    File {
        /// The name as written, for showing it again.
        written: String,
        /// The same, relative names being relative to the file that names it.
        path: PathBuf,
    },
}

impl Value {
    /// The text, or `<FILE` for a file.
    pub fn written(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::File { written, .. } => format!("<{written}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong with it, with the offending text.
    pub text: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Invalid {
    /// A reason alone.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None }
    }

    /// The same with what to write instead.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Text,
    /// `yes` or `no`.
    Boolean,
    /// A time with a unit, whole seconds.
    Time,
    /// A time with a unit, milliseconds allowed.
    Milliseconds,
    /// Bytes, with `k`, `M`, `G` or `T`.
    Size,
    /// A whole number.
    Number,
    /// A TCP port, 0 to 65535.
    Port,
    /// A file mode in octal.
    Mode,
    /// Words between blanks or commas.
    Words,
    /// Networks between blanks or commas.
    Networks,
    /// Addresses between blanks or commas.
    Addresses,
    /// A path.
    Path,
    /// A text, or `<FILE`.
    Content,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A form of its own, described here.
    Other(&'static str),
}

impl Kind {
    /// The kind in words, for the reference page.
    pub fn describe(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Boolean => "yes or no".to_owned(),
            Self::Time => "time".to_owned(),
            Self::Milliseconds => "time (ms allowed)".to_owned(),
            Self::Size => "size".to_owned(),
            Self::Number => "number".to_owned(),
            Self::Port => "port".to_owned(),
            Self::Mode => "octal mode".to_owned(),
            Self::Words => "words".to_owned(),
            Self::Networks => "networks".to_owned(),
            Self::Addresses => "addresses".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Content => "text or <FILE".to_owned(),
            Self::Choice(words) => words.join(", "),
            Self::Other(form) => (*form).to_owned(),
        }
    }

    /// Whether `text` can be read as this kind. [`Kind::Other`] cannot be told from here and passes.
    pub fn check(&self, text: &str) -> Result<(), Invalid> {
        match self {
            Self::Text | Self::Words | Self::Path | Self::Content | Self::Other(_) => Ok(()),
            Self::Boolean => boolean(text).map(drop),
            Self::Time => time(text).map(drop),
            Self::Milliseconds => milliseconds(text).map(drop),
            Self::Size => size(text).map(drop),
            Self::Number => number(text).map(drop),
            Self::Port => port(text).map(drop),
            Self::Mode => mode(text).map(drop),
            Self::Networks => networks(text).map(drop),
            Self::Addresses => addresses(text).map(drop),
            Self::Choice(words) => choice(words, text).map(drop),
        }
    }

    /// `text` as it is shown: one spelling for each value; text that cannot be read is left alone.
    pub fn show(&self, text: &str) -> String {
        match self {
            Self::Boolean => boolean(text).map(|yes| if yes { "yes" } else { "no" }.to_owned()).ok(),
            Self::Time => time(text).map(show_time).ok(),
            Self::Milliseconds => milliseconds(text).map(show_time).ok(),
            Self::Size => size(text).map(show_size).ok(),
            Self::Mode => mode(text).map(show_mode).ok(),
            Self::Number => number(text).map(|n| n.to_string()).ok(),
            Self::Port => port(text).map(|n| n.to_string()).ok(),
            _ => None,
        }
        .unwrap_or_else(|| text.to_owned())
    }
}

/// `yes`, `y`, `1` or `no`, any case.
pub fn boolean(text: &str) -> Result<bool, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "1" => Ok(true),
        "no" => Ok(false),
        _ => Err(Invalid::new(format!("\"{text}\" is neither yes nor no")).hint("write yes or no")),
    }
}

/// A time with a unit, in whole seconds; a bare `0` needs none.
pub fn time(text: &str) -> Result<Duration, Invalid> {
    let duration = milliseconds(text)?;
    if duration.subsec_millis() != 0 || unit_of(text).is_some_and(|unit| unit == Unit::Millisecond) {
        return Err(Invalid::new(format!("\"{text}\": this setting takes no milliseconds"))
            .hint("write it in seconds, such as 1 secs"));
    }
    Ok(duration)
}

/// A time with a unit, milliseconds being one; a bare `0` needs none.
pub fn milliseconds(text: &str) -> Result<Duration, Invalid> {
    let (digits, unit) = split_number(text);
    let invalid = || {
        Invalid::new(format!("\"{text}\" is not a time"))
            .hint("write a number and a unit, such as 30 secs or 5 mins")
    };
    if digits.is_empty() {
        return Err(invalid());
    }
    let too_large = || Invalid::new(format!("\"{text}\" is too long a time"));
    let count: u64 = digits.parse().map_err(|_| too_large())?;
    if unit.is_empty() {
        return match count {
            0 => Ok(Duration::ZERO),
            _ => Err(Invalid::new(format!("\"{text}\" is a time without a unit"))
                .hint(format!("write {count} secs if seconds are meant"))),
        };
    }
    let length = unit_of(text).ok_or_else(invalid)? as u64;
    // The original keeps times in 32 bits of seconds; nothing sensible is longer.
    match count.checked_mul(length) {
        Some(total) if total / 1000 <= u64::from(u32::MAX) => Ok(Duration::from_millis(total)),
        _ => Err(too_large()),
    }
}

/// A time in the largest unit that divides it.
pub fn show_time(duration: Duration) -> String {
    let total = duration.as_millis();
    if total == 0 {
        return "0".to_owned();
    }
    let units = [
        (Unit::Week, "weeks"),
        (Unit::Day, "days"),
        (Unit::Hour, "hours"),
        (Unit::Minute, "mins"),
        (Unit::Second, "secs"),
        (Unit::Millisecond, "ms"),
    ];
    let (unit, name) = units
        .into_iter()
        .find(|(unit, _)| total.is_multiple_of(*unit as u128))
        .unwrap_or((Unit::Millisecond, "ms"));
    format!("{} {name}", total / unit as u128)
}

/// A unit of time; its value is its length in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Millisecond = 1,
    Second = 1000,
    Minute = 60_000,
    Hour = 3_600_000,
    Day = 86_400_000,
    Week = 604_800_000,
}

/// The unit that `text` ends with: any beginning of one of its names, so `m` is a minute and `ms` is not.
fn unit_of(text: &str) -> Option<Unit> {
    let name = split_number(text).1.to_ascii_lowercase();
    let names: [(&str, Unit); 11] = [
        ("secs", Unit::Second),
        ("seconds", Unit::Second),
        ("mins", Unit::Minute),
        ("minutes", Unit::Minute),
        ("msecs", Unit::Millisecond),
        ("mseconds", Unit::Millisecond),
        ("millisecs", Unit::Millisecond),
        ("milliseconds", Unit::Millisecond),
        ("hours", Unit::Hour),
        ("days", Unit::Day),
        ("weeks", Unit::Week),
    ];
    if name.is_empty() {
        return None;
    }
    names.into_iter().find(|(full, _)| full.starts_with(&name)).map(|(_, unit)| unit)
}

/// The leading digits of `text` and what follows them, blanks between removed.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits, rest.trim())
}

/// Bytes: `10M`, `10 M`, `5 MB`, `1k`, or bare bytes.
pub fn size(text: &str) -> Result<u64, Invalid> {
    let (digits, unit) = split_number(text);
    let invalid = || {
        Invalid::new(format!("\"{text}\" is not a size")).hint("write bytes, or a number and k, M, G or T")
    };
    let power = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 1,
        "m" | "mb" => 2,
        "g" | "gb" => 3,
        "t" | "tb" => 4,
        _ => return Err(invalid()),
    };
    let count: u64 = digits.parse().map_err(|_| invalid())?;
    count
        .checked_mul(1024_u64.pow(power))
        .ok_or_else(|| Invalid::new(format!("\"{text}\" is too large a size")))
}

/// A size in the largest unit that divides it.
pub fn show_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    let units = [(4, "T"), (3, "G"), (2, "M"), (1, "k")];
    match units.into_iter().find(|(power, _)| bytes.is_multiple_of(1024_u64.pow(*power))) {
        Some((power, unit)) => format!("{} {unit}", bytes / 1024_u64.pow(power)),
        None => format!("{bytes} B"),
    }
}

/// A whole number from 0 to 4294967295.
pub fn number(text: &str) -> Result<u32, Invalid> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Invalid::new(format!("\"{text}\" is not a number")).hint("write digits alone"));
    }
    text.parse().map_err(|_| Invalid::new(format!("\"{text}\" is too large a number")))
}

/// A TCP port, 0 to 65535.
pub fn port(text: &str) -> Result<u16, Invalid> {
    number(text).ok().and_then(|number| u16::try_from(number).ok()).ok_or_else(|| {
        Invalid::new(format!("\"{text}\" is not a port")).hint("write a number from 0 to 65535")
    })
}

/// A file mode in octal with its leading 0; `0` alone is none.
///
/// Without the leading 0 the original takes the number as decimal, and a listener is opened to
/// people nobody thought of; so it is refused.
pub fn mode(text: &str) -> Result<u32, Invalid> {
    let invalid =
        || Invalid::new(format!("\"{text}\" is not a mode")).hint("write it in octal, such as 0600");
    let octal = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if octal && !text.starts_with('0') {
        return Err(Invalid::new(format!("mode \"{text}\" has no leading 0")).hint(format!("write 0{text}")));
    }
    let mode = u32::from_str_radix(text, 8).map_err(|_| invalid())?;
    if !octal || mode > 0o7777 {
        return Err(invalid());
    }
    Ok(mode)
}

/// A mode with its leading 0.
pub fn show_mode(mode: u32) -> String {
    if mode == 0 { "0".to_owned() } else { format!("0{mode:03o}") }
}

/// Words between blanks or commas.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', ',']).filter(|word| !word.is_empty())
}

/// The one of `allowed` that `text` is; case counts.
pub fn choice(allowed: &'static [&'static str], text: &str) -> Result<&'static str, Invalid> {
    allowed.iter().find(|word| **word == text).copied().ok_or_else(|| {
        Invalid::new(format!("\"{text}\" is not one of the choices"))
            .hint(format!("write {}", either(allowed)))
    })
}

/// `a`, `a or b`, `a, b or c`.
pub fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Addresses between blanks or commas; brackets around IPv6 are allowed.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, Invalid> {
    words(text).map(address).collect()
}

/// One address, brackets around IPv6 allowed.
pub fn address(text: &str) -> Result<IpAddr, Invalid> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| {
        Invalid::new(format!("\"{text}\" is not an address"))
            .hint("names are not looked up, write the address")
    })
}

/// Networks between blanks or commas.
pub fn networks(text: &str) -> Result<Vec<Net>, Invalid> {
    words(text).map(Net::parse).collect()
}

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// Any address in it.
    pub address: IpAddr,
    /// Leading bits that count: 0–32 or 0–128.
    pub bits: u8,
}

impl Net {
    /// Reads `ADDRESS` or `ADDRESS/BITS`. IPv4 mapped into IPv6 becomes IPv4.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (host, mask) = match text.split_once('/') {
            Some((host, mask)) => (host, Some(mask)),
            None => (text, None),
        };
        let written = address(host)?;
        let widest = if written.is_ipv4() { 32 } else { 128 };
        let bits = match mask {
            None => widest,
            Some(mask) => number(mask)
                .ok()
                .and_then(|bits| u8::try_from(bits).ok())
                .filter(|bits| *bits <= widest)
                .ok_or_else(|| {
                    Invalid::new(format!("\"{text}\" has an invalid mask \"{mask}\""))
                        .hint(format!("write the number of bits, 0 to {widest}"))
                })?,
        };
        let address = folded(written);
        if address.is_ipv4() && written.is_ipv6() {
            // Fewer than 96 bits would reach beyond the mapped addresses.
            return match bits.checked_sub(96) {
                Some(bits) => Ok(Self { address, bits }),
                None => Ok(Self { address: written, bits }),
            };
        }
        Ok(Self { address, bits })
    }

    /// Whether `address` is in it. IPv4 mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, folded(address)) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }

    /// Whether every address of `other` is in it.
    pub fn includes(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }
}

impl std::fmt::Display for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.address, self.bits) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => write!(f, "{}", self.address),
            (address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// An IPv4 address mapped into IPv6 as the IPv4 address it is; others as they are.
pub fn folded(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// A value that may come from a file: `<FILE` or the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Read when used.
    File(PathBuf),
    /// Written in the configuration.
    Text(String),
}

/// Where something was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as named on the command line or by the include.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(net: &str, address: &str) -> bool {
        Net::parse(net).expect("a network").contains(address.parse().expect("an address"))
    }

    #[test]
    fn a_network_contains_the_addresses_that_share_its_leading_bits() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.0.0.129/25", "10.0.0.200"));
        assert!(!contains("10.0.0.129/25", "10.0.0.100"));
        assert!(contains("192.0.2.1", "192.0.2.1"));
        assert!(!contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("[2001:db8::1]", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
    }

    #[test]
    fn ipv4_mapped_into_ipv6_is_ipv4() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.1.2.3"));
        assert!(!contains("::/0", "::ffff:10.1.2.3"));
        assert!(!contains("0.0.0.0/0", "::1"));
    }

    #[test]
    fn masks_and_names_that_are_none_are_refused() {
        for text in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0",
            "mail",
            "",
            "10.0.0.0/8/8",
        ] {
            assert!(Net::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_is_shown_as_it_is_written() {
        for text in ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"] {
            assert_eq!(Net::parse(text).map(|net| net.to_string()).as_deref(), Ok(text));
        }
    }

    /// As doveconf of Dovecot 2.3.19.1 shows them.
    #[test]
    fn times_and_sizes_are_shown_in_the_largest_unit_that_divides_them() {
        for (kind, written, shown) in [
            (Kind::Time, "120s", "2 mins"),
            (Kind::Time, "90 secs", "90 secs"),
            (Kind::Time, "2 min", "2 mins"),
            (Kind::Time, "3600 s", "1 hours"),
            (Kind::Time, "14 d", "2 weeks"),
            (Kind::Time, "0 secs", "0"),
            (Kind::Milliseconds, "1500 msecs", "1500 ms"),
            (Kind::Milliseconds, "2000ms", "2 secs"),
            (Kind::Size, "10M", "10 M"),
            (Kind::Size, "1024", "1 k"),
            (Kind::Size, "1536", "1536 B"),
            (Kind::Size, "1 gb", "1 G"),
            (Kind::Size, "0", "0"),
            (Kind::Boolean, "Y", "yes"),
            (Kind::Mode, "0660", "0660"),
            (Kind::Mode, "00", "0"),
        ] {
            assert_eq!(kind.show(written), shown);
        }
    }
}
