//! ARGON2I and ARGON2ID: `$argon2id$v=19$m=KIB,t=PASSES,p=LANES$salt$hash`. As with libsodium the string,
//! not the scheme's name, says which of the two it is.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64_NOPAD;
use subtle::ConstantTimeEq;

use super::{Fault, Order, crypt, within};

/// 256 MiB.
const MAX_MEMORY_KIB: u32 = 256 * 1024;

/// Memory times passes: some 600 ms on a current core, and just what 256 MiB in 3 passes take.
const MAX_WORK_KIB: u64 = 3 * 256 * 1024;

pub(super) fn verify(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    let parsed =
        parse(stored).ok_or("the stored password lacks the form $argon2id$v=19$m=M,t=T,p=P$SALT$HASH")?;
    let computed = hash(parsed.algorithm, parsed.cost, password, &parsed.salt, parsed.hash.len())?;
    Ok(computed.ct_eq(&parsed.hash).into())
}

pub(super) fn make_id(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    make(Algorithm::Argon2id, Cost { memory: 64 * 1024, passes: 3, lanes: 1 }, order)
}

pub(super) fn make_i(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    make(Algorithm::Argon2i, Cost { memory: 32 * 1024, passes: 4, lanes: 1 }, order)
}

#[derive(Clone, Copy)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

struct Parsed {
    algorithm: Algorithm,
    cost: Cost,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

fn parse(stored: &[u8]) -> Option<Parsed> {
    let mut parts = stored.strip_prefix(b"$")?.split(|byte| *byte == b'$');
    let algorithm = match parts.next()? {
        b"argon2i" => Algorithm::Argon2i,
        b"argon2id" => Algorithm::Argon2id,
        _ => return None,
    };
    if parts.next()? != b"v=19" {
        return None;
    }
    let mut costs = parts.next()?.split(|byte| *byte == b',');
    let mut next = |name: &[u8]| crypt::number(costs.next()?.strip_prefix(name)?);
    let cost = Cost { memory: next(b"m=")?, passes: next(b"t=")?, lanes: next(b"p=")? };
    let salt = BASE64_NOPAD.decode(parts.next()?).ok()?;
    let hash = BASE64_NOPAD.decode(parts.next()?).ok()?;
    // The length is hashed along, so that a cut hash matches nothing; these bounds keep out the absurd.
    let sound = costs.next().is_none()
        && parts.next().is_none()
        && (8..=64).contains(&salt.len())
        && (16..=64).contains(&hash.len());
    sound.then_some(Parsed { algorithm, cost, salt, hash })
}

fn make(algorithm: Algorithm, default: Cost, order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    let cost = Cost { passes: order.rounds.unwrap_or(default.passes).max(3), ..default };
    let mut salt = [0; 16];
    (order.salt)(&mut salt);
    let hash = hash(algorithm, cost, order.password, &salt, 32)?;
    let name = algorithm.as_str();
    let Cost { memory, passes, lanes } = cost;
    let [salt, hash] = [salt.as_slice(), &hash].map(|bytes| BASE64_NOPAD.encode(bytes));
    Ok(format!("${name}$v=19$m={memory},t={passes},p={lanes}${salt}${hash}").into_bytes())
}

fn hash(
    algorithm: Algorithm,
    cost: Cost,
    password: &[u8],
    salt: &[u8],
    length: usize,
) -> Result<Vec<u8>, Fault> {
    within("the memory cost in KiB", cost.memory.into(), MAX_MEMORY_KIB.into())?;
    within("memory cost times passes", u64::from(cost.memory) * u64::from(cost.passes), MAX_WORK_KIB)?;
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(length))
        .map_err(|_| "the cost parameters are out of range")?;
    let mut hash = vec![0; length];
    Argon2::new(algorithm, Version::V0x13, params)
        .hash_password_into(password, salt, &mut hash)
        .map_err(|_| "hashing failed for lack of memory")?;
    Ok(hash)
}
