//! The demonstration users: what each has, what becomes of each, and the commands that show it.

/// One demonstration login and how it must end.
pub(super) struct Demo {
    /// User name.
    pub(super) user: &'static str,
    /// Password that the client types.
    pub(super) password: &'static str,
    /// What becomes of the login.
    pub(super) verdict: &'static str,
    /// Why, in a few words.
    pub(super) because: &'static str,
    /// What the IMAP client is answered after the tag.
    pub(super) imap: &'static str,
    /// What the POP3 client is answered.
    pub(super) pop3: &'static str,
    /// The mailbox that a client reaches, when it does.
    pub(super) reaches: Option<&'static str>,
}

/// Names of the two demonstration mail servers.
pub(super) const LOCAL: &str = "Mailbox One";
/// The one that logins are handed on to.
pub(super) const REMOTE: &str = "Mailbox Two";

/// Every demonstration login.
pub(super) const DEMOS: &[Demo] = &[
    Demo {
        user: "alice",
        password: "wonder",
        verdict: "admitted",
        because: "users: no field says otherwise",
        imap: "OK",
        pop3: "+OK",
        reaches: Some(LOCAL),
    },
    Demo {
        user: "bob",
        password: "builder",
        verdict: "proxied",
        because: "users: proxy=y host=127.0.0.1",
        imap: "OK",
        pop3: "+OK",
        reaches: Some(REMOTE),
    },
    Demo {
        user: "carol",
        password: "carols",
        verdict: "referred",
        because: "users: host=imap2.example.com nologin",
        imap: "NO [REFERRAL imap://carol;AUTH=PLAIN@imap2.example.com/]",
        pop3: "-ERR Try this server instead.",
        reaches: None,
    },
    Demo {
        user: "dave",
        password: "diver",
        verdict: "refused",
        because: "SQL: nologin, with a reason",
        imap: "NO [CONTACTADMIN] Account closed, please call 555-0100.",
        pop3: "-ERR [AUTH] Account closed, please call 555-0100.",
        reaches: None,
    },
    Demo {
        user: "erin",
        password: "eraser",
        verdict: "refused",
        because: "users: allow_nets=192.0.2.0/24",
        imap: "NO [AUTHENTICATIONFAILED] Authentication failed.",
        pop3: "-ERR [AUTH] Authentication failed.",
        reaches: None,
    },
    Demo {
        user: "frank",
        password: "furter",
        verdict: "proxied",
        because: "SQL: proxy and host columns",
        imap: "OK",
        pop3: "+OK",
        reaches: Some(REMOTE),
    },
    Demo {
        user: "grace",
        password: "hopper",
        verdict: "admitted",
        because: "SQL: host without nologin suggests another server",
        imap: "OK [REFERRAL imap://grace;AUTH=PLAIN@imap2.example.com/]",
        pop3: "+OK Logged in, but you should use this server instead.",
        reaches: Some(LOCAL),
    },
    Demo {
        user: "heidi",
        password: "hidden",
        verdict: "refused",
        because: "users: proxied to a server that is down",
        imap: "NO [UNAVAILABLE] Account is temporarily unavailable.",
        pop3: "-ERR [SYS/TEMP] Account is temporarily unavailable.",
        reaches: None,
    },
    Demo {
        user: "alice",
        password: "wrong",
        verdict: "refused",
        because: "the password is wrong",
        imap: "NO [AUTHENTICATIONFAILED] Authentication failed.",
        pop3: "-ERR [AUTH] Authentication failed.",
        reaches: None,
    },
];
