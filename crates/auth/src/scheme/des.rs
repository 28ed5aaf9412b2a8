//! DES-CRYPT: the traditional crypt(3), two digits of salt and eleven of hash, and the extended form of BSD/OS,
//! `_` and four digits each of rounds and salt. Both are DES (FIPS 46-3) with a salted expansion.

use std::array;
use std::sync::LazyLock;

use super::crypt::{self, digit, read_digits};
use super::{Fault, Order, within};

/// Some 200 ms on a current core; every extended hash in the wild has far fewer.
const MAX_ROUNDS: u32 = 500_000;

pub(super) fn make(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    let setting = crypt::salt(order, 2);
    crypt::make(hash, &setting, order)
}

/// Only the first eight characters count, and seven bits of each.
pub(super) fn hash(password: &[u8], setting: &[u8]) -> Result<Vec<u8>, Fault> {
    let digits = setting.get(..2).ok_or("the stored password is no crypt string")?;
    let salt = read_digits(digits).ok_or("the stored password is no crypt string")?;
    Ok(finish(digits, &Key::new(key_block(password)), salt, 25))
}

pub(super) fn hash_extended(password: &[u8], setting: &[u8]) -> Result<Vec<u8>, Fault> {
    let form = "an extended DES string has the form _, 4 digits of rounds, 4 of salt, 11 of hash";
    let text = setting.get(..9).ok_or(form)?;
    let (rounds, salt) = text.split_at_checked(5).ok_or(form)?;
    let rounds = rounds.strip_prefix(b"_").and_then(read_digits).ok_or(form)?.max(1);
    let salt = read_digits(salt).ok_or(form)?;
    within("the number of rounds", rounds.into(), MAX_ROUNDS.into())?;
    let mut blocks = password.chunks(8);
    let mut key = key_block(blocks.next().unwrap_or_default());
    for block in blocks {
        key = Key::new(key).encrypt(key, 0, 1) ^ key_block(block);
    }
    Ok(finish(text, &Key::new(key), salt, rounds))
}

fn finish(setting: &[u8], key: &Key, salt: u32, rounds: u32) -> Vec<u8> {
    let bits = u128::from(key.encrypt(0, salt, rounds)) << 2;
    let digits = (0..11).rev().map(|place| digit((bits >> (6 * place)) as u32));
    setting.iter().copied().chain(digits).collect()
}

/// Seven bits a character; DES's parity bits stay clear.
fn key_block(password: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(password).for_each(|(byte, character)| *byte = character << 1);
    u64::from_be_bytes(bytes)
}

/// The sixteen round keys, each in halves of 24 bits.
struct Key([(u32, u32); 16]);

impl Key {
    fn new(key: u64) -> Key {
        const SHIFTS: [u32; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];
        const MASK: u64 = (1 << 28) - 1;
        let chosen = permute(key, 64, &CHOICE_1);
        let (mut left, mut right) = (chosen >> 28, chosen & MASK);
        Key(SHIFTS.map(|shift| {
            left = (left << shift | left >> (28 - shift)) & MASK;
            right = (right << shift | right >> (28 - shift)) & MASK;
            let round = permute(left << 28 | right, 56, &CHOICE_2);
            ((round >> 24) as u32, (round & 0xff_ffff) as u32)
        }))
    }

    /// Encrypts one block so many times over.
    fn encrypt(&self, block: u64, salt: u32, rounds: u32) -> u64 {
        let boxes = &*BOXES;
        // Salt bit N swaps bits N and N + 24 of the expansion, counted from the top.
        let swapped = salt.reverse_bits() >> 8;
        let block = permute(block, 64, &INITIAL);
        let (mut left, mut right) = ((block >> 32) as u32, block as u32);
        for _ in 0..rounds {
            for (high_key, low_key) in &self.0 {
                let (high, low) = expand(right);
                let swap = (high ^ low) & swapped;
                let bits = u64::from(high ^ swap ^ high_key) << 24 | u64::from(low ^ swap ^ low_key);
                let mixed = boxes.iter().enumerate().fold(0, |mixed, (number, values)| {
                    let six = (bits >> (42 - 6 * number)) as usize & 63;
                    mixed ^ values.get(six).copied().unwrap_or_default()
                });
                (left, right) = (right, left ^ mixed);
            }
            // The final permutation and the next initial one cancel out; the swap stays.
            (left, right) = (right, left);
        }
        permute(u64::from(left) << 32 | u64::from(right), 64, &LAST)
    }
}

/// Each group of four bits with its neighbours on both sides: two halves of four groups.
fn expand(half: u32) -> (u32, u32) {
    let turned = half.rotate_right(1);
    let groups =
        |from: u32| (from..from + 4).fold(0, |bits, group| bits << 6 | turned.rotate_left(4 * group) >> 26);
    (groups(0), groups(4))
}

/// Takes the bits that `table` lists, numbered from 1 at the top of a value of `width` bits.
fn permute(value: u64, width: u32, table: &[u8]) -> u64 {
    table.iter().fold(0, |bits, from| bits << 1 | (value >> (width - u32::from(*from)) & 1))
}

/// The substitution boxes with the permutation after them, by box and six bits of input.
static BOXES: LazyLock<[[u32; 64]; 8]> = LazyLock::new(|| {
    array::from_fn(|number| {
        array::from_fn(|input| {
            let row = (input >> 4 & 2) | (input & 1);
            let column = input >> 1 & 15;
            let values = SUBSTITUTION.get(number).and_then(|rows| rows.get(16 * row + column));
            let value = u64::from(values.copied().unwrap_or_default());
            permute(value << (28 - 4 * number), 32, &PERMUTATION) as u32
        })
    })
});

#[rustfmt::skip]
const INITIAL: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4,
    62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
    57, 49, 41, 33, 25, 17,  9, 1, 59, 51, 43, 35, 27, 19, 11, 3,
    61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
];

#[rustfmt::skip]
const LAST: [u8; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31,
    38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21, 61, 29,
    36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27,
    34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41,  9, 49, 17, 57, 25,
];

#[rustfmt::skip]
const CHOICE_1: [u8; 56] = [
    57, 49, 41, 33, 25, 17,  9,  1, 58, 50, 42, 34, 26, 18,
    10,  2, 59, 51, 43, 35, 27, 19, 11,  3, 60, 52, 44, 36,
    63, 55, 47, 39, 31, 23, 15,  7, 62, 54, 46, 38, 30, 22,
    14,  6, 61, 53, 45, 37, 29, 21, 13,  5, 28, 20, 12,  4,
];

#[rustfmt::skip]
const CHOICE_2: [u8; 48] = [
    14, 17, 11, 24,  1,  5,  3, 28, 15,  6, 21, 10, 23, 19, 12,  4,
    26,  8, 16,  7, 27, 20, 13,  2, 41, 52, 31, 37, 47, 55, 30, 40,
    51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

#[rustfmt::skip]
const PERMUTATION: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17,  1, 15, 23, 26,  5, 18, 31, 10,
     2, 8, 24, 14, 32, 27,  3,  9, 19, 13, 30,  6, 22, 11,  4, 25,
];

#[rustfmt::skip]
const SUBSTITUTION: [[u8; 64]; 8] = [
    [14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
     4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13],
    [15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
     0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9],
    [10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
     13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12],
    [7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
     10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14],
    [2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
     4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3],
    [12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
     9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13],
    [4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
     1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12],
    [13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
     7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11],
];
