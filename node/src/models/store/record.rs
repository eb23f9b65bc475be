//! The record of one imported model, `model.json`: what it is, where its files
//! are, and by what one sees that they are still the same.
//!
//! The card in it was computed from the weights at the import. A record is
//! written last and whole, so a directory of the store without one holds no
//! model.

use crate::clock;
use crate::exit::{Exit, Failure};
use crate::home::write_atomic;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use talkoot_inference::Checkpoint;
use talkoot_protocol::{ModelCard, ModelId};

/// The name of the file.
pub const FILE: &str = "model.json";
/// Version of the shape.
const SCHEMA: u32 = 1;
/// Bytes of a record; one file of a checkpoint takes about a hundred.
const BYTES_MAX: u64 = 1 << 20;

/// One file of a model and how it was when it was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Where it is; of a copy relative to the directory of the model.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was last written, milliseconds since 1970.
    pub modified_ms: u64,
}

impl FileStamp {
    /// Looks at the file `path` as it is now.
    pub(super) fn look(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            bytes: metadata.len(),
            modified_ms: clock::since_1970_ms(metadata.modified()?),
        })
    }
}

/// Also below something that is no directory, such as a GGUF file.
fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// What a look at the files says, without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Size and time are those of the import.
    Whole,
    /// A file is not there.
    Missing(PathBuf),
    /// A file was written since.
    Changed(PathBuf),
}

/// An imported model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its card, with the weights as they are stored.
    pub card: ModelCard,
    /// What was given to `import`.
    pub origin: PathBuf,
    /// What is opened: the origin, or the copy, relative to the directory of the
    /// model.
    pub model: PathBuf,
    /// Whether the files were copied into the store.
    pub is_copy: bool,
    /// Its files.
    pub files: Vec<FileStamp>,
}

#[derive(Serialize, Deserialize)]
struct Json {
    schema: u32,
    /// For people who look into the file; the card has it too.
    name: String,
    /// Likewise.
    id: String,
    /// Canonical bytes, hexadecimal.
    card: String,
    origin: PathBuf,
    model: PathBuf,
    is_copy: bool,
    files: Vec<FileStamp>,
}

impl Record {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.card.name
    }

    /// Its id as it is stored.
    #[must_use]
    pub fn id(&self) -> ModelId {
        self.card.id()
    }

    /// Bytes of its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Reads the record in `directory`; `None` when there is none.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read(directory: &Path) -> Result<Option<Self>, Failure> {
        let path = directory.join(FILE);
        let damaged = |reason: String| {
            Failure::new(Exit::BadConfig, format!("{}: {reason}", path.display()))
                .hint("remove that file and import the model again")
        };
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let mut text = Vec::new();
        let read = file.take(BYTES_MAX + 1).read_to_end(&mut text);
        read.map_err(|error| damaged(error.to_string()))?;
        if text.len() as u64 > BYTES_MAX {
            return Err(damaged(format!("more than {BYTES_MAX} bytes")));
        }
        Self::decode(&text).map(Some).map_err(damaged)
    }

    fn decode(text: &[u8]) -> Result<Self, String> {
        let json: Json = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if json.schema != SCHEMA {
            return Err(format!(
                "has schema {}, this program reads {SCHEMA}",
                json.schema
            ));
        }
        let card = data_encoding::HEXLOWER
            .decode(json.card.as_bytes())
            .map_err(|error| format!("its card is no hexadecimal text: {error}"))?;
        let card = ModelCard::decode(&card).map_err(|error| format!("its card: {error}"))?;
        Ok(Self {
            card,
            origin: json.origin,
            model: json.model,
            is_copy: json.is_copy,
            files: json.files,
        })
    }

    /// Writes it into `directory`.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Failure> {
        let json = Json {
            schema: SCHEMA,
            name: self.name().to_owned(),
            id: self.id().to_string(),
            card: data_encoding::HEXLOWER.encode(&self.card.to_bytes()),
            origin: self.origin.clone(),
            model: self.model.clone(),
            is_copy: self.is_copy,
            files: self.files.clone(),
        };
        let mut text = serde_json::to_string_pretty(&json)
            .map_err(|error| Failure::new(Exit::Failure, format!("{FILE}: {error}")))?;
        text.push('\n');
        write_atomic(&directory.join(FILE), text.as_bytes())
    }

    /// Looks whether the files are what they were; `directory` is that of the
    /// model in the store.
    #[must_use]
    pub fn condition(&self, directory: &Path) -> Condition {
        for file in &self.files {
            let path = directory.join(&file.path);
            match FileStamp::look(&path) {
                Err(_) => return Condition::Missing(path),
                Ok(now) if (now.bytes, now.modified_ms) != (file.bytes, file.modified_ms) => {
                    return Condition::Changed(path);
                }
                Ok(_) => {}
            }
        }
        match self.newcomer(directory) {
            Some(path) => Condition::Changed(path),
            None => Condition::Whole,
        }
    }

    /// A file that belongs to the checkpoint now and did not at the import.
    fn newcomer(&self, directory: &Path) -> Option<PathBuf> {
        let known = |path: &PathBuf| {
            let mut files = self.files.iter();
            files.any(|file| directory.join(&file.path) == *path)
        };
        let folder = directory.join(&self.model);
        let small = Checkpoint::SMALL_FILES.map(|name| folder.join(name));
        small
            .into_iter()
            .find(|path| path.is_file() && !known(path))
    }

    /// Whether `card`, computed now, is of the same weights, tokenizer and
    /// template, whatever they are packed to.
    ///
    /// # Errors
    /// [`Exit::VerifyFailed`] naming what differs.
    pub fn check(&self, card: &ModelCard) -> Result<(), Failure> {
        let was = &self.card;
        let parts = [
            ("weights", card.tensors == was.tensors),
            (
                "settings",
                card.settings == was.settings && card.config == was.config,
            ),
            ("tokenizer", card.tokenizer == was.tokenizer),
            ("template", card.template == was.template),
        ];
        match parts.iter().find(|(_, is_same)| !is_same) {
            None => Ok(()),
            Some((part, _)) => Err(Failure::new(
                Exit::VerifyFailed,
                format!(
                    "{}: its {part} changed since it was imported from {}",
                    self.name(),
                    self.origin.display()
                ),
            )
            .hint(format!(
                "`talkoot import {}` takes it as it is now, which is another model",
                self.origin.display()
            ))),
        }
    }
}
