//! What relays cost: memory for each idle session, and CPU time for bytes that pass. Prints, and judges nothing.
//!
//! `cargo run --release --example relay_cost -- [SESSIONS]`; clients and backends run in a process of their own.

use std::io::{Read, Write};
use std::process::Stdio;

use config::rows::ssl::SslSettings;
use config::value::Content;
use gatepost::relay::{Halt, Relay, start};
use gatepost::stream::Stream;
use gatepost::tls::{ClientTls, ServerTls, Verify};
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

const GIB: usize = 1 << 30;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    sys::process::raise_descriptor_limit().unwrap();
    if let [gate, tls, down, sessions] = arguments.as_slice() {
        return peers(gate, tls == "true", down == "true", sessions.parse().unwrap()).await;
    }
    if let [tls, down, sessions] = arguments.as_slice() {
        let (tls, down, sessions) = (tls == "true", down == "true", sessions.parse().unwrap());
        // Warm: buffers of the thread, tickets, entropy.
        measure(tls, false, 50).await;
        let (kib, seconds) = measure(tls, down, sessions).await;
        match sessions {
            1 => println!("{}, {}: {seconds:.3} CPU s/GiB", leg(tls), if down { "down" } else { "up" }),
            _ => println!("{}: {kib:.2} KiB for each of {sessions} idle sessions", leg(tls)),
        }
        return;
    }
    let sessions = arguments.first().map_or("2000", String::as_str);
    for (tls, down, sessions) in [
        ("false", "false", sessions),
        ("true", "false", sessions),
        ("false", "true", "1"),
        ("false", "false", "1"),
        ("true", "true", "1"),
        ("true", "false", "1"),
    ] {
        // Memory that one measurement gave back must not serve the next.
        let again = Command::new(std::env::current_exe().unwrap()).args([tls, down, sessions]).status().await;
        assert!(again.unwrap().success());
    }
}

fn leg(tls: bool) -> &'static str {
    if tls { "TLS client" } else { "plaintext client" }
}

/// Relays so many sessions. With one, a GiB passes; with more, a few bytes each. Returns KiB for each while they are
/// idle, and CPU seconds of this process.
async fn measure(tls: bool, down: bool, sessions: usize) -> (f64, f64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut peers = Command::new(std::env::current_exe().unwrap())
        .arg(listener.local_addr().unwrap().to_string())
        .args([tls.to_string(), down.to_string(), sessions.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let tls = tls.then(server);
    let (memory, time) = (pss_kib(), cpu_seconds());
    let mut relays = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        let client = Stream::plain(accept(&listener).await);
        let client = match &tls {
            Some(tls) => client.accept_tls(tls, "imap").await.unwrap(),
            None => client,
        };
        let backend = Stream::plain(accept(&listener).await);
        let relay = Relay::new(client, backend, Vec::new(), Vec::new(), Halt::new());
        relays.push(start(relay, |ended| assert!(ended.error.is_none(), "{ended:?}")));
    }
    // They say a byte when everything has passed.
    peers.stdout.take().unwrap().read_u8().await.unwrap();
    let cost = ((pss_kib() - memory) / sessions as f64, cpu_seconds() - time);
    drop(peers.stdin.take());
    for relay in relays {
        relay.await.unwrap();
    }
    peers.wait().await.unwrap();
    cost
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (socket, _) = listener.accept().await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// The clients and the backends.
async fn peers(gate: &str, tls: bool, down: bool, sessions: usize) {
    let tls = tls.then(|| ClientTls::load(&SslSettings::default()).unwrap());
    let mut ends = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        let client = Stream::plain(TcpStream::connect(gate).await.unwrap());
        let mut client = match &tls {
            Some(tls) => {
                let name = ServerName::try_from("mail.example.com").unwrap();
                client.connect_tls(tls, Verify::AnyCertificate, name).await.unwrap()
            }
            None => client,
        };
        let mut backend = Stream::plain(TcpStream::connect(gate).await.unwrap());
        let amount = if sessions == 1 { GIB } else { 100 };
        if down {
            pass(&mut backend, &mut client, amount).await;
        } else {
            pass(&mut client, &mut backend, amount).await;
        }
        pass(&mut backend, &mut client, 100).await;
        ends.push((client, backend));
    }
    // Nothing else has to move in this process meanwhile.
    std::io::stdout().write_all(b".").unwrap();
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    for (client, backend) in &mut ends {
        client.shutdown().await.unwrap();
        backend.shutdown().await.unwrap();
    }
}

async fn pass(from: &mut Stream, to: &mut Stream, amount: usize) {
    let send = async {
        let chunk = vec![7; amount.min(1 << 18)];
        for _ in 0..amount / chunk.len() {
            from.write_all(&chunk).await.unwrap();
        }
    };
    let receive = async {
        let mut left = amount;
        let mut got = Vec::new();
        while left > 0 {
            left -= to.read(&mut got).await.unwrap();
            got.clear();
        }
    };
    tokio::join!(send, receive);
}

fn server() -> ServerTls {
    let made = rcgen::generate_simple_self_signed(vec!["mail.example.com".to_owned()]).unwrap();
    let settings = SslSettings {
        cert: Some(Content::Text(made.cert.pem())),
        key: Some(Content::Text(made.signing_key.serialize_pem())),
        ..SslSettings::default()
    };
    ServerTls::load(&settings, &[]).unwrap()
}

fn pss_kib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn cpu_seconds() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .sum()
}
