use std::sync::Mutex;
use std::time::{Duration, Instant};

use auth::fields::Fields;

use super::super::testing::{Asker, ask, passdb, resources, shown};
use super::testing::Setup;
use super::*;

const TABLE: &str = "
    CREATE TABLE users (userid TEXT, password TEXT, host TEXT, n INTEGER, r REAL, b BLOB);
    INSERT INTO users VALUES ('bob', '{PLAIN}pw', 'imap2.example.com', 7, 1.0, x'6162');
    INSERT INTO users VALUES ('none', NULL, NULL, NULL, NULL, NULL);
    INSERT INTO users VALUES ('empty', '', '', 0, 1e100, x'ff');
    INSERT INTO users VALUES ('twice', 'a', 'x', 1, 1, ''), ('twice', 'b', 'y', 2, 2, '');
";

struct Subject {
    setup: Setup,
    passdb: Box<dyn Passdb>,
    said: Arc<Mutex<Vec<String>>>,
}

fn subject(settings: &str) -> Subject {
    let setup = Setup::new(TABLE, settings);
    let (resources, said) = resources();
    let passdb = open(&passdb("sql", &setup.args()), &resources).unwrap();
    Subject { setup, passdb, said }
}

impl Subject {
    fn ask(&self, user: &str) -> String {
        self.setup.plain(&shown(&ask(&*self.passdb, user)))
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap()).iter().map(|line| self.setup.plain(line)).collect()
    }

    /// Asks until the answer is the wanted one; the driver notices changes of files within a second.
    fn ask_until(&self, user: &str, wanted: &str) {
        let begun = Instant::now();
        while self.ask(user) != wanted {
            assert!(begun.elapsed().as_secs() < 60, "{}", self.ask(user));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn answer(query: &str, user: &str) -> String {
    subject(&format!("default_pass_scheme = PLAIN\npassword_query = {query}")).ask(user)
}

#[test]
fn the_referral_example_runs_as_written() {
    let query = "SELECT password, host, 'Y' as nologin FROM users WHERE userid = '%u'";
    assert_eq!(answer(query, "bob"), "{PLAIN}pw host=imap2.example.com nologin=Y");
    assert_eq!(answer(query, "none"), "absent nologin=Y");
    assert_eq!(answer(query, "empty"), "{PLAIN} host= nologin=Y");
    assert_eq!(answer(query, "BOB"), "Unknown");
}

#[test]
fn the_example_that_refers_everybody_runs_as_written() {
    let subject = subject(
        "password_query = \\\n  SELECT NULL AS password, \\\n  'imap2.example.com' AS host, \\\n  'This server is down, try another one.' AS reason, \\\n  'Y' as nologin, \\\n  'Y' as nodelay",
    );
    assert_eq!(
        subject.ask("anybody"),
        "absent host=imap2.example.com reason=This server is down, try another one. nologin=Y nodelay=Y"
    );
}

#[test]
fn the_proxy_example_runs_as_written() {
    let subject = subject(
        "password_query = SELECT userid as user, password, 'Y' as proxy, host \\\n  FROM users WHERE userid = '%u'",
    );
    assert_eq!(subject.ask("bob"), "{PLAIN}pw user=bob proxy=Y host=imap2.example.com");
}

#[test]
fn the_default_query_asks_for_name_and_domain() {
    let setup = Setup::new(
        "CREATE TABLE users (username TEXT, domain TEXT, password TEXT);
         INSERT INTO users VALUES ('bob', 'ex', 'x')",
        "",
    );
    let passdb = open(&passdb("sql", &setup.args()), &resources().0).unwrap();
    assert_eq!(shown(&ask(&*passdb, "bob@ex")), "{MD5}x username=bob domain=ex");
    assert_eq!(shown(&ask(&*passdb, "bob")), "Unknown");
}

// sql: each column is a field, NULL is absent, numbers are decimal; as SQLite itself prints them.
#[test]
fn columns_are_fields_of_their_name() {
    let query =
        "SELECT password, n, r, b AS 'x:protected', 'v' AS userdb_home FROM users WHERE userid = '%u'";
    assert_eq!(answer(query, "bob"), "{PLAIN}pw n=7 r=1.0 x:protected=ab userdb_home=v");
    assert_eq!(answer(query, "none"), "absent userdb_home=v");
    assert_eq!(answer(query, "empty"), "Failed: password_query: field \"x:protected\" is not UTF-8");
    let numbers = "SELECT 'x' AS password, 1e100 AS a, 0.1 AS b, -9223372036854775808 AS c, 9e999 AS d";
    assert_eq!(answer(numbers, "x"), "{PLAIN}x a=1.0e+100 b=0.1 c=-9223372036854775808 d=Inf");
}

#[test]
fn a_password_column_is_required() {
    let missing = "Failed: Password query must return a field named 'password'";
    assert_eq!(answer("SELECT host FROM users WHERE userid = '%u'", "bob"), missing);
    assert_eq!(answer("SELECT password AS PASSWORD FROM users WHERE userid = '%u'", "bob"), missing);
    let noscheme = "SELECT password AS password_noscheme FROM users WHERE userid = '%u'";
    assert_eq!(answer(noscheme, "bob"), "{PLAIN}{PLAIN}pw");
}

#[test]
fn two_rows_are_a_failure() {
    let query = "SELECT password FROM users WHERE userid = '%u'";
    assert_eq!(answer(query, "twice"), "Failed: Password query returned multiple matches");
}

#[test]
fn a_second_password_is_not_used() {
    let subject = subject("password_query = SELECT 'a' AS password, 'b' AS password, 1 AS x");
    assert_eq!(subject.ask("x"), "{MD5}a x=1");
    assert_eq!(subject.said(), ["Error password_query: there is a second password, which is not used"]);
}

#[test]
fn a_query_that_cannot_run_is_told_once_with_its_name() {
    let subject = subject("password_query = SELECT pasword AS password FROM users");
    let why = "sql users.sqlite: password_query: no such column: pasword";
    for _ in 0..3 {
        assert!(subject.ask("bob").starts_with(&format!("Failed: {why}")), "{}", subject.ask("bob"));
    }
    let said = subject.said();
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with(&format!("Error {why}")));
}

#[test]
fn nothing_but_one_reading_statement_runs() {
    for query in [
        "DELETE FROM users RETURNING password",
        "SELECT 'x' AS password; DELETE FROM users",
        "UPDATE users SET host = '%u' RETURNING password",
        "ATTACH '/tmp/x' AS password",
    ] {
        let subject = subject(&format!("password_query = {query}"));
        assert!(subject.ask("bob").starts_with("Failed: sql users.sqlite: password_query: "), "{query}");
        let users: i64 =
            subject.setup.writer().query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap();
        assert_eq!(users, 5);
    }
    assert_eq!(answer("SELECT 'x' AS password ; ", "bob"), "{PLAIN}x");
}

#[test]
fn an_absent_database_is_taken_when_it_appears() {
    let setup = Setup::new(TABLE, "password_query = SELECT password FROM users WHERE userid = '%u'");
    let aside = setup.database().with_extension("aside");
    std::fs::rename(setup.database(), &aside).unwrap();
    let (resources, said) = resources();
    let passdb = open(&passdb("sql", &setup.args()), &resources).unwrap();
    let subject = Subject { setup, passdb, said };
    assert!(subject.ask("bob").starts_with("Failed: sql users.sqlite: password_query: cannot be opened: "));
    std::fs::rename(&aside, subject.setup.database()).unwrap();
    assert_eq!(subject.ask("bob"), "{PLAIN}pw");
    assert_eq!(subject.said().len(), 2);
}

#[test]
fn another_file_in_the_place_of_the_first_is_noticed() {
    let subject = subject("password_query = SELECT password FROM users WHERE userid = '%u'");
    assert_eq!(subject.ask("bob"), "{PLAIN}pw");
    let other = Setup::new(
        "CREATE TABLE users (userid, password); INSERT INTO users VALUES ('bob', '{PLAIN}new')",
        "",
    );
    std::fs::rename(other.database(), subject.setup.database()).unwrap();
    subject.ask_until("bob", "{PLAIN}new");
    std::fs::remove_file(subject.setup.database()).unwrap();
    let begun = Instant::now();
    while !subject.ask("bob").starts_with("Failed: ") {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_broken_or_locked_database_fails_and_recovers() {
    let subject = subject("password_query = SELECT password FROM users WHERE userid = '%u'");
    let writer = subject.setup.writer();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(subject.ask("bob"), "Failed: sql users.sqlite: password_query: database is locked");
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(subject.ask("bob"), "{PLAIN}pw");
    drop(writer);
    let good = std::fs::read(subject.setup.database()).unwrap();
    std::fs::write(subject.setup.database(), vec![b'x'; good.len()]).unwrap();
    assert!(
        subject.ask("bob").starts_with("Failed: sql users.sqlite: password_query: "),
        "{}",
        subject.ask("bob")
    );
    std::fs::write(subject.setup.database(), &good).unwrap();
    assert_eq!(subject.ask("bob"), "{PLAIN}pw");
    subject.setup.writer().execute_batch("UPDATE users SET password = 'q'; ALTER TABLE users ADD z").unwrap();
    assert_eq!(subject.ask("bob"), "{MD5}q");
}

#[test]
fn faults_in_settings_are_told_when_opened() {
    let refused = |settings: &str| {
        let setup = Setup::new(TABLE, settings);
        setup.plain(&open(&passdb("sql", &setup.args()), &resources().0).err().unwrap())
    };
    assert_eq!(
        refused("pasword_query = x"),
        "sql.conf.ext:3: unknown setting \"pasword_query\" (did you mean \"password_query\"?)"
    );
    assert_eq!(refused("password_query = SELECT 'x"), "sql.conf.ext: password_query: ' has no end");
    let subject = subject("password_query = SELECT password FROM users WHERE userid = '%z'");
    assert_eq!(subject.said().len(), 1);
    assert!(subject.ask("bob").starts_with("Failed: password_query: "));
}

/// Names that would change a query which holds them as text.
fn hostile_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "' OR '1'='1",
        "' OR 1=1 --",
        "'; DROP TABLE users; --",
        "' UNION SELECT 'x' --",
        "\\' OR 1=1 --",
        "'' OR ''=''",
        "bob'--",
        "bob'/*",
        "bob\0",
        "\"",
        "\" OR \"1\"=\"1",
        "`",
        "[",
        "]",
        "%",
        "%u",
        "%%",
        "%{user}",
        "?1",
        ":a",
        "@a",
        "$a",
        "userid",
        "password",
        "1 OR 1",
        "bob' AND '1'='1",
        "é' OR 1",
        "\u{ff07} OR 1=1",
        "x'6f'",
        "0x1",
        "1e3",
        "007",
        "-1",
        "NULL",
        "null",
        "bob ",
        " bob",
        "BOB",
        "bo%",
        "bo_",
        "*",
        "bob\n",
        "\t",
        "\u{202e}",
        "",
        "'",
        "''",
        "'''",
        "\\",
        "--",
        "/*",
        "*/",
        ";",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut random = 11u64;
    for _ in 0..400 {
        let name = (0..1 + random % 12).map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ['\'', '"', '`', '%', ' ', '-', ';', '=', 'b', 'o', '\\', '(', ')', '?', '1', 'é', '\u{1}']
                [(random >> 33) as usize % 17]
        });
        names.push(name.collect());
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    names.sort();
    names.dedup();
    names
}

// No user name, password or SNI name changes a query: each finds exactly the row that equals it.
#[test]
fn hostile_names_find_their_own_row_and_nothing_else() {
    let names = hostile_names();
    let queries = [
        "SELECT password FROM users WHERE userid = '%u'",
        "SELECT password FROM users WHERE userid = %u",
        "SELECT password FROM users WHERE userid = \"%u\"",
        "SELECT password FROM users WHERE userid = '%{local_name}'",
        "SELECT password FROM users WHERE '%w' = userid",
        "SELECT password FROM users WHERE userid || '/x' = '%u/x'",
        "SELECT password /* '%u' */ FROM users WHERE (userid)=('%u') -- '%u",
    ];
    for query in queries {
        let setup = Setup::new(
            "CREATE TABLE users (userid TEXT, password TEXT)",
            &format!("default_pass_scheme = PLAIN\npassword_query = {query}"),
        );
        let mut writer = setup.writer();
        let batch = writer.transaction().unwrap();
        // Every second name is there.
        for (number, name) in names.iter().enumerate().step_by(2) {
            batch.execute("INSERT INTO users VALUES (?1, ?2)", (name, number.to_string())).unwrap();
        }
        batch.commit().unwrap();
        let passdb = open(&passdb("sql", &setup.args()), &resources().0).unwrap();
        for (number, name) in names.iter().enumerate() {
            let mut asker = Asker::new(name);
            asker.facts.peer.local_name = Some(name.clone());
            let password = auth::request::Secret::from(name.as_bytes().to_vec());
            let fields = Fields::default();
            let request = Request {
                facts: &asker.facts,
                identity: &asker.identity,
                fields: &fields,
                userdb: &fields,
                password: Some(&password),
                passdb_id: 1,
            };
            let Lookup::Blocking(job) = passdb.lookup(&request) else { panic!("{name:?} was not asked") };
            let expected = if number % 2 == 0 { format!("{{PLAIN}}{number}") } else { "Unknown".to_owned() };
            assert_eq!(shown(&job()), expected, "{query} with {name:?}");
        }
    }
}

#[test]
fn a_hostile_name_cannot_become_part_of_a_table_name() {
    let subject = subject("password_query = SELECT password FROM users%d WHERE userid = '%n'");
    for user in ["bob@ WHERE 1", "bob@;", "bob@'", "bob@ --", "bob@", "bob@\""] {
        assert!(subject.ask(user).ends_with("is not fit for a name"), "{user}");
    }
    assert!(subject.ask("bob@_x").ends_with("no such table: users_x"));
    for number in 0..50 {
        subject.ask(&format!("bob@_{number}"));
    }
    // Whoever chooses names does not fill the log.
    assert_eq!(subject.said().len(), 1);
}

#[test]
fn lookups_from_many_threads_are_all_answered() {
    let subject = subject("password_query = SELECT password FROM users WHERE userid = '%u'");
    std::thread::scope(|threads| {
        for _ in 0..16 {
            threads.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(subject.ask("bob"), "{PLAIN}pw");
                }
            });
        }
    });
}

#[test]
fn the_time_of_a_lookup_is_printed() {
    let subject = subject("password_query = SELECT password, host FROM users WHERE userid = '%u'");
    let begun = Instant::now();
    for _ in 0..10_000 {
        assert!(matches!(ask(&*subject.passdb, "bob"), Answer::Found(_)));
    }
    println!("{:?} for a lookup", begun.elapsed() / 10_000);
}
