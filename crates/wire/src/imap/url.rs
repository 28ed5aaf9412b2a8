//! The URL of a login referral (RFC 2221 §4.1, RFC 5092): `imap://user;AUTH=mechanism@host:port/`.

use crate::ReferralTarget;

/// The port that need not be said.
const DEFAULT_PORT: u16 = 143;

/// Appends the URL.
pub(super) fn push_referral(target: &ReferralTarget<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"imap://");
    push_encoded(target.user, out);
    out.extend_from_slice(b";AUTH=");
    push_encoded(target.mechanism, out);
    out.push(b'@');
    if is_bracketed(target.host) {
        out.extend_from_slice(target.host.as_bytes());
    } else {
        push_encoded(target.host, out);
    }
    if let Some(port) = target.port.filter(|port| !matches!(*port, 0 | DEFAULT_PORT)) {
        out.push(b':');
        out.extend_from_slice(port.to_string().as_bytes());
    }
    out.push(b'/');
}

/// Whether this is an IPv6 address as URLs write it; a bare one is encoded like any text.
fn is_bracketed(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.is_some_and(|inside| {
        !inside.is_empty()
            && inside.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
    })
}

/// Percent-encodes all but the `achar` of RFC 5092, with the digits in lower case as Dovecot writes them.
fn push_encoded(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02x}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(user: &str, mechanism: &str, host: &str, port: Option<u16>) -> String {
        let mut out = Vec::new();
        push_referral(&ReferralTarget { user, mechanism, host, port }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_default_port_is_left_out() {
        let plain = "imap://refer;AUTH=PLAIN@imap2.example.com/";
        assert_eq!(url("refer", "PLAIN", "imap2.example.com", None), plain);
        assert_eq!(url("refer", "PLAIN", "imap2.example.com", Some(143)), plain);
        assert_eq!(url("refer", "PLAIN", "imap2.example.com", Some(0)), plain);
        assert_eq!(url("u", "CRAM-MD5", "10.0.0.1", Some(993)), "imap://u;AUTH=CRAM-MD5@10.0.0.1:993/");
        assert_eq!(url("u", "PLAIN", "", None), "imap://u;AUTH=PLAIN@/");
    }

    /// The table that was seen from Dovecot, byte for byte; control bytes were not seen and are encoded.
    #[test]
    fn users_are_percent_encoded() {
        let kept = "AZaz09-._~!$&'()*+,=";
        assert_eq!(url(kept, "PLAIN", "h", None), format!("imap://{kept};AUTH=PLAIN@h/"));
        assert_eq!(
            url(" \"#%/:;<>?@[\\]^`{|}\u{e9}\r\n\0\u{7f}", "PLAIN", "h", None),
            "imap://%20%22%23%25%2f%3a%3b%3c%3e%3f%40%5b%5c%5d%5e%60%7b%7c%7d%c3%a9%0d%0a%00%7f;AUTH=PLAIN@h/"
        );
    }

    #[test]
    fn only_a_bracketed_ipv6_address_keeps_its_colons() {
        assert_eq!(url("u", "PLAIN", "[2001:db8::1]", Some(144)), "imap://u;AUTH=PLAIN@[2001:db8::1]:144/");
        assert_eq!(url("u", "PLAIN", "2001:db8::1", None), "imap://u;AUTH=PLAIN@2001%3adb8%3a%3a1/");
        assert_eq!(url("u", "PLAIN", "[a]\r\n]", None), "imap://u;AUTH=PLAIN@%5ba%5d%0d%0a%5d/");
        assert_eq!(url("u", "PLAIN", "[]", None), "imap://u;AUTH=PLAIN@%5b%5d/");
    }
}
