//! gsasl: GNU SASL's own idea of each mechanism, over IMAP.

use crate::Test;
use crate::house::{Gate, PASSWORD};
use crate::program::{holds, program, run};

pub(crate) const TESTS: &[Test] = &[("gsasl::authenticates", &["gsasl"], authenticate)];

fn authenticate(gate: &mut Gate) -> Result<(), String> {
    for who in ["anna", "bert", "cleo", "dora"] {
        for mechanism in ["PLAIN", "LOGIN"] {
            for first in [&[][..], &["--no-client-first"]] {
                holds(&gsasl(gate, who, PASSWORD, mechanism, first)?, ". OK ")?;
            }
            let said =
                gsasl(gate, who, "wrong", mechanism, &[]).err().ok_or("let in with a wrong password")?;
            holds(&said, ". NO [AUTHENTICATIONFAILED]")?;
        }
    }
    Ok(())
}

fn gsasl(gate: &Gate, who: &str, password: &str, mechanism: &str, more: &[&str]) -> Result<String, String> {
    let mut command = program("gsasl");
    command.args(["--imap", "--no-starttls", "--no-cb", "--quality=none", "--mechanism", mechanism]);
    command.arg(format!("--connect=127.0.0.1:{}", gate.port("imap")));
    command.args(["--authentication-id", &gate.user(who), "--password", password]).args(more);
    run(&mut command)
}
