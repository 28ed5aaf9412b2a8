//! mbsync: whole mailboxes both ways, with many commands under way at once.

use std::fs;
use std::path::Path;

use crate::Test;
use crate::house::{Gate, PASSWORD, command};
use crate::program::{program, run};

pub(crate) const TESTS: &[Test] = &[
    ("mbsync::synchronises_in_the_clear", &["mbsync"], |gate| synchronise(gate, "None", "imap")),
    ("mbsync::synchronises_under_tls", &["mbsync"], |gate| synchronise(gate, "IMAPS", "imaps")),
    ("mbsync::synchronises_with_starttls", &["mbsync"], |gate| synchronise(gate, "STARTTLS", "imap")),
];

/// Messages that wait at each end.
const COUNT: usize = 25;

fn synchronise(gate: &mut Gate, tls: &str, door: &str) -> Result<(), String> {
    for (who, mechanism) in [("anna", "LOGIN"), ("cleo", "PLAIN"), ("dora", "PLAIN")] {
        let home = gate.home()?.join(who);
        let inbox = home.join("mail/INBOX");
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir_all(inbox.join(folder)).map_err(|e| e.to_string())?;
        }
        for number in 0..COUNT {
            gate.deliver(who, &format!("Far {number}"))?;
            let text = format!("From: me@example.com\nSubject: Near {number}\n\nText.\n");
            fs::write(inbox.join(format!("new/{number}.near")), text).map_err(|e| e.to_string())?;
        }
        let settings = home.join("mbsyncrc");
        let text = settings_text(gate, &gate.user(who), tls, door, mechanism, &home);
        fs::write(&settings, text).map_err(|e| e.to_string())?;
        let mbsync = || run(program("mbsync").env("HOME", &home).arg("-c").arg(&settings).arg("--all"));
        mbsync()?;
        expect_messages(&inbox, "Far", COUNT)?;
        expect_messages(&inbox, "Near", COUNT)?;

        let mut other = gate.log_in("imap", who)?;
        let selected = command(&mut other, "b SELECT INBOX")?;
        let exists = format!("* {} EXISTS", 2 * COUNT);
        if !selected.contains(&exists) {
            return Err(format!("no \"{exists}\" in {selected:?}"));
        }
        command(&mut other, "c STORE 1:5 +FLAGS (\\Deleted)")?;
        command(&mut other, "d EXPUNGE")?;
        command(&mut other, "e LOGOUT")?;
        mbsync()?;
        expect_messages(&inbox, "", 2 * COUNT - 5)?;
    }
    Ok(())
}

fn settings_text(gate: &Gate, user: &str, tls: &str, door: &str, mechanism: &str, home: &Path) -> String {
    let (port, certificate, mail) = (gate.port(door), gate.certificate(), home.join("mail"));
    let mail = mail.display();
    format!(
        "IMAPAccount gate
Host 127.0.0.1
Port {port}
User {user}
Pass {PASSWORD}
SSLType {tls}
SystemCertificates no
CertificateFile {certificate}
AuthMechs {mechanism}

IMAPStore far
Account gate

MaildirStore near
Path {mail}/
Inbox {mail}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"
    )
}

/// That a maildir holds so many messages whose subject begins like this.
fn expect_messages(maildir: &Path, subject: &str, count: usize) -> Result<(), String> {
    let mut found = 0;
    for folder in ["cur", "new"] {
        for entry in fs::read_dir(maildir.join(folder)).map_err(|e| e.to_string())? {
            let text =
                fs::read_to_string(entry.map_err(|e| e.to_string())?.path()).map_err(|e| e.to_string())?;
            found += usize::from(text.contains(&format!("Subject: {subject}")));
        }
    }
    if found == count { Ok(()) } else { Err(format!("{found} messages \"{subject}…\" instead of {count}")) }
}
