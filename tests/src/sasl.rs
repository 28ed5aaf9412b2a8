//! What a client computes in challenge mechanisms, for `${cram-md5:…}` and its like. Written from the RFCs and
//! apart from the server's own code, so that a shared mistake cannot hide.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

/// RFC 2195: `user:password:challenge`, the challenge as base64; gives the response as base64.
pub fn cram_md5(argument: &[u8]) -> Result<Vec<u8>, String> {
    let [user, password, challenge] = arguments(argument)?;
    let challenge = BASE64.decode(challenge).map_err(|e| format!("challenge: {e}"))?;
    let mut mac = Hmac::<Md5>::new_from_slice(password).map_err(|e| e.to_string())?;
    mac.update(&challenge);
    let mut response = user.to_vec();
    response.push(b' ');
    response.extend_from_slice(HEXLOWER.encode(&mac.finalize().into_bytes()).as_bytes());
    Ok(BASE64.encode(&response).into_bytes())
}

/// RFC 1939 §7: `password:timestamp`, the timestamp with its angle brackets; gives the digest.
pub fn apop(argument: &[u8]) -> Result<Vec<u8>, String> {
    let [password, timestamp] = arguments(argument)?;
    let digest = Md5::new().chain_update(timestamp).chain_update(password).finalize();
    Ok(HEXLOWER.encode(&digest).into_bytes())
}

fn arguments<const N: usize>(text: &[u8]) -> Result<[&[u8]; N], String> {
    let parts: Vec<&[u8]> = text.splitn(N, |&byte| byte == b':').collect();
    parts.try_into().map_err(|_| format!("{N} values separated by colons are needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_2195_example() {
        let challenge = BASE64.encode(b"<1896.697170952@postoffice.reston.mci.net>");
        let response = cram_md5(format!("tim:tanstaaftanstaaf:{challenge}").as_bytes()).unwrap();
        assert_eq!(response, b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
    }

    #[test]
    fn rfc_1939_example() {
        let digest = apop(b"tanstaaf:<1896.697170952@dbc.mtview.ca.us>").unwrap();
        assert_eq!(digest, b"c4c9334bac560ecc979e58001b3e22fb");
    }
}
