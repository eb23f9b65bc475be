//! Taking a model into the store: its files are checked whole, hashed once, and
//! recorded; copied first where that is asked for.
//!
//! The record comes last. A copy shares the original's space on the disk where
//! the file system can do that.

use super::record::{Condition, FileStamp, Record};
use super::{COPIES, Store, UNFINISHED, refused};
use crate::exit::{Exit, Failure};
use crate::models::names;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use talkoot_inference::{Checkpoint, LoadEvent};
use talkoot_protocol::ModelId;

/// What to take in.
#[derive(Debug, Clone, Copy)]
pub struct ImportRequest<'a> {
    /// A Hugging Face directory or a GGUF file.
    pub path: &'a Path,
    /// What it shall be called; none means as its path.
    pub name: Option<&'a str>,
    /// Whether to copy the files.
    pub copy: bool,
    /// Where hashes are kept.
    pub cache: &'a Path,
    /// Threads that hash.
    pub threads: usize,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportEvent {
    /// Bytes of the files that are copied.
    Copied {
        /// So far.
        done_bytes: u64,
        /// In all.
        total_bytes: u64,
    },
    /// Bytes of the weights that are hashed.
    Hashed {
        /// So far.
        done_bytes: u64,
        /// In all.
        total_bytes: u64,
    },
}

/// Who hears it; called from any thread.
type Observer<'a> = &'a (dyn Fn(ImportEvent) + Sync);

/// A model that is in the store now.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What is known of it.
    pub record: Record,
    /// What the store had by this name before, if it had anything.
    pub before: Option<ModelId>,
}

impl Store {
    /// Checks a model and takes it in. The same path may be imported again: its
    /// record is then renewed.
    ///
    /// # Errors
    /// What is wrong with the files, by file, tensor or setting; a name that is
    /// taken or no name; a full disk.
    pub fn import(
        &self,
        request: &ImportRequest<'_>,
        observer: Observer<'_>,
    ) -> Result<Imported, Failure> {
        let origin = std::path::absolute(request.path)?;
        let name = request
            .name
            .map_or_else(|| names::of_path(&origin), str::to_owned);
        if let Some(objection) = names::objection(&name) {
            let message = format!("{name:?} is no name for a model: {objection}");
            return Err(Failure::new(Exit::Usage, message).hint("--name gives it another one"));
        }
        // Nothing is touched before the files are known to be a model.
        let checkpoint = open(&origin)?;
        let _lock = self.lock()?;
        let before = self.before(&name, &origin, request.copy)?;
        if let Some(record) = before.as_ref().filter(|record| record.is_copy) {
            return self.kept_copy(record);
        }
        let directory = self.place(&name);
        let begun = begin(&directory, before.is_some());
        let record = begun.and_then(|()| {
            let into = request.copy.then_some(&*directory);
            record_of(checkpoint, &origin, (&name, into), request, observer)
        });
        let written = record.and_then(|record| {
            record.write(&directory)?;
            Ok(record)
        });
        let record = written.inspect_err(|_| {
            if before.is_none() {
                drop(fs::remove_dir_all(&directory));
            }
        })?;
        drop(fs::remove_file(directory.join(UNFINISHED)));
        Ok(Imported {
            record,
            before: before.map(|record| record.id()),
        })
    }

    /// What a second import of a copied model gives: the copy, if it is whole.
    fn kept_copy(&self, record: &Record) -> Result<Imported, Failure> {
        let name = record.name();
        match record.condition(&self.place(name)) {
            Condition::Whole => Ok(Imported {
                record: record.clone(),
                before: Some(record.id()),
            }),
            Condition::Missing(path) | Condition::Changed(path) => {
                let message = format!("the copy of {name} is damaged: {}", path.display());
                Err(Failure::new(Exit::VerifyFailed, message)
                    .hint(format!("`talkoot rm {name} --yes`, then import it again")))
            }
        }
    }

    /// The record that this import renews, if the name is its own already.
    fn before(&self, name: &str, origin: &Path, copy: bool) -> Result<Option<Record>, Failure> {
        let taken = |by: &Path| {
            let message = format!("there is a model {name} already, from {}", by.display());
            Failure::new(Exit::BadConfig, message).hint(format!(
                "`talkoot rm {name} --yes` forgets it; --name gives this one another name"
            ))
        };
        let directory = self.place(name);
        match Record::read(&directory)? {
            Some(record) if record.origin == origin && record.is_copy == copy => Ok(Some(record)),
            Some(record) => Err(taken(&record.origin)),
            None if fs::symlink_metadata(&directory).is_ok() => Err(taken(&directory)),
            None => Ok(None),
        }
    }
}

/// Makes the directory of a new model and marks it as unfinished.
fn begin(directory: &Path, is_there: bool) -> Result<(), Failure> {
    if is_there {
        return Ok(());
    }
    fs::create_dir(directory)
        .and_then(|()| fs::write(directory.join(UNFINISHED), ""))
        .map_err(|error| refused(directory, &error))
}

/// Copies the files if `into` is given, hashes them where they then are, and
/// composes the record.
fn record_of(
    opened: Checkpoint,
    origin: &Path,
    (name, into): (&str, Option<&Path>),
    request: &ImportRequest<'_>,
    observer: Observer<'_>,
) -> Result<Record, Failure> {
    let files = files_of(&opened, origin)?;
    let (model, files) = match into {
        None => (origin.to_owned(), files),
        Some(directory) => copy(&files, origin, directory, observer)?,
    };
    let base = into.unwrap_or_else(|| Path::new(""));
    let checkpoint = match into {
        None => opened,
        Some(_) => open(&base.join(&model))?,
    };
    let checkpoint = checkpoint.cached_in(request.cache);
    let hashed = checkpoint.hash_tensors(request.threads, &|event| {
        if let LoadEvent::Hashed {
            done_bytes,
            total_bytes,
        } = event
        {
            observer(ImportEvent::Hashed {
                done_bytes,
                total_bytes,
            });
        }
    });
    let card = hashed
        .and_then(|()| checkpoint.card(name))
        .map_err(|error| refusal(origin, &error))?;
    // What was hashed is what the stamps were taken of.
    for stamp in &files {
        let path = base.join(&stamp.path);
        let now = FileStamp::look(&path).map_err(|error| refused(&path, &error))?;
        if (now.bytes, now.modified_ms) != (stamp.bytes, stamp.modified_ms) {
            let message = format!("{} was written while it was read", path.display());
            return Err(Failure::new(Exit::VerifyFailed, message).hint("import it again"));
        }
    }
    Ok(Record {
        card,
        origin: origin.to_owned(),
        model,
        is_copy: into.is_some(),
        files,
    })
}

/// Every file that the checkpoint was read from.
fn files_of(checkpoint: &Checkpoint, origin: &Path) -> Result<Vec<FileStamp>, Failure> {
    let mut paths = checkpoint.weight_paths();
    if origin.is_dir() {
        let small = Checkpoint::SMALL_FILES.map(|name| origin.join(name));
        paths.extend(small.into_iter().filter(|path| path.is_file()));
    } else if paths.is_empty() {
        paths.push(origin.to_owned());
    }
    paths
        .iter()
        .map(|path| FileStamp::look(path).map_err(|error| refused(path, &error)))
        .collect()
}

/// Copies files into the directory of a model; gives what is to be opened there
/// and the copies, relative to it.
fn copy(
    files: &[FileStamp],
    origin: &Path,
    directory: &Path,
    observer: Observer<'_>,
) -> Result<(PathBuf, Vec<FileStamp>), Failure> {
    let folder = Path::new(COPIES);
    let absolute = directory.join(folder);
    fs::create_dir_all(&absolute).map_err(|error| refused(&absolute, &error))?;
    let total_bytes = files.iter().map(|file| file.bytes).sum();
    let mut done_bytes = 0;
    let mut copies = Vec::with_capacity(files.len());
    for file in files {
        let copy = folder.join(file.path.file_name().unwrap_or_default());
        let to = directory.join(&copy);
        copy_file(&file.path, &to).map_err(|error| refused(&to, &error))?;
        let looked = FileStamp::look(&to).map_err(|error| refused(&to, &error))?;
        copies.push(FileStamp {
            path: copy,
            ..looked
        });
        done_bytes += file.bytes;
        observer(ImportEvent::Copied {
            done_bytes,
            total_bytes,
        });
    }
    let model = if origin.is_dir() {
        folder.to_owned()
    } else {
        folder.join(origin.file_name().unwrap_or_default())
    };
    Ok((model, copies))
}

/// A second name for the same content where the file system allows it, else a
/// copy that is on the disk when this returns.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    // A link to a link would break with the first one's target.
    let from = fs::canonicalize(from)?;
    if fs::hard_link(&from, to).is_ok() {
        return Ok(());
    }
    fs::copy(&from, to)?;
    File::open(to)?.sync_all()
}

fn open(path: &Path) -> Result<Checkpoint, Failure> {
    Checkpoint::open(path).map_err(|error| refusal(path, &error))
}

fn refusal(path: &Path, error: &talkoot_inference::CheckpointError) -> Failure {
    use talkoot_inference::CheckpointError as E;
    let exit = match error {
        E::NoSuchPath { .. } => Exit::NotFound,
        E::Config(_) | E::Io { .. } | E::UnknownFormat { .. } => Exit::BadConfig,
        _ => Exit::VerifyFailed,
    };
    let named = match error {
        // These say the path themselves.
        E::NoSuchPath { .. } | E::UnknownFormat { .. } | E::Io { .. } => error.to_string(),
        _ => format!("{}: {error}", path.display()),
    };
    Failure::new(exit, named).hint(crate::models::advice(error))
}
