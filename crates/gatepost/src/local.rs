//! Where the local mail service of a protocol is: `gatepost_local_imap` and its like, read.

use std::path::PathBuf;

use config::rows::login::LoginSettings;
use config::scope::{Config, ConnectionKey};
use wire::protocols::Protocol;

/// Where admitted sessions of a protocol go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalService {
    /// `imap://HOST:PORT`, `pop3://HOST:PORT`.
    Address {
        /// Name or address.
        host: String,
        /// Port, the protocol's own by default.
        port: u16,
    },
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl LocalService {
    /// Reads `gatepost_local_PROTOCOL`. `Ok(None)`: not set.
    pub fn of(settings: &LoginSettings, protocol: &Protocol) -> Result<Option<Self>, String> {
        let written = match protocol.name {
            "imap" => &settings.local_imap,
            "pop3" => &settings.local_pop3,
            _ => return Ok(None),
        };
        if written.is_empty() {
            return Ok(None);
        }
        let fault = |what: &str| {
            format!(
                "gatepost_local_{}: {what} in {written:?} (write {}://127.0.0.1:PORT or unix:/PATH)",
                protocol.name, protocol.name
            )
        };
        if let Some(path) = written.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Some(Self::Unix(path.into()))),
                false => Err(fault("no absolute path")),
            };
        }
        let Some(rest) = written.strip_prefix(protocol.name).and_then(|rest| rest.strip_prefix("://")) else {
            return Err(fault("no address"));
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && (!host.contains(':') || host.ends_with(']')) => {
                (host, port.parse().map_err(|_| fault("no port number"))?)
            }
            _ => (rest, protocol.port),
        };
        if host.is_empty() || port == 0 {
            return Err(fault("no host or port"));
        }
        Ok(Some(Self::Address { host: host.to_owned(), port }))
    }
}

/// What cannot be read of the local mail services, one line each.
pub fn faults(config: &Config) -> Vec<String> {
    let key = |protocol| ConnectionKey { protocol, local: None, remote: None, local_name: None };
    let read = |protocol: &Protocol| LocalService::of(&config.connection(&key(protocol.name)), protocol);
    wire::protocols::PROTOCOLS.iter().filter_map(|protocol| read(protocol).err()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str) -> Result<Option<LocalService>, String> {
        let settings = LoginSettings { local_imap: written.into(), ..LoginSettings::default() };
        LocalService::of(&settings, wire::protocols::find("imap").unwrap())
    }

    #[test]
    fn every_address_that_cannot_be_read_is_told() {
        let text = "protocols = imap\nssl = no\ngatepost_local_imap = 127.0.0.1\n\
                    gatepost_local_pop3 = pop3://127.0.0.1:10110\npassdb {\n  driver = static\n  args = password=x\n}\n";
        let config = config::load_text("dovecot.conf", text).config.expect("no errors");
        assert_eq!(
            faults(&config),
            ["gatepost_local_imap: no address in \"127.0.0.1\" (write imap://127.0.0.1:PORT or unix:/PATH)"]
        );
    }

    #[test]
    fn addresses_and_paths() {
        let address = |host: &str, port| Ok(Some(LocalService::Address { host: host.into(), port }));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("imap://127.0.0.1:10143"), address("127.0.0.1", 10143));
        assert_eq!(read("imap://mail.example.com/"), address("mail.example.com", 143));
        assert_eq!(read("imap://[::1]:10143"), address("[::1]", 10143));
        assert_eq!(read("imap://[::1]"), address("[::1]", 143));
        assert_eq!(read("unix:/run/x"), Ok(Some(LocalService::Unix("/run/x".into()))));
        for bad in ["pop3://127.0.0.1", "imap://", "imap://h:0", "imap://h:x", "unix:x", "127.0.0.1"] {
            assert!(read(bad).unwrap_err().contains("gatepost_local_imap"), "{bad}");
        }
    }
}
