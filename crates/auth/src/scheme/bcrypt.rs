//! BLF-CRYPT: bcrypt, `$2y$COST$` and 22 digits of salt, 31 of hash. Only the first 72 bytes of a password count.

use bcrypt::hash_with_salt_bytes;

use super::{Fault, Order, crypt, within};

/// Some 500 ms on a current core; each step doubles.
const MAX_COST: u32 = 13;

pub(super) fn verify(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    crypt::verify_with(hash, stored, password)
}

/// The rounds asked for are the cost: the power of two of what is done.
pub(super) fn make(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    let cost = order.rounds.unwrap_or(5).max(4);
    let setting = format!("$2y${cost:02}${}", crypt::salt(order, 22));
    crypt::make(hash, &setting, order)
}

pub(super) fn hash(password: &[u8], setting: &[u8]) -> Result<Vec<u8>, Fault> {
    let form = "a bcrypt string has the form $2y$COST$ and 53 digits";
    let (version, cost, rest) = match setting {
        [b'$', b'2', version @ (b'a' | b'b' | b'x' | b'y'), b'$', tens, ones, b'$', rest @ ..] => {
            (*version, crypt::number(&[*tens, *ones]).ok_or(form)?, rest)
        }
        _ => return Err(form.into()),
    };
    if version == b'x' && !password.is_ascii() {
        return Err(Fault::declined("$2x$ stands for a sign error with 8-bit passwords, not repeated here"));
    }
    within("the cost", cost.into(), MAX_COST.into())?;
    let salt = rest.get(..22).and_then(decode_salt).ok_or(form)?;
    let mut text = hash_with_salt_bytes(password, cost, salt).map_err(|_| "the cost is below 4")?;
    text[2] = version;
    Ok(text.to_vec())
}

/// 22 digits hold 132 bits, of which the last four are not used.
fn decode_salt(digits: &[u8]) -> Option<[u8; 16]> {
    let (last, digits) = digits.split_last()?;
    let bits = digits.iter().try_fold(0, |bits: u128, digit| Some(bits << 6 | value(*digit)?))?;
    Some((bits << 2 | value(*last)? >> 4).to_be_bytes())
}

/// bcrypt's alphabet is in an order of its own.
fn value(digit: u8) -> Option<u128> {
    let value = match digit {
        b'.' => 0,
        b'/' => 1,
        b'A'..=b'Z' => digit - b'A' + 2,
        b'a'..=b'z' => digit - b'a' + 28,
        b'0'..=b'9' => digit - b'0' + 54,
        _ => return None,
    };
    Some(value.into())
}
