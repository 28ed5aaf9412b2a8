//! Strict base64, as SASL needs it: the standard alphabet, padding where it belongs, nothing else.

use data_encoding::BASE64;

/// Decodes; `None` when it is not exactly base64.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Appends `data` in base64.
pub fn encode(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(BASE64.encode(data).as_bytes());
}
