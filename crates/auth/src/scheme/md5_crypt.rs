//! MD5-CRYPT: `$1$salt$hash` as Poul-Henning Kamp made it for FreeBSD. MD5: that, or a bare MD5 digest.

use md5::{Digest, Md5};

use super::crypt::{self, append_digits};
use super::{Fault, Order, digest, find};

pub(super) fn verify(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    crypt::verify_with(hash, stored, password)
}

/// The scheme named MD5 has meant both.
pub(super) fn verify_either(stored: &[u8], password: &[u8], user: &str) -> Result<bool, Fault> {
    if stored.starts_with(b"$1$") {
        return verify(stored, password, user);
    }
    let neither = "neither an MD5-CRYPT string nor an MD5 digest";
    let plain = find("PLAIN-MD5").map_err(|_| neither)?;
    digest::verify::<Md5>(&plain.decode(stored).map_err(|_| neither)?, password, user)
}

pub(super) fn make(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    let setting = format!("$1${}", crypt::salt(order, 8));
    crypt::make(hash, &setting, order)
}

pub(super) fn hash(password: &[u8], setting: &[u8]) -> Result<Vec<u8>, Fault> {
    let rest = setting.strip_prefix(b"$1$").ok_or("an MD5-CRYPT string begins with $1$")?;
    let salt = rest.split(|byte| *byte == b'$').next().unwrap_or_default();
    let salt = salt.get(..8).unwrap_or(salt);

    let alternate = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = Md5::new().chain_update(password).chain_update(b"$1$").chain_update(salt);
    let stretched: Vec<u8> = alternate.iter().copied().cycle().take(password.len()).collect();
    first.update(stretched);
    let mut length = password.len();
    while length > 0 {
        // The set bits add a NUL and the clear ones the password's first byte: an old slip, now the format.
        first.update(if length & 1 == 1 { b"\0" } else { password.get(..1).unwrap_or_default() });
        length >>= 1;
    }
    let mut state = first.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        next.update(if round % 2 == 1 { password } else { &state });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if round % 2 == 1 { &state } else { password });
        state = next.finalize();
    }

    let mut text = [b"$1$", salt, b"$"].concat();
    let state: [u8; 16] = state.into();
    for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        let byte = |at: usize| u32::from(state.get(at).copied().unwrap_or_default());
        append_digits(&mut text, byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    append_digits(&mut text, state[11].into(), 2);
    Ok(text)
}
