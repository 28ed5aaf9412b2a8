//! DIGEST-MD5: MD5 of `user:realm:password`, where `user@realm` is the login name (RFC 2831 §2.1.2.1).

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::{Fault, Order};

pub(super) fn verify(stored: &[u8], password: &[u8], user: &str) -> Result<bool, Fault> {
    Ok(secret(user, password).ct_eq(stored).into())
}

pub(super) fn make(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    if order.user.is_empty() {
        return Err("the user name is hashed along and must be given".into());
    }
    Ok(secret(order.user, order.password))
}

fn secret(login: &str, password: &[u8]) -> Vec<u8> {
    let (user, realm) = login.rsplit_once('@').unwrap_or((login, ""));
    let digest = Md5::new().chain_update(user).chain_update(":").chain_update(realm).chain_update(":");
    digest.chain_update(password).finalize().to_vec()
}
