//! `%{sha256;rounds=2,salt=x:user}`: the digest of another variable.

use data_encoding::BASE64;

use super::shape::hex;
use super::{ExpandError, Source, Template, Variables, parse};

/// A digest as written.
#[derive(Clone, Debug)]
pub(super) struct Digest {
    algorithm: Algorithm,
    rounds: u32,
    /// Bits kept; 0: all.
    bits: usize,
    salt: Template,
    base64: bool,
    source: Source,
    /// Options after the salt, which have no effect.
    unread: Option<String>,
}

impl Digest {
    /// Reads the options and the variable that is digested.
    pub(super) fn parse(
        algorithm: Algorithm,
        options: &str,
        field: &str,
        depth: usize,
    ) -> Result<Self, ExpandError> {
        let source = match parse::long(field, depth) {
            Source::Broken(error) => return Err(error),
            source => source,
        };
        let salt = if algorithm == Algorithm::Pbkdf2 { field } else { "" };
        let mut digest = Self {
            algorithm,
            rounds: if algorithm == Algorithm::Pbkdf2 { 2048 } else { 1 },
            bits: 0,
            salt: Template::nested(&salt.replace('%', "%%"), depth),
            base64: false,
            source,
            unread: None,
        };
        let mut rest = Some(options);
        while let Some(options) = rest {
            let (option, after) = parse::split_outside(options, ',');
            rest = after;
            match option.split_once('=') {
                Some(("rounds", value)) => {
                    digest.rounds = number(value, "rounds")?;
                    if digest.rounds < 1 {
                        return Err(fault("rounds must be at least 1"));
                    }
                    if digest.rounds > ROUNDS {
                        return Err(fault(&format!("rounds must be at most {ROUNDS}")));
                    }
                }
                Some(("truncate", value)) => {
                    digest.bits = usize::try_from(number(value, "truncbits")?).unwrap_or(usize::MAX);
                }
                Some(("format", "hex" | "hexuc")) => digest.base64 = false,
                Some(("format", "base64")) => digest.base64 = true,
                Some(("format", value)) => return Err(fault(&format!("'{value}' is not supported format"))),
                Some(("salt", value)) => {
                    digest.salt = Template::nested(value, depth);
                    // Existing files were hashed without what stands behind the salt.
                    digest.unread = rest.take().map(ToOwned::to_owned);
                }
                _ => {}
            }
        }
        Ok(digest)
    }

    /// The digest in its format.
    pub(super) fn value(&self, variables: &dyn Variables) -> Result<String, ExpandError> {
        let value = self.source.value(variables)?;
        let salt = self.salt.expand(variables)?;
        let mut data = value.as_bytes().to_vec();
        if self.algorithm == Algorithm::Pbkdf2 {
            let mut key = vec![0; if self.bits == 0 { PBKDF2_WHOLE } else { 32 }];
            pbkdf2::pbkdf2_hmac::<sha2::Sha256>(&data, salt.as_bytes(), self.rounds, &mut key);
            data = key;
        } else {
            for _ in 0..self.rounds {
                data = self.algorithm.digest(salt.as_bytes(), &data);
            }
        }
        shift_to(&mut data, self.bits);
        Ok(if self.base64 { BASE64.encode(&data) } else { hex(&data) })
    }

    /// What a reader of the template would believe to have an effect.
    pub(super) fn ignored(&self) -> Option<String> {
        let options = self.unread.as_ref()?;
        Some(format!("Hash arguments after the salt are ignored: '{options}' (write salt= last)"))
    }

    pub(super) fn walk<'t>(&'t self, visit: &mut dyn FnMut(&'t Source)) {
        self.source.walk(visit);
        self.salt.walk(visit);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md4,
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Sha3_256,
    Sha3_512,
    /// PBKDF2 with HMAC-SHA-256.
    Pbkdf2,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "md4" => Self::Md4,
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            "sha3-256" => Self::Sha3_256,
            "sha3-512" => Self::Sha3_512,
            "pkcs5" => Self::Pbkdf2,
            _ => return None,
        })
    }

    fn digest(self, salt: &[u8], data: &[u8]) -> Vec<u8> {
        fn of<D: sha2::digest::Digest>(salt: &[u8], data: &[u8]) -> Vec<u8> {
            D::new().chain_update(salt).chain_update(data).finalize().to_vec()
        }
        match self {
            Self::Md4 => of::<md4::Md4>(salt, data),
            Self::Md5 => of::<md5::Md5>(salt, data),
            Self::Sha1 => of::<sha1::Sha1>(salt, data),
            Self::Sha256 | Self::Pbkdf2 => of::<sha2::Sha256>(salt, data),
            Self::Sha384 => of::<sha2::Sha384>(salt, data),
            Self::Sha512 => of::<sha2::Sha512>(salt, data),
            Self::Sha3_256 => of::<sha3::Sha3_256>(salt, data),
            Self::Sha3_512 => of::<sha3::Sha3_512>(salt, data),
        }
    }
}

/// Rounds at most: a lookup must not be a way to stop the process.
const ROUNDS: u32 = 100_000;
/// Bytes of a PBKDF2 key that is not cut: an odd number, but what existing keys were made with.
const PBKDF2_WHOLE: usize = 336;

fn fault(text: &str) -> ExpandError {
    ExpandError::Invalid(format!("Cannot parse hash arguments:{text}"))
}

fn number(text: &str, what: &str) -> Result<u32, ExpandError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| fault(&format!("'{text}' is not number for {what}")))
}

/// Keeps the leading `bits` bits (0: all) as a number: its unused bits are the high ones of the first byte.
fn shift_to(data: &mut Vec<u8>, bits: usize) {
    if bits == 0 || bits >= data.len() * 8 {
        return;
    }
    data.truncate(bits.div_ceil(8));
    let shift = (8 - bits % 8) % 8;
    if shift == 0 {
        return;
    }
    let mut carried = 0;
    for byte in data {
        let whole = *byte;
        *byte = whole >> shift | carried;
        carried = whole << (8 - shift);
    }
}
