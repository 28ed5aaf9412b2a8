//! How each protocol says it: bytes in, events out; answers in, bytes out.
//!
//! A [`Front`] is the server side of a protocol up to the end of login, a [`Back`] the client
//! side towards a backend. Both are state machines without I/O. They know nothing of users,
//! databases and verdicts.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod base64;
pub mod cut;
pub mod haproxy;
pub mod imap;
pub mod pop3;
pub mod protocols;
pub mod socket;

use std::net::IpAddr;

use secrecy::SecretSlice;

/// A password or SASL message as bytes: never printed, wiped when dropped.
pub type Secret = SecretSlice<u8>;

/// What the listener offers on this connection as it stands; made anew once TLS is up.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Text of the greeting (`login_greeting`).
    pub greeting: String,
    /// Mechanisms in the order offered, all of them, whether or not they are allowed now.
    pub mechanisms: Vec<MechanismOffer>,
    /// STARTTLS/STLS is possible (TLS is configured and not up).
    pub starttls: bool,
    /// TLS is up.
    pub tls: bool,
    /// The connection counts as secure: TLS, same host, or a trusted network.
    pub secure: bool,
    /// Plaintext mechanisms may be used now (`disable_plaintext_auth = no`, or the connection is secure).
    pub plaintext: bool,
    /// Nothing may be used before TLS (`ssl = required` on a connection that is not secure).
    pub tls_required: bool,
    /// `imap_capability`: empty, a full list, or `+X` to add to ours.
    pub capability: String,
    /// `imap_id_send` pairs already resolved: what ID is answered with.
    pub id: Vec<(String, Option<String>)>,
    /// The client is in `login_trusted_networks`: it may forward its client's facts.
    pub trusted: bool,
}

/// One mechanism as a front has to advertise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MechanismOffer {
    /// Canonical upper-case name.
    pub name: &'static str,
    /// It carries the password in the clear.
    pub plaintext: bool,
}

/// The server side of a protocol, from the greeting to the end of login.
///
/// The session writes [`Front::output`] to the client whenever it is not empty, feeds what it reads,
/// and takes events one at a time. While an event waits for its answer (`Login`, and every
/// challenge after it) [`Front::next`] gives nothing and input is kept, within limits.
pub trait Front: Send {
    /// Takes bytes from the client. Bytes past the input limit become a [`Fault`].
    fn feed(&mut self, bytes: &[u8]);
    /// The next thing that needs a decision. `None` with output: write it, then ask again, for a front
    /// pauses while much waits to be written. `None` without output: more bytes are needed.
    fn next(&mut self) -> Option<Event>;
    /// Sends a SASL challenge (not yet base64); answered through [`Front::response`].
    fn challenge(&mut self, data: &[u8]);
    /// The client's reply to the last challenge, or `None`: more bytes are needed.
    fn response(&mut self) -> Option<Response>;
    /// Ends the login under way. After a `Welcome` the front speaks no more.
    fn answer(&mut self, answer: Answer<'_>);
    /// TLS is up: forgets what was said before it, and takes the new offer.
    fn secured(&mut self, offer: Offer);
    /// Says why the connection ends (inactivity, shutdown, a limit) in the protocol's words.
    fn farewell(&mut self, why: Farewell);
    /// Bytes to be written to the client; the session clears what it wrote.
    fn output(&mut self) -> &mut Vec<u8>;
    /// What the client already sent for whoever serves it after a `Welcome`.
    fn leftover(&mut self) -> Vec<u8>;
    /// The client has asked for the capabilities itself, and expects to be told again.
    fn knows_capability(&self) -> bool {
        false
    }
}

/// What a session has to act upon.
#[derive(Debug)]
pub enum Event {
    /// The client wants to log in.
    Login {
        /// Canonical name from the offer; the protocols' own plaintext commands arrive as `PLAIN`.
        mechanism: &'static str,
        /// Initial response, decoded; `None`: there was none.
        initial: Option<Secret>,
    },
    /// The client asked for TLS and has been told to begin; what it sent in the clear is forgotten.
    StartTls,
    /// Facts about the client behind a trusted front (IMAP ID, POP3 XCLIENT).
    Forwarded(Forwarded),
    /// The retained IMAP ID, as the text of `%{client_id}`.
    ClientId(String),
    /// An attempt that the front has refused by itself and already answered: for the log.
    Rejected(Rejected),
    /// The client said goodbye; it has been answered.
    Quit,
    /// The connection cannot go on; a farewell may stand in the output.
    Fault(Fault),
}

/// An attempt to log in that never became one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// A plaintext login without protection.
    Plaintext,
    /// A login before the TLS that is required.
    TlsRequired,
    /// A mechanism that is not offered.
    Mechanism,
    /// An initial response that is not base64.
    Base64,
}

/// Why the client's side cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many bad commands.
    BadCommands,
    /// A line or literal past the limit.
    TooLong,
}

/// Why we hang up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Nothing was sent for too long.
    Inactivity,
    /// The same, in the middle of a SASL exchange.
    InactivityInLogin,
    /// The server goes down.
    Shutdown,
    /// The server has no room for this connection.
    Full,
}

/// What a trusted front says of its own client: one to us, or we to a backend. `None`: not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address.
    pub remote: Option<IpAddr>,
    /// The client's port.
    pub remote_port: Option<u16>,
    /// The address the client connected to.
    pub local: Option<IpAddr>,
    /// The port the client connected to.
    pub local_port: Option<u16>,
    /// Session id to go on with.
    pub session: Option<String>,
    /// Hops left.
    pub ttl: Option<u32>,
    /// `forward_` fields, names without the prefix.
    pub fields: Vec<(String, String)>,
}

/// The client's reply to a challenge.
#[derive(Debug)]
pub enum Response {
    /// Decoded bytes.
    Data(Secret),
    /// The client cancelled with `*`. The front has answered.
    Abort,
    /// It was not base64. The front has answered.
    Malformed,
    /// The connection cannot go on.
    Fault(Fault),
}

/// How a login ends, as the protocol has to word it.
#[derive(Debug)]
pub enum Answer<'a> {
    /// Logged in; whoever serves the client speaks next.
    Welcome(Welcome<'a>),
    /// Go elsewhere; the login is refused (RFC 2221 §4.1).
    Referral {
        /// Where to.
        target: ReferralTarget<'a>,
        /// Human-readable text.
        text: &'a str,
    },
    /// Refused by us.
    Refusal {
        /// What kind of refusal.
        code: Code,
        /// Human-readable text.
        text: &'a str,
    },
    /// Refused by the backend in words that may reach the client: everything after `NO ` or `-ERR `.
    Backend {
        /// The backend's own text, codes included, without line end.
        text: &'a [u8],
    },
}

/// A login that succeeded.
#[derive(Debug, Default)]
pub struct Welcome<'a> {
    /// Text after the OK, as the service behind us said it, any `[CAPABILITY …]` code already taken off.
    /// Empty: the protocol's default text.
    pub text: &'a [u8],
    /// Capabilities of the service behind us (IMAP: the words after `CAPABILITY`).
    pub capability: Option<&'a [u8]>,
    /// Untagged lines of the service behind us to pass on first, each with its line end.
    pub untagged: &'a [u8],
    /// Suggest another server all the same (RFC 2221 §4.1, the OK form), with the text to say so.
    pub referral: Option<(ReferralTarget<'a>, &'a str)>,
}

/// Where a referral leads. The front makes its protocol's URL of it.
#[derive(Clone, Copy, Debug)]
pub struct ReferralTarget<'a> {
    /// User there.
    pub user: &'a str,
    /// Mechanism that the client used, for `;AUTH=`.
    pub mechanism: &'a str,
    /// Host name or address as the database gave it.
    pub host: &'a str,
    /// Port there; `None`: the protocol's default.
    pub port: Option<u16>,
}

/// Kinds of refusal. Each front knows its protocol's code for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Wrong password, unknown user, denied by address, disabled without a word.
    AuthenticationFailed,
    /// Authenticated, but not allowed to act as the user asked for.
    AuthorizationFailed,
    /// The password has expired.
    Expired,
    /// We could not ask or could not reach: temporary.
    Unavailable,
    /// `nologin`: talk to the administrator.
    ContactAdmin,
    /// Too many connections of this user: temporary.
    Limit,
    /// The configuration or a peer is at fault.
    ServerBug,
    /// Needs protection first.
    PrivacyRequired,
    /// The mechanism cannot be used.
    Mechanism,
}

/// What the dialogue with a backend is to achieve.
#[derive(Debug)]
pub struct Errand {
    /// User name to log in with (authorization identity when `master` is set).
    pub user: String,
    /// Master user to authenticate as.
    pub master: Option<String>,
    /// Password.
    pub password: Secret,
    /// SASL mechanism to use instead of the protocol's own login command.
    pub mechanism: Option<String>,
    /// Ask for STARTTLS first; without it the dialogue fails.
    pub starttls: bool,
    /// The client asked for CAPABILITY itself before logging in.
    pub client_knows_capability: bool,
    /// Whose login it is, for a backend that wants to be told; `None`: it is not to know.
    pub identity: Option<Identity>,
    /// Wait for each reply before the next command.
    pub nopipelining: bool,
}

/// Whose login a backend is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Our client, as the backend is to see it.
    pub facts: Forwarded,
    /// What that client called itself in its own IMAP ID: the text of [`Event::ClientId`].
    pub client_id: Option<String>,
}

/// The client side of a protocol, towards a backend, up to the end of login.
pub trait Back: Send {
    /// Takes bytes from the backend. It is not trusted: lines and their number are limited.
    fn feed(&mut self, bytes: &[u8]);
    /// The next thing to act upon, or `None`: more bytes are needed.
    fn next(&mut self) -> Option<BackEvent>;
    /// TLS is up: go on with the dialogue.
    fn secured(&mut self);
    /// Bytes to be written to the backend; the caller clears what it wrote.
    fn output(&mut self) -> &mut Vec<u8>;
    /// What the backend sent after its answer to the login, for the client.
    fn leftover(&mut self) -> Vec<u8>;
    /// Where the dialogue stands, for the log (`banner`, `starttls`, `login` …).
    fn state(&self) -> &'static str;
}

/// What came of the dialogue with a backend.
#[derive(Debug, PartialEq, Eq)]
pub enum BackEvent {
    /// Parts of the identity that the protocol cannot carry, by name: the backend is not told them. The
    /// dialogue goes on.
    LeftOut(Vec<String>),
    /// Begin TLS now, then call [`Back::secured`].
    StartTls,
    /// Logged in.
    Ready {
        /// Text after the OK, its `[CAPABILITY …]` code taken off.
        text: Vec<u8>,
        /// The backend's capabilities as last seen.
        capability: Option<Vec<u8>>,
        /// Its untagged lines to pass on, each with its line end.
        untagged: Vec<u8>,
    },
    /// The backend refused the login.
    Refused {
        /// Everything after `NO ` or `-ERR `.
        text: Vec<u8>,
        /// What kind of refusal the backend meant.
        refusal: BackRefusal,
    },
    /// The dialogue cannot go on; the reason is for the log.
    Broken {
        /// What happened.
        why: String,
        /// Trying again may help.
        retry: bool,
    },
}

/// How a backend's refusal is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackRefusal {
    /// Wrong credentials: told to the client as our own authentication failure.
    Credentials,
    /// A refusal with a code of its own: told to the client as it is.
    Coded,
    /// Temporary: tried again, then told to the client as it is.
    Temporary,
}
