//! `gatepost pw`: makes and tests stored passwords, as `doveadm pw` does. Needs no server and no configuration.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use auth::scheme::{self, SCHEMES, StoredHash};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;

/// What `gatepost pw` is asked to do.
#[derive(clap::Args)]
pub struct Args {
    /// List the schemes
    #[arg(short = 'l')]
    list: bool,
    /// The scheme, with .HEX or .B64 behind it where the usual encoding is not wanted
    #[arg(short = 's', value_name = "SCHEME", default_value = "CRYPT")]
    scheme: String,
    /// The password; others may see it in the list of processes. Asked for when absent
    #[arg(short = 'p', value_name = "PASSWORD", allow_hyphen_values = true)]
    password: Option<OsString>,
    /// How often to hash, for schemes that hash more than once (for bcrypt: the power of two)
    #[arg(short = 'r', value_name = "ROUNDS")]
    rounds: Option<u32>,
    /// The login name, for schemes that hash it along
    #[arg(short = 'u', value_name = "USER", default_value = "")]
    user: String,
    /// Check the stored password after making it
    #[arg(short = 'V')]
    verify: bool,
    /// Test a password against this stored one, {SCHEME} in front
    #[arg(short = 't', value_name = "HASH")]
    test: Option<String>,
}

/// Runs `gatepost pw`: prints one line, or fails with status 75 (`EX_TEMPFAIL`), as doveadm does.
pub fn run(args: Args) -> ExitCode {
    let answer = answer(args, &mut read_password).and_then(|line| {
        writeln!(io::stdout(), "{line}").map_err(|error| format!("standard output: {error}"))
    });
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("Fatal: {why}");
            ExitCode::from(75)
        }
    }
}

type Password = Zeroizing<Vec<u8>>;

/// Asks for a password with the prompt given.
type Ask<'a> = &'a mut dyn FnMut(&str) -> Result<Password, String>;

fn answer(args: Args, ask: Ask<'_>) -> Result<String, String> {
    if args.list {
        let names: Vec<&str> = SCHEMES.iter().map(|scheme| scheme.name).collect();
        return Ok(names.join(" "));
    }
    let typed = args.password.map(|password| Zeroizing::new(password.as_bytes().to_vec()));
    if let Some(hash) = args.test {
        let stored = StoredHash::parse(hash.as_bytes(), "");
        if stored.scheme.is_empty() {
            return Err("Missing {scheme} prefix from hash".into());
        }
        let password = typed.map_or_else(|| ask("Enter password to verify: "), Ok)?;
        test(&stored, &password, &args.user)?;
        return Ok(format!("{} (verified)", shown(&stored)));
    }
    let format = scheme::find(&args.scheme).map_err(|error| error.to_string())?;
    let password = typed.map_or_else(|| new_password(ask), Ok)?;
    let mut chance = Ok(());
    let mut salt = |bytes: &mut [u8]| {
        if let Err(error) = getrandom::fill(bytes) {
            chance = Err(format!("no random bytes for a salt: {error}"));
        }
    };
    let made = format.make(&password, &args.user, args.rounds, &mut salt);
    chance?;
    let made = made.map_err(|error| error.to_string())?;
    if !args.verify {
        return Ok(shown(&made));
    }
    test(&made, &password, &args.user)?;
    Ok(format!("{} (verified)", shown(&made)))
}

fn test(stored: &StoredHash, password: &[u8], user: &str) -> Result<(), String> {
    stored.decode().map_err(|error| format!("reverse decode check failed: {error}"))?;
    let failed = |why: &str| Err(format!("reverse password verification check failed: {why}"));
    match scheme::verify(stored, password, user) {
        Ok(true) => Ok(()),
        Ok(false) => failed("Password mismatch"),
        Err(error) => failed(&error.to_string()),
    }
}

fn shown(stored: &StoredHash) -> String {
    format!("{{{}}}{}", stored.scheme, String::from_utf8_lossy(stored.data.expose_secret()))
}

/// Asks twice, and again until both are the same.
fn new_password(ask: Ask<'_>) -> Result<Password, String> {
    loop {
        let first = ask("Enter new password: ")?;
        if first == ask("Retype new password: ")? {
            return Ok(first);
        }
        eprintln!("Error: Passwords don't match!");
    }
}

/// Reads a line of standard input: from a terminal after the prompt and without echo, else just so.
fn read_password(prompt: &str) -> Result<Password, String> {
    if !io::stdin().is_terminal() {
        return read_line(&mut io::stdin().lock());
    }
    let _quiet = Quiet::begin().map_err(|error| format!("cannot switch the terminal's echo off: {error}"))?;
    eprint!("{prompt}");
    let line = read_line(&mut io::stdin().lock());
    eprintln!();
    line
}

/// A line without its end. The end of input is no password, not an empty one.
fn read_line(input: &mut dyn BufRead) -> Result<Password, String> {
    const LONGEST: usize = 4096;
    // Room from the start: a vector that grows leaves copies of the password behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    let read = input.take(LONGEST as u64 + 1).read_until(b'\n', &mut line);
    match (read, line.last()) {
        (Err(error), _) => Err(format!("cannot read the password: {error}")),
        (Ok(0), _) => Err("no password was given".into()),
        (Ok(_), Some(b'\n')) => {
            line.pop();
            Ok(line)
        }
        (Ok(length), _) if length > LONGEST => Err(format!("the password is longer than {LONGEST} bytes")),
        (Ok(_), _) => Ok(line),
    }
}

/// A terminal without echo, until dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn begin() -> nix::Result<Quiet> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet)?;
        Ok(Quiet { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nothing is left to do about a terminal that has gone away.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use clap::{Args as _, FromArgMatches};

    use super::*;

    /// Runs a command line; `lines` are what is typed at the prompts, each `prompt|answer`.
    fn pw(words: &[&str], lines: &[&str]) -> Result<String, String> {
        let command = Args::augment_args(clap::Command::new("pw").no_binary_name(true));
        let matches = command.try_get_matches_from(words).map_err(|error| error.kind().to_string())?;
        let args = Args::from_arg_matches(&matches).unwrap();
        let mut lines = lines.iter();
        answer(args, &mut |prompt| {
            let (expected, typed) = lines.next().expect("a prompt too many").split_once('|').unwrap();
            assert_eq!(prompt, expected);
            Ok(Zeroizing::new(typed.as_bytes().to_vec()))
        })
    }

    #[test]
    fn makes_and_tests_as_doveadm_words_it() {
        assert_eq!(pw(&["-s", "plain", "-p", "a b"], &[]).unwrap(), "{PLAIN}a b");
        assert_eq!(pw(&["-s", "Plain.base64", "-p", "secret"], &[]).unwrap(), "{PLAIN.BASE64}c2VjcmV0");
        assert_eq!(
            pw(&["-s", "DIGEST-MD5", "-p", "secret", "-u", "user@dom", "-V"], &[]).unwrap(),
            "{DIGEST-MD5}734c726901e727cce7aec830575f6ac5 (verified)"
        );
        let default = pw(&["-p", "-secret", "-V"], &[]).unwrap();
        assert!(default.starts_with("{CRYPT}$2y$05$") && default.ends_with(" (verified)"), "{default}");
        assert_eq!(pw(&["-t", "{plain}secret", "-p", "secret"], &[]).unwrap(), "{plain}secret (verified)");
        assert_eq!(
            pw(&["-t", "$1$3tUsP6f9$zic6pQ02FJSecvaMEEYYF/", "-p", "secret"], &[]).unwrap(),
            "{MD5-CRYPT}$1$3tUsP6f9$zic6pQ02FJSecvaMEEYYF/ (verified)"
        );
        assert!(pw(&["-l"], &[]).unwrap().starts_with("PLAIN CLEAR CLEARTEXT PLAIN-TRUNC CRYPT "));
    }

    #[test]
    fn says_what_failed_as_doveadm_words_it() {
        for (words, why) in [
            (["-t", "secret", "-p", "secret"], "Missing {scheme} prefix from hash"),
            (["-s", "NOSUCH", "-p", "secret"], "Unknown scheme: NOSUCH"),
            (
                ["-t", "{PLAIN}secret", "-p", "x"],
                "reverse password verification check failed: Password mismatch",
            ),
            (["-t", "{NOSUCH}secret", "-p", "x"], "reverse decode check failed: Unknown scheme: NOSUCH"),
            (
                ["-t", "{SHA256}xxx", "-p", "x"],
                "reverse decode check failed: SHA256: the stored password is not valid base64",
            ),
            (
                ["-t", "{PBKDF2}foo", "-p", "x"],
                "reverse password verification check failed: \
                 PBKDF2: the stored password lacks the form $1$SALT$ROUNDS$HASH",
            ),
        ] {
            assert_eq!(pw(&words, &[]).unwrap_err(), why);
        }
    }

    #[test]
    fn asks_twice_for_a_new_password_and_once_for_a_test() {
        let (enter, retype) = ("Enter new password: |secret", "Retype new password: |secret");
        let differs = "Retype new password: |secrex";
        let make = ["-s", "PLAIN"];
        assert_eq!(pw(&make, &[enter, retype]).unwrap(), "{PLAIN}secret");
        assert_eq!(pw(&make, &[enter, differs, enter, retype]).unwrap(), "{PLAIN}secret");
        let test = ["-t", "{PLAIN}secret"];
        assert_eq!(pw(&test, &["Enter password to verify: |secret"]).unwrap(), "{PLAIN}secret (verified)");
    }

    #[test]
    fn a_line_is_read_to_its_end_and_no_further() {
        let mut input = &b"secret\n\nlast"[..];
        assert_eq!(*read_line(&mut input).unwrap(), b"secret");
        assert_eq!(*read_line(&mut input).unwrap(), b"");
        assert_eq!(*read_line(&mut input).unwrap(), b"last");
        assert_eq!(read_line(&mut input).unwrap_err(), "no password was given");
        assert_eq!(*read_line(&mut &[b'a'; 4096][..]).unwrap(), [b'a'; 4096]);
        assert!(read_line(&mut &[b'a'; 4097][..]).is_err());
    }

    /// The other program's own check takes what we make, and only with the right password.
    #[test]
    fn doveadm_takes_what_is_made() {
        let doveadm = |stored: &str, password: &str| {
            let mut command = Command::new("doveadm");
            command.args(["pw", "-u", "user@dom", "-t", stored, "-p", password]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
        };
        match doveadm("{PLAIN}secret", "secret") {
            Ok(status) if status.success() => {}
            _ => return eprintln!("skipped: no doveadm here that tests passwords"),
        }
        for scheme in SCHEMES {
            for (suffix, password, rounds) in
                [("", "secret", "0"), (".HEX", "pässwörd € ß", "5"), (".B64", "", "7")]
            {
                let name = format!("{}{suffix}", scheme.name);
                let words = ["-s", &name, "-p", password, "-u", "user@dom", "-r", rounds, "-V"];
                let made = pw(&words, &[]).unwrap();
                let stored = made.strip_suffix(" (verified)").unwrap();
                assert!(doveadm(stored, password).unwrap().success(), "{stored}");
                let wrong = format!("!{password}");
                assert!(!doveadm(stored, &wrong).unwrap().success(), "{stored}");
            }
        }
    }
}
