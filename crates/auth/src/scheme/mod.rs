//! Password schemes: one row each, one family per file.
//! Knows how a stored password is read, checked and made. Knows nothing of users and databases, and
//! draws no salt itself: whoever makes a password brings the source of chance.

mod argon2;
mod bcrypt;
mod cram_md5;
mod crypt;
mod des;
mod digest;
mod digest_md5;
mod md5_crypt;
mod pbkdf2;
mod plain;
mod salted;
mod scram;
mod sha_crypt;
#[cfg(test)]
mod vectors;
mod yescrypt;

use std::borrow::Cow;
use std::fmt::Write;

use data_encoding::{BASE64, BASE64_MIME_PERMISSIVE, HEXLOWER, HEXLOWER_PERMISSIVE};
use md4::Md4;
use md5::Md5;
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::request::Secret;

/// A password as a database stores it: the scheme's name as written (with its encoding suffix) and the data.
#[derive(Debug)]
pub struct StoredHash {
    /// Scheme name as written, such as `SSHA256.HEX`; matched without regard to case.
    pub scheme: String,
    /// What follows the `{SCHEME}` prefix.
    pub data: Secret,
}

impl StoredHash {
    /// Reads `{SCHEME}data`. Text without a prefix is data of `default_scheme`, and so is a `{` that is
    /// never closed; a bare `$1$salt$hash` is always MD5-CRYPT.
    pub fn parse(text: &[u8], default_scheme: &str) -> StoredHash {
        let (scheme, data) = match text {
            [b'{', rest @ ..] => match split_at_byte(rest, b'}') {
                Some((name, data)) => (String::from_utf8_lossy(name), data),
                None => (Cow::Borrowed(default_scheme), text),
            },
            [b'$', b'1', b'$', rest @ ..] if rest.contains(&b'$') => (Cow::Borrowed("MD5-CRYPT"), text),
            _ => (Cow::Borrowed(default_scheme), text),
        };
        StoredHash { scheme: scheme.into_owned(), data: data.to_vec().into() }
    }

    /// The scheme's own bytes, with hex or base64 taken off: what a challenge mechanism computes with.
    pub fn decode(&self) -> Result<Secret, SchemeError> {
        let format = find(&self.scheme)?;
        let raw = format
            .decode(self.data.expose_secret())
            .map_err(|fault| SchemeError::new(format.scheme.name, &fault))?;
        Ok(raw.to_vec().into())
    }
}

/// Why a stored password cannot be checked at all, for the log; never holds the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeError {
    /// Scheme and fault.
    pub text: String,
    /// It could be checked, and we will not or cannot: nobody has judged the password, so the
    /// client must not hear that it is wrong.
    pub declined: bool,
}

impl SchemeError {
    fn new(scheme: &str, fault: &Fault) -> SchemeError {
        SchemeError { text: format!("{scheme}: {}", fault.text), declined: fault.declined }
    }

    fn unknown(text: String) -> SchemeError {
        SchemeError { text, declined: false }
    }
}

impl std::fmt::Display for SchemeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is wrong with stored data or with a wish for it, in words that hold nothing of the data.
#[derive(Debug)]
struct Fault {
    text: Cow<'static, str>,
    declined: bool,
}

impl Fault {
    /// Data that may be sound, and is not checked here.
    fn declined(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), declined: true }
    }
}

impl<T: Into<Cow<'static, str>>> From<T> for Fault {
    fn from(text: T) -> Self {
        Self { text: text.into(), declined: false }
    }
}

/// Checks a typed password against a stored one. `user` is the login name, which DIGEST-MD5 hashes along.
///
/// An error is the administrator's move, and the log gets its text. Unknown schemes and data that cannot
/// be read are a mismatch to the client, as in the original; what is declined (cost beyond bounds, methods
/// that are not supported) is a temporary failure.
pub fn verify(stored: &StoredHash, password: &[u8], user: &str) -> Result<bool, SchemeError> {
    let format = find(&stored.scheme)?;
    format
        .decode(stored.data.expose_secret())
        .and_then(|data| (format.scheme.verify)(&data, password, user))
        .map_err(|fault| SchemeError::new(format.scheme.name, &fault))
}

/// Whether checking `stored` belongs on the hashing pool. An unknown scheme is refused at no cost.
pub fn cost(stored: &StoredHash) -> Cost {
    find(&stored.scheme).map_or(Cost::Cheap, |format| format.scheme.cost)
}

/// How long a check takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Microseconds: checked in place.
    Cheap,
    /// Made slow on purpose: checked on the hashing pool.
    Costly,
}

/// One password scheme.
#[derive(Debug)]
pub struct Scheme {
    /// The name in upper case, without an encoding suffix.
    pub name: &'static str,
    /// How long a check takes.
    pub cost: Cost,
    /// How the data is written when no suffix says otherwise.
    pub encoding: Encoding,
    /// Length of the decoded data in bytes, where it is fixed.
    length: Option<usize>,
    verify: Verify,
    make: Make,
}

/// Checks decoded data against a password; the login name comes last.
type Verify = fn(&[u8], &[u8], &str) -> Result<bool, Fault>;
/// Makes data, not yet encoded.
type Make = fn(&mut Order<'_>) -> Result<Vec<u8>, Fault>;

/// How stored data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Text,
    /// Hexadecimal digits, `.HEX`.
    Hex,
    /// Base64 with padding, `.B64` and `.BASE64`.
    Base64,
}

/// What goes into a new stored password.
struct Order<'a> {
    password: &'a [u8],
    user: &'a str,
    /// `None`: the scheme's own default.
    rounds: Option<u32>,
    /// Fills its argument with random bytes.
    salt: &'a mut dyn FnMut(&mut [u8]),
}

/// Every scheme, in the order in which they are listed.
pub static SCHEMES: &[Scheme] = &[
    text("PLAIN", Cost::Cheap, plain::verify, plain::make),
    text("CLEAR", Cost::Cheap, plain::verify, plain::make),
    text("CLEARTEXT", Cost::Cheap, plain::verify, plain::make),
    text("PLAIN-TRUNC", Cost::Cheap, plain::verify_truncated, plain::make_truncated),
    text("CRYPT", Cost::Costly, crypt::verify, bcrypt::make),
    text("BLF-CRYPT", Cost::Costly, bcrypt::verify, bcrypt::make),
    text("SHA512-CRYPT", Cost::Costly, crypt::verify, sha_crypt::make_512),
    text("SHA256-CRYPT", Cost::Costly, crypt::verify, sha_crypt::make_256),
    text("MD5-CRYPT", Cost::Costly, md5_crypt::verify, md5_crypt::make),
    text("DES-CRYPT", Cost::Costly, crypt::verify, des::make),
    text("ARGON2ID", Cost::Costly, argon2::verify, argon2::make_id),
    text("ARGON2I", Cost::Costly, argon2::verify, argon2::make_i),
    text("PBKDF2", Cost::Costly, pbkdf2::verify, pbkdf2::make),
    text("SCRAM-SHA-1", Cost::Costly, scram::verify::<Sha1>, scram::make::<Sha1>),
    text("SCRAM-SHA-256", Cost::Costly, scram::verify::<Sha256>, scram::make::<Sha256>),
    fixed("CRAM-MD5", Encoding::Hex, 32, cram_md5::verify, cram_md5::make),
    fixed("HMAC-MD5", Encoding::Hex, 32, cram_md5::verify, cram_md5::make),
    fixed("DIGEST-MD5", Encoding::Hex, 16, digest_md5::verify, digest_md5::make),
    salted("SSHA512", salted::verify::<Sha512>, salted::make::<Sha512>),
    salted("SSHA256", salted::verify::<Sha256>, salted::make::<Sha256>),
    salted("SSHA", salted::verify::<Sha1>, salted::make::<Sha1>),
    salted("SMD5", salted::verify::<Md5>, salted::make::<Md5>),
    fixed("SHA512", Encoding::Base64, 64, digest::verify::<Sha512>, digest::make::<Sha512>),
    fixed("SHA256", Encoding::Base64, 32, digest::verify::<Sha256>, digest::make::<Sha256>),
    fixed("SHA1", Encoding::Base64, 20, digest::verify::<Sha1>, digest::make::<Sha1>),
    fixed("SHA", Encoding::Base64, 20, digest::verify::<Sha1>, digest::make::<Sha1>),
    fixed("LDAP-MD5", Encoding::Base64, 16, digest::verify::<Md5>, digest::make::<Md5>),
    fixed("PLAIN-MD5", Encoding::Hex, 16, digest::verify::<Md5>, digest::make::<Md5>),
    fixed("PLAIN-MD4", Encoding::Hex, 16, digest::verify::<Md4>, digest::make::<Md4>),
    text("MD5", Cost::Costly, md5_crypt::verify_either, md5_crypt::make),
];

/// The page "Password schemes", as Markdown.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    for scheme in SCHEMES {
        let cost = match scheme.cost {
            Cost::Cheap => "cheap",
            Cost::Costly => "costly",
        };
        let encoding = match scheme.encoding {
            Encoding::Text => "as it is",
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
        };
        let _ = writeln!(page, "| `{}` | {cost} | {encoding} |", scheme.name);
    }
    page
}

const INTRODUCTION: &str = "\
# Password schemes

A stored password is written `{SCHEME}data`; the name may be in any case. Without `{SCHEME}` the database's default scheme
holds: `CRYPT` in a passwd-file (or its `scheme=`), `default_pass_scheme` in SQL (or `MD5`), `PLAIN` in `static`.

The *encoding* is how the data is written; `.HEX`, `.B64` or `.BASE64` behind the name asks for another
(`SHA256.HEX`). A digest without salt is recognised in either by its length.

*Cheap* checks take microseconds and are done in place; *costly* ones run on as many threads as there are
cores, and wait in a queue when all are taken ([failures.md](failures.md)). [pw.md](pw.md) makes and tests
stored passwords.

| scheme | check | encoding |
|---|---|---|
";

const fn text(name: &'static str, cost: Cost, verify: Verify, make: Make) -> Scheme {
    Scheme { name, cost, encoding: Encoding::Text, length: None, verify, make }
}

const fn fixed(name: &'static str, encoding: Encoding, length: usize, verify: Verify, make: Make) -> Scheme {
    Scheme { name, cost: Cost::Cheap, encoding, length: Some(length), verify, make }
}

const fn salted(name: &'static str, verify: Verify, make: Make) -> Scheme {
    Scheme { name, cost: Cost::Cheap, encoding: Encoding::Base64, length: None, verify, make }
}

/// What a name such as `SSHA256.HEX` says: a scheme and how its data is written.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The scheme.
    pub scheme: &'static Scheme,
    /// The encoding that a suffix asked for.
    suffix: Option<(Encoding, &'static str)>,
}

/// Finds a scheme by its name, in any case, with or without `.HEX`, `.B64` or `.BASE64`.
pub fn find(name: &str) -> Result<Format, SchemeError> {
    let unknown = || {
        let shown: String = name.chars().take(40).flat_map(char::escape_default).collect();
        SchemeError::unknown(format!("Unknown scheme: {shown}"))
    };
    let (base, suffix) = match name.split_once('.') {
        None => (name, None),
        Some((base, suffix)) => {
            let known = [("HEX", Encoding::Hex), ("B64", Encoding::Base64), ("BASE64", Encoding::Base64)];
            let found = known.into_iter().find(|(text, _)| suffix.eq_ignore_ascii_case(text));
            let (text, encoding) = found.ok_or_else(unknown)?;
            (base, Some((encoding, text)))
        }
    };
    if base.eq_ignore_ascii_case("OTP") {
        return Err(SchemeError::unknown("OTP: one-time passwords are not supported".to_owned()));
    }
    let scheme = SCHEMES.iter().find(|scheme| scheme.name.eq_ignore_ascii_case(base));
    Ok(Format { scheme: scheme.ok_or_else(unknown)?, suffix })
}

impl Format {
    /// Makes a stored password. `rounds` below the scheme's minimum is raised to it; `None` and 0 stand for
    /// the default. `salt` fills its argument with random bytes.
    pub fn make(
        &self,
        password: &[u8],
        user: &str,
        rounds: Option<u32>,
        salt: &mut dyn FnMut(&mut [u8]),
    ) -> Result<StoredHash, SchemeError> {
        let rounds = rounds.filter(|rounds| *rounds > 0);
        let raw = (self.scheme.make)(&mut Order { password, user, rounds, salt })
            .map_err(|fault| SchemeError::new(self.scheme.name, &fault))?;
        let raw = Zeroizing::new(raw);
        let (encoding, scheme) = match self.suffix {
            None => (self.scheme.encoding, self.scheme.name.to_owned()),
            Some((encoding, suffix)) => (encoding, format!("{}.{suffix}", self.scheme.name)),
        };
        let data = match encoding {
            Encoding::Text => raw.to_vec(),
            Encoding::Hex => HEXLOWER.encode(&raw).into_bytes(),
            Encoding::Base64 => BASE64.encode(&raw).into_bytes(),
        };
        Ok(StoredHash { scheme, data: data.into() })
    }

    fn decode(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let scheme = self.scheme;
        let encoding = match (self.suffix, scheme.encoding) {
            (Some((encoding, _)), _) => encoding,
            (None, Encoding::Text) => Encoding::Text,
            // Databases hold digests in either form under the same name: the length tells them apart.
            (None, _) if scheme.length.is_some_and(|length| data.len() == 2 * length) => Encoding::Hex,
            (None, _) => Encoding::Base64,
        };
        let raw = Zeroizing::new(match encoding {
            Encoding::Text => data.to_vec(),
            Encoding::Hex => HEXLOWER_PERMISSIVE
                .decode(data)
                .map_err(|_| Fault::from("the stored password is not valid hex"))?,
            Encoding::Base64 => decode_base64(data)?,
        });
        match scheme.length {
            Some(length) if raw.len() != length => {
                Err(format!("the stored password has {} bytes instead of {length}", raw.len()).into())
            }
            _ => Ok(raw),
        }
    }
}

/// Padded base64 as people paste it: blanks are skipped, unused bits of the last digit are not looked at.
fn decode_base64(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let digits: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
    BASE64_MIME_PERMISSIVE.decode(&digits).map_err(|_| "the stored password is not valid base64".into())
}

fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let mut parts = text.splitn(2, |found| *found == byte);
    parts.next().zip(parts.next())
}

/// The same for every family whose work grows with a number in the stored text, which may come from anyone
/// who can write to the database: a check stays within some hundred milliseconds and 256 MiB.
fn within(what: &'static str, asked: u64, limit: u64) -> Result<(), Fault> {
    if asked <= limit {
        Ok(())
    } else {
        Err(Fault::declined(format!("{what} {asked} is above the limit of {limit}")))
    }
}
