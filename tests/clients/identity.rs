//! Proxies behind proxies, ours and Dovecot's in turn: what the last backend is told of the client is what the first of
//! them saw.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use gatepost_tests::scenario::{self, Subject};
use gatepost_tests::stream::Stream;
use gatepost_tests::subject::Running;
use gatepost_tests::workplace::own_address;

use socket2::{Domain, Socket, Type};

use crate::Test;
use crate::house::{Gate, PASSWORD, PATIENCE, command, expect, until};
use crate::program::holds;

pub(crate) const TESTS: &[Test] = &[
    ("identity::two_gates_in_a_row_over_imap", &[], |_| imap(&[Subject::Gatepost, Subject::Gatepost])),
    ("identity::two_gates_in_a_row_over_pop3", &[], |_| pop3(&[Subject::Gatepost, Subject::Gatepost])),
    ("identity::a_gate_behind_dovecot_over_imap", &[], |_| imap(&[Subject::Dovecot, Subject::Gatepost])),
    ("identity::a_gate_behind_dovecot_over_pop3", &[], |_| pop3(&[Subject::Dovecot, Subject::Gatepost])),
    ("identity::a_gate_before_dovecot_over_imap", &[], |_| imap(&[Subject::Gatepost, Subject::Dovecot])),
    ("identity::a_gate_before_dovecot_over_pop3", &[], |_| pop3(&[Subject::Gatepost, Subject::Dovecot])),
    ("identity::what_cannot_be_told_is_logged", &[], left_out),
];

fn imap(subjects: &[Subject]) -> Result<(), String> {
    let greeting = "* OK [CAPABILITY IMAP4rev1 ID] Hello.\r\n";
    let told = |told: &str, key: &str| {
        let (_, rest) = told.split_once(&format!("\"{key}\" \""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let seen = |line: &str| -> Option<Seen> {
        let value = |key: &str| told(line, key);
        let forward = |name: &str| value(&format!("x-forward-{name}"));
        Some(Seen {
            address: value("x-originating-ip")?,
            port: value("x-originating-port")?,
            local: Some((value("x-connected-ip")?, value("x-connected-port")?)),
            session: value("x-session-id")?,
            ttl: value("x-proxy-ttl")?,
            fields: vec![forward("gate-1")?, forward("gate-2")?, forward("front").unwrap_or_default()],
        })
    };
    // Nothing said by the client itself: what counts is where it comes from.
    let chain = Chain::start("imap", subjects, greeting)?;
    let mut client = chain.connect()?;
    client.stream.send_line(b"a LOGIN bob pw").map_err(|e| e.to_string())?;
    until(&mut client.stream, "a OK ")?;
    let heard = chain.heard()?;
    let is = seen(&heard).ok_or_else(|| format!("not all of it is told: {heard}"))?;
    chain_saw(&is, &client)?;

    // And said by a front before the first.
    let chain = Chain::start("imap", subjects, greeting)?;
    let mut client = chain.connect()?;
    let id = r#"i ID ("x-originating-ip" "2001:db8::7" "x-originating-port" "4000" "x-connected-ip" "10.0.0.2" "x-connected-port" "1143" "x-session-id" "outer" "x-proxy-ttl" "4" "x-forward-front" "a\"b\\c d")"#;
    client.stream.send_line(id.as_bytes()).map_err(|e| e.to_string())?;
    until(&mut client.stream, "i OK ")?;
    client.stream.send_line(b"a LOGIN bob pw").map_err(|e| e.to_string())?;
    until(&mut client.stream, "a OK ")?;
    let heard = chain.heard()?;
    for part in [
        r#""x-session-id" "outer" "x-originating-ip" "2001:db8::7" "x-originating-port" "4000""#,
        r#""x-connected-ip" "10.0.0.2" "x-connected-port" "1143" "x-proxy-ttl" "2""#,
        r#""x-forward-front" "a\"b\\c d""#,
        r#""x-forward-gate-1" "blau-grün""#,
        r#""x-forward-gate-2" "blau-grün""#,
    ] {
        holds(&heard, part)?;
    }
    Ok(())
}

fn pop3(subjects: &[Subject]) -> Result<(), String> {
    let chain = Chain::start("pop3", subjects, "+OK [XCLIENT] Hello.\r\n")?;
    let mut client = chain.connect()?;
    client.stream.send_line(b"USER bob").map_err(|e| e.to_string())?;
    client.stream.send_line(b"PASS pw").map_err(|e| e.to_string())?;
    for _ in 0..3 {
        expect(&mut client.stream, "+OK")?;
    }
    let heard = chain.heard()?;
    let value = |name: &str| {
        let start = format!("{name}=");
        heard.split(' ').find_map(|argument| argument.strip_prefix(&start)).map(str::to_owned)
    };
    let fields = value("FORWARD").ok_or_else(|| format!("no fields are told: {heard}"))?;
    let fields = BASE64.decode(fields.as_bytes()).map_err(|e| e.to_string())?;
    let fields = String::from_utf8(fields).map_err(|e| e.to_string())?;
    let field = |name: &str| {
        let start = format!("{name}=");
        fields.split('\t').find_map(|field| field.strip_prefix(&start)).unwrap_or_default().to_owned()
    };
    let missing = || format!("not all of it is told: {heard}");
    let is = Seen {
        address: value("ADDR").ok_or_else(missing)?,
        port: value("PORT").ok_or_else(missing)?,
        local: None,
        session: value("SESSION").ok_or_else(missing)?,
        ttl: value("TTL").ok_or_else(missing)?,
        fields: vec![field("gate-1"), field("gate-2"), String::new()],
    };
    chain_saw(&is, &client)
}

/// What the last backend was told.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    address: String,
    port: String,
    local: Option<(String, String)>,
    session: String,
    ttl: String,
    fields: Vec<String>,
}

/// What the log says of it, and that the login does not suffer; the same on the way to the local mail service.
fn left_out(gate: &mut Gate) -> Result<(), String> {
    let path = gate.file("users.imap");
    let users = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let long = "v".repeat(1025);
    let (one, two) = (gate.user("lena"), gate.user("lisa"));
    let fields = format!("forward_color=red forward_long={long} forward_abcdefghijklmnopqrstu=x");
    let port = gate.backends.one.place.port("imap")?;
    let more = format!(
        "{one}:{{PLAIN}}{PASSWORD}::::::proxy host=127.0.0.1 port={port} {fields}\n\
         {two}:{{PLAIN}}{PASSWORD}::::::{fields}\n"
    );
    std::fs::write(&path, users + &more).map_err(|e| e.to_string())?;
    gate.reload()?;
    for who in ["lena", "lisa"] {
        let mut client = gate.log_in("imap", who)?;
        command(&mut client, "b NOOP")?;
        let user = gate.user(who);
        let names = "is not told: forward_long, forward_abcdefghijklmnopqrstu";
        gate.await_log(&["imap-login: Warning: ", &user, names])?;
    }
    if gate.log().contains(&long) {
        return Err("the value is in the log".to_owned());
    }
    Ok(())
}

fn chain_saw(is: &Seen, client: &Client) -> Result<(), String> {
    let should_be = Seen {
        address: client.from.to_string(),
        port: client.port.to_string(),
        local: is.local.as_ref().map(|_| ("127.0.0.1".to_owned(), client.to.to_string())),
        session: is.session.clone(),
        ttl: "3".to_owned(),
        fields: vec![VALUE.to_owned(), VALUE.to_owned(), String::new()],
    };
    if *is != should_be {
        return Err(format!("told: {is:?}\nof:   {should_be:?}"));
    }
    Ok(())
}

/// The value of the field that each proxy adds.
const VALUE: &str = "blau-grün";

struct Client {
    stream: Stream,
    from: Ipv4Addr,
    port: u16,
    to: u16,
}

/// Proxies, the first of which talks to clients, and a backend that remembers what it was told.
struct Chain {
    protocol: &'static str,
    proxies: Vec<Running>,
    backend: JoinHandle<std::io::Result<String>>,
}

impl Chain {
    fn start(protocol: &'static str, subjects: &[Subject], greeting: &'static str) -> Result<Chain, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let mut port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let backend = thread::spawn(move || serve(&listener, greeting));
        let mut proxies = Vec::new();
        for (at, &subject) in subjects.iter().enumerate().rev() {
            let proxy = Running::start(&scenario::parse(&configuration(protocol, at + 1, port))?, subject)?;
            port = proxy.place.port(protocol)?;
            proxies.insert(0, proxy);
        }
        Ok(Chain { protocol, proxies, backend })
    }

    fn connect(&self) -> Result<Client, String> {
        let first = self.proxies.first().ok_or("no proxies")?;
        let (from, to) = (own_address(), first.place.port(self.protocol)?);
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((from, 0)).into())?;
            socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, to)).into())?;
            let socket = TcpStream::from(socket);
            Ok((socket.local_addr()?.port(), Stream::accepted(socket)?))
        };
        let (port, stream) = connect().map_err(|e: std::io::Error| e.to_string())?;
        Ok(Client { stream, from, port, to })
    }

    /// The command that said whose login it is; each proxy logs the session by the name told there.
    fn heard(self) -> Result<String, String> {
        let heard = self.backend.join().map_err(|_| "the backend panicked")?.map_err(|e| e.to_string())?;
        let session = heard
            .split_once("\"x-session-id\" \"")
            .map(|(_, rest)| rest.split('"').next())
            .or_else(|| heard.split_once(" SESSION=").map(|(_, rest)| rest.split(' ').next()))
            .flatten()
            .ok_or_else(|| format!("no session is told: {heard}"))?;
        let named = format!("session=<{session}>");
        let deadline = Instant::now() + PATIENCE;
        for proxy in &self.proxies {
            while !proxy.log_tail().contains(&named) {
                if Instant::now() > deadline {
                    return Err(format!("{named} is not logged:\n{}", proxy.log_tail()));
                }
                sleep(Duration::from_millis(20));
            }
        }
        Ok(heard)
    }
}

/// A proxy that trusts whoever connects, asks no password and adds a field of its own.
fn configuration(protocol: &str, number: usize, port: u16) -> String {
    format!(
        "# A proxy.
[dovecot.conf]
login_trusted_networks = 127.0.0.0/8
passdb {{
  driver = passwd-file
  args = ${{dir}}/users
}}
[users]
bob:{{PLAIN}}pw::::::proxy host=127.0.0.1 port={port} forward_gate-{number}={VALUE}
[{protocol}]
S: …
"
    )
}

/// Lets one client in, and gives what it was told before.
fn serve(listener: &TcpListener, greeting: &str) -> std::io::Result<String> {
    let (socket, _) = listener.accept()?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut client = BufReader::new(socket);
    client.get_mut().write_all(greeting.as_bytes())?;
    let (mut told, mut command) = (None, String::new());
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        command.push_str(line.trim_end());
        // A literal's text goes where a quoted string would stand.
        if let Some((before, size)) = command.strip_suffix('}').and_then(|line| line.rsplit_once('{')) {
            client.get_mut().write_all(b"+ OK\r\n")?;
            let mut literal = vec![0; size.parse().unwrap_or(0)];
            client.read_exact(&mut literal)?;
            command = format!("{before}\"{}\"", String::from_utf8_lossy(&literal));
            continue;
        }
        let tag = command.split(' ').next().unwrap_or_default();
        let reply = if greeting.starts_with('*') { format!("{tag} OK Done.\r\n") } else { "+OK\r\n".into() };
        client.get_mut().write_all(reply.as_bytes())?;
        let logged_in = command.contains(" LOGIN ") || tag == "PASS";
        let told = told.get_or_insert(std::mem::take(&mut command));
        if logged_in {
            return Ok(std::mem::take(told));
        }
    }
}
