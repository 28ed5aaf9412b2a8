//! The pages in `docs` are true: every whole configuration on them passes `gatepost config check`, which says
//! nothing but what stands on the page too, and every dialogue below it comes out as printed.
//!
//! A fence ```` ```conf whole ```` begins an example. ```` ```WORD PATH ```` is one of its files (`sql`: a database
//! made by these statements), ```` ```imap ````, ```` ```pop3 ```` and so on are dialogues, in the words of scenarios.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use gatepost_tests::local::LocalMail;
use gatepost_tests::scenario::{self, Scenario, Subject};
use gatepost_tests::workplace::Workplace;
use gatepost_tests::{gatepost, run};
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    match trials() {
        Ok(trials) => libtest_mimic::run(&Arguments::from_args(), trials).exit_code(),
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut pages: Vec<_> = fs::read_dir(&folder)
        .map_err(|e| format!("docs: {e}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    pages.sort();
    let mut trials = Vec::new();
    for path in pages {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let page = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (line, example) in examples(&text) {
            let text = text.clone();
            let name = format!("{page}:{line}");
            trials.push(Trial::test(name, move || try_out(&example, &text).map_err(Into::into)));
        }
    }
    Ok(trials)
}

/// The examples of a page, each written as a scenario whose lines have the page's numbers.
fn examples(page: &str) -> Vec<(usize, String)> {
    let mut examples: Vec<(usize, Vec<String>)> = Vec::new();
    let mut inside = None;
    for (index, line) in page.lines().enumerate() {
        let mut kept = String::new();
        match (line.strip_prefix("```"), inside) {
            (Some(_), Some(_)) => inside = None,
            (Some("conf whole"), None) => {
                let before = std::iter::once("# A page.".to_owned()).chain(vec![String::new(); index - 1]);
                examples.push((index + 1, before.collect()));
                (kept, inside) = ("[dovecot.conf]".to_owned(), Some(true));
            }
            (Some(fence), None) => {
                let section = section(fence).filter(|_| !examples.is_empty());
                inside = Some(section.is_some());
                kept = section.unwrap_or_default();
            }
            (None, Some(true)) => line.clone_into(&mut kept),
            (None, _) => {}
        }
        if let Some((_, lines)) = examples.last_mut() {
            lines.push(kept);
        }
    }
    examples.into_iter().map(|(line, lines)| (line, lines.join("\n") + "\n")).collect()
}

/// The scenario's section for a fence; `None`: it is only to be read.
fn section(fence: &str) -> Option<String> {
    match fence.split_once(' ') {
        Some((kind, path)) => {
            let name = path.strip_prefix(DIRECTORY)?;
            Some(if kind == "sql" { format!("[sql {name}]") } else { format!("[file {name}]") })
        }
        None => {
            ["imap", "imaps", "pop3", "pop3s", "auth-client"].contains(&fence).then(|| format!("[{fence}]"))
        }
    }
}

/// Where the pages' files are.
const DIRECTORY: &str = "/etc/gatepost/";

/// Checks the configuration, and holds the dialogues if there are any.
fn try_out(example: &str, page: &str) -> Result<(), String> {
    let mail = LocalMail::open()?;
    let (imap, pop3) = (mail.imap_port, mail.pop3_port);
    let mut text = example.to_owned();
    for (printed, here) in [
        (DIRECTORY, "${dir}/"),
        ("127.0.0.1:10143", &format!("127.0.0.1:{imap}")),
        ("127.0.0.1:10110", &format!("127.0.0.1:{pop3}")),
        ("host=192.0.2.10", &format!("host=127.0.0.1 port={imap}")),
        ("'192.0.2.10', 143", &format!("'127.0.0.1', {imap}")),
    ] {
        text = text.replace(printed, here);
    }
    if !text.contains("\n[imap") && !text.contains("\n[pop3") && !text.contains("\n[auth-client") {
        // A scenario has a dialogue; this one is never held.
        text.push_str("[imap]\nC(close)\n");
        return check(&scenario::parse(&text)?, page);
    }
    let scenario = scenario::parse(&text)?;
    check(&scenario, page)?;
    run::run(&scenario, Subject::Gatepost)
}

fn check(scenario: &Scenario, page: &str) -> Result<(), String> {
    let place = Workplace::set_up(scenario, Subject::Gatepost)?;
    let file = place.file("dovecot.conf");
    fs::write(&file, &place.configuration).map_err(|e| e.to_string())?;
    let output = Command::new(gatepost::program()?)
        .args(["config", "check", "-c"])
        .arg(&file)
        .output()
        .map_err(|e| format!("gatepost config check: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && said.lines().all(|line| page.contains(line)) {
        true => Ok(()),
        false => Err(format!("gatepost config check: {}\n{said}", output.status)),
    }
}
