//! A verdict in words: default texts, and which code goes with which reason. The words are the
//! original's where it has any, since clients and admins know them.

use std::time::SystemTime;

use auth::trace::Reason;
use auth::verdict::{Referral, Refusal};
use config::rows::login::LoginSettings;
use wire::protocols::Protocol;
use wire::{Answer, BackRefusal, Code, Front, ReferralTarget, Welcome};

use crate::proxy::Backend;

/// Default text of a referral that refuses.
pub const TRY_INSTEAD: &str = "Try this server instead.";
/// Default text of a referral that lets in all the same.
pub const BETTER_THERE: &str = "Logged in, but you should use this server instead.";

/// Code and text of a refusal.
pub fn refusal(refusal: &Refusal, settings: &LoginSettings, hostname: &str) -> (Code, String) {
    let own = |default: &str| refusal.text.clone().unwrap_or_else(|| default.to_owned());
    match refusal.reason {
        Reason::Nologin => (Code::ContactAdmin, own("Login disabled for this user")),
        Reason::Expired => (Code::Expired, "Password expired".into()),
        Reason::NotAuthorized => (Code::AuthorizationFailed, "Authorization failed".into()),
        Reason::LookupFailed
        | Reason::Busy
        | Reason::NoAuthenticator
        | Reason::DelayUntil
        | Reason::ProxyHostUnknown => (Code::Unavailable, temporary(hostname)),
        Reason::ProxyNoHost
        | Reason::ProxyNoPassword
        | Reason::ProxyLoop
        | Reason::BackendDown
        | Reason::NoLocalService => (Code::Unavailable, "Account is temporarily unavailable.".into()),
        Reason::BackendFault | Reason::ProxyTtl => {
            (Code::ServerBug, "Account is temporarily unavailable.".into())
        }
        Reason::UserdbUnknown | Reason::UserdbFailed => {
            (Code::Unavailable, "Internal error occurred. Refer to server log for more information.".into())
        }
        Reason::TooManyConnections => (
            Code::Limit,
            format!(
                "Maximum number of connections from user+IP exceeded (mail_max_userip_connections={})",
                settings.max_userip_connections
            ),
        ),
        Reason::Admitted
        | Reason::Proxied
        | Reason::Referred
        | Reason::UnknownUser
        | Reason::WrongPassword
        | Reason::NoPassword
        | Reason::Fail
        | Reason::AllowNets
        | Reason::Denied
        | Reason::Disabled
        | Reason::ChainRule
        | Reason::BadUsername
        | Reason::BadPassword
        | Reason::BadResponse
        | Reason::Aborted
        | Reason::NoMaster
        | Reason::BackendRefused => (Code::AuthenticationFailed, "Authentication failed.".into()),
    }
}

/// The text that lets an admin find the log line: where and when.
pub fn temporary(hostname: &str) -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let when = sys::clock::format_local(seconds, "%Y-%m-%d %H:%M:%S");
    format!("Temporary authentication failure. [{hostname}:{when}]")
}

/// Whether the connection ends with such a refusal.
pub fn ends_connection(reason: Reason) -> bool {
    matches!(reason, Reason::TooManyConnections | Reason::UserdbUnknown | Reason::UserdbFailed)
}

/// Where a referral leads, for the protocol's URL.
pub fn target<'a>(referral: &'a Referral, protocol: &Protocol, mechanism: &'a str) -> ReferralTarget<'a> {
    let port = referral.port.or(referral.tls_port.then_some(protocol.tls_port));
    ReferralTarget {
        user: &referral.user,
        mechanism,
        host: &referral.host,
        port: port.filter(|&port| port != protocol.port),
    }
}

/// The words of success, as the service behind us said them.
pub fn welcome(front: &mut dyn Front, backend: &Backend, referral: Option<(ReferralTarget<'_>, &str)>) {
    front.answer(Answer::Welcome(Welcome {
        text: &backend.text,
        capability: backend.capability.as_deref(),
        untagged: &backend.untagged,
        referral,
    }));
}

/// A backend's own refusal, told on as far as it does not mislead.
pub fn backend_refusal(front: &mut dyn Front, text: &[u8], refusal: BackRefusal) {
    match refusal {
        BackRefusal::Credentials => {
            front
                .answer(Answer::Refusal { code: Code::AuthenticationFailed, text: "Authentication failed." });
        }
        BackRefusal::Coded | BackRefusal::Temporary => front.answer(Answer::Backend { text }),
    }
}
