//! The client's ID (RFC 2971): who it says it is, and the facts of its own client that a front in
//! `login_trusted_networks` sends as `x-` keys. Whether to believe those is the caller's to say. And the
//! other way round: the ID by which we are such a front to a backend.

use super::LINE_LIMIT;
use super::grammar::{Arguments, Token, breaks_lines, push_quoted, quotable};
use crate::{Forwarded, Identity};

/// Most pairs, longest key and longest value that RFC 2971 §3.3 allows.
const PAIRS: usize = 30;
const KEY: usize = 30;
const VALUE: usize = 1024;
/// Longest text that `%{client_id}` stands for; pairs past it are left out, as Dovecot leaves them.
const TEXT: usize = 256;
/// Longest session id that is taken over.
const SESSION: usize = 64;
/// Room for the pairs of an ID command of ours, which is to stay within what is read as a line.
const COMMAND: usize = LINE_LIMIT - 16;
/// What the keys of `forward_` fields begin with.
const FORWARD: &[u8] = b"x-forward-";

/// What an ID command said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClientId {
    /// The pairs that are no facts of another client, quoted as in the list, without its parentheses.
    pub(super) text: String,
    /// The facts of another client.
    pub(super) forwarded: Forwarded,
}

/// Reads the arguments: nothing, `NIL` or a list of pairs; `None` when they are not that, or too much.
/// A key at the end without its value is ignored, and so is whatever follows the list.
pub(super) fn read(arguments: &[Token]) -> Option<ClientId> {
    let mut id = ClientId::default();
    let pairs = match arguments {
        [] => return Some(id),
        [first, ..] if first.is_nil() => return Some(id),
        [Token::Open, list @ ..] => list.split(|token| matches!(token, Token::Close)).next()?,
        _ => return None,
    };
    if pairs.len() > 2 * PAIRS {
        return None;
    }
    let mut external = None;
    for pair in pairs.chunks(2) {
        let key = pair.first()?.string().filter(|key| key.len() <= KEY && !key.contains(&0))?;
        let Some(value) = pair.get(1) else { break };
        let value = match value.string() {
            Some(value) if value.len() <= VALUE && !value.contains(&0) => Some(value),
            Some(_) => return None,
            None if value.is_nil() => None,
            None => return None,
        };
        if !id.forwarded.take(key, value, &mut external) {
            push_pair(key, value, &mut id.text);
        }
    }
    // The id that a front gave its client for others to see wins over its own.
    id.forwarded.session = external.or(id.forwarded.session);
    Some(id)
}

impl Forwarded {
    /// Takes one pair if its key is reserved for facts; what cannot be read is ignored.
    fn take(&mut self, key: &[u8], value: Option<&[u8]>, external: &mut Option<String>) -> bool {
        let name = key.to_ascii_lowercase();
        let text = value.and_then(|value| std::str::from_utf8(value).ok());
        match name.as_slice() {
            b"x-originating-ip" => self.remote = text.and_then(|text| text.parse().ok()),
            b"x-originating-port" => self.remote_port = text.and_then(|text| text.parse().ok()),
            b"x-connected-ip" => self.local = text.and_then(|text| text.parse().ok()),
            b"x-connected-port" => self.local_port = text.and_then(|text| text.parse().ok()),
            b"x-session-id" => self.session = text.and_then(session),
            b"x-session-ext-id" => *external = text.and_then(session),
            b"x-proxy-ttl" => self.ttl = text.and_then(|text| text.parse().ok()),
            name => {
                if !name.starts_with(FORWARD) {
                    return false;
                }
                // The names of fields keep their case.
                let name = key.get(FORWARD.len()..).unwrap_or_default();
                if let (Ok(name), Some(text)) = (std::str::from_utf8(name), text)
                    && !name.is_empty()
                {
                    self.fields.push((name.to_owned(), text.to_owned()));
                }
            }
        }
        true
    }
}

/// What a backend is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Keys that can be quoted, and values without CR, LF and NUL.
    pub(super) pairs: Vec<Pair>,
    /// What had to be left out, by name.
    pub(super) left_out: Vec<String>,
}

type Pair = (Vec<u8>, Option<Vec<u8>>);

impl Told {
    /// Within the limits that readers have: Dovecot answers BAD to a longer key, hangs up on a longer
    /// value, and reads as many pairs as come; others hold to the number in RFC 2971.
    pub(super) fn of(identity: &Identity) -> Self {
        let facts = &identity.facts;
        let own = [
            ("x-session-id", "session", facts.session.clone()),
            ("x-originating-ip", "address", facts.remote.map(|ip| ip.to_string())),
            ("x-originating-port", "port", facts.remote_port.map(|port| port.to_string())),
            ("x-connected-ip", "local address", facts.local.map(|ip| ip.to_string())),
            ("x-connected-port", "local port", facts.local_port.map(|port| port.to_string())),
            ("x-proxy-ttl", "TTL", facts.ttl.map(|ttl| ttl.to_string())),
        ];
        let own = own.into_iter().filter_map(|(key, name, value)| {
            Some((name.to_owned(), (key.as_bytes().to_vec(), Some(value?.into_bytes()))))
        });
        let fields = facts.fields.iter().map(|(name, value)| {
            let key = [FORWARD, name.as_bytes()].concat();
            let value = (!value.is_empty()).then(|| value.as_bytes().to_vec());
            (format!("forward_{name}"), (key, value))
        });
        let mut told = Self { pairs: Vec::new(), left_out: Vec::new() };
        let mut room = COMMAND;
        for (name, pair) in own.chain(fields) {
            match room.checked_sub(size(&pair)) {
                Some(rest) if sayable(&pair) && told.pairs.len() < PAIRS => {
                    room = rest;
                    told.pairs.push(pair);
                }
                _ => told.left_out.push(name),
            }
        }
        let client = identity.client_id.as_deref().map(own_words).unwrap_or_default();
        if client.len() + told.pairs.len() > PAIRS || client.iter().map(size).sum::<usize>() > room {
            told.left_out.push("the client's own ID".into());
        } else {
            told.pairs.splice(..0, client);
        }
        told
    }
}

/// The pairs of a client's own ID, without any that would be taken for ours.
fn own_words(text: &str) -> Vec<Pair> {
    let mut arguments = Arguments::new();
    let Some(tokens) = arguments.text(text.as_bytes(), false).ok().and_then(|()| arguments.finish().ok())
    else {
        return Vec::new();
    };
    let pairs = tokens.chunks(2).filter_map(|pair| {
        let (key, value) = (pair.first()?.string()?.to_vec(), pair.get(1)?);
        let pair = (key, value.string().map(<[u8]>::to_vec));
        let is_fact = Forwarded::default().take(&pair.0, None, &mut None);
        (sayable(&pair) && !is_fact).then_some(pair)
    });
    pairs.collect()
}

fn sayable((key, value): &Pair) -> bool {
    let value = value.as_deref().unwrap_or_default();
    key != FORWARD
        && key.len() <= KEY
        && quotable(key)
        && value.len() <= VALUE
        && !value.iter().copied().any(breaks_lines)
}

/// Room that a pair needs at most, blanks and the announcement of a literal included.
fn size((key, value): &Pair) -> usize {
    let escapes = |text: &[u8]| text.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    let string = |text: &[u8]| text.len() + escapes(text) + 10;
    string(key) + value.as_deref().map_or(4, string)
}

/// A session id that can stand in a log line.
fn session(text: &str) -> Option<String> {
    let fits = (1..=SESSION).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    fits.then(|| text.to_owned())
}

/// Appends a pair, unless it is no text or there is no room for it.
fn push_pair(key: &[u8], value: Option<&[u8]>, text: &mut String) {
    let mut pair = Vec::new();
    push_quoted(key, &mut pair);
    pair.push(b' ');
    match value {
        Some(value) => push_quoted(value, &mut pair),
        None => pair.extend_from_slice(b"NIL"),
    }
    let separator = if text.is_empty() { "" } else { " " };
    match String::from_utf8(pair) {
        Ok(pair) if text.len() + separator.len() + pair.len() <= TEXT && !pair.bytes().any(breaks_lines) => {
            text.push_str(separator);
            text.push_str(&pair);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::grammar::Arguments;

    fn id(text: &str) -> Option<ClientId> {
        let mut arguments = Arguments::new();
        arguments.text(text.as_bytes(), false).unwrap();
        read(&arguments.finish().unwrap())
    }

    fn text(list: &str) -> String {
        id(list).unwrap().text
    }

    /// As `%{client_id}` showed it in Dovecot.
    #[test]
    fn the_text_is_the_list_without_reserved_keys() {
        assert_eq!(
            text(r#"("name" "Foo \"x\\ bar" "version" NIL)"#),
            r#""name" "Foo \"x\\ bar" "version" NIL"#
        );
        assert_eq!(
            text(r#"("name" "B" "X-Originating-IP" "1.2.3.4" "x-forward-a" "v" "n")"#),
            r#""name" "B""#
        );
        for nothing in ["", "NIL", "nil", "()", "() x"] {
            assert_eq!(id(nothing), Some(ClientId::default()));
        }
    }

    #[test]
    fn the_text_is_limited_to_whole_pairs() {
        let list: String = (0..30).map(|n| format!("\"k{n}\" \"vvvv\" ")).collect();
        let text = text(&format!("({list})"));
        assert!(text.len() <= TEXT && text.ends_with("\"vvvv\""), "{text}");
    }

    #[test]
    fn what_is_no_list_of_pairs_is_refused() {
        for wrong in ["foo", "(a b)", r#"("a" (b))"#, r#"("a" b)"#, "\"a\"", r#"(NIL "a")"#] {
            let mut arguments = Arguments::new();
            let read =
                arguments.text(wrong.as_bytes(), false).ok().and_then(|()| read(&arguments.finish().ok()?));
            assert_eq!(read, None, "{wrong}");
        }
    }

    /// RFC 2971 §3.3.
    #[test]
    fn keys_values_and_pairs_are_limited() {
        let pairs = |count| format!("({})", "\"k\" \"v\" ".repeat(count));
        assert!(id(&pairs(30)).is_some());
        let key = |length| format!("(\"{}\" \"v\")", "k".repeat(length));
        assert!(id(&key(30)).is_some() && id(&key(31)).is_none());
        let value = |length| format!("(\"k\" \"{}\")", "v".repeat(length));
        assert!(id(&value(1024)).is_some() && id(&value(1025)).is_none());
        let tokens: Vec<Token> = std::iter::once(Token::Open)
            .chain((0..62).map(|_| Token::String(b"k".to_vec().into())))
            .chain([Token::Close])
            .collect();
        assert!(read(&tokens).is_none());
        let nul = [
            Token::Open,
            Token::String(b"k".to_vec().into()),
            Token::String(b"\0".to_vec().into()),
            Token::Close,
        ];
        assert!(read(&nul).is_none());
    }

    #[test]
    fn facts_of_another_client_are_read() {
        let list = r#"("x-originating-ip" "2001:db8::1" "x-originating-port" "1234" "x-connected-ip" "10.0.0.1"
            "x-connected-port" "143" "x-session-id" "inner" "x-session-ext-id" "outer" "x-proxy-ttl" "4"
            "X-Forward-Colour" "blue" "x-forward-none" NIL "x-forward-" "x")"#;
        let expected = Forwarded {
            remote: "2001:db8::1".parse().ok(),
            remote_port: Some(1234),
            local: "10.0.0.1".parse().ok(),
            local_port: Some(143),
            session: Some("outer".into()),
            ttl: Some(4),
            fields: vec![("Colour".into(), "blue".into())],
        };
        assert_eq!(id(&list.replace('\n', "")).unwrap().forwarded, expected);
    }

    #[test]
    fn facts_that_cannot_be_read_are_ignored() {
        let list =
            r#"("x-originating-ip" "zz" "x-originating-port" "99999" "x-proxy-ttl" "-1" "x-session-id" "")"#;
        assert_eq!(id(list), Some(ClientId::default()));
        assert_eq!(session("a\tb"), None);
        assert_eq!(session(&"x".repeat(65)), None);
    }
}
