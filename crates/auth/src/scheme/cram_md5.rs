//! CRAM-MD5 and HMAC-MD5: the two MD5 states that HMAC reaches after its padded key, outer then inner,
//! as little-endian words. A challenge can be answered from them without the password (RFC 2195).

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::{Fault, Order};

pub(super) fn verify(stored: &[u8], password: &[u8], _user: &str) -> Result<bool, Fault> {
    Ok(contexts(password).ct_eq(stored).into())
}

pub(super) fn make(order: &mut Order<'_>) -> Result<Vec<u8>, Fault> {
    Ok(contexts(order.password))
}

fn contexts(password: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 64;
    const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let digest;
    let key: &[u8] = if password.len() > BLOCK {
        digest = Md5::digest(password);
        &digest
    } else {
        password
    };
    let state_after = |pad: u8| {
        let mut block = [pad; BLOCK];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        let mut state = START;
        md5::block_api::compress(&mut state, &[block]);
        state
    };
    let (outer, inner) = (state_after(0x5c), state_after(0x36));
    outer.into_iter().chain(inner).flat_map(u32::to_le_bytes).collect()
}
