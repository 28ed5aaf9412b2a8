//! yescrypt, `$y$PARAMETERS$SALT$HASH`: the method of Debian's own accounts since Debian 11. It has no scheme
//! name of its own; CRYPT checks it.

use yescrypt::{Mode, Params, yescrypt};

use super::crypt::{append_digits, read_digits};
use super::{Fault, within};

/// Memory is 128 N r bytes, and 256 MiB take some 500 ms on a current core.
const MAX_MEMORY: u64 = 256 * 1024 * 1024;

pub(super) fn hash(password: &[u8], setting: &[u8]) -> Result<Vec<u8>, Fault> {
    let form = "a yescrypt string has the form $y$PARAMETERS$SALT$HASH";
    let rest = setting.strip_prefix(b"$y$").ok_or(form)?;
    let mut parts = rest.split(|byte| *byte == b'$');
    let parameters = parts.next().and_then(|text| std::str::from_utf8(text).ok()).ok_or(form)?;
    let salt_digits = parts.next().ok_or(form)?;

    let params: Params = parameters.parse().map_err(|_| "the yescrypt parameters are unreadable")?;
    let memory = params.n().saturating_mul(params.r().into()).saturating_mul(128);
    within("the memory cost in bytes", memory, MAX_MEMORY)?;
    // Parallelism and extra time are never written by crypt_gensalt(3), and their cost is not bounded above.
    if params.p() != 1 || Params::new(Mode::Rw, params.n(), params.r(), 1) != Ok(params) {
        return Err(super::Fault::declined("these yescrypt parameters are not supported"));
    }
    let salt = decode(salt_digits).ok_or("the salt is unreadable")?;
    let mut hash = [0; 32];
    yescrypt(password, &salt, &params, &mut hash).map_err(|_| "the yescrypt parameters are out of range")?;

    let mut text = [b"$y$", parameters.as_bytes(), b"$", salt_digits, b"$"].concat();
    for bytes in hash.chunks(3) {
        let number = bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
        append_digits(&mut text, number, digits_for(bytes.len()));
    }
    Ok(text)
}

/// Four digits hold three bytes, low ones first; what is left over must be zero, as in the reference.
fn decode(digits: &[u8]) -> Option<Vec<u8>> {
    const LONGEST: usize = 64;
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let number = read_digits(group)?;
        let length = group.len() * 6 / 8;
        if length == 0 || number >> (8 * length) != 0 {
            return None;
        }
        bytes.extend(number.to_le_bytes().into_iter().take(length));
    }
    (bytes.len() <= LONGEST).then_some(bytes)
}

fn digits_for(bytes: usize) -> u32 {
    match bytes {
        1 => 2,
        2 => 3,
        _ => 4,
    }
}
