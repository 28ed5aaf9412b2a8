//! `XCLIENT`: what a trusted front says of its own client, before that client logs in; read and written.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use crate::{Forwarded, base64, socket::line};

/// Longest session id that is taken over.
const SESSION_LIMIT: usize = 64;

/// Reads the arguments. Those that can be read count even when others cannot, so a front that knows
/// more than we do still tells us the rest; the flag says whether all could be read.
///
/// `ADDR=ip PORT=number SESSION=id TTL=number FORWARD=base64`, in any order and case of the names.
pub(super) fn read(arguments: &[u8]) -> (Forwarded, bool) {
    let mut forwarded = Forwarded::default();
    let mut readable = true;
    for argument in arguments.split(|&byte| byte == b' ') {
        let (name, value) = line::split_pair(argument);
        if let Some(value) = value {
            readable &= take(&mut forwarded, &name.to_ascii_uppercase(), value).is_some();
        }
    }
    (forwarded, readable)
}

/// Longest command that is written, line end included: Dovecot and we read no longer ones.
const LINE_LIMIT: usize = 1024;

/// Writes the command, line end included, and names what had to be left out.
pub(super) fn write(facts: &Forwarded) -> (Vec<u8>, Vec<String>) {
    let mut command = b"XCLIENT".to_vec();
    let mut left_out = Vec::new();
    let mut argument = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            command.extend_from_slice(format!(" {name}={value}").as_bytes());
        }
    };
    argument("ADDR", facts.remote.map(|ip| ip.to_string()));
    argument("PORT", facts.remote_port.filter(|&port| port != 0).map(|port| port.to_string()));
    // A blank would make an argument of the rest.
    match &facts.session {
        Some(session) if !is_session(session.as_bytes()) => left_out.push("session".to_owned()),
        session => argument("SESSION", session.clone()),
    }
    argument("TTL", facts.ttl.map(|ttl| ttl.to_string()));
    let fixed = command.len() + FORWARD.len() + 2;
    let mut text = Vec::new();
    for (name, value) in &facts.fields {
        let start = text.len();
        if start > 0 {
            text.push(b'\t');
        }
        line::escape(name.as_bytes(), &mut text);
        if !value.is_empty() {
            text.push(b'=');
            line::escape(value.as_bytes(), &mut text);
        }
        let fits = fixed + text.len().div_ceil(3) * 4 <= LINE_LIMIT;
        // No reader takes NUL, and one field that cannot be read costs them all.
        if !fits || name.is_empty() || name.contains('=') || name.contains('\0') || value.contains('\0') {
            text.truncate(start);
            left_out.push(format!("forward_{name}"));
        }
    }
    if !text.is_empty() {
        command.extend_from_slice(FORWARD);
        base64::encode(&text, &mut command);
    }
    command.extend_from_slice(b"\r\n");
    (command, left_out)
}

const FORWARD: &[u8] = b" FORWARD=";

/// Takes one argument; `None` when it cannot be read. Unknown ones are ignored.
fn take(forwarded: &mut Forwarded, name: &[u8], value: &[u8]) -> Option<()> {
    match name {
        b"ADDR" => forwarded.remote = Some(address(value)?),
        b"PORT" => forwarded.remote_port = Some(parsed(value).filter(|&port| port != 0)?),
        b"TTL" => forwarded.ttl = Some(parsed(value)?),
        b"FORWARD" => {
            let text = base64::decode(value).filter(|text| !text.is_empty())?;
            forwarded.fields = line::forwarded(&text)?;
        }
        b"SESSION" if is_session(value) => {
            forwarded.session = std::str::from_utf8(value).ok().map(str::to_owned);
        }
        _ => {}
    }
    Some(())
}

/// An address, IPv6 with or without brackets.
fn address(value: &[u8]) -> Option<IpAddr> {
    let bracketed = value.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    match bracketed {
        Some(inner) => parsed::<Ipv6Addr>(inner).map(IpAddr::V6),
        None => parsed(value),
    }
}

/// An id that is too long or no plain word would be a nuisance in logs: the front's is not used then.
fn is_session(value: &[u8]) -> bool {
    !value.is_empty() && value.len() <= SESSION_LIMIT && value.iter().all(u8::is_ascii_graphic)
}

fn parsed<T: FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
