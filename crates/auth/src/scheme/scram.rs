//! SCRAM-SHA-1 and SCRAM-SHA-256: `rounds,salt,StoredKey,ServerKey` in base64 (RFC 5802 §3, RFC 7677).
//! Here a typed password is checked against the verifier; the dialogue is the mechanism's.

use data_encoding::BASE64;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::Digest;
use subtle::ConstantTimeEq;

use super::pbkdf2::MAX_ROUNDS;
use super::{Fault, Order, crypt, decode_base64, within};

/// RFC 5802 §5.1 and RFC 7677 §4 ask for at least this many.
const MIN_ROUNDS: u32 = 4096;

pub(super) fn verify<D: Digest + EagerHash>(
    stored: &[u8],
    password: &[u8],
    _user: &str,
) -> Result<bool, Fault> {
    let mut parts = stored.split(|byte| *byte == b',');
    let (Some(rounds), Some(salt), Some(stored_key), Some(server_key), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("the stored password lacks the form ROUNDS,SALT,STOREDKEY,SERVERKEY".into());
    };
    let rounds = crypt::number(rounds).filter(|rounds| *rounds >= MIN_ROUNDS);
    let rounds = rounds.ok_or("the number of rounds is unreadable or below 4096")?;
    within("the number of rounds", rounds.into(), MAX_ROUNDS.into())?;
    let (salt, stored_key, server_key) =
        (decode_base64(salt)?, decode_base64(stored_key)?, decode_base64(server_key)?);
    let length = <D as Digest>::output_size();
    if stored_key.len() != length || server_key.len() != length {
        return Err(format!("a key does not have {length} bytes").into());
    }
    let (computed, _) = keys::<D>(password, &salt, rounds)?;
    Ok(computed.ct_eq(&stored_key).into())
}

pub(super) fn make<D: Digest + EagerHash>(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    let rounds = order.rounds.unwrap_or(MIN_ROUNDS).max(MIN_ROUNDS);
    within("the number of rounds", rounds.into(), MAX_ROUNDS.into())?;
    let mut salt = [0; 16];
    (order.salt)(&mut salt);
    let (stored_key, server_key) = keys::<D>(order.password, &salt, rounds)?;
    let [salt, stored_key, server_key] =
        [salt.as_slice(), &stored_key, &server_key].map(|bytes| BASE64.encode(bytes));
    Ok(format!("{rounds},{salt},{stored_key},{server_key}").into_bytes())
}

/// StoredKey and ServerKey.
fn keys<D: Digest + EagerHash>(
    password: &[u8],
    salt: &[u8],
    rounds: u32,
) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let mut salted = vec![0; <D as Digest>::output_size()];
    pbkdf2_hmac::<D>(password, salt, rounds, &mut salted);
    let mac = |text: &str| {
        let keyed = Hmac::<D>::new_from_slice(&salted).map_err(|_| "the key cannot be used")?;
        Ok::<_, Fault>(keyed.chain_update(text).finalize().into_bytes().to_vec())
    };
    Ok((D::digest(mac("Client Key")?).to_vec(), mac("Server Key")?))
}
