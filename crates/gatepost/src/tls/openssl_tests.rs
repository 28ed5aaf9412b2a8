//! The same with OpenSSL at the other end, which is what most clients and backends are. Skipped, and said so, where
//! its command is not installed.

use std::process::Stdio;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::*;
use crate::stream::Stream;
use crate::stream::testing::{Authority, read_up_to};

fn openssl(arguments: &[&str]) -> Option<Child> {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    if child.is_err() {
        eprintln!("skipped: no openssl command");
    }
    child.ok()
}

/// A server of ours and `openssl s_client` connected to it.
async fn s_client(settings: &SslSettings, options: &[&str]) -> Option<(std::io::Result<Stream>, Child)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let child = openssl(&[&["s_client", "-connect", &address], options].concat())?;
    let (socket, _) = listener.accept().await.unwrap();
    let server = ServerTls::load(settings, &[]).unwrap();
    Some((Stream::plain(socket).accept_tls(&server, "imap").await, child))
}

#[tokio::test]
async fn openssl_clients_are_served_in_both_versions() {
    let authority = Authority::new();
    let ca = authority.directory.path().join("ca.pem").display().to_string();
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let verify =
            ["-quiet", "-servername", "mail.example.com", "-CAfile", &ca, "-verify_return_error", option];
        let settings = authority.server("mail.example.com");
        let Some((stream, mut child)) = s_client(&settings, &verify).await else { return };
        let mut stream = stream.unwrap();
        assert_eq!(stream.tls().unwrap().version, version);
        assert_eq!(stream.tls().unwrap().server_name.as_deref(), Some("mail.example.com"));
        let much = vec![b'x'; 200_000];
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut got = vec![0; much.len()];
        stdin.write_all(b"a NOOP\n").await.unwrap();
        assert_eq!(read_up_to(&mut stream, 7).await, b"a NOOP\n");
        let (sent, read) = tokio::join!(stream.write_all(&much), stdout.read_exact(&mut got));
        sent.unwrap();
        read.unwrap();
        assert!(got == much);
        stream.shutdown().await.unwrap();
        drop(stdin);
        child.wait().await.unwrap();
    }
}

#[tokio::test]
async fn an_openssl_client_may_change_its_keys_and_ask_for_ours() {
    let settings = Authority::new().server("mail.example.com");
    let Some((stream, mut child)) = s_client(&settings, &["-tls1_3"]).await else { return };
    let mut stream = stream.unwrap();
    let stdin = child.stdin.as_mut().unwrap();
    // A line of its own that begins with K asks for new keys on both sides.
    for command in ["a NOOP\n", "K\n", "b NOOP\n", "K\n", "c NOOP\n"] {
        stdin.write_all(command.as_bytes()).await.unwrap();
        if command != "K\n" {
            assert_eq!(read_up_to(&mut stream, 7).await, command.as_bytes());
            stream.write_all(b"OK\n").await.unwrap();
        } else {
            // The client reads lines as they come and takes two in one read for content.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    stream.write_all(b"end of test\n").await.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line == "end of test" {
            return;
        }
    }
    panic!("the client did not see the last line");
}

#[tokio::test]
async fn renegotiation_is_refused_and_harms_nothing() {
    let settings = Authority::new().server("mail.example.com");
    let Some((stream, mut child)) = s_client(&settings, &["-tls1_2"]).await else { return };
    let mut stream = stream.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"R\n").await.unwrap();
    // OpenSSL gives up when it is refused; whatever it does, reading ends.
    drop(stdin);
    let mut got = Vec::new();
    let _ = stream.read(&mut got).await;
    assert_eq!(got, b"");
    let output = child.wait_with_output().await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("no renegotiation"), "{output:?}");
}

#[tokio::test]
async fn an_openssl_client_that_is_too_old_or_wants_http_is_refused() {
    let settings = Authority::new().server("mail.example.com");
    for (options, expected) in [
        (&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"][..], "client shares no TLS version with us"),
        (&["-alpn", "http/1.1"], "client asked by ALPN for another protocol than this one"),
        (&["-tls1_2", "-cipher", "AES128-SHA"], "client shares no key exchange with us"),
    ] {
        let Some((stream, _child)) = s_client(&settings, options).await else { return };
        assert_eq!(stream.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn openssl_servers_are_spoken_to_in_both_versions() {
    let authority = Authority::new();
    let (cert, key) = authority.issue("mail.example.com", |_| {});
    let path = |name: &str| authority.directory.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), cert).unwrap();
    std::fs::write(path("key.pem"), key).unwrap();
    let client = ClientTls::load(&authority.client()).unwrap();
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        // -rev sends each line back reversed.
        let server = [
            "s_server",
            "-accept",
            &port,
            "-cert",
            &path("cert.pem"),
            "-key",
            &path("key.pem"),
            "-rev",
            option,
        ];
        let Some(_child) = openssl(&server) else { return };
        let socket = loop {
            match TcpStream::connect(&port).await {
                Ok(socket) => break socket,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let name = ServerName::try_from("mail.example.com").unwrap();
        let mut stream = Stream::plain(socket).connect_tls(&client, Verify::Fully, name).await.unwrap();
        assert_eq!(stream.tls().unwrap().version, version);
        stream.write_all(b"drawer\n").await.unwrap();
        assert_eq!(read_up_to(&mut stream, 7).await, b"reward\n");
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut Vec::new()).await.unwrap(), 0);
    }
}
