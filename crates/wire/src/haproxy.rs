//! The PROXY protocol, versions 1 and 2, as a server reads it: the header that a balancer puts before
//! a client's bytes to say whom it speaks for. Knows nothing of who may be believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A header is not longer, whichever its version.
pub const LONGEST: usize = 1500;
/// A line of version 1 is not longer, its end included (section 2.1 of the specification).
const LONGEST_LINE: usize = 107;
/// How version 1 begins.
const LINE: &[u8] = b"PROXY ";
/// How version 2 begins.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 2 has before its addresses: the beginning, command, family, and length of the rest.
const FIXED: usize = 16;

/// What bytes at the beginning of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header; all of the bytes belong to it.
    NeedMore,
    /// A header, and how many of the bytes it is.
    Header {
        /// What it says.
        header: Header,
        /// Its length in bytes; what follows is the client's.
        used: usize,
    },
    /// No header, and more bytes will not make it one: why, in words.
    Malformed(&'static str),
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// The balancer speaks for itself, as in its health checks.
    Local,
    /// The balancer speaks for a client.
    Client(Client),
}

/// The client that a balancer speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The two ends of its connection to the balancer; `None`: the balancer cannot say.
    pub ends: Option<Ends>,
    /// The TLS between it and the balancer; `None`: there is none.
    pub tls: Option<Tls>,
    /// The host name it asked for, mostly by SNI, in lower case (`PP2_TYPE_AUTHORITY`).
    pub authority: Option<String>,
    /// The protocol that it and the balancer agreed on by ALPN (`PP2_TYPE_ALPN`).
    pub alpn: Option<Vec<u8>>,
}

/// The two ends of a client's connection to the balancer; both are IPv4 or both IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client's.
    pub remote: SocketAddr,
    /// The balancer's, that the client connected to.
    pub local: SocketAddr,
}

/// The TLS between a client and the balancer (`PP2_TYPE_SSL`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The client's certificate: it was presented, and the balancer has verified it.
    pub certificate: Option<Certificate>,
}

/// A client's certificate that was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Its common name, where it has one that can be read.
    pub common_name: Option<String>,
}

/// Reads the header that `bytes` begin with.
pub fn parse(bytes: &[u8]) -> Parsed {
    let read = match bytes {
        _ if begins(bytes, BINARY) => binary(bytes),
        _ if begins(bytes, LINE) => line(bytes),
        _ => Err("something else came first"),
    };
    match read {
        Ok(Some((header, used))) => Parsed::Header { header, used },
        Ok(None) => Parsed::NeedMore,
        Err(why) => Parsed::Malformed(why),
    }
}

/// Whether `bytes` agree with `start` as far as they go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted)
}

/// A header and its length; `None`: bytes are missing.
type Read = Result<Option<(Header, usize)>, &'static str>;

/// Version 1: `PROXY TCP4 SOURCE DESTINATION PORT PORT`, or `PROXY UNKNOWN` and anything.
fn line(bytes: &[u8]) -> Read {
    let bytes = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LONGEST_LINE { Ok(None) } else { Err("its line is too long") };
    };
    let text = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let text = text.and_then(|line| line.strip_prefix(LINE)).ok_or("its line does not end in CR LF")?;
    let client = if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        Client::default()
    } else {
        let text = str::from_utf8(text).ok();
        let ends =
            text.and_then(line_ends).ok_or("its line is not TCP4 or TCP6, two addresses and two ports")?;
        Client { ends: Some(ends), ..Client::default() }
    };
    Ok(Some((Header::Client(client), end + 1)))
}

fn line_ends(text: &str) -> Option<Ends> {
    let mut words = text.split(' ');
    let family = words.next()?;
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse().ok().map(IpAddr::V4),
            "TCP6" => word.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (remote, local) = (address()?, address()?);
    let mut port = || {
        let word = words.next()?;
        let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        word.parse().ok().filter(|_| plain)
    };
    let ends = Ends { remote: (remote, port()?).into(), local: (local, port()?).into() };
    words.next().is_none().then_some(ends)
}

/// Version 2: sixteen bytes, addresses, and type-length-value triples.
fn binary(bytes: &[u8]) -> Read {
    if let Some(version) = bytes.get(BINARY.len()).map(|byte| byte >> 4)
        && version != 2
    {
        return Err("its version is neither 1 nor 2");
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + length > LONGEST {
        return Err("it is too long");
    }
    let Some(block) = rest.get(..length) else { return Ok(None) };
    let header = match command & 0x0f {
        // The block is to be skipped then, whatever its family.
        0 => Header::Local,
        1 => Header::Client(client(family, block)?),
        _ => return Err("its command is neither LOCAL nor PROXY"),
    };
    Ok(Some((header, FIXED + length)))
}

fn client(family: u8, block: &[u8]) -> Result<Client, &'static str> {
    const SHORT: &str = "it is too short for its addresses";
    let (ends, triples) = match family {
        // Not known to the balancer.
        0x00 => (None, block),
        // TCP over IPv4 and IPv6.
        0x11 => {
            let (addresses, rest) = block.split_first_chunk::<12>().ok_or(SHORT)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
            (Some(ends(Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h), ports)), rest)
        }
        0x21 => {
            let (remote, rest) = block.split_first_chunk::<16>().ok_or(SHORT)?;
            let (local, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let (ports, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
            (Some(ends(Ipv6Addr::from(*remote), Ipv6Addr::from(*local), *ports)), rest)
        }
        // Unix sockets: two paths.
        0x31 => (None, block.get(216..).ok_or(SHORT)?),
        _ => return Err("its addresses are not those of connections over IPv4, IPv6 or a unix socket"),
    };
    let mut client = Client { ends, ..Client::default() };
    each(triples, |kind, value| {
        match kind {
            0x01 => client.alpn = Some(value.to_vec()),
            0x02 => client.authority = text(value).map(|name| name.to_ascii_lowercase()),
            0x20 => client.tls = tls(value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(client)
}

fn ends(remote: impl Into<IpAddr>, local: impl Into<IpAddr>, [a, b, c, d]: [u8; 4]) -> Ends {
    Ends {
        remote: SocketAddr::new(remote.into(), u16::from_be_bytes([a, b])),
        local: SocketAddr::new(local.into(), u16::from_be_bytes([c, d])),
    }
}

/// Flags, the result of the verification, and triples again.
fn tls(value: &[u8]) -> Result<Option<Tls>, &'static str> {
    /// The client connected over TLS.
    const TLS: u8 = 0x01;
    /// It presented a certificate on this connection, or earlier in the TLS session.
    const PRESENTED: u8 = 0x02 | 0x04;
    let (&[flags, a, b, c, d], triples) =
        value.split_first_chunk::<5>().ok_or("it is too short for what it says of TLS")?;
    let mut common_name = None;
    each(triples, |kind, value| {
        if kind == 0x22 {
            common_name = text(value).map(str::to_owned);
        }
        Ok(())
    })?;
    // 0 alone is success, and it is also what stands there when nothing was presented.
    let verified = flags & PRESENTED != 0 && u32::from_be_bytes([a, b, c, d]) == 0;
    let certificate = verified.then_some(Certificate { common_name });
    Ok((flags & TLS != 0).then_some(Tls { certificate }))
}

/// Calls `each` with every type and value; the last one must end where the bytes do.
fn each<'a>(
    mut triples: &'a [u8],
    mut each: impl FnMut(u8, &'a [u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    const OVER: &str = "a value in it reaches beyond its end";
    while !triples.is_empty() {
        let (&[kind, high, low], rest) = triples.split_first_chunk::<3>().ok_or(OVER)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(OVER)?;
        each(kind, value)?;
        triples = rest;
    }
    Ok(())
}

/// A name that can be read; clients choose them.
fn text(value: &[u8]) -> Option<&str> {
    let name = str::from_utf8(value).ok()?;
    (!name.is_empty() && name.len() <= 255 && !name.contains(char::is_control)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(bytes: &[u8]) -> bool {
        matches!(parse(bytes), Parsed::Malformed(_))
    }

    /// The whole of `bytes` is a header of a client.
    #[track_caller]
    fn client_of(bytes: &[u8]) -> Client {
        match parse(bytes) {
            Parsed::Header { header: Header::Client(client), used } if used == bytes.len() => client,
            other => panic!("{other:?}"),
        }
    }

    fn ends_of(remote: &str, local: &str) -> Option<Ends> {
        Some(Ends { remote: remote.parse().unwrap(), local: local.parse().unwrap() })
    }

    fn triple(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind], &u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
    }

    fn version_2(command: u8, family: u8, parts: &[&[u8]]) -> Vec<u8> {
        let block = parts.concat();
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [BINARY, &[0x20 | command, family], &length, &block].concat()
    }

    const V4: &[u8] = &[10, 0, 0, 1, 10, 0, 0, 2, 0x0f, 0xa0, 0, 143];

    fn ssl(flags: u8, verify: u32, names: &[u8]) -> Vec<u8> {
        triple(0x20, &[&[flags][..], &verify.to_be_bytes(), &triple(0x21, b"TLSv1.3"), names].concat())
    }

    #[test]
    fn a_line_names_both_ends() {
        let client = client_of(b"PROXY TCP4 10.0.0.1 10.0.0.2 4000 143\r\n");
        assert_eq!(client, Client { ends: ends_of("10.0.0.1:4000", "10.0.0.2:143"), ..Client::default() });
        let client = client_of(b"PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n");
        assert_eq!(client.ends, ends_of("[2001:db8::1]:65535", "[2001:db8::2]:0"));
        for unknown in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN ffff::1 what ever\r\n"] {
            assert_eq!(client_of(unknown), Client::default());
        }
    }

    #[test]
    fn a_line_that_is_not_exactly_so_is_malformed() {
        for line in [
            "PROXY TCP4 10.0.0.1 10.0.0.2 4000 143\n",
            "PROXY TCP4 10.0.0.1 10.0.0.2 4000\r\n",
            "PROXY TCP4 10.0.0.1 10.0.0.2 4000 143 1\r\n",
            "PROXY TCP4 10.0.0.1 10.0.0.2 4000 143 \r\n",
            "PROXY TCP4  10.0.0.1 10.0.0.2 4000 143\r\n",
            "PROXY TCP4 10.0.0.01 10.0.0.2 4000 143\r\n",
            "PROXY TCP4 10.0.0.1 10.0.0.2 04000 143\r\n",
            "PROXY TCP4 10.0.0.1 10.0.0.2 +4000 143\r\n",
            "PROXY TCP4 10.0.0.1 10.0.0.2 4000 65536\r\n",
            "PROXY TCP4 10.0.0.1 2001:db8::2 4000 143\r\n",
            "PROXY TCP6 10.0.0.1 10.0.0.2 4000 143\r\n",
            "PROXY UDP4 10.0.0.1 10.0.0.2 4000 143\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
            "proxy UNKNOWN\r\n",
            "a LOGIN bob pw\r\n",
            "\x16\x03\x01",
        ] {
            assert!(malformed(line.as_bytes()), "{line:?}");
        }
        assert_eq!(parse(&[b"PROXY UNKNOWN ", &[b'x'; 91][..], b"\r"].concat()), Parsed::NeedMore);
        assert_eq!(client_of(&[b"PROXY UNKNOWN ", &[b'x'; 91][..], b"\r\n"].concat()), Client::default());
        assert!(malformed(&[b"PROXY UNKNOWN ", &[b'x'; 92][..], b"\r"].concat()));
    }

    #[test]
    fn what_follows_is_not_the_headers() {
        for header in [b"PROXY UNKNOWN\r\n".to_vec(), version_2(1, 0x11, &[V4]), version_2(0, 0, &[])] {
            for count in 0..header.len() {
                assert_eq!(parse(&header[..count]), Parsed::NeedMore, "{count}");
            }
            let all = [&header[..], b"\x16\x03\n"].concat();
            assert!(matches!(parse(&all), Parsed::Header { used, .. } if used == header.len()));
        }
    }

    #[test]
    fn binary_addresses() {
        assert_eq!(client_of(&version_2(1, 0x11, &[V4])).ends, ends_of("10.0.0.1:4000", "10.0.0.2:143"));
        let (remote, local): (Ipv6Addr, Ipv6Addr) =
            ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let six = [&remote.octets()[..], &local.octets(), &[0, 1, 0, 2]].concat();
        assert_eq!(
            client_of(&version_2(1, 0x21, &[&six])).ends,
            ends_of("[2001:db8::1]:1", "[2001:db8::2]:2")
        );
        for (family, block) in [(0x00, 0), (0x31, 216)] {
            let client = client_of(&version_2(1, family, &[&vec![7; block], &ssl(1, 0, b"")]));
            assert_eq!((client.ends, client.tls), (None, Some(Tls::default())));
        }
    }

    #[test]
    fn a_balancers_own_connection_has_nothing_but_a_length() {
        for block in [&b""[..], V4, b"\x20\xff"] {
            let bytes = version_2(0, 0xff, &[block]);
            assert_eq!(parse(&bytes), Parsed::Header { header: Header::Local, used: bytes.len() });
        }
    }

    #[test]
    fn binary_headers_that_are_malformed() {
        for family in [0x01, 0x10, 0x12, 0x13, 0x22, 0x32, 0x41, 0xff] {
            assert!(malformed(&version_2(1, family, &[&[0; 300]])), "{family}");
        }
        assert!(malformed(&version_2(2, 0x11, &[V4])));
        assert!(malformed(&[BINARY, &[0x11]].concat()));
        for (family, needed) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
            assert!(malformed(&version_2(1, family, &[&vec![0; needed - 1]])));
            for rest in [1, 2] {
                assert!(malformed(&version_2(1, family, &[&vec![0; needed + rest]])));
            }
        }
        // The inner lengths may be right for the connection's bytes and still be wrong for the header.
        let mut beyond = version_2(1, 0x11, &[V4, &[0x02, 0, 4], b"abc"]);
        beyond.extend_from_slice(b"defgh");
        assert!(malformed(&beyond));
        assert!(malformed(&version_2(1, 0x11, &[V4, &triple(0x20, &[1, 0, 0, 0])])));
        assert!(malformed(&version_2(1, 0x11, &[V4, &triple(0x20, &[1, 0, 0, 0, 0, 0x22, 0, 1])])));
    }

    #[test]
    fn the_whole_header_is_bounded() {
        let padding = |length: usize| triple(0x04, &vec![0; length - FIXED - V4.len() - 3]);
        assert!(client_of(&version_2(1, 0x11, &[V4, &padding(LONGEST)])).ends.is_some());
        let long = version_2(1, 0x11, &[V4, &padding(LONGEST + 1)]);
        assert!(malformed(&long[..FIXED]), "before any of it is waited for");
    }

    #[test]
    fn tls_and_names() {
        let client = client_of(&version_2(
            1,
            0x11,
            &[
                V4,
                &triple(0x01, b"imap"),
                &triple(0x02, b"Mail.Example"),
                &triple(0xee, b"?"),
                &ssl(1, 0, b""),
            ],
        ));
        assert_eq!(client.tls, Some(Tls { certificate: None }));
        assert_eq!(client.authority.as_deref(), Some("mail.example"));
        assert_eq!(client.alpn.as_deref(), Some(&b"imap"[..]));
        for unreadable in [&b""[..], b"a\nb", b"a\0", b"\xff", &[b'a'; 256]] {
            let client = client_of(&version_2(1, 0x11, &[V4, &triple(0x02, unreadable)]));
            assert_eq!(client.authority, None);
        }
        for flags in [0, 2, 4, 6, 0xfe] {
            assert_eq!(client_of(&version_2(1, 0x11, &[V4, &ssl(flags, 0, b"")])).tls, None);
        }
    }

    #[test]
    fn a_certificate_counts_when_it_was_presented_and_verified() {
        let name = triple(0x22, b"carol");
        let certificate = |flags, verify| {
            client_of(&version_2(1, 0x11, &[V4, &ssl(flags, verify, &name)])).tls.unwrap().certificate
        };
        for presented in [0x01 | 0x02, 0x01 | 0x04, 0x01 | 0x02 | 0x04] {
            let carol = Certificate { common_name: Some("carol".to_owned()) };
            assert_eq!(certificate(presented, 0), Some(carol));
            for failure in [1, 0x0100_0000, 0x0000_0100, u32::MAX] {
                assert_eq!(certificate(presented, failure), None);
            }
        }
        assert_eq!(certificate(0x01, 0), None);
        assert_eq!(certificate(0x01 | 0x08, 0), None);
    }
}
