//! POP3 up to the end of login (RFC 1939, RFC 2449, RFC 2595, RFC 3206, RFC 5034).

pub mod back;
pub mod front;
mod xclient;

#[cfg(test)]
mod tests;

/// Appends `text` so that it stays within its line: CR, LF and NUL become blanks.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }));
}
