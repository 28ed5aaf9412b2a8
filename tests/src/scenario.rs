//! Reads a scenario file: comments, files to write, and dialogues. Knows the file format; leaves running to
//! [`crate::run`] and the meaning of `${…}` to [`crate::text`].

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// One `.scn` file.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Path below the scenario folder, without the ending: `field/nologin`.
    pub name: String,
    /// The file itself.
    pub path: PathBuf,
    /// Why Gatepost does not do this yet; then Gatepost's run must fail.
    pub pending: Option<String>,
    /// What the subject finds in its directory.
    pub files: Vec<DataFile>,
    /// What is said, in this order.
    pub dialogues: Vec<Dialogue>,
}

/// The servers a scenario is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The original, which proves the expectation.
    Dovecot,
    /// The server under test.
    Gatepost,
}

impl Subject {
    /// As written in scenarios and test names.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Dovecot => "dovecot",
            Subject::Gatepost => "gatepost",
        }
    }

    fn parse(name: &str) -> Option<Subject> {
        [Subject::Dovecot, Subject::Gatepost].into_iter().find(|subject| subject.name() == name)
    }
}

/// A file made before the subject starts.
#[derive(Clone, Debug)]
pub struct DataFile {
    /// Its name in the scenario's directory.
    pub name: String,
    /// Whether `text` is fed to sqlite instead of being written.
    pub database: bool,
    /// The only subject that gets it (`None`: both).
    pub only: Option<Subject>,
    /// Contents before `${…}` is replaced.
    pub text: String,
}

/// Where a dialogue knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// IMAP.
    Imap,
    /// IMAP under TLS from the first byte.
    Imaps,
    /// POP3.
    Pop3,
    /// POP3 under TLS from the first byte.
    Pop3s,
    /// The auth client socket, after the handshake.
    AuthClient,
    /// The auth client socket, handshake included.
    AuthClientRaw,
}

impl Door {
    const ALL: [(&str, Door); 6] = [
        ("imap", Door::Imap),
        ("imaps", Door::Imaps),
        ("pop3", Door::Pop3),
        ("pop3s", Door::Pop3s),
        ("auth-client", Door::AuthClient),
        ("auth-client-raw", Door::AuthClientRaw),
    ];

    /// Name of its port, as in `${port:imap}`; the auth socket has none.
    pub fn port_name(self) -> Option<&'static str> {
        let (name, _) = Door::ALL.into_iter().find(|&(_, door)| door == self)?;
        (!self.is_auth_socket()).then_some(name)
    }

    /// Whether lines end in LF alone and `\t` is a TAB.
    pub fn is_auth_socket(self) -> bool {
        matches!(self, Door::AuthClient | Door::AuthClientRaw)
    }

    /// Whether TLS comes first.
    pub fn is_tls(self) -> bool {
        matches!(self, Door::Imaps | Door::Pop3s)
    }

    /// How a greeting begins that is read silently when a dialogue starts with the client's turn.
    pub fn greeting(self) -> Option<&'static str> {
        match self {
            Door::Imap | Door::Imaps => Some("* OK "),
            Door::Pop3 | Door::Pop3s => Some("+OK "),
            Door::AuthClient | Door::AuthClientRaw => None,
        }
    }
}

/// One connection and what is said over it.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// Line of its header.
    pub line: usize,
    /// The header as written, for reports.
    pub title: String,
    /// Where it knocks.
    pub door: Door,
    /// Address it comes from; `None`: one that nobody else uses.
    pub from: Option<Ipv4Addr>,
    /// Whether the connection stays open until the scenario is over.
    pub kept: bool,
    /// The only subject it is held with.
    pub only: Option<Subject>,
    /// Why Gatepost does not do this yet; then it must fail there.
    pub pending: Option<String>,
    /// Keys of rows in `docs/deviations.md`.
    pub deviations: Vec<String>,
    /// The turns.
    pub steps: Vec<Step>,
}

/// One turn.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its line.
    pub line: usize,
    /// The only subject it holds for.
    pub only: Option<Subject>,
    /// What happens.
    pub action: Action,
}

/// What happens in a turn. Texts are as written, before `${…}` is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `C:` a line.
    Say(String),
    /// `C(raw):` bytes without a line end.
    SayRaw(String),
    /// `C(early):` bytes that come before the greeting, as a PROXY header does.
    SayEarly(String),
    /// `C(starttls)`: the TLS handshake.
    StartTls,
    /// `C(close)`: hang up.
    HangUp,
    /// `S:` a line must come.
    Hear(String),
    /// `S(close)`: the subject must hang up.
    HearEnd,
    /// `W(users): line`: a line is added to a data file, and long enough is waited that the subject can notice.
    Append(String, String),
    /// `Q(users.db): statement`: a database is changed.
    Query(String, String),
    /// `B…`: a turn of the fake backend with this name.
    Backend(String, BackendAction),
}

/// What happens at a fake backend. The first turn waits for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendAction {
    /// `B<` the subject must say this line.
    Hear(String),
    /// `B>` it says a line.
    Say(String),
    /// `B(raw)>` it says bytes without a line end.
    SayRaw(String),
    /// `B(accept)`: it waits for the next connection.
    Accept,
    /// `B(tls)`: the subject must begin a TLS handshake.
    AcceptTls,
    /// `B(close)`: it hangs up.
    HangUp,
    /// `B(closed)`: the subject must hang up.
    HearEnd,
}

/// Every scenario below `folder`, sorted by name.
pub fn read_all(folder: &Path) -> Result<Vec<Scenario>, String> {
    let mut paths = Vec::new();
    collect(folder, &mut paths)?;
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.strip_prefix(folder).unwrap_or(path).with_extension("");
            let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let mut scenario = parse(&text).map_err(|e| format!("{}:{e}", path.display()))?;
            scenario.name = name.to_string_lossy().into_owned();
            scenario.path = path.clone();
            Ok(scenario)
        })
        .collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|ending| ending == "scn") {
            into.push(path);
        }
    }
    Ok(())
}

enum Section {
    Head,
    File(DataFile),
    Dialogue(Dialogue),
}

/// Reads one file, whose name the caller knows; an error begins with its line number.
pub fn parse(text: &str) -> Result<Scenario, String> {
    let mut scenario = Scenario::default();
    let mut section = Section::Head;
    let mut described = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            finish(&mut scenario, section)?;
            section = open(header, number).map_err(|e| format!("{number}: {e}"))?;
            continue;
        }
        match &mut section {
            Section::Head if line.starts_with('#') => described = true,
            Section::Head if line.is_empty() => {}
            Section::Head => match line.strip_prefix("pending: ") {
                Some(why) => scenario.pending = Some(why.to_owned()),
                None => return Err(format!("{number}: expected a comment, `pending: ` or a [section]")),
            },
            Section::File(file) => {
                file.text.push_str(line);
                file.text.push('\n');
            }
            Section::Dialogue(dialogue) => {
                turn(dialogue, line, number).map_err(|e| format!("{number}: {e}"))?;
            }
        }
    }
    finish(&mut scenario, section)?;
    if !described {
        return Err(
            "1: no leading comment says what is shown and where the expectation comes from".to_owned()
        );
    }
    if scenario.dialogues.is_empty() {
        return Err("1: no dialogue".to_owned());
    }
    Ok(scenario)
}

/// `[only gatepost: imap from 127.0.0.5]`, `[sql users.db]`, `[users]`
fn open(header: &str, line: usize) -> Result<Section, String> {
    let (only, what) = match header.strip_prefix("only ").and_then(|rest| rest.split_once(": ")) {
        Some((name, what)) => {
            (Some(Subject::parse(name).ok_or(format!("unknown subject \"{name}\""))?), what)
        }
        None => (None, header),
    };
    for (prefix, database) in [("sql ", true), ("file ", false)] {
        if let Some(name) = what.strip_prefix(prefix) {
            let text = String::new();
            return Ok(Section::File(DataFile { name: name.to_owned(), database, only, text }));
        }
    }
    let (what, kept) = what.strip_suffix(" kept").map_or((what, false), |what| (what, true));
    let (place, from) = match what.split_once(" from ") {
        Some((place, address)) => {
            (place, Some(address.parse().map_err(|_| format!("no address: \"{address}\""))?))
        }
        None => (what, None),
    };
    Ok(match Door::ALL.into_iter().find(|&(name, _)| name == place) {
        Some((_, door)) => Section::Dialogue(Dialogue {
            line,
            title: header.to_owned(),
            door,
            from,
            kept,
            only,
            pending: None,
            deviations: Vec::new(),
            steps: Vec::new(),
        }),
        None if kept || from.is_some() || what.contains(' ') => {
            return Err(format!("unknown section [{header}]"));
        }
        None => Section::File(DataFile { name: what.to_owned(), database: false, only, text: String::new() }),
    })
}

fn finish(scenario: &mut Scenario, section: Section) -> Result<(), String> {
    match section {
        Section::Head => {}
        Section::File(file) => scenario.files.push(file),
        Section::Dialogue(dialogue) => {
            let differs = dialogue.only.is_some() || dialogue.steps.iter().any(|step| step.only.is_some());
            if differs && dialogue.deviations.is_empty() {
                return Err(format!("{}: subjects differ but no `deviates: ` names a reason", dialogue.line));
            }
            if dialogue.steps.is_empty() {
                return Err(format!("{}: empty dialogue", dialogue.line));
            }
            scenario.dialogues.push(dialogue);
        }
    }
    Ok(())
}

fn turn(dialogue: &mut Dialogue, line: &str, number: usize) -> Result<(), String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    if let Some(why) = line.strip_prefix("pending: ") {
        dialogue.pending = Some(why.to_owned());
        return Ok(());
    }
    if let Some(key) = line.strip_prefix("deviates: ") {
        dialogue.deviations.push(key.split_whitespace().next().unwrap_or_default().to_owned());
        return Ok(());
    }
    let (mark, text) = match line.find([':', '<', '>']) {
        Some(end) => {
            let text = &line[end + 1..];
            let text = text.strip_prefix(' ').unwrap_or(text);
            let is_auth = dialogue.door.is_auth_socket();
            (&line[..=end], if is_auth { text.replace("\\t", "${tab}") } else { text.to_owned() })
        }
        None => (line, String::new()),
    };
    let mut only = None;
    let action = match mark {
        "C:" => Action::Say(text),
        "C(raw):" => Action::SayRaw(text),
        "C(early):" => Action::SayEarly(text),
        _ if mark.starts_with("W(") => Action::Append(inside(mark), text),
        _ if mark.starts_with("Q(") => Action::Query(inside(mark), text),
        "C(starttls)" => Action::StartTls,
        "C(close)" => Action::HangUp,
        "S:" => Action::Hear(text),
        "S(close)" => Action::HearEnd,
        "G:" | "G(close)" => {
            reserve_for_dovecot(&mut dialogue.steps);
            only = Some(Subject::Gatepost);
            if mark == "G:" { Action::Hear(text) } else { Action::HearEnd }
        }
        _ => backend_turn(mark, text).ok_or(format!("what is \"{mark}\"?"))?,
    };
    dialogue.steps.push(Step { line: number, only, action });
    Ok(())
}

/// The name in `W(name):`.
fn inside(mark: &str) -> String {
    mark[2..].trim_end_matches("):").to_owned()
}

/// `G:` lines stand in for the whole run of `S:` lines directly above them.
fn reserve_for_dovecot(steps: &mut [Step]) {
    let above = steps.iter_mut().rev().skip_while(|step| step.only == Some(Subject::Gatepost));
    for step in above {
        match step.action {
            Action::Hear(_) | Action::HearEnd if step.only != Some(Subject::Gatepost) => {
                step.only = Some(Subject::Dovecot);
            }
            _ => break,
        }
    }
}

/// `B<`, `B2>`, `B(close)`: a number other than 1 stands before `(`, `<` or `>`.
fn backend_turn(mark: &str, text: String) -> Option<Action> {
    let rest = mark.strip_prefix('B')?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (number, sign) = rest.split_at(end);
    let backend = format!("backend{number}");
    let action = match sign {
        "<" => BackendAction::Hear(text),
        ">" => BackendAction::Say(text),
        "(raw)>" => BackendAction::SayRaw(text),
        "(accept)" => BackendAction::Accept,
        "(tls)" => BackendAction::AcceptTls,
        "(close)" => BackendAction::HangUp,
        "(closed)" => BackendAction::HearEnd,
        _ => return None,
    };
    Some(Action::Backend(backend, action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gatepost_line_replaces_the_run_above_it() {
        let text = "# x\n[imap]\ndeviates: k why\nC: a\nS: 1\nS: 2\nG: 3\nG: 4\nS: 5\n";
        let scenario = parse(text).unwrap();
        let dialogue = &scenario.dialogues[0];
        assert_eq!(dialogue.deviations, ["k"]);
        let only: Vec<_> = dialogue.steps.iter().map(|step| step.only.map(Subject::name)).collect();
        let (dovecot, gatepost) = (Some("dovecot"), Some("gatepost"));
        assert_eq!(only, [None, dovecot, dovecot, gatepost, gatepost, None]);
    }

    #[test]
    fn a_difference_needs_a_key() {
        assert_eq!(
            parse("# x\n[imap]\nS: 1\nG: 2\n").unwrap_err(),
            "2: subjects differ but no `deviates: ` names a reason"
        );
    }

    #[test]
    fn backends_are_numbered() {
        let scenario = parse("# x\n[pop3]\nB2(raw)> a: b\nB< c\n").unwrap();
        let steps: Vec<_> = scenario.dialogues[0].steps.iter().map(|step| step.action.clone()).collect();
        let says = Action::Backend("backend2".to_owned(), BackendAction::SayRaw("a: b".to_owned()));
        let hears = Action::Backend("backend".to_owned(), BackendAction::Hear("c".to_owned()));
        assert_eq!(steps, [says, hears]);
    }

    #[test]
    fn every_deviation_is_listed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = fs::read_to_string(root.join("../docs/deviations.md")).unwrap();
        for scenario in read_all(&root.join("scenarios")).unwrap() {
            for key in scenario.dialogues.iter().flat_map(|dialogue| &dialogue.deviations) {
                assert!(page.contains(&format!("`{key}`")), "{}: {key} is not listed", scenario.name);
            }
        }
    }
}
