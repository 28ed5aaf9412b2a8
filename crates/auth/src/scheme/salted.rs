//! Digest of password and salt, then the salt: SSHA, SSHA256, SSHA512, SMD5 (RFC 2307 as LDAP servers extend it).

use sha2::Digest;
use subtle::ConstantTimeEq;

use super::{Fault, Order};

pub(super) fn verify<D: Digest>(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    let (digest, salt) = stored
        .split_at_checked(<D as Digest>::output_size())
        .filter(|(_, salt)| !salt.is_empty())
        .ok_or("the stored password is too short to hold a salt")?;
    Ok(seasoned::<D>(password, salt).ct_eq(digest).into())
}

pub(super) fn make<D: Digest>(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    let mut salt = [0; 8];
    (order.salt)(&mut salt);
    let mut made = seasoned::<D>(order.password, &salt);
    made.extend_from_slice(&salt);
    Ok(made)
}

fn seasoned<D: Digest>(password: &[u8], salt: &[u8]) -> Vec<u8> {
    D::new().chain_update(password).chain_update(salt).finalize().to_vec()
}
