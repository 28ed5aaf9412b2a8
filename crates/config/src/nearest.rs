//! Which known name a misspelt one was probably meant to be.

/// `did you mean "x"?` for the known name that is nearest to `name`, if one is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let near = (name.len() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|known| (distance(&name, known), known))
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, known)| format!("did you mean \"{known}\"?"))
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    // Names are short; anything longer is near to none of them.
    if a.len() > 100 || b.len() > 100 {
        return usize::MAX;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["driver", "args", "deny"];
        assert_eq!(nearest("drivr", known).as_deref(), Some("did you mean \"driver\"?"));
        assert_eq!(nearest("dirver", known).as_deref(), Some("did you mean \"driver\"?"));
        assert_eq!(nearest("DRIVER", known).as_deref(), Some("did you mean \"driver\"?"));
        assert_eq!(nearest("argz", known).as_deref(), Some("did you mean \"args\"?"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
