//! A database and its settings file, for tests.

use std::path::PathBuf;

use rusqlite::Connection;

/// A folder with a database and a settings file.
pub(crate) struct Setup {
    folder: tempfile::TempDir,
}

impl Setup {
    /// A database made by the statements, and a settings file with more settings.
    pub(crate) fn new(statements: &str, settings: &str) -> Self {
        let setup = Self { folder: tempfile::tempdir().unwrap() };
        setup.writer().execute_batch(statements).unwrap();
        let database = setup.database();
        let text = format!("driver = sqlite\nconnect = {}\n{settings}\n", database.display());
        std::fs::write(setup.args(), text).unwrap();
        setup
    }

    /// `args` that name the settings file.
    pub(crate) fn args(&self) -> String {
        self.folder.path().join("sql.conf.ext").display().to_string()
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("users.sqlite")
    }

    /// A connection that may write.
    pub(crate) fn writer(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    /// A text without the folder's path.
    pub(crate) fn plain(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}
