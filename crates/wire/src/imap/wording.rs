//! What the front says that takes more than a fixed text: capabilities, response codes, our ID.

use super::grammar::{push_quoted, push_text, quotable};
use crate::{Code, Offer};

/// Writes what may be used as things stand.
pub(super) fn push_capability(offer: &Offer, out: &mut Vec<u8>) {
    match offer.capability.strip_prefix('+') {
        None if !offer.capability.is_empty() => push_text(offer.capability.as_bytes(), out),
        added => {
            out.extend_from_slice(b"IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE ");
            for word in added.unwrap_or_default().split_whitespace() {
                push_text(word.as_bytes(), out);
                out.push(b' ');
            }
            out.extend_from_slice(b"LITERAL+");
        }
    }
    if offer.starttls {
        out.extend_from_slice(b" STARTTLS");
    }
    let login_disabled = if offer.secure {
        !offer.mechanisms.iter().any(|mechanism| mechanism.name == "PLAIN")
    } else {
        !offer.plaintext || offer.tls_required
    };
    if login_disabled {
        out.extend_from_slice(b" LOGINDISABLED");
    }
    for mechanism in offer.mechanisms.iter().filter(|_| !offer.tls_required) {
        if offer.plaintext || !mechanism.plaintext {
            out.extend_from_slice(b" AUTH=");
            out.extend_from_slice(mechanism.name.as_bytes());
        }
    }
}

/// The code of RFC 5530 for a kind of refusal.
pub(super) fn response_code(code: Code) -> &'static str {
    match code {
        Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
        Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
        Code::Expired => "EXPIRED",
        Code::Unavailable => "UNAVAILABLE",
        Code::ContactAdmin => "CONTACTADMIN",
        Code::Limit => "LIMIT",
        Code::ServerBug => "SERVERBUG",
        Code::PrivacyRequired => "PRIVACYREQUIRED",
        Code::Mechanism => "ALERT",
    }
}

/// Writes our side of ID: a list of pairs, or NIL.
pub(super) fn push_id(pairs: &[(String, Option<String>)], out: &mut Vec<u8>) {
    if pairs.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    for (index, (key, value)) in pairs.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        push_string(key, out);
        out.push(b' ');
        match value {
            Some(value) => push_string(value, out),
            None => out.extend_from_slice(b"NIL"),
        }
    }
    out.push(b')');
}

/// Writes a string; a literal when it cannot be quoted.
fn push_string(text: &str, out: &mut Vec<u8>) {
    if quotable(text.as_bytes()) {
        push_quoted(text.as_bytes(), out);
    } else {
        out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
        out.extend(text.bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
    }
}
