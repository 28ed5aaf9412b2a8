//! SHA256-CRYPT and SHA512-CRYPT: `$5$` and `$6$`, then `[rounds=N$]salt$hash` (Ulrich Drepper's specification).
//! The rounds are the library's; the text form is ours, because the library's own refuses an empty salt.

use sha_crypt::{Params, sha256_crypt, sha512_crypt};

use super::crypt::{self, Hash, append_digits};
use super::{Fault, Order, within};

const MIN_ROUNDS: u32 = 1000;

/// Some 200 ms on a current core for a password of usual length; passlib's defaults lie below.
const MAX_ROUNDS: u32 = 1_000_000;

/// Rounds times bytes of password: whoever tries to log in chooses how long a password is to be hashed.
const MAX_WORK: u64 = 150_000_000;

pub(super) fn make_256(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    make("$5$", hash_256, order)
}

pub(super) fn make_512(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    make("$6$", hash_512, order)
}

pub(super) fn hash_256(password: &[u8], setting: &[u8]) -> Result<Vec<u8>, Fault> {
    let Setting { salt, params, mut text } = parse(setting, password.len())?;
    let hash = sha256_crypt(password, salt, params);
    let ([groups @ .., _, _], [.., y, z]) = (&hash, &hash);
    append_groups(&mut text, groups, [0, 10, 20], [2, 0, 1]);
    append_digits(&mut text, u32::from(*z) << 8 | u32::from(*y), 3);
    Ok(text)
}

pub(super) fn hash_512(password: &[u8], setting: &[u8]) -> Result<Vec<u8>, Fault> {
    let Setting { salt, params, mut text } = parse(setting, password.len())?;
    let hash = sha512_crypt(password, salt, params);
    let [groups @ .., last] = &hash;
    append_groups(&mut text, groups, [0, 21, 42], [1, 2, 0]);
    append_digits(&mut text, (*last).into(), 2);
    Ok(text)
}

fn make(prefix: &str, hash: Hash, order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    let rounds = match order.rounds {
        None => String::new(),
        Some(rounds) => format!("rounds={}$", rounds.max(MIN_ROUNDS)),
    };
    let setting = format!("{prefix}{rounds}{}", crypt::salt(order, 16));
    crypt::make(hash, &setting, order)
}

struct Setting<'a> {
    salt: &'a [u8],
    params: Params,
    /// What stands before the hash.
    text: Vec<u8>,
}

fn parse(setting: &[u8], password_length: usize) -> Result<Setting<'_>, Fault> {
    let (prefix, rest) = setting.split_at_checked(3).ok_or("a SHA-crypt string begins with $5$ or $6$")?;
    let mut parts = rest.split(|byte| *byte == b'$');
    let mut salt = parts.next().unwrap_or_default();
    let mut text = prefix.to_vec();
    let mut rounds = Params::RECOMMENDED_ROUNDS;
    if let Some(digits) = salt.strip_prefix(b"rounds=") {
        rounds = crypt::number(digits)
            .filter(|rounds| *rounds >= MIN_ROUNDS && !digits.starts_with(b"0"))
            .ok_or("the number of rounds is unreadable or below 1000")?;
        within("the number of rounds", rounds.into(), MAX_ROUNDS.into())?;
        within("rounds times password length", u64::from(rounds) * password_length as u64, MAX_WORK)?;
        text.extend_from_slice(salt);
        text.push(b'$');
        salt = parts.next().ok_or("no salt follows the number of rounds")?;
    }
    let salt = salt.get(..16).unwrap_or(salt);
    text.extend_from_slice(salt);
    text.push(b'$');
    let params = Params::new(rounds).map_err(|_| "the number of rounds is out of range")?;
    Ok(Setting { salt, params, text })
}

/// Three bytes make four digits. The next three are each one further, and have changed places by `turn`.
fn append_groups(text: &mut Vec<u8>, hash: &[u8], first: [usize; 3], turn: [usize; 3]) {
    let mut group = first;
    for _ in 0..hash.len() / 3 {
        let bytes = group.map(|at| u32::from(hash.get(at).copied().unwrap_or_default()));
        append_digits(text, bytes[0] << 16 | bytes[1] << 8 | bytes[2], 4);
        group = turn.map(|from| group.get(from).copied().unwrap_or_default() + 1);
    }
}
