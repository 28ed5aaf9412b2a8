//! Strict base64, as SASL needs it: the standard alphabet, padding where it belongs, nothing else.

use data_encoding::BASE64;

/// Decodes; `None` when it is not exactly base64.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    // The decoder alone would also take several texts in a row, each with its own padding.
    let (body, _) = text.split_at(text.len().saturating_sub(2));
    if body.contains(&b'=') {
        return None;
    }
    BASE64.decode(text).ok()
}

/// Appends `data` in base64.
pub fn encode(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(BASE64.encode(data).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_stands_at_the_end_alone() {
        for (text, data) in [("", Some("")), ("QQ==", Some("A")), ("QUI=", Some("AB")), ("QUJD", Some("ABC"))]
        {
            assert_eq!(decode(text.as_bytes()).as_deref(), data.map(str::as_bytes), "{text}");
        }
        for text in ["QQ==QQ==", "QUI=QUJD", "=", "==", "Q===", "QQ=", "QQ", "QR==", "QUJD\n", " QQ=="] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
