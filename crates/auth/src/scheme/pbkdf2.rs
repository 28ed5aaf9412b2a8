//! PBKDF2: `$1$salt$rounds$hash`, HMAC-SHA1 over the salt as text, 160 bits in hex.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use pbkdf2::pbkdf2_hmac_array;
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::{Fault, Order, crypt, within};

const DEFAULT_ROUNDS: u32 = 5000;

/// Some 100 ms of HMAC on a core with SHA instructions, several times that without.
pub(super) const MAX_ROUNDS: u32 = 1_000_000;

pub(super) fn verify(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    let form = "the stored password lacks the form $1$SALT$ROUNDS$HASH";
    let rest = stored.strip_prefix(b"$1$").ok_or(form)?;
    let mut parts = rest.split(|byte| *byte == b'$');
    let (Some(salt), Some(rounds), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(form.into());
    };
    let rounds = crypt::number(rounds).filter(|rounds| *rounds > 0).ok_or(form)?;
    within("the number of rounds", rounds.into(), MAX_ROUNDS.into())?;
    let hash = HEXLOWER_PERMISSIVE
        .decode(hash)
        .ok()
        .filter(|hash| hash.len() == 20)
        .ok_or("the hash is not 160 bits in hex")?;
    Ok(pbkdf2_hmac_array::<Sha1, 20>(password, salt, rounds).ct_eq(&hash).into())
}

pub(super) fn make(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    let rounds = order.rounds.unwrap_or(DEFAULT_ROUNDS);
    within("the number of rounds", rounds.into(), MAX_ROUNDS.into())?;
    let salt = crypt::salt(order, 16);
    let hash = pbkdf2_hmac_array::<Sha1, 20>(order.password, salt.as_bytes(), rounds);
    Ok(format!("$1${salt}${rounds}${}", HEXLOWER.encode(&hash)).into_bytes())
}
