//! The models that this home knows by name: `data/models/NAME/` for each.
//!
//! A model is there once its record is ([`Record`]); what an import that died
//! left behind is no model and goes at the next change. One process at a time
//! changes the store; reading needs no lock. Beside it there may be directories
//! of models that are only read ([`super::shelf`]).

mod import;
mod record;
mod removal;

pub use import::{ImportEvent, ImportRequest, Imported};
pub use record::{Condition, FILE as RECORD_FILE, FileStamp, Record};
pub use removal::Removal;

use super::names;
use super::shelf::{self, ShelfModel};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// In the directory of a model whose import has begun and not ended.
const UNFINISHED: &str = "importing";
/// The folder of copied files.
const COPIES: &str = "files";
/// Digits of an id that are enough to mean a model by it.
const ID_DIGITS_MIN: usize = 4;

/// The store of one home.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    shelves: Vec<PathBuf>,
}

/// A model that a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "an answer to one look, never kept"
)]
pub enum Found {
    /// It was imported.
    Imported {
        /// Its directory in the store; what `--model` and [`super::LocalModel::open`]
        /// take.
        directory: PathBuf,
        /// What is known of it.
        record: Record,
    },
    /// It lies in a directory that is only read.
    Shelved(ShelfModel),
    /// The model in the program.
    Demo,
}

/// Nobody else changes the store while this is held.
#[derive(Debug)]
struct StoreLock {
    _file: File,
}

impl Store {
    /// The store of `home`; `shelves` are further directories, which are only
    /// read.
    #[must_use]
    pub fn new(home: &Home, shelves: &[PathBuf]) -> Self {
        let named = shelves.iter().filter(|path| !path.as_os_str().is_empty());
        Self {
            directory: home.data.join("models"),
            shelves: named.cloned().collect(),
        }
    }

    /// Where a model of this name has its directory.
    #[must_use]
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What was imported, by name; a record that cannot be read is an error in
    /// its place.
    #[must_use]
    pub fn imported(&self) -> Vec<(String, Result<Record, Failure>)> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let mut models: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let record = Record::read(&entry.path()).transpose()?;
                Some((entry.file_name().to_string_lossy().into_owned(), record))
            })
            .collect();
        models.sort_by(|a, b| a.0.cmp(&b.0));
        models
    }

    /// What lies in the directories that are only read, and what somebody has put
    /// into the store by hand.
    #[must_use]
    pub fn shelved(&self) -> Vec<ShelfModel> {
        let shelves = self.shelves.iter().chain([&self.directory]);
        let mut models: Vec<ShelfModel> = Vec::new();
        for model in shelves.flat_map(|directory| shelf::list(directory)) {
            if !models.iter().any(|known| known.name == model.name) {
                models.push(model);
            }
        }
        models
    }

    /// The model of this name, or of this beginning of an id; the store comes
    /// before the directories that are only read.
    ///
    /// # Errors
    /// When a record is damaged, or an id means several.
    pub fn find(&self, wanted: &str) -> Result<Option<Found>, Failure> {
        if wanted == names::DEMO {
            return Ok(Some(Found::Demo));
        }
        if names::objection(wanted).is_none()
            && let Some(record) = Record::read(&self.place(wanted))?
        {
            let directory = self.place(wanted);
            return Ok(Some(Found::Imported { directory, record }));
        }
        let named = |model: &ShelfModel| model.name == wanted;
        if let Some(model) = self.shelved().into_iter().find(named) {
            return Ok(Some(Found::Shelved(model)));
        }
        self.find_id(wanted)
    }

    fn find_id(&self, wanted: &str) -> Result<Option<Found>, Failure> {
        if wanted.len() < ID_DIGITS_MIN {
            return Ok(None);
        }
        let mut found = self.imported().into_iter().filter_map(|(name, record)| {
            let record = record.ok()?;
            let is_meant = record.id().to_string().starts_with(wanted);
            is_meant.then(|| Found::Imported {
                directory: self.place(&name),
                record,
            })
        });
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                let message = format!("{wanted:?} is the beginning of several ids");
                Err(Failure::new(Exit::Usage, message).hint("give more digits, or the name"))
            }
            (first, _) => Ok(first),
        }
    }

    /// What a `--model` argument leads to: a path that exists is meant before a
    /// name is; what is neither stays as it is.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn resolve(&self, wanted: &Path) -> Result<PathBuf, Failure> {
        let Some(name) = wanted.to_str().filter(|_| !wanted.exists()) else {
            return Ok(wanted.to_owned());
        };
        Ok(match self.find(name)? {
            Some(Found::Imported { directory, .. }) => directory,
            Some(Found::Shelved(model)) => model.path,
            Some(Found::Demo) | None => wanted.to_owned(),
        })
    }

    /// [`Self::resolve`] for several.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn resolve_all(&self, wanted: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        wanted.iter().map(|path| self.resolve(path)).collect()
    }

    /// Takes the store for a change, and clears away what changes that died left.
    fn lock(&self) -> Result<StoreLock, Failure> {
        fs::create_dir_all(&self.directory).map_err(|error| refused(&self.directory, &error))?;
        let path = self.directory.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| refused(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = "another command is changing the models of this home";
                return Err(Failure::new(Exit::BadConfig, message).hint("wait for its end"));
            }
            Err(TryLockError::Error(error)) => return Err(refused(&path, &error)),
        }
        self.sweep();
        Ok(StoreLock { _file: file })
    }

    /// Removes directories that say of themselves that they are unfinished.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_ours = path.is_dir() && !path.is_symlink();
            if is_ours && path.join(UNFINISHED).exists() && !path.join(record::FILE).exists() {
                drop(fs::remove_dir_all(&path));
            }
        }
    }
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::BadConfig, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
