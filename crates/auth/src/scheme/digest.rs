//! A bare digest of the password: SHA, SHA1, SHA256, SHA512, LDAP-MD5, PLAIN-MD5, PLAIN-MD4.

use sha2::Digest;
use subtle::ConstantTimeEq;

use super::{Fault, Order};

pub(super) fn verify<D: Digest>(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    Ok(D::digest(password).as_slice().ct_eq(stored).into())
}

pub(super) fn make<D: Digest>(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    Ok(D::digest(order.password).to_vec())
}
