//! The header that a balancer puts before its client's bytes.

use wire::haproxy::{Header, LONGEST, Parsed, parse};

use crate::meter;

/// Where a header ends, and what it says, does not depend on how much has come of what follows it.
pub(crate) fn header(input: &[u8]) {
    let whole = meter::within(input, || parse(input));
    match &whole {
        Parsed::NeedMore => assert!(input.len() < LONGEST),
        Parsed::Header { header, used } => {
            assert!((1..=input.len().min(LONGEST)).contains(used));
            assert_eq!(parse(&input[..*used]), whole);
            assert_eq!(parse(&[&input[..*used], b"\r\n\x16"].concat()), whole);
            for end in 0..*used {
                assert_eq!(parse(&input[..end]), Parsed::NeedMore);
            }
            if let Header::Client(client) = header {
                assert!(client.ends.is_none_or(|ends| ends.remote.is_ipv4() == ends.local.is_ipv4()));
                let certificate = client.tls.iter().filter_map(|tls| tls.certificate.as_ref());
                let names = certificate.filter_map(|it| it.common_name.as_ref()).chain(&client.authority);
                for name in names {
                    assert!(!name.is_empty() && !name.contains(char::is_control));
                }
            }
        }
        // What was waited for was either the missing part of a header or not.
        Parsed::Malformed(_) => {
            let first = (0..=input.len()).find(|end| parse(&input[..*end]) != Parsed::NeedMore);
            assert!(matches!(first.map(|end| parse(&input[..end])), Some(Parsed::Malformed(_))));
        }
    }
}
