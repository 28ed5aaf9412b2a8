//! One TLS connection without a socket: records in, content out, and back.
//! Keeps its keys, an incomplete record and what could not be sent; moving bytes is left to `stream`.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, ProtocolVersion, ServerConfig};

use super::fault::Peer;
use super::resolve;
use crate::stream::scratch::UNDECIDED;

/// The state of one TLS connection.
pub(crate) struct Session {
    connection: Connection,
    /// Bytes from the peer that are no whole record yet.
    pub(crate) received: Vec<u8>,
    /// Content that came together with the end of the handshake.
    pub(crate) early: Vec<u8>,
    /// Records for the peer that the socket has not taken.
    pub(crate) unsent: Vec<u8>,
    /// `unsent` is tickets and may wait to share a segment with the first content.
    pub(crate) held_back: bool,
    /// The peer will send nothing more.
    pub(crate) ended: bool,
    /// We will send nothing more.
    pub(crate) closed: bool,
    /// TLS was broken; reading must not look like an ordinary end.
    pub(crate) failed: bool,
    /// The name the client asked for.
    pub(crate) server_name: Option<Box<str>>,
}

enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl Session {
    /// The server's end.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self::new(Connection::Server(UnbufferedServerConnection::new(config)?)))
    }

    /// The client's end; its first flight is ready in `unsent`.
    pub(crate) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        let mut session = Self::new(Connection::Client(UnbufferedClientConnection::new(config, name)?));
        session.open(&mut [], &mut Vec::new())?;
        Ok(session)
    }

    fn new(connection: Connection) -> Self {
        Self {
            connection,
            received: Vec::new(),
            early: Vec::new(),
            unsent: Vec::new(),
            held_back: false,
            ended: false,
            closed: false,
            failed: false,
            server_name: None,
        }
    }

    /// Versions, suites and certificates that were agreed on.
    pub(crate) fn agreed(&self) -> &CommonState {
        match &self.connection {
            Connection::Server(connection) => connection,
            Connection::Client(connection) => connection,
        }
    }

    /// At the end of a handshake: lets session tickets wait for the first content, which is a greeting mostly. All
    /// other ends of a handshake are awaited by the peer.
    pub(crate) fn hold_tickets_back(&mut self) -> bool {
        self.held_back = matches!(self.connection, Connection::Server(_))
            && self.agreed().protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && !self.unsent.is_empty();
        self.held_back
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> Peer {
        match &self.connection {
            Connection::Server(_) => Peer::Client,
            Connection::Client(_) => Peer::Server,
        }
    }

    /// Opens every whole record in `records`, which begin with what `received` held, appends their content to `plain`
    /// and keeps the rest. An error is final; `unsent` then ends with the alert that tells the peer.
    pub(crate) fn open(&mut self, records: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        let (used, result) = self.advance(records, plain, &mut Task::Open);
        let rest = records.get(used..).unwrap_or_default();
        self.received = Vec::new();
        if let Err(error) = result {
            self.fail(&mut records[used..]);
            return Err(error);
        }
        if rest.len() > UNDECIDED {
            self.fail(&mut []);
            return Err(Error::General("handshake message longer than 64 KiB".to_owned()));
        }
        if !self.ended {
            self.received = rest.to_vec();
        }
        result
    }

    /// Writes `content` as records into `sealed`, which must have room for them; returns their length. What must
    /// leave before them is appended to `unsent`.
    pub(crate) fn seal(&mut self, content: &[u8], sealed: &mut [u8]) -> Result<usize, Error> {
        let mut task = Task::Seal { content, sealed, length: 0 };
        self.write(&mut task)?;
        match task {
            Task::Seal { length, .. } => Ok(length),
            Task::Open | Task::Close { .. } => Ok(0),
        }
    }

    /// Says that we send nothing more: appends close_notify to `unsent`.
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        if !self.closed {
            let mut sealed = [0; 128];
            let mut task = Task::Close { sealed: &mut sealed, length: 0 };
            let result = self.write(&mut task);
            self.closed = true;
            result?;
            if let Task::Close { length, .. } = task {
                self.unsent.extend_from_slice(&sealed[..length]);
            }
        }
        Ok(())
    }

    /// Does a task that needs no bytes of the peer. The undecided ones must be shown to rustls all the same: it
    /// remembers where in them a message began.
    fn write(&mut self, task: &mut Task<'_>) -> Result<(), Error> {
        let mut received = std::mem::take(&mut self.received);
        let mut plain = std::mem::take(&mut self.early);
        let (used, result) = self.advance(&mut received, &mut plain, task);
        received.drain(..used);
        self.received = received;
        self.early = plain;
        self.closed |= result.is_err();
        result
    }

    /// Lets rustls work until the task is done or more bytes are needed. Returns how many bytes of `records` are done.
    fn advance(
        &mut self,
        records: &mut [u8],
        plain: &mut Vec<u8>,
        task: &mut Task<'_>,
    ) -> (usize, Result<(), Error>) {
        let mut used = 0;
        loop {
            let (discard, step) = match &mut self.connection {
                Connection::Server(connection) => {
                    let step = step(
                        connection.process_tls_records(&mut records[used..]),
                        plain,
                        &mut self.unsent,
                        task,
                    );
                    if let Some(name) = resolve::take_requested_name() {
                        self.server_name = Some(name);
                    }
                    step
                }
                Connection::Client(connection) => {
                    step(connection.process_tls_records(&mut records[used..]), plain, &mut self.unsent, task)
                }
            };
            used += discard;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Ended) => self.ended = true,
                Ok(Step::Stop) => return (used, Ok(())),
                Err(error) => return (used, Err(error)),
            }
        }
    }

    /// After an error: collects the alert for the peer. Nothing else may be asked of rustls then.
    fn fail(&mut self, rest: &mut [u8]) {
        self.failed = true;
        self.ended = true;
        self.closed = true;
        let mut used = 0;
        while self.agreed().wants_write() {
            let rest = rest.get_mut(used..).unwrap_or_default();
            let mut dropped = Vec::new();
            let (discard, step) = match &mut self.connection {
                Connection::Server(connection) => step(
                    connection.process_tls_records(rest),
                    &mut dropped,
                    &mut self.unsent,
                    &mut Task::Open,
                ),
                Connection::Client(connection) => step(
                    connection.process_tls_records(rest),
                    &mut dropped,
                    &mut self.unsent,
                    &mut Task::Open,
                ),
            };
            used += discard;
            if !matches!(step, Ok(Step::Again)) {
                return;
            }
        }
    }
}

/// What to do once content may flow.
enum Task<'a> {
    Open,
    Seal { content: &'a [u8], sealed: &'a mut [u8], length: usize },
    Close { sealed: &'a mut [u8], length: usize },
}

enum Step {
    Again,
    Ended,
    Stop,
}

/// Does what one state of rustls asks for; returns the bytes that are done with as well.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Vec<u8>,
    unsent: &mut Vec<u8>,
    task: &mut Task<'_>,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Step::Again),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let before = unsent.len();
            if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
                unsent.resize(before + size.required_size, 0);
            }
            match data.encode(&mut unsent[before..]) {
                Ok(_) | Err(EncodeError::AlreadyEncoded) => Ok(Step::Again),
                Err(error) => Err(Error::General(error.to_string())),
            }
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Stop),
        Ok(ConnectionState::PeerClosed) => Ok(Step::Ended),
        Ok(ConnectionState::Closed) => Ok(Step::Stop),
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match task {
            Task::Open => Ok(0),
            Task::Seal { content, sealed, length } => {
                traffic.encrypt(content, sealed).inspect(|n| *length = *n)
            }
            Task::Close { sealed, length } => traffic.queue_close_notify(sealed).inspect(|n| *length = *n),
        }
        .map(|_| Step::Stop)
        .map_err(|error| match error {
            EncryptError::InsufficientSize(_) => Error::General("no room for the records".to_owned()),
            EncryptError::EncryptExhausted => Error::EncryptError,
        }),
        // Early data is never offered; a state of a later rustls is not known here.
        Ok(_) => Err(Error::General("unexpected state of the TLS connection".to_owned())),
    };
    (discard, step)
}
