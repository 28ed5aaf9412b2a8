use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

use super::*;
use crate::stream::testing::{Ends, plain_pair, read_up_to, tcp_pair};

/// A relay under way, with the far ends in the test's hands.
struct Running {
    client: Stream,
    backend: Stream,
    halt: Halt,
    ended: oneshot::Receiver<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leg {
    Plain,
    Tls,
}

/// The client's leg and the backend's.
const LEGS: [(Leg, Leg); 4] =
    [(Leg::Plain, Leg::Plain), (Leg::Tls, Leg::Plain), (Leg::Plain, Leg::Tls), (Leg::Tls, Leg::Tls)];

async fn running(ends: &Ends, (client, backend): (Leg, Leg)) -> Running {
    let (client, gate_front) = leg(ends, client).await;
    // Towards a backend the gate is the client of TLS.
    let (gate_back, backend) = leg(ends, backend).await;
    relaying(client, gate_front, gate_back, backend)
}

async fn leg(ends: &Ends, leg: Leg) -> (Stream, Stream) {
    match leg {
        Leg::Plain => plain_pair().await,
        Leg::Tls => ends.pair().await,
    }
}

fn relaying(client: Stream, front: Stream, back: Stream, backend: Stream) -> Running {
    let halt = Halt::new();
    let (tell, ended) = oneshot::channel();
    let relay = Relay::new(front, back, Vec::new(), Vec::new(), halt.clone());
    start(relay, |ended| {
        let _ = tell.send(ended);
    });
    Running { client, backend, halt, ended }
}

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(31) + i / 253 + seed) as u8).collect()
}

#[tokio::test]
async fn bytes_read_during_the_login_are_delivered_first() {
    let (mut client, front) = plain_pair().await;
    let (back, mut backend) = plain_pair().await;
    let relay =
        Relay::new(front, back, b"a1 SELECT INBOX\r\n".to_vec(), b"* OK hi\r\n".to_vec(), Halt::new());
    tokio::spawn(relay.run());
    client.write_all(b"a2 NOOP\r\n").await.unwrap();
    assert_eq!(read_up_to(&mut backend, 26).await, b"a1 SELECT INBOX\r\na2 NOOP\r\n");
    assert_eq!(read_up_to(&mut client, 9).await, b"* OK hi\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_passes_both_ways_unchanged_whatever_is_encrypted() {
    const MUCH: usize = 2_000_000;
    for least in ["TLSv1.2", "TLSv1.3"] {
        let ends = Ends::new(least);
        for legs in LEGS {
            let Running { client, backend, ended, .. } = running(&ends, legs).await;
            let side = |stream: Stream, send: Vec<u8>, expect: Vec<u8>| async move {
                // One task reads and writes in turns, so that neither direction ever has the relay to itself.
                let mut stream = stream;
                let mut got = Vec::new();
                for part in send.chunks(100_000) {
                    stream.write_all(part).await.unwrap();
                    let share = (got.len() + part.len()).min(expect.len());
                    while got.len() < share {
                        assert!(stream.read(&mut got).await.unwrap() > 0);
                    }
                }
                assert!(got == expect, "{legs:?}");
                stream
            };
            let (up, down) = (pattern(MUCH, 1), pattern(MUCH, 2));
            let (mut client, mut backend) =
                tokio::join!(side(client, up.clone(), down.clone()), side(backend, down, up));
            client.shutdown().await.unwrap();
            assert_eq!(backend.read(&mut Vec::new()).await.unwrap(), 0);
            backend.shutdown().await.unwrap();
            let ended = ended.await.unwrap();
            assert_eq!((ended.to_client, ended.to_backend), (MUCH as u64, MUCH as u64));
            assert_eq!(ended.by, Side::Client);
            assert!(ended.error.is_none(), "{legs:?} {:?}", ended.error);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_bulk_passes_unchanged() {
    const MUCH: usize = 10_000_000;
    let ends = Ends::new("");
    for legs in LEGS {
        let Running { client, backend, ended, .. } = running(&ends, legs).await;
        let sending = tokio::spawn(async move {
            let mut backend = backend;
            for part in 0..MUCH / 1_000_000 {
                backend.write_all(&pattern(1_000_000, part)).await.unwrap();
            }
            backend.shutdown().await.unwrap();
            assert_eq!(backend.read(&mut Vec::new()).await.unwrap(), 0);
        });
        let mut client = client;
        let got = read_up_to(&mut client, usize::MAX).await;
        assert_eq!(got.len(), MUCH);
        for (part, got) in got.chunks(1_000_000).enumerate() {
            assert!(got == pattern(1_000_000, part), "{legs:?}: part {part}");
        }
        client.shutdown().await.unwrap();
        sending.await.unwrap();
        let ended = ended.await.unwrap();
        assert_eq!((ended.to_client, ended.by), (MUCH as u64, Side::Backend), "{legs:?}");
    }
}

#[tokio::test]
async fn a_half_close_is_passed_on_and_the_other_direction_goes_on() {
    let ends = Ends::new("");
    for legs in LEGS {
        let Running { mut client, mut backend, ended, .. } = running(&ends, legs).await;
        client.write_all(b"a LOGOUT\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_up_to(&mut backend, usize::MAX).await, b"a LOGOUT\r\n");
        backend.write_all(b"* BYE\r\na OK\r\n").await.unwrap();
        backend.shutdown().await.unwrap();
        assert_eq!(read_up_to(&mut client, usize::MAX).await, b"* BYE\r\na OK\r\n");
        let ended = ended.await.unwrap();
        assert_eq!((ended.by, ended.to_client, ended.to_backend), (Side::Client, 13, 10), "{legs:?}");
        assert!(ended.error.is_none());
    }
}

/// A client that takes nothing must not keep its own commands from the backend.
#[tokio::test]
async fn a_slow_reader_does_not_stop_the_other_direction() {
    let ends = Ends::new("");
    for legs in LEGS {
        let Running { mut client, backend, halt, .. } = running(&ends, legs).await;
        let backend = Arc::new(tokio::sync::Mutex::new(backend));
        let mut stuck = 0;
        // Fills every buffer on the way to the client, until nothing moves.
        {
            let mut backend = backend.lock().await;
            let part = pattern(1_000_000, 3);
            while tokio::time::timeout(Duration::from_millis(100), backend.write_all(&part)).await.is_ok() {
                stuck += 1;
                assert!(stuck < 1000, "the relay takes everything and delivers nothing");
            }
        }
        let mut backend = backend.lock().await;
        for _ in 0..3 {
            client.write_all(b"DONE\r\n").await.unwrap();
            assert_eq!(read_up_to(&mut backend, 6).await, b"DONE\r\n", "{legs:?}");
        }
        assert_eq!(halt.moved().1, 18);
    }
}

#[tokio::test]
async fn a_reset_ends_the_relay_and_says_who() {
    let ends = Ends::new("");
    for legs in LEGS {
        let Running { mut client, backend, ended, .. } = running(&ends, legs).await;
        // SO_LINGER of zero makes closing a reset.
        socket2::SockRef::from(&backend).set_linger(Some(Duration::ZERO)).unwrap();
        drop(backend);
        let ended = ended.await.unwrap();
        assert_eq!(ended.by, Side::Backend, "{legs:?}");
        assert_eq!(ended.error.unwrap().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(client.read(&mut Vec::new()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_reset_is_noticed_while_bytes_wait_for_the_peer() {
    let ends = Ends::new("");
    for legs in LEGS {
        let Running { client, mut backend, ended, .. } = running(&ends, legs).await;
        let part = pattern(1_000_000, 3);
        while tokio::time::timeout(Duration::from_millis(50), backend.write_all(&part)).await.is_ok() {}
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let ended = ended.await.unwrap();
        assert_eq!(ended.by, Side::Client, "{legs:?}");
        assert!(ended.error.is_some());
    }
}

#[tokio::test]
async fn the_last_words_of_a_backend_reach_the_client_even_if_it_closed_on_a_command() {
    let Running { mut client, mut backend, ended, .. } =
        running(&Ends::new(""), (Leg::Plain, Leg::Plain)).await;
    client.write_all(b"a NOOP\r\n").await.unwrap();
    backend.write_all(b"* BYE Idle for too long\r\n").await.unwrap();
    // Closes with the command unread, which makes it a reset.
    drop(backend);
    let got = read_up_to(&mut client, 25).await;
    assert_eq!(got, b"* BYE Idle for too long\r\n");
    drop(client);
    ended.await.unwrap();
}

#[tokio::test]
async fn a_halt_ends_it_at_once_and_closes_both_sides() {
    let ends = Ends::new("");
    for legs in LEGS {
        let Running { mut client, mut backend, halt, ended } = running(&ends, legs).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(read_up_to(&mut backend, 1).await, b"x");
        halt.stop();
        let ended = ended.await.unwrap();
        assert_eq!((ended.by, ended.to_backend), (Side::Gate, 1));
        assert_eq!(client.read(&mut Vec::new()).await.unwrap(), 0, "{legs:?}");
        assert_eq!(backend.read(&mut Vec::new()).await.unwrap(), 0, "{legs:?}");
    }
}

#[tokio::test]
async fn a_halt_before_the_start_counts() {
    let (_client, front) = plain_pair().await;
    let (back, _backend) = plain_pair().await;
    let halt = Halt::new();
    halt.stop();
    let ended = Relay::new(front, back, Vec::new(), Vec::new(), halt).run().await;
    assert_eq!(ended.by, Side::Gate);
}

/// With the clock stopped, tokio moves it on when every task waits: a relay that spun would never let it.
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_a_close_is_given_up() {
    let Running { mut client, mut backend, ended, .. } =
        running(&Ends::new(""), (Leg::Plain, Leg::Plain)).await;
    client.write_all(b"a LOGOUT\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_up_to(&mut backend, usize::MAX).await, b"a LOGOUT\r\n");
    let before = Instant::now();
    let ended = ended.await.unwrap();
    assert_eq!((ended.by, ended.to_backend), (Side::Client, 10));
    assert!(before.elapsed() >= PATIENCE);
    drop((client, backend));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lingers_after_its_backend_closed_is_let_go_soon() {
    let Running { mut client, mut backend, ended, .. } =
        running(&Ends::new(""), (Leg::Plain, Leg::Plain)).await;
    backend.write_all(b"* BYE\r\n").await.unwrap();
    backend.shutdown().await.unwrap();
    assert_eq!(read_up_to(&mut client, usize::MAX).await, b"* BYE\r\n");
    let before = Instant::now();
    assert_eq!(ended.await.unwrap().by, Side::Backend);
    let waited = before.elapsed();
    assert!((PATIENCE_WITH_CLIENTS..PATIENCE).contains(&waited), "{waited:?}");
    drop((client, backend));
}

#[tokio::test]
async fn a_unix_socket_on_either_side_is_relayed_too() {
    let (near, front) = UnixStream::pair().unwrap();
    let (back, backend) = plain_pair().await;
    let Running { mut client, mut backend, halt: _halt, ended: _ended } =
        relaying(Stream::unix(near), Stream::unix(front), back, backend);
    let sent = pattern(3_000_000, 9);
    let (got, ()) = tokio::join!(read_up_to(&mut backend, sent.len()), async {
        client.write_all(&sent).await.unwrap();
    });
    assert!(got == sent);
}

/// Polls of a relay whose peers do nothing, in every state in which epoll keeps saying that something is the matter.
#[tokio::test]
async fn nothing_makes_it_spin() {
    struct Counted(Relay, Arc<std::sync::atomic::AtomicUsize>);
    impl Future for Counted {
        type Output = Ended;
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Pin::new(&mut self.0).poll(cx)
        }
    }
    async fn polls(after: impl AsyncFnOnce(&mut TcpStream, &mut TcpStream)) -> usize {
        let (mut client, front) = tcp_pair().await;
        let (back, mut backend) = tcp_pair().await;
        let relay =
            Relay::new(Stream::plain(front), Stream::plain(back), Vec::new(), Vec::new(), Halt::new());
        let count = Arc::default();
        let task = tokio::spawn(Counted(relay, Arc::clone(&count)));
        after(&mut client, &mut backend).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let polls = count.load(std::sync::atomic::Ordering::Relaxed);
        task.abort();
        polls
    }
    // A wake-up per event and direction, and some for luck; spinning would be thousands.
    let calm = 20;
    assert!(polls(async |_, _| ()).await < calm);
    // Half-closed for reading.
    assert!(polls(async |client, _| client.shutdown().await.unwrap()).await < calm);
    assert!(polls(async |_, backend| backend.shutdown().await.unwrap()).await < calm);
    // End of file behind bytes that the other side does not take.
    let blocked = polls(async |client, backend| {
        let much = vec![0; 200_000];
        while tokio::time::timeout(Duration::from_millis(50), backend.write_all(&much)).await.is_ok() {}
        client.shutdown().await.unwrap();
        assert_eq!(backend.read(&mut [0; 8]).await.unwrap(), 0);
        backend.shutdown().await.unwrap();
    })
    .await;
    assert!(blocked < 2000, "{blocked} polls");
}
