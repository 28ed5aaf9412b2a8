//! HAProxy in front of the gate, with each version of the PROXY protocol: the gate sees the client, not the balancer.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gatepost_tests::stream::{Heard, Stream};
use gatepost_tests::workplace::free_port;

use crate::Test;
use crate::house::{Gate, PASSWORD, PATIENCE, command, expect, until};
use crate::program::{find, holds};

pub(crate) const TESTS: &[Test] = &[("haproxy::tells_who_its_clients_are", &["haproxy"], tells)];

/// Where the client is, and where another is who may not log in.
const HERE: Ipv4Addr = Ipv4Addr::new(127, 99, 1, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 99, 2, 2);
/// The address from which HAProxy reaches the gate.
const BALANCER: &str = "127.99.0.5";

/// A door of HAProxy: how it is bound, how the gate's server is reached, the gate's door, and what the log says of
/// the way.
struct Way {
    bind: &'static str,
    server: &'static str,
    door: &'static str,
    protection: &'static str,
}

const WAYS: &[Way] = &[
    Way { bind: "", server: "send-proxy", door: "imap", protection: ", " },
    Way { bind: "", server: "send-proxy-v2", door: "imap", protection: ", " },
    Way { bind: "ssl crt PEM", server: "send-proxy-v2-ssl", door: "imap", protection: ", TLS, " },
    // TLS goes through HAProxy to the gate.
    Way { bind: "", server: "send-proxy", door: "imaps", protection: ", TLS, " },
    Way { bind: "", server: "send-proxy-v2", door: "imaps", protection: ", TLS, " },
    // And once more from HAProxy.
    Way {
        bind: "ssl crt PEM",
        server: "ssl verify none send-proxy-v2-ssl-cn",
        door: "imaps",
        protection: ", TLS, ",
    },
];

fn tells(gate: &mut Gate) -> Result<(), String> {
    let users = gate.file("users.imap");
    let dora = gate.user("dora");
    let text = fs::read_to_string(&users).map_err(|e| e.to_string())?;
    let line = format!("{dora}:{{PLAIN}}{PASSWORD}");
    fs::write(&users, text.replace(&line, &format!("{line}::::::allow_nets={HERE}")))
        .map_err(|e| e.to_string())?;
    let mut settings = format!("haproxy_trusted_networks = {BALANCER}\nservice imap-login {{\n");
    let mut doors = Vec::new();
    for (door, ssl) in [("imap", "no"), ("imaps", "yes")] {
        let port = free_port()?;
        doors.push((door, port));
        settings += &format!(
            "  inet_listener {door}-balanced {{\n    port = {port}\n    ssl = {ssl}\n    haproxy = yes\n  }}\n"
        );
    }
    gate.add_settings(&format!("{settings}}}\n"))?;
    gate.reload()?;

    let pem = gate.file("haproxy.pem");
    let read = |name| fs::read_to_string(gate.file(name)).map_err(|e| e.to_string());
    fs::write(&pem, read("cert.pem")? + &read("key.pem")?).map_err(|e| e.to_string())?;
    let mut text = format!(
        "defaults\n  mode tcp\n  timeout connect {0}s\n  timeout client {0}s\n  timeout server {0}s\n",
        PATIENCE.as_secs()
    );
    let mut ports = Vec::new();
    for way in WAYS {
        let port = free_port()?;
        let (_, to) = doors.iter().find(|(door, _)| *door == way.door).ok_or("no such door")?;
        let bind = way.bind.replace("PEM", &pem.display().to_string());
        text += &format!(
            "listen way{port}\n  bind 127.0.0.1:{port} {bind}\n  source {BALANCER}\n  server gate 127.0.0.1:{to} {}\n",
            way.server
        );
        ports.push(port);
    }
    let _haproxy = Balancer::start(gate, &text, &ports)?;
    for (way, port) in WAYS.iter().zip(ports) {
        log_in(gate, way, port).map_err(|fault| format!("{}: {fault}", way.server))?;
    }
    // Without HAProxy nobody is believed.
    let mut stranger = Stream::connect(HERE, doors[0].1).map_err(|e| e.to_string())?;
    stranger.send(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n").map_err(|e| e.to_string())?;
    match stranger.line() {
        Heard::End(rest) if rest.is_empty() => {}
        other => return Err(format!("a stranger heard {other:?}")),
    }
    gate.await_log(&[&format!("PROXY header from {HERE}: "), "haproxy_trusted_networks"]).map(|_| ())
}

/// One user from an address that is allowed and from one that is not, and one who is proxied, with TLS where the way
/// has it.
fn log_in(gate: &Gate, way: &Way, port: u16) -> Result<(), String> {
    let connect = |from| {
        let mut client = Stream::connect(from, port).map_err(|e| e.to_string())?;
        if way.protection.contains("TLS") {
            client.start_tls()?;
        }
        expect(&mut client, "* OK ")?;
        Ok::<_, String>(client)
    };
    fs::write(gate.file("log"), "").map_err(|e| e.to_string())?;
    let dora = format!("a LOGIN {} {PASSWORD}", gate.user("dora"));
    let mut client = connect(HERE)?;
    command(&mut client, &dora)?;
    command(&mut client, "b LOGOUT")?;
    let line = gate.await_log(&["verdict=admitted"])?;
    holds(&line, &format!("rip={HERE}, lip=127.0.0.1{}verdict", way.protection))?;
    let mut client = connect(ELSEWHERE)?;
    client.send_line(dora.as_bytes()).map_err(|e| e.to_string())?;
    let told = until(&mut client, "a ")?;
    holds(&told.join("\n"), "a NO [AUTHENTICATIONFAILED]")?;
    holds(&gate.await_log(&["reason=allow_nets"])?, &format!("rip={ELSEWHERE}, "))?;
    // Bytes right behind the header, and all the way to a backend.
    let mut client = connect(HERE)?;
    let text = format!("a LOGIN {} {PASSWORD}\r\nb SELECT INBOX\r\nc LOGOUT\r\n", gate.user("anna"));
    client.send(text.as_bytes()).map_err(|e| e.to_string())?;
    for tag in ["a", "b", "c"] {
        until(&mut client, &format!("{tag} OK "))?;
    }
    Ok(())
}

/// A running HAProxy.
struct Balancer(Child);

impl Balancer {
    /// Starts it and returns when its ports are open.
    fn start(gate: &Gate, text: &str, ports: &[u16]) -> Result<Balancer, String> {
        let path = gate.file("haproxy.cfg");
        fs::write(&path, text).map_err(|e| e.to_string())?;
        let said = fs::File::create(gate.file("haproxy.log")).map_err(|e| e.to_string())?;
        let mut haproxy = Command::new(find("haproxy").ok_or("haproxy is not installed")?);
        haproxy.arg("-db").arg("-f").arg(&path).stdin(Stdio::null());
        haproxy.stdout(said.try_clone().map_err(|e| e.to_string())?).stderr(said);
        let mut balancer = Balancer(haproxy.spawn().map_err(|e| format!("haproxy: {e}"))?);
        let deadline = Instant::now() + PATIENCE;
        while !ports.iter().all(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok()) {
            let ended = balancer.0.try_wait().map_err(|e| e.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(gate.file("haproxy.log")).unwrap_or_default();
                return Err(format!("haproxy did not open its ports: {said}"));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(balancer)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
