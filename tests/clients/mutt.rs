//! mutt on a screen: it opens the inbox through the gate, shows a subject, and reads the message.

use std::fs;

use crate::Test;
use crate::house::{Gate, PASSWORD};
use crate::screen::Screen;

pub(crate) const TESTS: &[Test] = &[
    ("mutt::reads_in_the_clear", &["mutt", "tmux"], |gate| read(gate, "imap", "imap", "no")),
    ("mutt::reads_under_tls", &["mutt", "tmux"], |gate| read(gate, "imaps", "imaps", "no")),
    ("mutt::reads_with_starttls", &["mutt", "tmux"], |gate| read(gate, "imap", "imap", "yes")),
];

fn read(gate: &mut Gate, scheme: &str, door: &str, starttls: &str) -> Result<(), String> {
    for who in ["bert", "dora"] {
        gate.deliver(who, &format!("Hello {who}"))?;
        let home = gate.home()?.join(who);
        fs::create_dir_all(&home).map_err(|e| e.to_string())?;
        let (settings, certificate) = (home.join("muttrc"), gate.certificate());
        let text = format!(
            "set imap_pass={PASSWORD}\nset ssl_starttls={starttls}\nset ssl_force_tls=no\nset folder=~\n\
             set certificate_file={certificate}\nset ssl_verify_host=yes\nset move=no\nset sleep_time=0\n"
        );
        fs::write(&settings, text).map_err(|e| e.to_string())?;
        let inbox = format!("{scheme}://{}@127.0.0.1:{}/INBOX", gate.user(who), gate.port(door));
        let screen =
            Screen::open(&home, &["mutt", "-n", "-F", &settings.display().to_string(), "-f", &inbox])?;
        screen.wait("the subject", |text| text.contains(&format!("Hello {who}")))?;
        screen.press(&["Enter"])?;
        screen.wait("the message", |text| text.contains("A message."))?;
    }
    Ok(())
}
