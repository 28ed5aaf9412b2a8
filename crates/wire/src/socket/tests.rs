//! Whole connections: what an asker sends (`C:`), what it is answered (`S:`), and what the caller is
//! told of it (`E:`). Each is run line by line, in one piece and byte by byte.

use secrecy::ExposeSecret;

use super::{
    Asker, Failure, Hello, LineTooLong, OfferedMechanism, Reply, Secured, Server, SocketEvent,
    client::OPEN_LIMIT,
};

fn hello() -> Hello {
    let mechanism = |name, flags: &[&'static str]| OfferedMechanism { name, flags: flags.to_vec() };
    Hello {
        mechanisms: vec![
            mechanism("PLAIN", &["plaintext"]),
            mechanism("CRAM-MD5", &["dictionary", "active"]),
            mechanism("EXTERNAL", &[]),
        ],
        pid: 42,
        cuid: 7,
        cookie: [0xab; 16],
    }
}

/// Past the handshake.
fn server() -> Server {
    let mut server = Server::new(&hello());
    server.output().clear();
    server.feed(b"VERSION\t1\t2\nCPID\t9\n");
    assert!(server.next().is_none());
    server
}

/// Answers what it is asked by made-up rules, and notes it.
struct Session {
    server: Server,
    said: Vec<u8>,
    events: Vec<String>,
}

impl Session {
    fn new() -> Self {
        let mut server = Server::new(&hello());
        server.output().clear();
        Self { server, said: Vec::new(), events: Vec::new() }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.server.feed(bytes);
        while let Some(event) = self.server.next() {
            self.events.push(match event {
                SocketEvent::Auth(request) => {
                    match &request.initial {
                        _ if request.service == "wait" => {}
                        None => self.server.challenge(request.id, b"<1@h>").unwrap(),
                        Some(data) => decide(&mut self.server, request.id, data.expose_secret()),
                    }
                    format!("auth {} {} {}", request.id, request.mechanism, request.service)
                }
                SocketEvent::Cont { id, data } => {
                    decide(&mut self.server, id, data.expose_secret());
                    format!("cont {id} {}", data.expose_secret().escape_ascii())
                }
                SocketEvent::Cancel { id } => format!("cancel {id}"),
                SocketEvent::Notice(text) => format!("notice {text}"),
                SocketEvent::Fault(why) => format!("fault {why}"),
            });
        }
        self.said.append(self.server.output());
    }
}

fn decide(server: &mut Server, id: u32, message: &[u8]) {
    match message {
        b"\0bob\0pw" => {
            server.ok(id, "bob", &[("host", Some("h\tx")), ("nologin", None), ("user", Some("no"))])
        }
        b"more" => server.challenge(id, b""),
        _ => server.fail(id, Failure { user: Some("bob"), ..Failure::default() }),
    }
    .unwrap();
}

/// Runs a script of `C: `, `S: ` and `E: ` lines; `|` stands for TAB.
#[track_caller]
fn dialogue(script: &str) {
    let mut session = Session::new();
    let (mut sent, mut said, mut events) = (Vec::new(), String::new(), Vec::new());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (who, text) = line.split_at(line.len().min(3));
        let text = text.replace('|', "\t");
        match who {
            "C: " | "C:" => {
                let bytes = [text.as_bytes(), b"\n"].concat();
                session.feed(&bytes);
                sent.extend(bytes);
            }
            "S: " => said.push_str(&format!("{text}\n")),
            "E: " => events.push(text),
            _ => panic!("{line}"),
        }
        if who != "C: " {
            assert!(session.said.starts_with(said.as_bytes()), "{line}: {}", session.said.escape_ascii());
        }
    }
    assert_eq!(String::from_utf8_lossy(&session.said), said);
    assert_eq!(session.events, events);
    for size in [1, 9, sent.len().max(1)] {
        let mut again = Session::new();
        sent.chunks(size).for_each(|chunk| again.feed(chunk));
        assert_eq!((again.said.as_slice(), &again.events), (said.as_bytes(), &events), "in pieces of {size}");
    }
}

/// The handshake of Dovecot 2.3, line by line.
#[test]
fn the_handshake_is_said_at_once() {
    let mut server = Server::new(&hello());
    assert_eq!(
        String::from_utf8_lossy(server.output()),
        "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tCRAM-MD5\tdictionary\tactive\nMECH\tEXTERNAL\n\
         SPID\t42\nCUID\t7\nCOOKIE\tabababababababababababababababab\nDONE\n"
    );
}

#[test]
fn a_handshake_that_is_wrong_ends_the_connection() {
    for (lines, why) in [
        ("C: CPID|9", "unexpected command \"CPID\""),
        ("C: AUTH|1|PLAIN|service=x|resp=AGJvYgBwdw==", "unexpected command \"AUTH\""),
        ("C: VERSION|2|1", "protocol version \"2\" is not ours (1)"),
        ("C: VERSION|1", "VERSION without two numbers"),
        ("C: VERSION|1|x", "VERSION without two numbers"),
        ("C: VERSION|1|2|x", "VERSION without two numbers"),
        ("C: VERSION|1|2\n C: CPID|0", "CPID without a process id"),
        ("C: VERSION|1|2\n C: CPID|x", "CPID without a process id"),
        ("C: VERSION|1|2\n C: CPID|4294967296", "CPID without a process id"),
        ("C: VERSION|1|2\n C: CPID", "unexpected command \"CPID\""),
        ("C: VERSION|1|2\n C: VERSION|1|2", "unexpected command \"VERSION\""),
        ("C: VERSION|1|2\n C: FOO", "unexpected command \"FOO\""),
    ] {
        dialogue(&format!("{lines}\n C: CPID|9\n C: AUTH|1|PLAIN|service=x\n E: fault {why}"));
    }
}

#[track_caller]
fn requests(script: &str) {
    dialogue(&format!("C: VERSION|1|2\n C: CPID|9\n {script}"));
}

#[test]
fn requests_are_answered_under_their_ids() {
    requests(
        r"
        C: AUTH|1|plain|service=smtp|nologin|resp=AGJvYgBwdw==
        S: OK|1|user=bob|host=htx|nologin
        C: AUTH|4294967295|PLAIN|service=smtp|resp=AGJvYgBubw==
        S: FAIL|4294967295|user=bob
        C: AUTH|2|CRAM-MD5|service=imap
        S: CONT|2|PDFAaD4=
        C: CONT|2|bW9yZQ==
        S: CONT|2|
        C: CONT|2|AGJvYgBwdw==
        S: OK|2|user=bob|host=htx|nologin
        C: AUTH|1|PLAIN|service=again|resp=AGJvYgBwdw==
        S: OK|1|user=bob|host=htx|nologin
        E: auth 1 PLAIN smtp
        E: auth 4294967295 PLAIN smtp
        E: auth 2 CRAM-MD5 imap
        E: cont 2 more
        E: cont 2 \x00bob\x00pw
        E: auth 1 PLAIN again
        "
        .replace("htx", "h\u{1}tx")
        .as_str(),
    );
}

#[test]
fn what_is_not_base64_fails_one_request_only() {
    requests(
        "
        C: AUTH|5|PLAIN|service=x|resp=AGJvYgBwdw
        S: FAIL|5|code=invalid_base64|reason=Invalid base64 data in initial response
        C: AUTH|5|PLAIN|service=x|resp=A\u{1}tB
        S: FAIL|5|code=invalid_base64|reason=Invalid base64 data in initial response
        C: AUTH|5|PLAIN|service=x
        S: CONT|5|PDFAaD4=
        C: AUTH|6|PLAIN|service=x
        S: CONT|6|PDFAaD4=
        C: CONT|5|!!
        S: FAIL|5|code=invalid_base64|reason=Invalid base64 data in continued response
        C: CONT|5|AAAA
        S: FAIL|5|reason=Authentication request timed out
        C: CONT|6|AAAA|x
        S: FAIL|6|code=invalid_base64|reason=Invalid base64 data in continued response
        C: AUTH|7|PLAIN|service=x|resp= AGJvYgBubw== \r
        S: FAIL|7|user=bob
        E: auth 5 PLAIN x
        E: auth 6 PLAIN x
        E: cancel 5
        E: cancel 6
        E: auth 7 PLAIN x
        ",
    );
}

#[test]
fn replies_to_nothing_fail_at_once() {
    requests(
        "
        C: CONT|0|AAAA
        S: FAIL|0|reason=Authentication request timed out
        C: CONT|7|!!
        S: FAIL|7|reason=Authentication request timed out
        C: AUTH|1|PLAIN|service=wait
        C: CONT|1|AAAA
        S: FAIL|1|reason=Unexpected continuation
        C: AUTH|2|PLAIN|service=x
        S: CONT|2|PDFAaD4=
        C: CANCEL|2
        C: CONT|2|AAAA
        S: FAIL|2|reason=Authentication request timed out
        C: CANCEL|2
        C: CANCEL|0
        E: auth 1 PLAIN wait
        E: cancel 1
        E: auth 2 PLAIN x
        E: cancel 2
        ",
    );
}

#[test]
fn an_empty_response_can_be_written_in_three_ways() {
    for (minor, text, present) in
        [(2, "resp=", true), (2, "resp==", true), (2, "resp", true), (1, "resp=", false), (1, "resp==", true)]
    {
        let mut server = Server::new(&hello());
        server.feed(format!("VERSION\t1\t{minor}\nCPID\t9\nAUTH\t1\tPLAIN\tservice=x\t{text}\n").as_bytes());
        let Some(SocketEvent::Auth(request)) = server.next() else { panic!("{text}") };
        let initial = request.initial.map(|data| data.expose_secret().to_vec());
        assert_eq!(initial, present.then(Vec::new), "{minor} {text}");
    }
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    for (line, why) in [
        ("", r#"unexpected command """#),
        ("FOO|1", r#"unexpected command "FOO""#),
        ("VERSION|1|2", r#"unexpected command "VERSION""#),
        ("CPID|9", r#"unexpected command "CPID""#),
        ("AUTH", r#"unexpected command "AUTH""#),
        ("AUTH|0|PLAIN|service=x", "AUTH without a valid id"),
        ("AUTH|4294967296|PLAIN|service=x", "AUTH without a valid id"),
        ("AUTH|+1|PLAIN|service=x", "AUTH without a valid id"),
        ("AUTH| 1|PLAIN|service=x", "AUTH without a valid id"),
        ("AUTH|1", "AUTH 1 without a mechanism"),
        ("AUTH|1|NOSUCH|service=x", r#"AUTH 1 with a mechanism that is not offered: "NOSUCH""#),
        ("AUTH|1|PLAIN|resp=AAAA", "AUTH 1 without a service"),
        ("AUTH|1|PLAIN|service=x|resp=AAAA|", "AUTH 1 with a parameter after resp"),
        ("AUTH|1|PLAIN|resp=AAAA|service=x", "AUTH 1 with a parameter after resp"),
        ("AUTH|3|PLAIN|service=x", "AUTH 3 while that id is in use"),
        ("CONT|3", "CONT 3 without data"),
        ("CONT|x|AAAA", "CONT without an id"),
        ("CANCEL|3|x", "CANCEL without an id"),
        ("CANCEL|x", "CANCEL without an id"),
    ] {
        requests(&format!(
            "C: AUTH|3|PLAIN|service=wait\n C: {line}\n C: CANCEL|3\n E: auth 3 PLAIN wait\n E: fault {why}"
        ));
    }
}

#[test]
fn a_line_past_the_limit_ends_the_connection() {
    for size in [1, 1000, 100_000] {
        for (length, faults) in [(16_384, 0), (16_385, 1)] {
            let head = "AUTH\t1\tPLAIN\tservice=wait\tx=";
            let line = format!("{head}{}\n", "a".repeat(length - head.len() - 1));
            let mut session = Session::new();
            session.feed(b"VERSION\t1\t2\nCPID\t9\n");
            line.as_bytes().chunks(size).for_each(|chunk| session.feed(chunk));
            session.feed(b"CANCEL\t1\n");
            let found = session.events.iter().filter(|event| event.starts_with("fault line of more")).count();
            assert_eq!(found, faults, "{length} in {size}");
            assert_eq!(session.events.len(), 2 - faults, "{length} in {size}");
        }
    }
}

#[test]
fn all_that_is_said_of_a_client_is_understood() {
    let mut server = server();
    server.feed(
        b"AUTH\t1\tPLAIN\tservice=imap\tlip=127.0.0.1\trip=::ffff:1.2.3.4\tlport=143\trport=65535\treal_lip=::1\t\
          real_rip=10.0.0.1\treal_lport=1\treal_rport=2\tsecured=tls\tlocal_name=mail.x\tsession=a\x01tb\t\
          client_id=name=x\tvalid-client-cert\tcert_username=bob\tno-penalty\tunknown=1\t\t\
          forward_fields=a=v1\x01tb=v\x011t2\tfinal-resp-ok\tresp=AAA=\n",
    );
    let Some(SocketEvent::Auth(request)) = server.next() else { panic!("a request") };
    assert_eq!((request.id, request.mechanism, request.service.as_str()), (1, "PLAIN", "imap"));
    assert_eq!((request.lip, request.rip), ("127.0.0.1".parse().ok(), "::ffff:1.2.3.4".parse().ok()));
    assert_eq!((request.real_lip, request.real_rip), ("::1".parse().ok(), "10.0.0.1".parse().ok()));
    assert_eq!((request.lport, request.rport), (Some(143), Some(65535)));
    assert_eq!((request.real_lport, request.real_rport), (Some(1), Some(2)));
    assert_eq!(request.secured, Secured::Tls);
    assert_eq!(request.local_name.as_deref(), Some("mail.x"));
    assert_eq!(request.session.as_deref(), Some("a\tb"));
    assert_eq!(request.client_id.as_deref(), Some("name=x"));
    assert_eq!(request.cert_username.as_deref(), Some("bob"));
    assert!(request.valid_client_cert && request.no_penalty && request.final_resp_ok);
    let forwarded = [("a".to_owned(), "v1".to_owned()), ("b".to_owned(), "v\t2".to_owned())];
    assert_eq!(request.forward_fields, forwarded);
    assert_eq!(request.initial.unwrap().expose_secret(), b"\0\0");
}

#[test]
fn addresses_that_cannot_be_read_are_not_known() {
    let mut server = server();
    server.feed(b"AUTH\t1\tPLAIN\tservice=\tlip=zz\trip=\tlport=99999\trport=x\tsecured\n");
    let Some(SocketEvent::Auth(request)) = server.next() else { panic!("a request") };
    assert_eq!((request.lip, request.rip, request.lport, request.rport), (None, None, None, None));
    assert_eq!(request.secured, Secured::Yes);
    assert!(request.initial.is_none() && !request.no_penalty && !request.final_resp_ok);
}

#[test]
fn a_parameter_that_is_no_text_fails_one_request_for_the_moment() {
    for parameter in ["cert_username=b\u{1}0", "session=\u{1}x", "forward_fields==x", "client_id=\u{1}"] {
        let name = parameter.split('=').next().unwrap();
        requests(&format!(
            "C: AUTH|1|PLAIN|service=x|{parameter}
             S: FAIL|1|code=temp_fail
             C: AUTH|1|PLAIN|service=x|resp=
             S: FAIL|1|user=bob
             E: notice AUTH 1 with an unreadable \"{name}\"
             E: auth 1 PLAIN x"
        ));
    }
}

#[test]
fn failures_say_each_thing_once_and_in_order() {
    let mut server = server();
    let fields =
        [("a", Some("1")), ("nodelay", Some("y")), ("code", Some("x")), ("reason", Some("r")), ("", None)];
    let failures = [
        Failure {
            user: Some("bob"),
            nodelay: true,
            code: Some("temp_fail"),
            reason: Some("a\nb"),
            fields: &fields,
        },
        Failure { fields: &fields, ..Failure::default() },
        Failure::default(),
    ];
    for (id, failure) in (1..).zip(failures) {
        server.feed(format!("AUTH\t{id}\tPLAIN\tservice=x\n").as_bytes());
        assert!(server.next().is_some());
        server.fail(id, failure).unwrap();
    }
    assert_eq!(
        server.output().escape_ascii().to_string(),
        r"FAIL\t1\tuser=bob\tnodelay\tcode=temp_fail\treason=a\x01nb\ta=1\nFAIL\t2\ta=1\tnodelay=y\treason=r\nFAIL\t3\n"
    );
}

#[test]
fn every_request_is_answered_once() {
    let mut server = server();
    server.feed(b"AUTH\t1\tPLAIN\tservice=x\n");
    assert!(server.next().is_some());
    server.ok(1, "bob", &[]).unwrap();
    server.ok(1, "bob", &[]).unwrap();
    server.fail(1, Failure::default()).unwrap();
    server.challenge(1, b"x").unwrap();
    server.ok(2, "bob", &[]).unwrap();
    assert_eq!(server.output(), b"OK\t1\tuser=bob\n");
    assert_eq!(server.open(), 0);
}

#[test]
fn a_line_too_long_for_the_asker_becomes_a_temporary_failure() {
    let long = "x".repeat(8192);
    let mut server = server();
    for id in 1..=4 {
        server.feed(format!("AUTH\t{id}\tPLAIN\tservice=x\n").as_bytes());
        assert!(server.next().is_some());
    }
    assert_eq!(server.ok(1, "bob", &[("a", Some(&long))]), Err(LineTooLong));
    let failure = Failure { user: Some("bob"), reason: Some(&long), ..Failure::default() };
    assert_eq!(server.fail(2, failure), Err(LineTooLong));
    assert_eq!(server.challenge(3, long.as_bytes()), Err(LineTooLong));
    let fits = "x".repeat(8191 - "OK\t4\tuser=bob\ta=\n".len());
    server.output().clear();
    assert_eq!(server.ok(4, "bob", &[("a", Some(&fits))]), Ok(()));
    assert_eq!((server.output().len(), server.open()), (8191, 0));
}

#[test]
fn only_so_many_requests_are_open_at_once() {
    let mut server = server();
    for id in 1..=OPEN_LIMIT + 2 {
        server.feed(format!("AUTH\t{id}\tPLAIN\tservice=x\n").as_bytes());
    }
    let events: Vec<_> = server.by_ref().collect();
    assert!(events[..OPEN_LIMIT].iter().all(|event| matches!(event, SocketEvent::Auth(_))));
    assert!(matches!(events[OPEN_LIMIT..], [SocketEvent::Notice(_)]));
    assert_eq!(server.output(), b"FAIL\t1001\tcode=temp_fail\nFAIL\t1002\tcode=temp_fail\n");
    server.output().clear();
    server.fail(5, Failure::default()).unwrap();
    server.feed(b"AUTH\t1002\tPLAIN\tservice=x\n");
    assert!(matches!(server.next(), Some(SocketEvent::Auth(_))));
    assert_eq!(server.open(), OPEN_LIMIT);
}

#[test]
fn the_asker_understands_the_server() {
    let mut asker = Asker::new(9);
    let mut server = Server::new(&hello());
    let exchange = |asker: &mut Asker, server: &mut Server| {
        server.feed(asker.output());
        asker.output().clear();
        let events: Vec<_> = server.by_ref().collect();
        events
    };
    let hear = |asker: &mut Asker, server: &mut Server| {
        let said = std::mem::take(server.output());
        let mut replies = Vec::new();
        for byte in said {
            asker.feed(&[byte]);
            replies.extend(asker.by_ref());
        }
        replies
    };
    assert!(exchange(&mut asker, &mut server).is_empty());
    let [Reply::Ready(greeting)] = &hear(&mut asker, &mut server)[..] else { panic!("a greeting") };
    let names: Vec<_> =
        greeting.mechanisms.iter().map(|(name, flags)| format!("{name} {}", flags.join(" "))).collect();
    assert_eq!(names, ["PLAIN plaintext", "CRAM-MD5 dictionary active", "EXTERNAL "]);
    assert_eq!((greeting.pid, greeting.cuid, greeting.cookie.as_str()), (42, 7, "ab".repeat(16).as_str()));

    let parameters = [("service", Some("smtp")), ("session", Some("a\tb\n\u{1}")), ("no-penalty", None)];
    asker.auth(1, "PLAIN", &parameters, Some(b"\0bob\0pw")).unwrap();
    asker.auth(2, "EXTERNAL", &parameters, Some(b"")).unwrap();
    asker.auth(3, "CRAM-MD5", &parameters, None).unwrap();
    asker.auth(4, "PLAIN", &parameters, None).unwrap();
    asker.cancel(4);
    let events = exchange(&mut asker, &mut server);
    let initials: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            SocketEvent::Auth(request) => {
                assert_eq!(request.session.as_deref(), Some("a\tb\n\u{1}"));
                assert!(request.no_penalty);
                Some(request.initial.as_ref().map(|data| data.expose_secret().to_vec()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(initials, [Some(b"\0bob\0pw".to_vec()), Some(Vec::new()), None, None]);
    assert!(matches!(events[4..], [SocketEvent::Cancel { id: 4 }]));

    server.challenge(3, &[0, 255]).unwrap();
    server.ok(1, "b\tb", &[("proxy", None), ("host", Some("h\r\n"))]).unwrap();
    server.fail(2, Failure { code: Some("temp_fail"), ..Failure::default() }).unwrap();
    let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let replies = hear(&mut asker, &mut server);
    let [
        Reply::Challenge { id: 3, data },
        Reply::Ok { id: 1, fields: ok },
        Reply::Fail { id: 2, fields: fail },
    ] = &replies[..]
    else {
        panic!("{replies:?}")
    };
    assert_eq!(data.expose_secret(), [0, 255]);
    assert_eq!(*ok, [pair("user", Some("b\tb")), pair("proxy", None), pair("host", Some("h\r\n"))]);
    assert_eq!(*fail, [pair("code", Some("temp_fail"))]);

    asker.cont(3, b"yes").unwrap();
    let events = exchange(&mut asker, &mut server);
    assert!(matches!(&events[..], [SocketEvent::Cont { id: 3, data }] if data.expose_secret() == b"yes"));
}

/// Dovecot writes a TAB too many when a user has internal fields only.
#[test]
fn the_asker_bears_the_faults_of_others() {
    let mut asker = Asker::new(9);
    asker.feed(b"VERSION\t1\t2\nDONE\nOK\t1\tuser=bob\t\nCONT\t2\t\n");
    assert!(matches!(asker.next(), Some(Reply::Ready(_))));
    assert!(matches!(asker.next(), Some(Reply::Ok { id: 1, fields }) if fields.len() == 1));
    assert!(matches!(asker.next(), Some(Reply::Challenge { id: 2, .. })));
    for bad in ["OK\n", "OK\tx\n", "WHAT\t1\n", "\n", "CONT\t1\t!\n", "OK\t1\ta=\u{1}x\n"] {
        let mut asker = Asker::new(9);
        asker.feed(b"VERSION\t1\t2\nDONE\n");
        assert!(asker.next().is_some());
        asker.feed(bad.as_bytes());
        assert!(matches!(asker.next(), Some(Reply::Broken(_))), "{bad}");
        asker.feed(b"OK\t1\n");
        assert!(asker.next().is_none());
    }
}

#[test]
fn hostile_askers_get_bounded_answers_and_splits_do_not_matter() {
    let words = [
        "AUTH",
        "CONT",
        "CANCEL",
        "\t",
        "\t",
        "\t",
        "1",
        "2",
        "77",
        "PLAIN",
        "service=x",
        "resp=",
        "AAAA",
        "=",
        "\n",
        "\n",
        "\r",
        "\0",
        "\u{1}",
        "t",
        "AUTH\t1\tPLAIN\tservice=x\n",
        "CONT\t1\tAAAA\n",
        "CANCEL\t1\n",
        "AUTH\t2\tPLAIN\tservice=wait\tresp=AAAA\n",
        "CONT\t2\t!\n",
    ];
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut dice = |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % sides
    };
    for _ in 0..3000 {
        let mut bytes = b"VERSION\t1\t2\nCPID\t9\n".to_vec();
        for _ in 0..dice(30) {
            bytes.extend_from_slice(words[dice(words.len())].as_bytes());
        }
        let mut whole = Session::new();
        whole.feed(&bytes);
        let mut pieces = Session::new();
        bytes.chunks(1 + dice(4)).for_each(|chunk| pieces.feed(chunk));
        assert_eq!((&whole.said, &whole.events), (&pieces.said, &pieces.events), "{}", bytes.escape_ascii());
        assert!(whole.said.len() <= 8 * bytes.len());
        assert!(whole.events.iter().filter(|event| event.starts_with("fault")).count() <= 1);
        let mut asker = Asker::new(1);
        asker.feed(&bytes);
        assert!(asker.by_ref().filter(|reply| matches!(reply, Reply::Broken(_))).count() <= 1);
    }
}
