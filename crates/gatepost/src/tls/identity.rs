//! Certificates and keys as they are written: PEM, in a file or in the configuration.

use std::path::Path;
use std::sync::Arc;

use config::rows::ssl::SslSettings;
use config::value::Content;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};

use super::provider;

use crate::log::plainly;

/// What clients are shown: `ssl_cert`, and `ssl_alt_cert` of another kind. `name`: the `local_name`, or empty.
pub(super) fn server(
    settings: &SslSettings,
    name: &str,
    problems: &mut Vec<String>,
) -> Vec<Arc<CertifiedKey>> {
    let before = problems.len();
    let mut keys = Vec::new();
    match &settings.cert {
        None => problems.push(
            "ssl_cert: not set (name the certificate's file: ssl_cert = </path/to/cert.pem)".to_owned(),
        ),
        Some(cert) => keys.extend(pair(("ssl_cert", cert), ("ssl_key", settings.key.as_ref()), problems)),
    }
    if let Some(cert) = &settings.alt_cert {
        keys.extend(pair(("ssl_alt_cert", cert), ("ssl_alt_key", settings.alt_key.as_ref()), problems));
    }
    if !name.is_empty() {
        for problem in &mut problems[before..] {
            problem.insert_str(0, &format!("local_name {name}: "));
        }
    }
    keys
}

/// What backends are shown when they ask: `ssl_client_cert`.
pub(super) fn client(settings: &SslSettings, problems: &mut Vec<String>) -> Option<Arc<CertifiedKey>> {
    let cert = settings.client_cert.as_ref()?;
    pair(("ssl_client_cert", cert), ("ssl_client_key", settings.client_key.as_ref()), problems)
}

/// Whom to trust: the authorities of `ssl_client_ca_file` and `ssl_client_ca_dir`, or the system's.
pub(super) fn trusted(settings: &SslSettings, problems: &mut Vec<String>) -> Vec<CertificateDer<'static>> {
    let (file, directory) = (&settings.client_ca_file, &settings.client_ca_dir);
    if file.is_empty() && directory.is_empty() {
        // Nothing there: every verified backend is refused, which says where to look.
        return rustls_native_certs::load_native_certs().certs;
    }
    let mut trusted = Vec::new();
    if !file.is_empty() {
        match certificates("ssl_client_ca_file", &Content::File(file.into())) {
            Ok(certificates) => trusted.extend(certificates),
            Err(problem) => problems.push(problem),
        }
    }
    if !directory.is_empty() {
        match std::fs::read_dir(directory) {
            // What else lies there is not ours to judge.
            Ok(entries) => trusted.extend(entries.flatten().flat_map(|entry| authorities_in(&entry.path()))),
            Err(error) => problems.push(format!("ssl_client_ca_dir: {directory}: {}", plainly(&error))),
        }
    }
    trusted
}

fn authorities_in(file: &Path) -> Vec<CertificateDer<'static>> {
    let text = std::fs::read(file).unwrap_or_default();
    CertificateDer::pem_slice_iter(&text).flatten().collect()
}

/// Shows the same certificate to every backend that asks.
#[derive(Debug)]
pub(super) struct Shown(pub(super) Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A certificate with its chain, and the key to it.
fn pair(
    (cert_setting, cert): (&str, &Content),
    (key_setting, key): (&str, Option<&Content>),
    problems: &mut Vec<String>,
) -> Option<Arc<CertifiedKey>> {
    let chain = certificates(cert_setting, cert).map_err(|problem| problems.push(problem)).ok();
    let Some(key) = key else {
        problems.push(format!("{key_setting}: not set, but {cert_setting} is (name the key's file: {key_setting} = </path/to/key.pem)"));
        return None;
    };
    let private = private_key(key_setting, key).map_err(|problem| problems.push(problem)).ok();
    let (chain, private) = chain.zip(private)?;
    match CertifiedKey::from_der(chain, private, &provider()) {
        Ok(pair) => Some(Arc::new(pair)),
        Err(error) => {
            problems.push(match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                    "{key_setting}: {} is not the key of the certificate in {cert_setting}: {} (the server's own certificate must be the first)",
                    source(key), source(cert)
                ),
                Error::InvalidCertificate(error) => {
                    format!("{cert_setting}: {}: the first certificate cannot be parsed: {error}", source(cert))
                }
                error => format!("{key_setting}: {}: the key cannot be used: {error}", source(key)),
            });
            None
        }
    }
}

fn certificates(setting: &str, content: &Content) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(setting, content)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(format!(
            "{setting}: {}: no certificate in it (PEM begins with -----BEGIN CERTIFICATE-----)",
            source(content)
        )),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{setting}: {}: {}", source(content), broken_pem(&error))),
    }
}

fn private_key(setting: &str, content: &Content) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(setting, content)?;
    let encrypted = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----".as_slice(), b"Proc-Type: 4,ENCRYPTED"];
    if encrypted.iter().any(|mark| memchr::memmem::find(&text, mark).is_some()) {
        return Err(format!(
            "{setting}: {}: the key is encrypted, which is not supported (decrypt it: openssl pkey -in OLD -out NEW)",
            source(content)
        ));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            format!(
                "{setting}: {}: no private key in it (PEM begins with -----BEGIN PRIVATE KEY-----)",
                source(content)
            )
        }
        error => format!("{setting}: {}: {}", source(content), broken_pem(&error)),
    })
}

fn read(setting: &str, content: &Content) -> Result<Vec<u8>, String> {
    match content {
        Content::File(path) => {
            std::fs::read(path).map_err(|error| format!("{setting}: {}: {}", path.display(), plainly(&error)))
        }
        Content::Text(text) if text.starts_with('/') => {
            Err(format!("{setting}: {text}: a file is written with < before it ({setting} = <{text})"))
        }
        Content::Text(text) => Ok(text.clone().into_bytes()),
    }
}

/// How to name a content in a message.
fn source(content: &Content) -> String {
    match content {
        Content::File(path) => path.display().to_string(),
        Content::Text(_) => "the text in the configuration".to_owned(),
    }
}

fn broken_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("broken PEM: \"-----END {}-----\" is missing", String::from_utf8_lossy(end_marker))
        }
        pem::Error::Base64Decode(_) => "broken PEM: text between BEGIN and END is not base64".to_owned(),
        error => format!("broken PEM: {error}"),
    }
}
