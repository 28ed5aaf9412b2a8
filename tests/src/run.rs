//! One scenario against one subject, all dialogues in order, with every difference in the report.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

use crate::scenario::{Dialogue, Scenario, Subject};
use crate::subject::Running;
use crate::talk::{self, Correction};

/// Runs it; the error is a report for people.
pub fn run(scenario: &Scenario, subject: Subject) -> Result<(), String> {
    let result = hold_all(scenario, subject);
    match &scenario.pending {
        Some(why) if subject == Subject::Gatepost => match result {
            Ok(()) => Err(format!("passes now, remove the line `pending: {why}`")),
            Err(_) => Ok(()),
        },
        _ => result,
    }
}

fn hold_all(scenario: &Scenario, subject: Subject) -> Result<(), String> {
    let mut running = Running::start(scenario, subject)?;
    let mut faults = String::new();
    let mut corrections = (subject == Subject::Dovecot && env::var_os("RECORD").is_some()).then(Vec::new);
    for dialogue in scenario.dialogues.iter().filter(|one| one.only.is_none_or(|only| only == subject)) {
        if let Err(fault) = hold(dialogue, &mut running, subject, corrections.as_mut()) {
            let _ = writeln!(faults, "{fault}");
        }
    }
    if let Some(corrections) = corrections {
        correct(&scenario.path, &corrections).map_err(|e| format!("{}: {e}", scenario.path.display()))?;
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("{faults}\n{}", running.log_tail())) }
}

/// `RECORD=1`: `S:` lines that differ become what the real Dovecot said, for a person to read and judge.
fn correct(path: &Path, corrections: &[Correction]) -> io::Result<()> {
    let mut lines: Vec<String> = fs::read_to_string(path)?.lines().map(str::to_owned).collect();
    for (number, said) in corrections {
        lines[number - 1] = format!("S: {}", said.replace("${tab}", "\\t"));
    }
    if corrections.is_empty() { Ok(()) } else { fs::write(path, lines.join("\n") + "\n") }
}

fn hold(
    dialogue: &Dialogue,
    running: &mut Running,
    subject: Subject,
    corrections: Option<&mut Vec<Correction>>,
) -> Result<(), String> {
    let result = talk::hold(dialogue, running, subject, corrections);
    match &dialogue.pending {
        Some(why) if subject == Subject::Gatepost => match result {
            Ok(()) => {
                let title = &dialogue.title;
                Err(format!("  [{title}] passes now, remove the line `pending: {why}`"))
            }
            Err(_) => Ok(()),
        },
        _ => result,
    }
}
