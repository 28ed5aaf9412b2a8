use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Duration, timeout};

use super::testing::{Ends, plain_pair, read_up_to, tcp_pair};
use super::*;

#[tokio::test]
async fn plain_bytes_come_as_they_were_sent_and_the_end_is_zero() {
    let (mut near, mut far) = plain_pair().await;
    near.write_all(b"a LOGIN u p\r\n").await.unwrap();
    near.shutdown().await.unwrap();
    let mut got = b"before ".to_vec();
    assert_eq!(far.read(&mut got).await.unwrap(), 13);
    assert_eq!(got, b"before a LOGIN u p\r\n");
    assert_eq!(far.read(&mut got).await.unwrap(), 0);
    // The other direction is still open.
    far.write_all(b"a OK\r\n").await.unwrap();
    assert_eq!(read_up_to(&mut near, 6).await, b"a OK\r\n");
    assert!(near.tls().is_none());
    assert_eq!(near.peer_addr(), far.local_addr());
}

#[tokio::test]
async fn a_unix_socket_is_a_stream_without_addresses() {
    let (near, far) = UnixStream::pair().unwrap();
    let (mut near, mut far) = (Stream::unix(near), Stream::unix(far));
    near.write_all(b"VERSION\t1\t2\n").await.unwrap();
    assert_eq!(read_up_to(&mut far, 12).await, b"VERSION\t1\t2\n");
    assert_eq!(far.peer_addr(), None);
}

#[tokio::test]
async fn a_header_can_be_read_without_what_follows_it() {
    let (mut near, mut far) = plain_pair().await;
    near.write_all(b"PROXY rest").await.unwrap();
    let mut header = Vec::new();
    while header.len() < 6 {
        let missing = 6 - header.len();
        assert!(far.read_at_most(&mut header, missing).await.unwrap() > 0);
    }
    assert_eq!(header, b"PROXY ");
    assert_eq!(read_up_to(&mut far, 4).await, b"rest");
}

#[tokio::test]
async fn tls_agrees_on_the_newest_version_and_tells_what_it_agreed_on() {
    let (mut near, mut far) = Ends::new("TLSv1.2").pair().await;
    near.write_all(b"a CAPABILITY\r\n").await.unwrap();
    assert_eq!(read_up_to(&mut far, 14).await, b"a CAPABILITY\r\n");
    let facts = far.tls().unwrap();
    assert_eq!(facts.version, "TLSv1.3");
    assert_eq!((facts.cipher, facts.bits), ("TLS_AES_256_GCM_SHA384", 256));
    assert_eq!(facts.server_name.as_deref(), Some("mail.example.com"));
    assert_eq!(near.tls().unwrap().version, "TLSv1.3");
}

#[tokio::test]
async fn content_sent_with_the_end_of_the_handshake_is_not_lost() {
    let ends = Ends::new("");
    let (near, far) = plain_pair().await;
    let name = ServerName::try_from("mail.example.com").unwrap();
    let (near, far) = tokio::join!(
        async {
            let mut near = near.connect_tls(&ends.client, Verify::Fully, name).await.unwrap();
            // Mostly arrives together with the client's Finished.
            near.write_all(b"a NOOP\r\n").await.unwrap();
            near
        },
        async { far.accept_tls(&ends.server, "imap").await.unwrap() }
    );
    let mut far = far;
    assert_eq!(read_up_to(&mut far, 8).await, b"a NOOP\r\n");
    drop(near);
}

/// Both ways at once, so that neither side may wait for the other to read.
async fn exchange(near: Stream, far: Stream, bytes: usize) {
    let sent: Arc<Vec<u8>> = Arc::new((0..bytes).map(|i| (i % 251) as u8).collect());
    let side = |mut stream: Stream, sent: Arc<Vec<u8>>| async move {
        let mut got = Vec::new();
        let mut left = sent.as_slice();
        poll_fn(|cx| {
            while let Poll::Ready(count) = stream.poll_write(cx, left) {
                left = &left[count.unwrap()..];
                if left.is_empty() {
                    break;
                }
            }
            let flushed = stream.poll_flush(cx).map(Result::unwrap);
            while got.len() < sent.len() {
                got.reserve(CHUNK);
                assert!(ready!(stream.poll_read(cx, &mut got)).unwrap() > 0);
            }
            if left.is_empty() { flushed } else { Poll::Pending }
        })
        .await;
        assert!(got == *sent);
        stream
    };
    let (near, far) = tokio::join!(side(near, Arc::clone(&sent)), side(far, sent));
    drop((near, far));
}

#[tokio::test]
async fn much_passes_both_ways_at_once_unchanged() {
    const MUCH: usize = 5_000_000;
    let (near, far) = plain_pair().await;
    exchange(near, far, MUCH).await;
    let (near, far) = Ends::new("").pair().await;
    exchange(near, far, MUCH).await;
}

#[tokio::test]
async fn nothing_is_held_by_an_idle_connection() {
    let (mut near, mut far) = Ends::new("").pair().await;
    let much = vec![7; 300_000];
    let (sent, got) = tokio::join!(near.write_all(&much), read_up_to(&mut far, much.len()));
    sent.unwrap();
    assert_eq!(got.len(), much.len());
    far.write_all(b"done").await.unwrap();
    read_up_to(&mut near, 4).await;
    for stream in [&near, &far] {
        let session = stream.tls.as_ref().unwrap();
        assert_eq!(session.received.capacity() + session.early.capacity() + session.unsent.capacity(), 0);
    }
}

#[tokio::test]
async fn close_notify_ends_reading_and_leaves_writing() {
    let (mut near, mut far) = Ends::new("").pair().await;
    near.write_all(b"a LOGOUT\r\n").await.unwrap();
    near.shutdown().await.unwrap();
    assert_eq!(read_up_to(&mut far, usize::MAX).await, b"a LOGOUT\r\n");
    far.write_all(b"* BYE\r\n").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(read_up_to(&mut near, usize::MAX).await, b"* BYE\r\n");
    assert_eq!(near.write_all(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn an_abandoned_read_loses_nothing() {
    let (mut near, mut far) = Ends::new("").pair().await;
    let mut got = Vec::new();
    for _ in 0..3 {
        assert!(timeout(Duration::from_millis(5), far.read(&mut got)).await.is_err());
    }
    near.write_all(b"late").await.unwrap();
    far.read(&mut got).await.unwrap();
    assert_eq!(got, b"late");
}

#[tokio::test]
async fn records_that_arrive_byte_by_byte_are_put_together() {
    let ends = Ends::new("");
    // A wire between the two that passes on one byte at a time, so that every message and record is broken up.
    let (near, mut near_wire) = tcp_pair().await;
    let (mut far_wire, far) = tcp_pair().await;
    let wire = tokio::spawn(async move {
        let (mut near_in, mut near_out) = near_wire.split();
        let (mut far_in, mut far_out) = far_wire.split();
        let up = async {
            while let Ok(byte) = near_in.read_u8().await {
                far_out.write_u8(byte).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let down = async {
            while let Ok(byte) = far_in.read_u8().await {
                near_out.write_u8(byte).await.unwrap();
            }
        };
        tokio::select! { () = up => {}, () = down => {} }
    });
    let name = ServerName::try_from("mail.example.com").unwrap();
    let (near, far) = tokio::join!(
        Stream::plain(near).connect_tls(&ends.client, Verify::Fully, name),
        Stream::plain(far).accept_tls(&ends.server, "imap"),
    );
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.write_all(b"a NOOP\r\n").await.unwrap();
    assert_eq!(read_up_to(&mut far, 8).await, b"a NOOP\r\n");
    far.write_all(b"a OK\r\n").await.unwrap();
    assert_eq!(read_up_to(&mut near, 6).await, b"a OK\r\n");
    wire.abort();
}

/// Sends `bytes` to a server that expects a handshake; returns its error and what it answered.
async fn accept_garbage(bytes: &[u8]) -> (io::Error, Vec<u8>) {
    let ends = Ends::new("");
    let (mut near, far) = tcp_pair().await;
    near.write_all(bytes).await.unwrap();
    near.shutdown().await.unwrap();
    let error = Stream::plain(far).accept_tls(&ends.server, "imap").await.unwrap_err();
    let mut answer = Vec::new();
    let _ = near.read_to_end(&mut answer).await;
    (error, answer)
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_told_by_an_alert() {
    let (error, answer) = accept_garbage(b"a LOGIN user password\r\n").await;
    assert_eq!(error.to_string(), "client does not speak TLS");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    // Alert, fatal, decode_error.
    assert_eq!((answer[0], &answer[5..]), (21, &[2, 50][..]));
}

#[tokio::test]
async fn a_client_that_leaves_is_said_to_have_left() {
    for start in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let (error, _) = accept_garbage(start).await;
        assert_eq!(error.to_string(), "client left during the TLS handshake");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

/// An alert may come at any time, and it must neither hang nor spin the handshake.
#[tokio::test]
async fn close_notify_within_the_handshake_is_an_error() {
    let (error, _) = accept_garbage(b"\x15\x03\x03\x00\x02\x01\x00").await;
    assert!(error.to_string().starts_with("client "), "{error}");
}

#[tokio::test]
async fn a_handshake_message_without_end_is_refused_before_it_takes_memory() {
    // A ClientHello that promises 16 MiB, in records of one byte each.
    let mut endless = b"\x16\x03\x01\x00\x04\x01\xff\xff\xff".to_vec();
    for _ in 0..100_000 {
        endless.extend_from_slice(b"\x16\x03\x01\x00\x01\x00");
    }
    let ends = Ends::new("");
    let (near, far) = tcp_pair().await;
    let (_, mut near_out) = near.into_split();
    let sender = tokio::spawn(async move {
        let _ = near_out.write_all(&endless).await;
    });
    let error = Stream::plain(far).accept_tls(&ends.server, "imap").await.unwrap_err();
    assert!(error.to_string().starts_with("client broke TLS: "), "{error}");
    sender.await.unwrap();
}

#[tokio::test]
async fn records_that_were_tampered_with_break_the_stream_for_good() {
    let ends = Ends::new("");
    let (near, mut wire) = tcp_pair().await;
    let (mut far_wire, far) = tcp_pair().await;
    let (go, gone) = tokio::sync::oneshot::channel();
    let pass = tokio::spawn(async move {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut wire, &mut far_wire) => {}
            _ = gone => {}
        }
        far_wire.write_all(b"\x17\x03\x03\x00\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").await.unwrap();
        (wire, far_wire)
    });
    let name = ServerName::try_from("mail.example.com").unwrap();
    let (near, far) = tokio::join!(
        Stream::plain(near).connect_tls(&ends.client, Verify::Fully, name),
        Stream::plain(far).accept_tls(&ends.server, "imap"),
    );
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.write_all(b"ok").await.unwrap();
    assert_eq!(read_up_to(&mut far, 2).await, b"ok");
    go.send(()).unwrap();
    let error = far.read(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "client sent a TLS record that cannot be decrypted");
    assert!(far.read(&mut Vec::new()).await.is_err());
    assert_eq!(far.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(pass.await.unwrap());
}

#[tokio::test]
async fn a_client_that_drops_the_connection_without_close_notify_has_ended() {
    let ends = Ends::new("");
    let (near, far) = ends.pair().await;
    let mut far = far;
    drop(near);
    assert_eq!(far.read(&mut Vec::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_passes_after_an_abandoned_or_failed_handshake() {
    let ends = Ends::new("");
    let (mut near, mut far) = plain_pair().await;
    assert!(timeout(Duration::from_millis(5), far.begin_tls(&ends.server, "imap")).await.is_err());
    assert_eq!(far.write_all(b"* OK\r\n").await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert_eq!(far.read(&mut Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    far.shutdown().await.unwrap();
    assert_eq!(near.read(&mut Vec::new()).await.unwrap(), 0);

    let (mut near, mut far) = plain_pair().await;
    near.write_all(b"a NOOP\r\n").await.unwrap();
    assert!(far.begin_tls(&ends.server, "imap").await.is_err());
    assert!(far.write_all(b"* OK\r\n").await.is_err());
    assert!(far.read(&mut Vec::new()).await.is_err());
}
