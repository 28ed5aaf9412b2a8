//! CRYPT and its relatives: what crypt(3) of a Debian system knows, each method in its own file.
//! A check computes the whole string from the stored one and compares, as crypt(3)'s callers do, so that
//! cut, lengthened and oddly written hashes never match.

use subtle::ConstantTimeEq;

use super::{Fault, Order, bcrypt, des, md5_crypt, sha_crypt, yescrypt};

/// crypt(3) takes no longer password, and the work of SHA-crypt grows with the square of the length.
const MAX_PASSWORD: usize = 511;

/// Checks by whichever method the stored string names.
pub(super) fn verify(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    let hash = match stored {
        [b'$', b'1', b'$', ..] => md5_crypt::hash,
        [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', ..] => bcrypt::hash,
        [b'$', b'5', b'$', ..] => sha_crypt::hash_256,
        [b'$', b'6', b'$', ..] => sha_crypt::hash_512,
        [b'$', b'y', b'$', ..] => yescrypt::hash,
        [b'_', ..] => des::hash_extended,
        [b'$', ..] => return Err(super::Fault::declined("this crypt method is not supported")),
        _ => des::hash,
    };
    verify_with(hash, stored, password)
}

/// Computes the whole crypt string of a password from a setting: a stored string, or the start of one.
pub(super) type Hash = fn(password: &[u8], setting: &[u8]) -> Result<Vec<u8>, Fault>;

/// Checks by one method.
pub(super) fn verify_with(hash: Hash, stored: &[u8], password: &[u8]) -> Result<bool, Fault> {
    // Administrators lock an account by a star or a mark in front: nobody's password, and no fault.
    if matches!(stored, [] | [b'*' | b'!', ..]) || refused(password) {
        return Ok(false);
    }
    // Bytes that would break the files crypt strings live in; none is in any method's alphabet.
    if !stored.iter().all(|byte| byte.is_ascii_graphic() && !b"!*:;\\".contains(byte)) {
        return Err("the stored password has a character that no crypt string has".into());
    }
    let computed = hash(password, stored)?;
    if computed.len() != stored.len() {
        return Err("the hash is cut short or too long".into());
    }
    Ok(computed.ct_eq(stored).into())
}

/// Makes a crypt string from a setting with a fresh salt.
pub(super) fn make(hash: Hash, setting: &str, order: &Order<'_>) -> Result<Vec<u8>, Fault> {
    if refused(order.password) {
        return Err(format!("the password is longer than {MAX_PASSWORD} bytes or holds a NUL").into());
    }
    hash(order.password, setting.as_bytes())
}

fn refused(password: &[u8]) -> bool {
    // crypt(3) would read a password up to its NUL, and let in whoever knows that part.
    password.len() > MAX_PASSWORD || password.contains(&0)
}

/// A salt of so many characters of crypt's alphabet.
pub(super) fn salt(order: &mut Order<'_>, length: usize) -> String {
    let mut bytes = vec![0; length];
    (order.salt)(&mut bytes);
    bytes.into_iter().map(|byte| char::from(digit(byte.into()))).collect()
}

/// A decimal number of at most 32 bits, digits only.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    let digits =
        std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// The digit for the lowest six bits, in the alphabet that most methods share.
pub(super) fn digit(value: u32) -> u8 {
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    DIGITS.get((value & 63) as usize).copied().unwrap_or_default()
}

/// The value of such a digit.
pub(super) fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'.' => 0,
        b'/' => 1,
        b'0'..=b'9' => digit - b'0' + 2,
        b'A'..=b'Z' => digit - b'A' + 12,
        b'a'..=b'z' => digit - b'a' + 38,
        _ => return None,
    };
    Some(value.into())
}

/// Appends the digits of a number, lowest first.
pub(super) fn append_digits(text: &mut Vec<u8>, number: u32, digits: u32) {
    text.extend((0..digits).map(|place| digit(number >> (6 * place))));
}

/// Reads a number whose lowest digit stands first.
pub(super) fn read_digits(text: &[u8]) -> Option<u32> {
    text.iter().rev().try_fold(0, |number, byte| Some(number << 6 | value(*byte)?))
}
