//! Drives a protocol's client side against one connection to a backend, up to its answer to the
//! login. Everything is bounded by the deadline of the whole.

use std::io;

use auth::trace::Reason;
use auth::verdict::TlsStart;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use wire::{Back, BackEvent, BackRefusal, Errand};

use super::{Backend, Failure, Target, dial};
use crate::connection::Connection;
use crate::log::{Level, plainly, value};
use crate::stream::Stream;
use crate::tls::Verify;

/// One try. The second part of an error says whether another may help.
pub(super) async fn once(
    connection: &Connection,
    target: &Target<'_>,
    errand: Errand,
    deadline: Instant,
) -> Result<Backend, (Failure, bool)> {
    let ours = |reason, why: String, backend: &str, retry| {
        (Failure::Ours { reason, why, backend: Some(backend.to_owned()) }, retry)
    };
    let (mut stream, name) = dial::dial(target, deadline)
        .await
        .map_err(|(name, why)| ours(Reason::BackendDown, why, &name, true))?;
    if target.tls.start == TlsStart::Immediately {
        stream = begin_tls(connection, target, stream, deadline)
            .await
            .map_err(|error| ours(Reason::BackendDown, format!("TLS handshaking: {error}"), &name, false))?;
    }
    let user = errand.user.clone();
    let mut back = (connection.protocol().back)(errand);
    loop {
        match back.next() {
            Some(BackEvent::LeftOut(parts)) => {
                let text = format!(
                    "proxy({},{name}): too long or not sayable, the backend is not told: {}: session=<{}>",
                    value(&user),
                    value(&parts.join(", ")),
                    value(connection.id())
                );
                connection.say(Level::Warning, text);
            }
            Some(BackEvent::StartTls) => {
                write(&mut stream, back.as_mut(), deadline)
                    .await
                    .map_err(|error| ours(Reason::BackendDown, lost(back.as_ref(), &error), &name, true))?;
                stream = begin_tls(connection, target, stream, deadline).await.map_err(|error| {
                    ours(Reason::BackendDown, format!("TLS handshaking: {error}"), &name, false)
                })?;
                back.secured();
            }
            Some(BackEvent::Ready { text, capability, untagged }) => {
                let leftover = back.leftover();
                return Ok(Backend { stream, name, text, capability, untagged, leftover });
            }
            Some(BackEvent::Refused { text, refusal }) => {
                let retry = refusal == BackRefusal::Temporary;
                return Err((Failure::Refused { text, refusal, backend: name }, retry));
            }
            Some(BackEvent::Broken { why, retry }) => {
                let reason = if retry { Reason::BackendDown } else { Reason::BackendFault };
                return Err(ours(reason, format!("{why} (state={})", back.state()), &name, retry));
            }
            None => {
                more(&mut stream, back.as_mut(), deadline)
                    .await
                    .map_err(|error| ours(Reason::BackendDown, lost(back.as_ref(), &error), &name, true))?;
            }
        }
    }
}

fn lost(back: &dyn Back, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("Disconnected by the backend (state={})", back.state()),
        io::ErrorKind::TimedOut => format!("Login timed out (state={})", back.state()),
        _ => format!("Connection lost: {} (state={})", plainly(error), back.state()),
    }
}

async fn begin_tls(
    connection: &Connection,
    target: &Target<'_>,
    stream: Stream,
    deadline: Instant,
) -> io::Result<Stream> {
    let tls = connection.client_tls().map_err(|faults| io::Error::other(faults.join("; ")))?;
    let verify = if target.tls.any_certificate { Verify::AnyCertificate } else { Verify::Fully };
    let bare = target.name.trim_matches(['[', ']']);
    let name = ServerName::try_from(bare.to_owned())
        .map_err(|_| io::Error::other(format!("{bare:?} is no name that a certificate can have")))?;
    match timeout_at(deadline, stream.connect_tls(&tls, verify, name)).await {
        Ok(stream) => stream,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn write(stream: &mut Stream, back: &mut dyn Back, deadline: Instant) -> io::Result<()> {
    let output = back.output();
    if !output.is_empty() {
        timeout_at(deadline, stream.write_all(output)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        output.clear();
    }
    Ok(())
}

async fn more(stream: &mut Stream, back: &mut dyn Back, deadline: Instant) -> io::Result<()> {
    write(stream, back, deadline).await?;
    let mut bytes = Vec::new();
    match timeout_at(deadline, stream.read(&mut bytes)).await {
        Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(Ok(_)) => {
            back.feed(&bytes);
            Ok(())
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
