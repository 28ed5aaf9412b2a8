//! Extra fields by themselves: a list of changes against a plain model of it.

use auth::fields::known;
use auth::fields::{Change, Fields, Origin, Suffix};

/// A line is `k` (keep), `r` (roll back), or `name=value`, the name with its suffix.
pub(crate) fn fields(input: &[u8]) {
    let input = String::from_utf8_lossy(input);
    let mut fields = Fields::default();
    let mut model: Vec<(String, String)> = Vec::new();
    let mut kept = Vec::new();
    for (index, line) in input.split('\n').enumerate() {
        match line {
            "k" => {
                fields.keep();
                kept.clone_from(&model);
            }
            "r" => {
                fields.roll_back();
                model.clone_from(&kept);
            }
            _ => {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let (bare, suffix) = Suffix::split(name);
                assert!(name.starts_with(bare));
                let _ = known::find(bare);
                let change = fields.apply(bare, suffix, value, Origin::Passdb(index));
                let at = model.iter().position(|(known, _)| known == bare);
                match (at, suffix) {
                    (None, Suffix::Remove) => assert_eq!(change, Change::Absent),
                    (None, Suffix::None | Suffix::Protected) => {
                        model.push((bare.to_owned(), value.to_owned()));
                        assert_eq!(change, Change::Set);
                    }
                    (Some(at), Suffix::None) => {
                        value.clone_into(&mut model[at].1);
                        assert!(matches!(change, Change::Overrode(_)));
                    }
                    (Some(_), Suffix::Protected) => assert!(matches!(change, Change::Kept(_))),
                    (Some(at), Suffix::Remove) => {
                        model.remove(at);
                        assert!(matches!(change, Change::Removed(_)));
                    }
                }
            }
        }
        let list: Vec<_> = fields.iter().map(|field| (field.name.clone(), field.value.clone())).collect();
        assert_eq!(list, model);
    }
}
