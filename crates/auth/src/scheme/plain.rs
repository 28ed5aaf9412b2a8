//! PLAIN, CLEAR, CLEARTEXT: the password itself. PLAIN-TRUNC: its first N bytes, stored as `N-password`.

use subtle::ConstantTimeEq;

use super::{Fault, Order, split_at_byte};

pub(super) fn verify(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    Ok(stored.ct_eq(password).into())
}

pub(super) fn make(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    Ok(order.password.to_vec())
}

pub(super) fn verify_truncated(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    let (length, kept) = split_at_byte(stored, b'-')
        .filter(|(length, _)| !length.is_empty() && length.iter().all(u8::is_ascii_digit))
        .ok_or("the stored password lacks its LENGTH- prefix")?;
    // More digits than a length can have mean the same as the longest length: nothing is cut off.
    let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    if length == 0 {
        return Err("a length of 0 would let any password pass".into());
    }
    Ok(kept.ct_eq(password.get(..length).unwrap_or(password)).into())
}

pub(super) fn make_truncated(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    let mut made = format!("{}-", order.password.len().max(1)).into_bytes();
    made.extend_from_slice(order.password);
    Ok(made)
}
