//! Configuration files: finding those an include names, and reading them within limits.

use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// Files read or found in all, so that includes cannot multiply without end.
pub(crate) const MAX_FILES: usize = 4096;

/// A file name relative to the directory of the file that names it.
pub(crate) fn beside(file: &Path, name: &str) -> PathBuf {
    match file.parent() {
        Some(directory) => directory.join(name),
        None => PathBuf::from(name),
    }
}

/// A whole file. Bytes that are no UTF-8 are marked, as they only matter outside comments.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| reason(&error))?;
    // A pipe or device would never end.
    if !file.metadata().map_err(|error| reason(&error))?.is_file() {
        return Err("not a file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("larger than {} MiB", MAX_FILE / 1024 / 1024));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The error in the system's words, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The files that `pattern` names, sorted; `*`, `?` and `[…]` match within one path component.
pub(crate) fn matching_files(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let part = component.as_os_str();
        match part.to_str().filter(|part| part.contains(['*', '?', '['])) {
            None => found.iter_mut().for_each(|path| path.push(part)),
            Some(glob) => {
                found = found.iter().flat_map(|directory| entries(directory, glob)).take(MAX_FILES).collect();
            }
        }
    }
    found.retain(|path| path.is_file());
    found.sort();
    found
}

fn entries(directory: &Path, glob: &str) -> Vec<PathBuf> {
    let opened = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Ok(entries) = std::fs::read_dir(opened) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') || glob.starts_with('.'))
        .filter(|name| glob_matches(glob, name))
        .map(|name| directory.join(name))
        .collect()
}

/// Whether `name` matches `glob`: `*`, `?`, `[a-z]`, `[!a-z]`. Time grows with the product of the lengths.
fn glob_matches(glob: &str, name: &str) -> bool {
    let glob: Vec<char> = glob.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut g, mut n) = (0, 0);
    // Where to go on after a mismatch: behind the last `*`, one character later each time.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if glob.get(g) == Some(&'*') {
            g += 1;
            retry = Some((g, n));
        } else if let Some(width) = glob_step(&glob[g..], name[n]) {
            g += width;
            n += 1;
        } else if let Some((after, at)) = retry {
            retry = Some((after, at + 1));
            (g, n) = (after, at + 1);
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

/// How many characters of `glob` matched `c`, if its first element does.
fn glob_step(glob: &[char], c: char) -> Option<usize> {
    match glob.first()? {
        '?' => Some(1),
        '[' => {
            // A `]` directly behind the bracket belongs to the set.
            let Some(end) = glob.iter().skip(2).position(|c| *c == ']').map(|at| at + 2) else {
                return (c == '[').then_some(1);
            };
            let set = &glob[1..end];
            let (negated, set) = match set.first() {
                Some('!' | '^') if set.len() > 1 => (true, &set[1..]),
                _ => (false, set),
            };
            (in_set(set, c) != negated).then_some(end + 1)
        }
        literal => (*literal == c).then_some(1),
    }
}

fn in_set(mut set: &[char], c: char) -> bool {
    loop {
        match set {
            [] => return false,
            [from, '-', to, rest @ ..] => {
                if (*from..=*to).contains(&c) {
                    return true;
                }
                set = rest;
            }
            [one, rest @ ..] => {
                if *one == c {
                    return true;
                }
                set = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, name, matches) in [
            ("*.conf", "10-auth.conf", true),
            ("*.conf", "10-auth.conf.dpkg-old", false),
            ("*", "", true),
            ("a*b*c", "axxbxxbxxc", true),
            ("a*b*c", "axxbxx", false),
            ("?0-*", "10-x", true),
            ("?0-*", "0-x", false),
            ("[12]0-*", "10-x", true),
            ("[12]0-*", "30-x", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            ("é*", "école", true),
        ] {
            assert_eq!(glob_matches(glob, name), matches, "{glob} {name}");
        }
    }

    #[test]
    fn a_glob_made_to_be_slow_is_not() {
        assert!(!glob_matches(
            &"*a".repeat(200),
            &"a".repeat(5000).replace("aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "b")
        ));
    }
}
