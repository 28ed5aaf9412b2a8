//! From when to when a certificate is valid: the one thing rustls knows and does not tell.
//! Reads DER no further than that, and trusts no length in it.

use rustls::pki_types::CertificateDer;

/// Seconds of Unix time, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

/// RFC 5280 §4.1:
///
/// ```text
/// Certificate    ::= SEQUENCE { tbsCertificate SEQUENCE {
///     [0] version OPTIONAL, serialNumber INTEGER, signature SEQUENCE, issuer SEQUENCE,
///     validity SEQUENCE { notBefore Time, notAfter Time }, … } … }
/// ```
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (body, _) = element(certificate, SEQUENCE)?;
    let rest = element(body, VERSION).map_or(body, |(_, rest)| rest);
    let (_, rest) = element(rest, INTEGER)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    Some(Validity { not_before, not_after })
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The content of the element with this tag that `input` begins with, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = input.split_first()?;
    let (&short, rest) = rest.split_first().filter(|_| found == tag)?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // More than three bytes of length would be a certificate of 16 MiB.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// `YYMMDDHHMMSSZ` (1950 to 2049) or `YYYYMMDDHHMMSSZ`; years before 1970 count as 1970.
fn time(input: &[u8]) -> Option<(u64, &[u8])> {
    let (text, rest, century) = match element(input, UTC_TIME) {
        Some((text, rest)) => (text, rest, None),
        None => {
            let (text, rest) = element(input, GENERALIZED_TIME)?;
            let (century, text) = text.split_at_checked(2)?;
            (text, rest, Some(two_digits(century)?))
        }
    };
    let (digits, zone) = text.split_at_checked(12)?;
    let mut fields = [0; 6];
    for (field, pair) in fields.iter_mut().zip(digits.chunks(2)) {
        *field = two_digits(pair)?;
    }
    let [year, month, day, hour, minute, second] = fields;
    let year = match century {
        Some(century) => century * 100 + year,
        None if year < 50 => 2000 + year,
        None => 1900 + year,
    };
    let sound =
        zone == b"Z" && (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    sound.then_some((u64::try_from(seconds).unwrap_or(0), rest))
}

fn two_digits(text: &[u8]) -> Option<i64> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    }
}

/// Counts from March, so that the leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let first_of_march_0000 = 719_468;
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - first_of_march_0000
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: (i32, u8, u8), to: (i32, u8, u8)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// Expected values from `date -u -d DATE +%s`.
    #[test]
    fn dates_are_read_in_both_forms() {
        let certificate = certificate((2024, 2, 29), (2100, 3, 1));
        let expected = Validity { not_before: 1_709_164_800, not_after: 4_107_542_400 };
        assert_eq!(validity(&certificate), Some(expected));
    }

    #[test]
    fn any_cut_or_changed_certificate_is_survived() {
        let whole = certificate((2020, 1, 1), (2030, 12, 31));
        for end in 0..whole.len() {
            let _ = validity(&CertificateDer::from(&whole[..end]));
            for value in [0, 0x30, 0x7f, 0x80, 0x83, 0x84, 0xff] {
                let mut changed = whole.to_vec();
                changed[end] = value;
                let _ = validity(&CertificateDer::from(changed));
            }
        }
        assert_eq!(validity(&CertificateDer::from(&whole[..60])), None);
        assert_eq!(validity(&CertificateDer::from(&b""[..])), None);
    }
}
