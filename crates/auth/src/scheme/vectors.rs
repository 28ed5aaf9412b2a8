//! Every scheme against stored passwords that other programs made, and against hostile ones.

use super::*;

const VECTORS: &str = include_str!("vectors.tsv");

struct Vector {
    user: &'static str,
    password: &'static str,
    stored: &'static str,
}

fn vectors() -> impl Iterator<Item = Vector> {
    VECTORS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [user, password, stored] = fields[..] else { panic!("three fields: {line}") };
        Vector { user, password, stored }
    })
}

fn check(stored: impl AsRef<[u8]>, password: impl AsRef<[u8]>, user: &str) -> Result<bool, SchemeError> {
    verify(&StoredHash::parse(stored.as_ref(), "PLAIN"), password.as_ref(), user)
}

fn refusal(stored: impl AsRef<[u8]>) -> String {
    check(stored, "secret", "user@dom").expect_err("cannot be checked").text
}

/// Not random, but different at every place.
fn salt() -> impl FnMut(&mut [u8]) {
    let mut chance = Chance(7);
    move |bytes| bytes.iter_mut().for_each(|byte| *byte = chance.below(256) as u8)
}

struct Chance(u64);

impl Chance {
    /// xorshift64*, by Vigna.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

#[test]
fn every_vector_passes_its_password_and_no_other() {
    for Vector { user, password, stored } in vectors() {
        assert_eq!(check(stored, password, user), Ok(true), "{stored}");
        assert_eq!(check(stored, format!("!{password}"), user), Ok(false), "{stored}");
    }
}

#[test]
fn what_is_made_passes_and_keeps_its_name() {
    let mut salt = salt();
    for scheme in SCHEMES {
        for suffix in ["", ".HEX", ".B64"] {
            // The scheme named MD5 tells its two forms apart by the text.
            let name = format!("{}{suffix}", scheme.name);
            for password in ["secret", "pässwörd € ß", ""] {
                let format = find(&name.to_lowercase()).unwrap();
                let made = format.make(password.as_bytes(), "user@dom", None, &mut salt).unwrap();
                assert_eq!(made.scheme, name);
                assert_eq!(verify(&made, password.as_bytes(), "user@dom"), Ok(true), "{name}");
                assert_eq!(verify(&made, format!("!{password}").as_bytes(), "user@dom"), Ok(false), "{name}");
            }
        }
    }
}

#[test]
fn made_text_has_the_form_that_other_programs_write() {
    let mut zeros = |bytes: &mut [u8]| bytes.fill(0);
    let mut made = |scheme: &str, rounds: Option<u32>| {
        let made = find(scheme).unwrap().make(b"secret", "user@dom", rounds, &mut zeros);
        made.map(|made| String::from_utf8(made.data.expose_secret().to_vec()).unwrap())
    };
    assert!(made("CRYPT", None).unwrap().starts_with("$2y$05$......................"));
    assert!(made("BLF-CRYPT", Some(1)).unwrap().starts_with("$2y$04$"));
    assert!(made("SHA512-CRYPT", Some(10)).unwrap().starts_with("$6$rounds=1000$................$"));
    assert!(made("SHA512-CRYPT", Some(0)).unwrap().starts_with("$6$................$"));
    assert!(made("ARGON2ID", Some(1)).unwrap().starts_with("$argon2id$v=19$m=65536,t=3,p=1$"));
    assert!(made("PBKDF2", None).unwrap().starts_with("$1$................$5000$"));
    assert!(made("SCRAM-SHA-256", Some(1)).unwrap().starts_with("4096,AAAAAAAAAAAAAAAAAAAAAA==,"));
    assert_eq!(made("PLAIN-TRUNC", None).unwrap(), "6-secret");
    assert_eq!(made("DIGEST-MD5.HEX", None).unwrap(), "734c726901e727cce7aec830575f6ac5");
    assert_eq!(
        made("BLF-CRYPT", Some(14)).unwrap_err().text,
        "BLF-CRYPT: the cost 14 is above the limit of 13"
    );
    let nobody = find("DIGEST-MD5").unwrap().make(b"secret", "", None, &mut zeros).unwrap_err();
    assert_eq!(nobody.text, "DIGEST-MD5: the user name is hashed along and must be given");
    let long = find("CRYPT").unwrap().make(&[b'a'; 512], "", None, &mut zeros).unwrap_err();
    assert_eq!(long.text, "CRYPT: the password is longer than 511 bytes or holds a NUL");
}

#[test]
fn names_are_read_in_any_case_and_suffixes_are_known_ones() {
    assert_eq!(check("{plain}secret", "secret", ""), Ok(true));
    assert_eq!(check("{Plain.Base64}c2VjcmV0", "secret", ""), Ok(true));
    for name in ["NOSUCH", "", ".HEX", "PLAIN.", "PLAIN.FOO", "PLAIN.HEX.HEX", "SHA256.x"] {
        assert_eq!(refusal(format!("{{{name}}}secret")), format!("Unknown scheme: {name}"));
    }
    assert_eq!(refusal("{a\nb}secret"), "Unknown scheme: a\\nb");
    assert_eq!(
        refusal("{OTP}sha1 1024 75f989563e94d8e8 2f9a28b781c23823"),
        "OTP: one-time passwords are not supported"
    );
}

#[test]
fn text_without_a_prefix_is_of_the_default_scheme() {
    let parsed = |text: &str, default: &str| {
        let stored = StoredHash::parse(text.as_bytes(), default);
        (stored.scheme, String::from_utf8(stored.data.expose_secret().to_vec()).unwrap())
    };
    let pair = |scheme: &str, data: &str| (scheme.to_owned(), data.to_owned());
    assert_eq!(parsed("{SSHA.hex}ab", "CRYPT"), pair("SSHA.hex", "ab"));
    assert_eq!(parsed("{PLAIN}a}b{c", "CRYPT"), pair("PLAIN", "a}b{c"));
    assert_eq!(parsed("{}a", "CRYPT"), pair("", "a"));
    assert_eq!(parsed("{a", "PLAIN"), pair("PLAIN", "{a"));
    assert_eq!(parsed("a{b}c", "PLAIN"), pair("PLAIN", "a{b}c"));
    assert_eq!(parsed("", "PLAIN"), pair("PLAIN", ""));
    assert_eq!(parsed("$1$ab$cd", "PLAIN"), pair("MD5-CRYPT", "$1$ab$cd"));
    assert_eq!(parsed("$1$ab", "PLAIN"), pair("PLAIN", "$1$ab"));
}

#[test]
fn digests_are_taken_in_hex_or_base64_by_their_length() {
    for stored in [
        "{PLAIN-MD5}5EBE2294ecd0e0f08eab7690d2a6ee69",
        "{PLAIN-MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
        // Blanks, and bits that base64 does not use, as Dovecot takes them.
        "{PLAIN-MD5} Xr4ilOzQ4PCO q3aQ0qbuaQ==",
        "{PLAIN-MD5}Xr4ilOzQ4PCOq3aQ0qbuaR==",
        "{MD5}5ebe2294ecd0e0f08eab7690d2a6ee69",
        "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
        "{SHA}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4",
    ] {
        assert_eq!(check(stored, "secret", ""), Ok(true), "{stored}");
    }
    // Salted digests have no length to tell by: hex digits are read as base64.
    let hex = "{SMD5}8513cdac5b51e173fcb6f49ea5fe4801b6023650";
    assert_eq!(check(hex, "secret", ""), Ok(false));
}

#[test]
fn crypt_schemes_check_by_the_method_that_the_text_names() {
    for stored in [
        "{DES-CRYPT}$1$3tUsP6f9$zic6pQ02FJSecvaMEEYYF/",
        "{SHA512-CRYPT}a.p.EoZq2pwgo",
        "{CRYPT}$1$3tUsP6f9$zic6pQ02FJSecvaMEEYYF/",
        "{ARGON2I}$argon2id$v=19$m=65536,t=3,p=1$qxYa3vR2H87qtx2DXpIljw$m6szA4NYgfrpLW/T14gOW55CdpMnuy1jSqRLsr4SV+I",
    ] {
        assert_eq!(check(stored, "secret", ""), Ok(true), "{stored}");
    }
}

#[test]
fn plain_trunc_counts_only_so_many_bytes() {
    assert_eq!(check("{PLAIN-TRUNC}6-secret", "secretxyz", ""), Ok(true));
    assert_eq!(check("{PLAIN-TRUNC}6-secret", "secre", ""), Ok(false));
    assert_eq!(check("{PLAIN-TRUNC}8-secret", "secret", ""), Ok(true));
    assert_eq!(check("{PLAIN-TRUNC}8-secret", "secretab", ""), Ok(false));
    assert_eq!(check("{PLAIN-TRUNC}99999999999999999999999-secret", "secret", ""), Ok(true));
    assert_eq!(check("{PLAIN-TRUNC}6-", "", ""), Ok(true));
    assert_eq!(check("{PLAIN-TRUNC}6-", "abcdef", ""), Ok(false));
    assert_eq!(refusal("{PLAIN-TRUNC}secret"), "PLAIN-TRUNC: the stored password lacks its LENGTH- prefix");
    assert_eq!(refusal("{PLAIN-TRUNC}0-"), "PLAIN-TRUNC: a length of 0 would let any password pass");
    assert_eq!(refusal("{PLAIN-TRUNC}-"), "PLAIN-TRUNC: the stored password lacks its LENGTH- prefix");
}

#[test]
fn nothing_stored_matches_nothing_but_the_empty_plain_password() {
    assert_eq!(check("{PLAIN}", "", ""), Ok(true));
    assert_eq!(check("{PLAIN}", "a", ""), Ok(false));
    for scheme in SCHEMES {
        let plain = ["PLAIN", "CLEAR", "CLEARTEXT"].contains(&scheme.name);
        for password in ["", "a"] {
            let answer = check(format!("{{{}}}", scheme.name), password, "user");
            assert_eq!(answer == Ok(true), plain && password.is_empty(), "{}", scheme.name);
        }
    }
    for locked in ["{CRYPT}*", "{CRYPT}!", "{CRYPT}!$6$a$b", "{CRYPT}"] {
        assert_eq!(check(locked, "", ""), Ok(false), "{locked}");
    }
}

#[test]
fn what_cannot_be_checked_says_why_and_shows_no_data() {
    for (stored, fault) in [
        ("{SHA256}xxx", "SHA256: the stored password is not valid base64"),
        ("{SHA256.HEX}abcz", "SHA256: the stored password is not valid hex"),
        ("{SHA256.HEX}abcd", "SHA256: the stored password has 2 bytes instead of 32"),
        ("{SHA256}", "SHA256: the stored password has 0 bytes instead of 32"),
        (
            "{SHA.B64}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4",
            "SHA: the stored password has 30 bytes instead of 20",
        ),
        ("{PLAIN-MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ", "PLAIN-MD5: the stored password is not valid base64"),
        ("{SSHA}8wc/z9z14RRYihERNmlbTSWMGAY=", "SSHA: the stored password is too short to hold a salt"),
        ("{SMD5}", "SMD5: the stored password is too short to hold a salt"),
        ("{CRAM-MD5}abcd", "CRAM-MD5: the stored password has 3 bytes instead of 32"),
        ("{MD5}foo", "MD5: neither an MD5-CRYPT string nor an MD5 digest"),
        ("{MD5-CRYPT}foo", "MD5-CRYPT: an MD5-CRYPT string begins with $1$"),
        ("{BLF-CRYPT}foo", "BLF-CRYPT: a bcrypt string has the form $2y$COST$ and 53 digits"),
        (
            "{BLF-CRYPT}$2$05$vnhlLH4JStPFkNlulscynucJAb99Z.0R9Ugyp4qGh8EgmbDY5ks6i",
            "BLF-CRYPT: a bcrypt string has the form $2y$COST$ and 53 digits",
        ),
        ("{CRYPT}foo", "CRYPT: the hash is cut short or too long"),
        ("{CRYPT}f", "CRYPT: the stored password is no crypt string"),
        ("{CRYPT}$7$C6..../....SodiumChloride$x", "CRYPT: this crypt method is not supported"),
        ("{CRYPT}$5$rounds=999$salt$x", "CRYPT: the number of rounds is unreadable or below 1000"),
        ("{CRYPT}$5$rounds=01000$salt$x", "CRYPT: the number of rounds is unreadable or below 1000"),
        ("{CRYPT}$5$sa:lt$x", "CRYPT: the stored password has a character that no crypt string has"),
        ("{CRYPT}$2y$05$é", "CRYPT: the stored password has a character that no crypt string has"),
        ("{CRYPT}$2y$03$vnhlLH4JStPFkNlulscynucJAb99Z.0R9Ugyp4qGh8EgmbDY5ks6i", "CRYPT: the cost is below 4"),
        (
            "{ARGON2ID}foo",
            "ARGON2ID: the stored password lacks the form $argon2id$v=19$m=M,t=T,p=P$SALT$HASH",
        ),
        ("{PBKDF2}foo", "PBKDF2: the stored password lacks the form $1$SALT$ROUNDS$HASH"),
        (
            "{PBKDF2}$1$InaI$0$a302833e90db7b72ef930a53566b4b2e1dd22fbd",
            "PBKDF2: the stored password lacks the form $1$SALT$ROUNDS$HASH",
        ),
        (
            "{PBKDF2}$1$InaI$1$a302833e90db7b72ef930a53566b4b2e1dd22f",
            "PBKDF2: the hash is not 160 bits in hex",
        ),
        (
            "{SCRAM-SHA-1}foo",
            "SCRAM-SHA-1: the stored password lacks the form ROUNDS,SALT,STOREDKEY,SERVERKEY",
        ),
        ("{SCRAM-SHA-1}4095,AAAA,AAAA,AAAA", "SCRAM-SHA-1: the number of rounds is unreadable or below 4096"),
        ("{SCRAM-SHA-1}4096,AAAA,AAAA,AAAA", "SCRAM-SHA-1: a key does not have 20 bytes"),
    ] {
        assert_eq!(refusal(stored), fault, "{stored}");
    }
}

#[test]
fn a_check_that_would_cost_too_much_is_refused() {
    let key = "Ca2njpmt6WGRRWUikZhYR/0sWu4=";
    for (stored, fault) in [
        ("{SHA512-CRYPT}$6$rounds=999999999$salt$x".to_owned(), "SHA512-CRYPT: the number of rounds 999999999 is above the limit of 1000000"),
        ("{CRYPT}$5$rounds=1000001$salt$x".to_owned(), "CRYPT: the number of rounds 1000001 is above the limit of 1000000"),
        ("{BLF-CRYPT}$2y$31$vnhlLH4JStPFkNlulscynucJAb99Z.0R9Ugyp4qGh8EgmbDY5ks6i".to_owned(), "BLF-CRYPT: the cost 31 is above the limit of 13"),
        ("{CRYPT}_zzzzrasmz0.F/jqjWck".to_owned(), "CRYPT: the number of rounds 16777215 is above the limit of 500000"),
        ("{CRYPT}$y$jIT$abcd$x".to_owned(), "CRYPT: the memory cost in bytes 8589934592 is above the limit of 268435456"),
        ("{CRYPT}$y$j95.0$abcd$x".to_owned(), "CRYPT: these yescrypt parameters are not supported"),
        ("{ARGON2ID}$argon2id$v=19$m=4194304,t=1,p=1$qxYa3vR2H87qtx2DXpIljw$m6szA4NYgfrpLW/T14gOW55CdpMnuy1jSqRLsr4SV+I".to_owned(), "ARGON2ID: the memory cost in KiB 4194304 is above the limit of 262144"),
        ("{ARGON2ID}$argon2id$v=19$m=65536,t=4294967295,p=1$qxYa3vR2H87qtx2DXpIljw$m6szA4NYgfrpLW/T14gOW55CdpMnuy1jSqRLsr4SV+I".to_owned(), "ARGON2ID: memory cost times passes 281474976645120 is above the limit of 786432"),
        ("{PBKDF2}$1$salt$1000001$a302833e90db7b72ef930a53566b4b2e1dd22fbd".to_owned(), "PBKDF2: the number of rounds 1000001 is above the limit of 1000000"),
        (format!("{{SCRAM-SHA-1}}4294967295,AAAA,{key},{key}"), "SCRAM-SHA-1: the number of rounds 4294967295 is above the limit of 1000000"),
    ] {
        assert_eq!(refusal(&stored), fault, "{stored}");
    }
    assert_eq!(
        check("{CRYPT}$6$rounds=999999$salt$x", [b'a'; 511], "").unwrap_err().text,
        "CRYPT: rounds times password length 510999489 is above the limit of 150000000"
    );
}

#[test]
fn crypt_methods_get_no_password_that_crypt_would_not_take() {
    // crypt(3) computed these from 511 times the letter a; it takes no longer password.
    for stored in [
        "{CRYPT}$6$abc$Zyy22kBzgFuxYGA.CDrryvXnrsqB6ByQ62j1nDksPCudTWiM1PbJLUENiN2dG0yY6tIp0IlDZvc1GUds.eWnI0",
        "{CRYPT}$2y$04$abcdefghijklmnopqrstuuBzzIgyKkz7xMWYSzkIjUSnxEQFQ0WNe",
    ] {
        assert_eq!(check(stored, [b'a'; 511], ""), Ok(true));
        assert_eq!(check(stored, [b'a'; 512], ""), Ok(false));
    }
    assert_eq!(check("{DES-CRYPT}a.p.EoZq2pwgo", "secret", ""), Ok(true));
    assert_eq!(check("{DES-CRYPT}a.p.EoZq2pwgo", "secret\0more", ""), Ok(false));
    assert_eq!(check("{PLAIN}".to_owned() + &"a".repeat(600), "a".repeat(600), ""), Ok(true));
    // The password for which $2x$ and $2y$ differ must not be judged by the wrong one of them.
    let sign_error = "{CRYPT}$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    assert_eq!(check(sign_error, "secret", ""), Ok(true));
    assert!(check(sign_error, "sécret", "").is_err());
}

#[test]
fn costly_schemes_are_marked() {
    let cost = |text: &str| cost(&StoredHash::parse(text.as_bytes(), "PLAIN"));
    assert_eq!(cost("secret"), Cost::Cheap);
    assert_eq!(cost("{SSHA512.HEX}00"), Cost::Cheap);
    assert_eq!(cost("{sha512-crypt}$6$"), Cost::Costly);
    assert_eq!(cost("{ARGON2ID.B64}"), Cost::Costly);
    assert_eq!(cost("{NOSUCH}"), Cost::Cheap);
}

/// One stored text per scheme, the cheapest to check.
fn samples() -> Vec<Vector> {
    let mut samples: Vec<Vector> = Vec::new();
    for prefix in SCHEMES.iter().map(|scheme| format!("{{{}}}", scheme.name)).chain(
        ["$1$", "$5$rounds=1000$", "$6$rounds=1000$", "$2b$04$", "$y$j75$", "_J9..", "ab"]
            .map(|method| format!("{{CRYPT}}{method}")),
    ) {
        let fits = |vector: &Vector| vector.password == "secret" && vector.stored.starts_with(&prefix);
        let rounds =
            |vector: &Vector| !vector.stored.contains("rounds=1000") && !vector.stored.contains("$2y$04");
        samples.push(vectors().filter(fits).min_by_key(rounds).expect("a vector for every scheme"));
    }
    samples
}

#[test]
fn cut_hashes_never_match() {
    for Vector { user, password, stored } in samples() {
        let whole = stored.len();
        let data = stored.find('}').unwrap() + 1;
        if stored.starts_with("{PLAIN}") || stored.starts_with("{CLEAR") || stored.starts_with("{PLAIN-TRUNC")
        {
            continue;
        }
        for end in data..whole {
            assert_ne!(check(&stored[..end], password, user), Ok(true), "{stored} cut at {end}");
        }
        let longer = format!("{stored}a");
        assert_ne!(check(&longer, password, user), Ok(true), "{longer}");
    }
}

#[test]
fn hostile_stored_text_is_survived() {
    let mut chance = Chance(1);
    let spice: [&[u8]; 10] =
        [b"$", b"}", b"{", b",", b"=", b"\0", "é".as_bytes(), b"\xff", b"99999999999", b"-1"];
    for Vector { user, password, stored } in samples() {
        let turns = if cost(&StoredHash::parse(stored.as_bytes(), "")) == Cost::Costly { 60 } else { 400 };
        let data = stored.find('}').unwrap() + 1;
        for _ in 0..turns {
            let mut text = stored.as_bytes().to_vec();
            for _ in 0..=chance.below(3) {
                let from = data.min(text.len());
                let at = from + chance.below(text.len() - from + 1);
                match chance.below(4) {
                    0 => text.truncate(at),
                    1 if at < text.len() => text[at] = chance.below(256) as u8,
                    2 if at < text.len() => drop(text.remove(at)),
                    _ => drop(text.splice(at..at, spice[chance.below(spice.len())].iter().copied())),
                }
            }
            // Whatever the answer: neither a panic nor a word of the data in the error.
            if let Err(SchemeError { text: fault, .. }) = check(&text, password, user) {
                assert!(fault.is_ascii() && fault.len() < 120, "{fault}");
            }
        }
    }
}

/// Nobody has judged the password where a check is declined; elsewhere the data is at fault.
#[test]
fn a_check_that_is_declined_is_told_from_data_that_is_broken() {
    let declined = |stored: &str| check(stored, "secret", "user").unwrap_err().declined;
    assert!(declined("{SHA512-CRYPT}$6$rounds=999999999$salt$x"));
    assert!(declined("{CRYPT}$7$C6..../....SodiumChloride$x"));
    assert!(!declined("{CRYPT}foo"));
    assert!(!declined("{NOSUCH}foo"));
}
