//! An ordered set of extra fields, with the suffixes `:protected` (also spelt `:default`) and
//! `:remove`, and with keep and roll back. Knows nothing of what any field means.

pub(crate) mod extra;
pub mod known;

/// Where a field's value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Sent by a trusted front (`forward_*`).
    Forwarded,
    /// The database with this number in the chain, from 1.
    Passdb(usize),
    /// `default_fields` of that database.
    Default(usize),
    /// `override_fields` of that database.
    Override(usize),
}

/// One extra field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name without suffix.
    pub name: String,
    /// Value; empty when the database gave none.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

/// What setting a field did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Set,
    /// It replaced an earlier value.
    Overrode(Origin),
    /// It was left alone because it was `:protected` and set before.
    Kept(Origin),
    /// It was taken away.
    Removed(Origin),
    /// It was to be taken away, and was not there.
    Absent,
}

/// What a suffix asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// No suffix: set, and replace.
    None,
    /// `:protected`, `:default`: set only when not set before.
    Protected,
    /// `:remove`: delete.
    Remove,
}

impl Suffix {
    /// Takes the suffix off a field name as written. Any other suffix is part of the name.
    pub fn split(name: &str) -> (&str, Self) {
        if let Some(bare) = name.strip_suffix(":protected").or_else(|| name.strip_suffix(":default")) {
            (bare, Self::Protected)
        } else if let Some(bare) = name.strip_suffix(":remove") {
            (bare, Self::Remove)
        } else {
            (name, Self::None)
        }
    }
}

/// Extra fields in the order first set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    list: Vec<Field>,
    kept: Option<Vec<Field>>,
}

impl Fields {
    /// The field's value, when it is there.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.find(name).map(|field| field.value.as_str())
    }

    /// The field, when it is there.
    pub fn find(&self, name: &str) -> Option<&Field> {
        self.list.iter().find(|field| field.name == name)
    }

    /// Whether the field is there: the meaning of a boolean, whatever its value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// All fields in the order first set.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.list.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sets, protects or removes a field, as the suffix says.
    pub fn apply(&mut self, name: &str, suffix: Suffix, value: &str, origin: Origin) -> Change {
        let at = self.list.iter().position(|field| field.name == name);
        match (at.and_then(|at| self.list.get_mut(at)), suffix) {
            (Some(field), Suffix::None) => {
                let before = field.origin;
                value.clone_into(&mut field.value);
                field.origin = origin;
                Change::Overrode(before)
            }
            (Some(field), Suffix::Protected) => Change::Kept(field.origin),
            (Some(field), Suffix::Remove) => {
                let before = field.origin;
                self.remove(name);
                Change::Removed(before)
            }
            (None, Suffix::Remove) => Change::Absent,
            (None, Suffix::None | Suffix::Protected) => {
                self.list.push(Field { name: name.to_owned(), value: value.to_owned(), origin });
                Change::Set
            }
        }
    }

    /// Sets a field without suffix.
    pub fn set(&mut self, name: &str, value: &str, origin: Origin) -> Change {
        self.apply(name, Suffix::None, value, origin)
    }

    /// Deletes a field, when it is there.
    pub fn remove(&mut self, name: &str) {
        self.list.retain(|field| field.name != name);
    }

    /// Remembers the fields as they are, to be returned to by [`Fields::roll_back`].
    pub fn keep(&mut self) {
        self.kept = Some(self.list.clone());
    }

    /// Returns to what was last kept (nothing, if nothing was).
    pub fn roll_back(&mut self) {
        self.list = self.kept.clone().unwrap_or_default();
    }
}
