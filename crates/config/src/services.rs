//! The services and their listeners: those that run without being told, and what was written.

use std::path::PathBuf;

use crate::rows::defaults;
use crate::rows::login::SslMode;
use crate::rows::server::ServerSettings;
use crate::rows::service::{INET_LISTENER, InetListener, ServiceSettings, UNIX_LISTENER, UnixListener};
use crate::scope::apply;
use crate::written::{Block, Group};

/// A protocol that clients log in to, and its service.
pub(crate) struct LoginService {
    pub(crate) protocol: &'static str,
    pub(crate) name: &'static str,
    pub(crate) listeners: &'static [DefaultListener],
}

/// A listener that a login service has without being told.
pub(crate) struct DefaultListener {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) ssl: bool,
}

/// The login services.
pub(crate) const LOGIN_SERVICES: &[LoginService] = &[
    LoginService {
        protocol: "imap",
        name: "imap-login",
        listeners: &[
            DefaultListener { name: "imap", port: 143, ssl: false },
            DefaultListener { name: "imaps", port: 993, ssl: true },
        ],
    },
    LoginService {
        protocol: "pop3",
        name: "pop3-login",
        listeners: &[
            DefaultListener { name: "pop3", port: 110, ssl: false },
            DefaultListener { name: "pop3s", port: 995, ssl: true },
        ],
    },
];

/// Login services of protocols that are known and not served.
const OTHER_LOGIN_SERVICES: &[&str] =
    &["submission-login", "managesieve-login", "imap-urlauth-login", "lmtp"];

/// The services of the protocols that run, and those that were written.
///
/// Without `ssl` no TLS port is opened; without a certificate none that was not asked for by name.
pub(crate) fn services(
    global: Option<&Block>,
    server: &ServerSettings,
    ssl: SslMode,
    certificate: bool,
) -> Vec<ServiceSettings> {
    let mut services: Vec<ServiceSettings> = Vec::new();
    for login in
        LOGIN_SERVICES.iter().filter(|login| server.protocols.iter().any(|name| name == login.protocol))
    {
        let listeners = login.listeners.iter().filter(|listener| !listener.ssl || certificate);
        let inet = listeners.map(|listener| default_listener(login.name, listener.name)).collect();
        services.push(ServiceSettings { name: login.name.to_owned(), inet, unix: Vec::new() });
    }
    for group in global.iter().flat_map(|block| &block.sections).filter(|group| group.kind.name == "service")
    {
        match services.iter_mut().find(|service| service.name == group.name) {
            Some(service) => listeners(service, group),
            None => {
                let mut service = ServiceSettings { name: group.name.clone(), ..ServiceSettings::default() };
                listeners(&mut service, group);
                let not_running = LOGIN_SERVICES.iter().any(|login| login.name == group.name)
                    || OTHER_LOGIN_SERVICES.contains(&group.name.as_str());
                if not_running {
                    service.inet.clear();
                }
                services.push(service);
            }
        }
    }
    for listener in services.iter_mut().flat_map(|service| &mut service.inet) {
        if listener.addresses.is_empty() {
            listener.addresses.clone_from(&server.listen);
        }
    }
    if ssl == SslMode::No {
        services.iter_mut().for_each(|service| service.inet.retain(|listener| !listener.ssl));
    }
    services
}

/// Adds what a `service` block says to the listeners that are there.
fn listeners(service: &mut ServiceSettings, group: &Group) {
    for listener in &group.groups {
        match listener.kind.name {
            "inet_listener" => {
                let known = service.inet.iter().position(|known| known.name == listener.name);
                let mut settings = match known {
                    Some(index) => service.inet.remove(index),
                    None => default_listener(&service.name, &listener.name),
                };
                settings.place = listener.place.clone();
                apply(INET_LISTENER, &listener.settings, &mut settings);
                service.inet.insert(known.unwrap_or(service.inet.len()), settings);
            }
            "unix_listener" => {
                let mut settings: UnixListener = defaults(UNIX_LISTENER);
                settings.path = PathBuf::from(&listener.name);
                settings.place = listener.place.clone();
                apply(UNIX_LISTENER, &listener.settings, &mut settings);
                service.unix.push(settings);
            }
            _ => {}
        }
    }
}

/// A listener before it is told anything: the default one of that name, or one without a port.
fn default_listener(service: &str, name: &str) -> InetListener {
    let settings = InetListener { name: name.to_owned(), ..defaults(INET_LISTENER) };
    let login = LOGIN_SERVICES.iter().find(|login| login.name == service);
    match login.and_then(|login| login.listeners.iter().find(|listener| listener.name == name)) {
        Some(known) => InetListener { port: known.port, ssl: known.ssl, ..settings },
        None => settings,
    }
}
