use std::fs;
use std::time::Instant;

use super::super::testing::{Asker, ask, passdb, resources, shown};
use super::*;

struct Setup {
    folder: tempfile::TempDir,
    passdb: Box<dyn Passdb>,
    said: Arc<std::sync::Mutex<Vec<String>>>,
}

/// A passdb whose `args` are `options` and a file that holds `text`.
fn setup(options: &str, text: impl AsRef<[u8]>) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users"), text).unwrap();
    let (resources, said) = resources();
    let args = format!("{options} {}/users", folder.path().display());
    let passdb = open(&passdb("passwd-file", &args), &resources).unwrap();
    Setup { folder, passdb, said }
}

impl Setup {
    fn ask(&self, user: &str) -> String {
        self.plain(&shown(&ask(&*self.passdb, user)))
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
            .iter()
            .filter(|line| !line.starts_with("Debug"))
            .map(|line| self.plain(line))
            .collect()
    }

    fn plain(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn the_example_of_the_extra_fields_page_works() {
    let setup = setup("", "user:{plain}pass::::::proxy=y host=127.0.0.1\n");
    assert_eq!(setup.ask("user"), "{plain}pass proxy=y host=127.0.0.1");
    assert_eq!(setup.ask("User"), "Unknown");
}

// passwd-file: missing columns are fine, `user` alone has an empty password, the default scheme is CRYPT.
#[test]
fn columns_may_be_missing() {
    let setup = setup("", "a:pw\nb\nc:{PLAIN}x:8:8:Gecos:/home:/bin/sh\nd:p::::::\n");
    assert_eq!(setup.ask("a"), "{CRYPT}pw");
    assert_eq!(setup.ask("b"), "{CRYPT}");
    assert_eq!(setup.ask("c"), "{PLAIN}x");
    assert_eq!(setup.ask("d"), "{CRYPT}p");
    assert_eq!(setup.ask("e"), "Unknown");
    assert_eq!(setup.ask(""), "Unknown");
}

#[test]
fn options_choose_scheme_and_name() {
    let setup = setup("scheme=SHA256 username_format=%Ln", "bob:x\n");
    assert_eq!(setup.ask("BOB@example.com"), "{SHA256}x");
    let setup = self::setup("username_format=%{nosuch}", "bob:x\n");
    assert!(setup.ask("bob").starts_with("Failed: username_format: "));
    assert!(setup.said()[0].starts_with("Error dovecot.conf:7: passwd-file: username_format: "));
}

#[test]
fn the_path_may_hold_blanks() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("my users"), "bob:x\n").unwrap();
    let args = format!("{}/my users", folder.path().display());
    let passdb = open(&passdb("passwd-file", &args), &resources().0).unwrap();
    assert_eq!(shown(&ask(&*passdb, "bob")), "{CRYPT}x");
}

// passwd-file: extra fields are expanded, `%%u` gives `%u`; an unknown variable is a temporary failure.
#[test]
fn values_of_fields_are_expanded_once() {
    let setup = setup("", "b@d:{PLAIN}%u::::::x=%n a%n=%%u y=%d-%s\nc:x::::::v=%{nosuch}\n%u:x::::::x=%u\n");
    assert_eq!(setup.ask("b@d"), "{PLAIN}%u x=b a%n=%u y=d-imap");
    assert!(setup.ask("c").starts_with("Failed: users:2: field \"v\": "), "{}", setup.ask("c"));
    assert_eq!(setup.ask("%u"), "{CRYPT}x x=%u");
}

// As seen with the original.
#[test]
fn names_with_quotes_stand_in_the_file_with_backslashes() {
    let setup = setup("", "o'brien:{PLAIN}one\no\\'brien:{PLAIN}two::::::seen=%u\nc\\\\d:{PLAIN}three\n");
    assert_eq!(setup.ask("o'brien"), "{PLAIN}two seen=o'brien");
    assert_eq!(setup.ask("c\\d"), "{PLAIN}three");
    assert_eq!(setup.ask("o\\'brien"), "Unknown");
}

#[test]
fn fields_see_those_before_them() {
    let setup = setup("", "amy:x::::::user=z a=%u b=%{passdb:a} userdb_q=5 c=%{userdb:q}\n");
    assert_eq!(setup.ask("amy"), "{CRYPT}x user=z a=amy b=amy userdb_q=5 c=5");
}

// A second password is refused and the rest of the line holds.
#[test]
fn a_password_among_the_fields_is_not_used() {
    let setup = setup("", "bob:{PLAIN}a::::::password=b x=1 password_noscheme=c\n");
    assert_eq!(setup.ask("bob"), "{PLAIN}a x=1");
    assert_eq!(setup.said(), ["Error users:1: the line has a second password, which is not used"]);
}

#[test]
fn a_broken_line_concerns_its_user_only() {
    let mut text = b"ok:x\nempty:x::::::=value\nlatin:x::::::reason=\xe9\ngecos:x:::Jos\xe9:::\n".to_vec();
    text.extend_from_slice(
        b"nul:x\0y\nname:x::::::\xff=1\n\xff\xfe:x\npass:\xe9\nprefix:x::::::userdb_=1\n:x\n",
    );
    text.extend_from_slice(format!("long:{}\n", "x".repeat(70_000)).as_bytes());
    let setup = setup("", text);
    assert_eq!(
        setup.said(),
        [
            "Error users:5: the line has a NUL byte",
            "Error users:10: the line has no user name",
            "Error users:11: the line is longer than 64 KiB"
        ]
    );
    assert_eq!(setup.ask("ok"), "{CRYPT}x");
    assert_eq!(setup.ask("gecos"), "{CRYPT}x");
    assert_eq!(setup.ask("pass"), "{CRYPT}\u{fffd}");
    assert_eq!(setup.ask("empty"), "Failed: users:2: field \"\" has no name");
    assert_eq!(setup.ask("latin"), "Failed: users:3: field \"reason\" is not UTF-8");
    assert_eq!(setup.ask("nul"), "Failed: users:5: the line has a NUL byte");
    assert_eq!(setup.ask("name"), "Failed: users:6: a field's name is not UTF-8");
    assert_eq!(setup.ask("prefix"), "Failed: users:9: field \"userdb_\" has no name");
    assert_eq!(setup.ask("long"), "Failed: users:11: the line is longer than 64 KiB");
}

#[test]
fn an_absent_file_is_a_temporary_failure_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let (resources, said) = resources();
    let passdb = open(&passdb("passwd-file", path.to_str().unwrap()), &resources).unwrap();
    assert_eq!(shown(&ask(&*passdb, "bob")), format!("Failed: passwd-file {} is missing", path.display()));
    assert_eq!(said.lock().unwrap().len(), 1);
    fs::write(&path, "bob:x\n").unwrap();
    let begun = Instant::now();
    while shown(&ask(&*passdb, "bob")) != "{CRYPT}x" {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn every_domain_may_have_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("one.example")).unwrap();
    fs::write(folder.path().join("one.example/users"), "bob:1\n").unwrap();
    fs::create_dir(folder.path().join("..two")).unwrap();
    fs::write(folder.path().join("..two/users"), "bob:2\n").unwrap();
    fs::write(folder.path().join("users"), "bob:above\n").unwrap();
    let (resources, _) = resources();
    // Dots as the administrator writes them are theirs.
    let args = format!("username_format=%n {0}/./../{1}/%d/users", folder.path().display(), {
        folder.path().file_name().unwrap().to_str().unwrap()
    });
    let passdb = open(&passdb("passwd-file", &args), &resources).unwrap();
    for _ in 0..2 {
        assert_eq!(shown(&ask(&*passdb, "bob@one.example")), "{CRYPT}1");
        assert_eq!(shown(&ask(&*passdb, "bob@..two")), "{CRYPT}2");
        assert_eq!(shown(&ask(&*passdb, "bob@nosuch.example")), "Unknown");
        assert_eq!(shown(&ask(&*passdb, "al@one.example")), "Unknown");
        for hostile in ["..", ".", "x/../one.example", "one.example/", "/etc", "one.example\0", "../x/."] {
            assert_eq!(shown(&ask(&*passdb, &format!("bob@{hostile}"))), "Unknown", "{hostile:?}");
        }
    }
}

#[test]
fn without_the_folder_nobody_is_called_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let args = format!("{}/gone/%d", folder.path().display());
    let passdb = open(&passdb("passwd-file", &args), &resources().0).unwrap();
    assert!(shown(&ask(&*passdb, "bob@one")).starts_with("Failed: passwd-file "));
}

#[test]
fn names_without_a_file_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (resources, said) = resources();
    let users =
        Users::open(&format!("{}/%d", folder.path().display()), &super::super::testing::place(), &resources);
    let passdb = PasswdFile { users: users.unwrap() };
    for n in 0..50 {
        assert!(matches!(ask(&passdb, &format!("bob@{n}")), Answer::Unknown));
    }
    let Location::Varying(varying) = &passdb.users.location else { panic!("has a variable") };
    assert_eq!(varying.kept(), 0);
    assert!(said.lock().unwrap().is_empty());
}

#[test]
fn only_a_look_at_the_file_is_waited_for() {
    let setup = setup("", "bob:x::::::y=%u\n");
    let args = format!("{}/users", setup.folder.path().display());
    let users = Users::open(&args, &super::super::testing::place(), &resources().0).unwrap();
    let passdb = PasswdFile { users };
    let Location::Fixed(source) = &passdb.users.location else { panic!("has no variable") };
    let asker = Asker::new("bob");
    let fields = auth::fields::Fields::default();
    let request = asker.request(&fields);
    source.expire();
    assert!(matches!(passdb.lookup(&request), Lookup::Later(_)));
    assert!(matches!(passdb.lookup(&request), Lookup::Now(Answer::Found(_))));
}

#[test]
fn no_content_panics() {
    let mut random = 1u64;
    for _ in 0..300 {
        let mut text = b"u:".to_vec();
        for _ in 0..40 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(b"u:::= %{}nxp\t\n\r\0\xff\\"[(random >> 33) as usize % 18]);
        }
        let setup = setup("", text);
        setup.ask("u");
        setup.ask("");
        setup.ask(":");
    }
}
