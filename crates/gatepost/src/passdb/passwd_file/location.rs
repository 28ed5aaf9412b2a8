//! Which passwd-file a request asks: a fixed one, or one whose path has variables.
//!
//! What a variable puts into a path can name a file but not lead elsewhere: a value with `/` or NUL, or
//! one that makes a whole component `.` or `..`, finds no file at all.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use auth::expand::Template;
use auth::request::Request;
use tokio::sync::Semaphore;

use super::source::{Files, Source};
use crate::passdb::{Log, Resources};

/// Files of one block that are kept in memory; beyond it the one unused longest is let go.
const KEPT: usize = 1024;

/// Files of one block that are read for the first time at once; logins for others wait.
const READERS: usize = 4;

/// Where the users of a block are.
pub(super) enum Location {
    /// In one file.
    Fixed(Arc<Source>),
    /// In one file per expansion of the path.
    Varying(Arc<Varying>),
}

pub(super) struct Varying {
    path: Template,
    /// Components of the path as written that are `.` or `..`.
    dots: usize,
    /// The folder named before the first variable.
    folder: PathBuf,
    files: Files,
    log: Log,
    kept: Mutex<Kept>,
    serves_userdb: AtomicBool,
    readers: Semaphore,
}

#[derive(Default)]
struct Kept {
    /// Open files, and when each was last asked for, in lookups.
    sources: HashMap<PathBuf, (Arc<Source>, u64)>,
    lookups: u64,
}

/// The file for one request.
pub(super) enum Located {
    /// This one.
    Open(Arc<Source>),
    /// Perhaps the one at this path, which has not been read yet.
    Unread(PathBuf),
    /// None: such a name can have no file.
    Nowhere,
    /// The path has no value, and why.
    Failed(String),
}

impl Location {
    /// Reads a fixed file. It may be absent: then it is looked for again at every lookup.
    pub(super) fn new(path: &str, resources: &Resources) -> Self {
        let template = Template::parse(path);
        if !path.contains('%') {
            let source = resources.files.source(Path::new(path), true, &resources.log);
            if source.claim_look() {
                source.refresh();
            }
            return Self::Fixed(source);
        }
        let before = path.split('%').next().unwrap_or_default();
        let folder = before.rsplit_once('/').map_or(".", |(folder, _)| folder);
        Self::Varying(Arc::new(Varying {
            path: template,
            dots: dots(path),
            folder: if folder.is_empty() { "/".into() } else { folder.into() },
            files: resources.files.clone(),
            log: Arc::clone(&resources.log),
            kept: Mutex::default(),
            serves_userdb: false.into(),
            readers: Semaphore::new(READERS),
        }))
    }

    /// The file to ask.
    pub(super) fn of(&self, request: &Request<'_>) -> Located {
        match self {
            Self::Fixed(source) => Located::Open(Arc::clone(source)),
            Self::Varying(varying) => varying.of(request),
        }
    }

    /// The file at a path that was [`Located::Unread`]. `None`: its users are unknown.
    pub(super) async fn open(&self, path: PathBuf) -> Option<Arc<Source>> {
        match self {
            Self::Fixed(source) => Some(Arc::clone(source)),
            Self::Varying(varying) => varying.open(path).await,
        }
    }

    /// Says that a userdb uses these files.
    pub(super) fn serve_userdb(&self) {
        match self {
            Self::Fixed(source) => source.serve_userdb(),
            Self::Varying(varying) => {
                varying.serves_userdb.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Varying {
    fn of(&self, request: &Request<'_>) -> Located {
        let mut leads_elsewhere = false;
        let expanded = self.path.expand_with(request, &mut |value, out| {
            leads_elsewhere |= value.contains(['/', '\0']);
            out.push_str(value);
        });
        let path = match expanded {
            Ok(path) => path,
            Err(fault) => return Located::Failed(format!("passwd-file {}: {fault}", self.path.text())),
        };
        // Values have no `/`, so every component beyond those written was made by a value.
        if leads_elsewhere || dots(&path) > self.dots {
            return Located::Nowhere;
        }
        let path = Path::new(&path);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lookups += 1;
        let now = kept.lookups;
        if let Some((source, used)) = kept.sources.get_mut(path) {
            *used = now;
            return Located::Open(Arc::clone(source));
        }
        Located::Unread(path.to_owned())
    }

    /// Reads the file at a path for the first time. `None`: it is not there although its folder is, so its
    /// users are unknown; without the folder nothing could be said of them.
    async fn open(self: &Arc<Self>, path: PathBuf) -> Option<Arc<Source>> {
        let _reader = self.readers.acquire().await;
        let varying = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let absent =
                matches!(std::fs::metadata(&path), Err(fault) if fault.kind() == ErrorKind::NotFound);
            if absent && varying.folder.is_dir() {
                return None;
            }
            let source = varying.files.source(&path, false, &varying.log);
            source.refresh();
            varying.keep(&source);
            Some(source)
        });
        reading.await.ok().flatten()
    }

    fn keep(&self, source: &Arc<Source>) {
        if source.table().is_err() {
            return;
        }
        if self.serves_userdb.load(Ordering::Relaxed) {
            source.serve_userdb();
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = kept.lookups;
        kept.sources.insert(source.path().to_owned(), (Arc::clone(source), now));
        if kept.sources.len() > KEPT {
            let oldest = kept.sources.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                kept.sources.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
impl Varying {
    pub(super) fn kept(&self) -> usize {
        self.kept.lock().unwrap().sources.len()
    }
}

/// How many components of a path are `.` or `..`.
fn dots(path: &str) -> usize {
    path.split('/').filter(|part| matches!(*part, "." | "..")).count()
}
