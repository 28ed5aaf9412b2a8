//! One request on the auth socket, with all that the asker says about its client.

use std::net::IpAddr;

use super::line;
use crate::Secret;

/// One request, with what the asker says about its client. Unreadable addresses and ports are `None`.
#[derive(Debug, Default)]
pub struct AuthRequest {
    /// Number that the asker gave it.
    pub id: u32,
    /// Canonical upper-case name, one of those offered.
    pub mechanism: &'static str,
    /// Protocol the client speaks (`smtp`, `imap` …).
    pub service: String,
    /// Address the client connected to.
    pub lip: Option<IpAddr>,
    /// The client's address.
    pub rip: Option<IpAddr>,
    /// Port the client connected to.
    pub lport: Option<u16>,
    /// The client's port.
    pub rport: Option<u16>,
    /// Our end of the connection itself, when a trusted front stands between.
    pub real_lip: Option<IpAddr>,
    /// The front's address.
    pub real_rip: Option<IpAddr>,
    /// Port the front connected to.
    pub real_lport: Option<u16>,
    /// The front's port.
    pub real_rport: Option<u16>,
    /// How the client's connection is protected.
    pub secured: Secured,
    /// Server name that the client asked for (TLS SNI).
    pub local_name: Option<String>,
    /// Session id.
    pub session: Option<String>,
    /// The retained IMAP ID.
    pub client_id: Option<String>,
    /// The client presented a certificate that was found valid.
    pub valid_client_cert: bool,
    /// User name in that certificate.
    pub cert_username: Option<String>,
    /// Failures of this client are not to slow it down.
    pub no_penalty: bool,
    /// `forward_` fields, names without the prefix.
    pub forward_fields: Vec<(String, String)>,
    /// Last data of the server may come with the success, as its field `resp` in base64.
    pub final_resp_ok: bool,
    /// Initial response, decoded; `None`: there was none.
    pub initial: Option<Secret>,
}

/// How the connection of the asker's client is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secured {
    /// Not at all.
    #[default]
    No,
    /// It counts as secure.
    Yes,
    /// By TLS.
    Tls,
}

impl AuthRequest {
    /// Takes one parameter; `None` when it cannot be read. Unknown ones are ignored.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        match name {
            b"service" => self.service = line::text_of(value)?,
            b"lip" => self.lip = parsed(value),
            b"rip" => self.rip = parsed(value),
            b"lport" => self.lport = parsed(value),
            b"rport" => self.rport = parsed(value),
            b"real_lip" => self.real_lip = parsed(value),
            b"real_rip" => self.real_rip = parsed(value),
            b"real_lport" => self.real_lport = parsed(value),
            b"real_rport" => self.real_rport = parsed(value),
            b"secured" if value == b"tls" => self.secured = Secured::Tls,
            b"secured" => self.secured = Secured::Yes,
            b"local_name" => self.local_name = Some(line::text_of(value)?),
            b"session" => self.session = Some(line::text_of(value)?),
            b"client_id" => self.client_id = Some(line::text_of(value)?),
            b"valid-client-cert" => self.valid_client_cert = true,
            b"cert_username" => self.cert_username = Some(line::text_of(value)?),
            b"no-penalty" => self.no_penalty = true,
            b"forward_fields" => self.forward_fields = line::forwarded(&line::unescape(value)?)?,
            b"final-resp-ok" => self.final_resp_ok = true,
            _ => {}
        }
        Some(())
    }
}

fn parsed<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
