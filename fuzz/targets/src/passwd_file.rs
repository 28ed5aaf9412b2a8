//! The table of a passwd-file against a plain search through its lines.

// The table alone, without the server crate and its database clients, which nobody wants to instrument.
#[expect(dead_code, reason = "the server uses the rest")]
#[path = "../../../crates/gatepost/src/passdb/passwd_file/table.rs"]
mod table;

use table::{Column, Table};

/// Every user is found, by the first of their lines, and nobody else.
pub(crate) fn table(input: &[u8]) {
    let (table, faults) = Table::build(input.to_vec());
    assert!(faults.told.len() <= 10 && (faults.more == 0 || faults.told.len() == 10));
    assert_eq!(table.bytes(), input);
    assert!(!table.loses_users_to(&table));
    assert_eq!(table.ends_in_newline(), input.is_empty() || input.ends_with(b"\n"));
    let mut users = Vec::new();
    for (index, line) in input.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if name.is_empty() || line.starts_with(b"#") || users.contains(&name) {
            continue;
        }
        users.push(name);
        let Some(found) = table.find(name) else { panic!("{} is lost", name.escape_ascii()) };
        assert_eq!((found.name(), table.number(found)), (name, index + 1));
        assert_eq!(found.check().is_err(), line.len() > 64 * 1024 || line.contains(&0));
        let mut columns = line.splitn(8, |&byte| byte == b':').skip(1);
        assert_eq!(found.column(Column::Password), columns.next());
        assert_eq!(found.column(Column::Uid), columns.next());
        assert_eq!(found.column(Column::Gid), columns.next());
        assert_eq!(found.column(Column::Home), columns.nth(1));
        assert_eq!(found.column(Column::Extra), columns.nth(1));
        for (name, value) in found.fields() {
            assert!(name.len() + value.len() <= line.len() && !value.contains(&b' '));
        }
    }
    assert_eq!(table.users(), users.len());
    assert!(table.find(b"no user of this name\n").is_none());
}
