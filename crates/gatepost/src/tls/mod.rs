//! Certificates, keys and what is accepted, for both sides: settings in, ready configurations out.
//! A reload builds new ones; sessions under way keep theirs.

mod certificate;
pub mod facts;
pub mod fault;
mod identity;
#[cfg(test)]
mod openssl_tests;
mod resolve;
pub(crate) mod session;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::rows::ssl::SslSettings;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ProducesTickets;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use resolve::Resolver;

/// How clients are served with TLS.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// One for each protocol of `ALPN`, in its order.
    configs: Vec<Arc<ServerConfig>>,
    expires: Option<SystemTime>,
}

impl ServerTls {
    /// Reads the certificates and keys: those of `default`, and those of each name that a client may ask for, where
    /// `*.` stands for one label. `ssl_min_protocol` is that of `default`, as it is needed before the name is known.
    ///
    /// # Errors
    /// Everything that is wrong, one line each: setting, file, what is wrong, next step.
    pub fn load(default: &SslSettings, names: &[(String, Arc<SslSettings>)]) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut resolver =
            Resolver { default: identity::server(default, "", &mut problems), names: Vec::new() };
        for (name, settings) in names {
            let keys = identity::server(settings, name, &mut problems);
            resolver.names.push((name.to_ascii_lowercase(), keys));
        }
        let expires = resolver
            .all()
            .filter_map(|key| certificate::validity(key.cert.first()?))
            .map(|it| it.not_after)
            .min();
        let expires = expires.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        let versions = versions(&default.min_protocol, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| vec![format!("ssl_min_protocol: {error}")])?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
        config.ticketer = ticketer().map_err(|error| vec![format!("TLS session tickets: {error}")])?;
        config.ignore_client_order = default.prefer_server_ciphers;
        let configs = ALPN.iter().map(|(_, name)| {
            let mut config = config.clone();
            config.alpn_protocols = vec![name.to_vec()];
            Arc::new(config)
        });
        Ok(Self { configs: configs.collect(), expires })
    }

    /// When the first of its certificates expires.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The configuration that knows the ALPN name of a service.
    pub(crate) fn config(&self, protocol: &str) -> Arc<ServerConfig> {
        Arc::clone(&self.configs[alpn_row(protocol)])
    }
}

/// The ALPN name of a service.
pub(crate) fn alpn(protocol: &str) -> &'static [u8] {
    ALPN[alpn_row(protocol)].1
}

fn alpn_row(protocol: &str) -> usize {
    ALPN.iter().position(|(service, _)| *service == protocol).unwrap_or(ALPN.len() - 1)
}

/// Services and their ALPN names. A client that offers names must offer this one: a server that answers TLS clients
/// of another protocol helps whoever redirected them here. The last one serves every other service; it was never
/// registered, so hardly a client offers it.
const ALPN: &[(&str, &[u8])] =
    &[("imap", b"imap"), ("pop3", b"pop3"), ("sieve", b"managesieve"), ("submission", b"smtp")];

/// How backends are spoken to with TLS.
#[derive(Clone, Debug)]
pub struct ClientTls {
    verified: Arc<ClientConfig>,
    any: Arc<ClientConfig>,
}

/// What a backend's certificate must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Valid now, from a trusted issuer, for the name: `ssl=yes`.
    Fully,
    /// Anything: `ssl=any-cert`. This protects from listeners only.
    AnyCertificate,
}

impl ClientTls {
    /// Reads whom to trust (`ssl_client_ca_file`, `ssl_client_ca_dir`, else the system's authorities) and what to
    /// show (`ssl_client_cert`).
    ///
    /// # Errors
    /// Everything that is wrong, one line each: setting, file, what is wrong, next step.
    pub fn load(settings: &SslSettings) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let trusted = identity::trusted(settings, &mut problems);
        let shown = identity::client(settings, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let config = |verifier| -> Result<Arc<ClientConfig>, Vec<String>> {
            let builder = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(rustls::ALL_VERSIONS)
                .map_err(|error| vec![format!("TLS to backends: {error}")])?
                .dangerous()
                .with_custom_certificate_verifier(verifier);
            Ok(Arc::new(match &shown {
                Some(key) => builder.with_client_cert_resolver(Arc::new(identity::Shown(Arc::clone(key)))),
                None => builder.with_no_client_auth(),
            }))
        };
        let any = config(verify::any_certificate())?;
        let verified = if settings.client_require_valid_cert {
            config(verify::trusting(trusted).map_err(|problem| vec![problem])?)?
        } else {
            Arc::clone(&any)
        };
        Ok(Self { verified, any })
    }

    pub(crate) fn config(&self, verify: Verify) -> Arc<ClientConfig> {
        Arc::clone(match verify {
            Verify::Fully => &self.verified,
            Verify::AnyCertificate => &self.any,
        })
    }
}

fn versions(least: &str, problems: &mut Vec<String>) -> &'static [&'static SupportedProtocolVersion] {
    match least {
        "TLSv1.3" | "LATEST" => ONLY_TLS13,
        // Older versions are not spoken at all, so asking for them as the least means 1.2.
        "" | "ANY" | "SSLv3" | "TLSv1" | "TLSv1.1" | "TLSv1.2" => rustls::ALL_VERSIONS,
        unknown => {
            problems
                .push(format!("ssl_min_protocol: unknown version \"{unknown}\" (use TLSv1.2 or TLSv1.3)"));
            rustls::ALL_VERSIONS
        }
    }
}

static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// One for all threads, and kept over a reload: a ticket is good wherever its client comes back.
fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    static TICKETER: OnceLock<Arc<dyn ProducesTickets>> = OnceLock::new();
    match TICKETER.get() {
        Some(ticketer) => Ok(Arc::clone(ticketer)),
        None => {
            let new = aws_lc_rs::Ticketer::new()?;
            Ok(Arc::clone(TICKETER.get_or_init(|| new)))
        }
    }
}
