//! Tests of the store: what import takes and refuses, what crashes leave, what
//! removal spares.

use super::*;
use crate::models::{LocalModel, Use};
use std::sync::Mutex;

/// A home, and a checkpoint outside it.
struct Place {
    root: tempfile::TempDir,
    home: Home,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = Home::at(&root.path().join("home"));
        home.create().unwrap();
        let place = Self { root, home };
        fs::create_dir(place.origin()).unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo");
        for entry in fs::read_dir(demo).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                fs::copy(entry.path(), place.origin().join(entry.file_name())).unwrap();
            }
        }
        place
    }

    fn origin(&self) -> PathBuf {
        self.root.path().join("small")
    }

    fn store(&self) -> Store {
        Store::new(&self.home, &[])
    }

    /// Imports; gives what was told meanwhile, too.
    fn import(
        &self,
        name: Option<&str>,
        copy: bool,
    ) -> (Result<Imported, Failure>, Vec<ImportEvent>) {
        let events = Mutex::new(Vec::new());
        let origin = self.origin();
        let request = ImportRequest {
            path: &origin,
            name,
            copy,
            cache: &self.home.cache,
            threads: 1,
        };
        let imported = self
            .store()
            .import(&request, &|event| events.lock().unwrap().push(event));
        (imported, events.into_inner().unwrap())
    }

    fn refused(&self, name: Option<&str>) -> Failure {
        let refused = self.import(name, false).0.unwrap_err();
        assert!(refused.hint.is_some(), "{refused}");
        refused
    }

    fn names(&self) -> Vec<String> {
        self.store()
            .imported()
            .into_iter()
            .map(|(name, record)| record.map(|_| name).unwrap())
            .collect()
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn an_import_is_a_record_and_the_second_reads_no_weight() {
    let place = Place::new();
    let before = files_below(&place.origin());
    let (first, events) = place.import(None, false);
    let first = first.unwrap();
    assert!(first.before.is_none() && !first.record.is_copy);
    assert!(matches!(events.last(), Some(ImportEvent::Hashed { .. })));
    let (second, events) = place.import(None, false);
    let second = second.unwrap();
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(second.before, Some(first.record.id()));
    assert_eq!(second.record, first.record);
    assert_eq!(place.names(), ["small"]);
    assert_eq!(files_below(&place.origin()), before);
    assert_eq!(first.record.files.len(), 5);
    // The same weights under the name that the directory gives them.
    let directly = LocalModel::open(Some(&place.origin()), &Use::default()).unwrap();
    assert_eq!(directly.id, first.record.id());
}

#[test]
fn a_model_opens_by_name_id_and_place_as_what_it_was() {
    let place = Place::new();
    let record = place.import(Some("mine"), false).0.unwrap().record;
    let store = place.store();
    let id = record.id().to_string();
    for wanted in ["mine", &id, &id[..6]] {
        let Some(Found::Imported { directory, .. }) = store.find(wanted).unwrap() else {
            panic!("{wanted}");
        };
        assert_eq!(directory, store.place("mine"));
    }
    assert_eq!(store.find("other").unwrap(), None);
    assert_eq!(store.find("demo").unwrap(), Some(Found::Demo));
    let path = store.resolve(Path::new("mine")).unwrap();
    let opened = LocalModel::open(Some(&path), &Use::default()).unwrap();
    assert_eq!(
        (opened.id, opened.card.name.as_str()),
        (record.id(), "mine")
    );
    let packed = Use {
        format: Some(talkoot_inference::kernels::PackedFormat::Q4_0),
        ..Use::default()
    };
    let opened = LocalModel::open(Some(&path), &packed).unwrap();
    assert_eq!(opened.card.name, "mine-q4_0");
    // A path that exists is meant before a name is.
    let origin = place.origin();
    assert_eq!(store.resolve(&origin).unwrap(), origin);
}

#[test]
fn a_copy_outlives_its_origin() {
    let place = Place::new();
    let (imported, events) = place.import(None, true);
    let record = imported.unwrap().record;
    assert!(
        events
            .iter()
            .any(|event| matches!(event, ImportEvent::Copied { .. }))
    );
    fs::remove_dir_all(place.origin()).unwrap();
    let store = place.store();
    let directory = store.place("small");
    assert_eq!(record.condition(&directory), Condition::Whole);
    let opened = LocalModel::open(Some(&directory), &Use::default()).unwrap();
    assert_eq!(opened.id, record.id());
    assert_eq!(files_below(&directory).len(), 6);
    // A second import keeps the copy, unless it is damaged.
    let place = Place::new();
    place.import(None, true).0.unwrap();
    let (again, events) = place.import(None, true);
    assert!(again.unwrap().before.is_some() && events.is_empty());
    fs::remove_file(place.store().place("small/files/tokenizer.json")).unwrap();
    let damaged = place.import(None, true).0.unwrap_err();
    assert_eq!(damaged.exit, Exit::VerifyFailed, "{damaged}");
}

#[test]
fn all_files_of_a_split_come_along() {
    let place = Place::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/fixtures/gguf");
    let import = |number: u32, copy: bool| {
        let path = fixtures.join(format!("mixtral-bf16-0000{number}-of-00002.gguf"));
        let request = ImportRequest {
            path: &path,
            name: copy.then_some("copied"),
            copy,
            cache: &place.home.cache,
            threads: 1,
        };
        place.store().import(&request, &|_| {})
    };
    let stays = import(1, false).unwrap().record;
    assert_eq!((stays.name(), stays.files.len()), ("mixtral-bf16", 2));
    let copied = import(1, true).unwrap().record;
    let directory = place.store().place("copied");
    assert_eq!(copied.condition(&directory), Condition::Whole);
    assert_eq!(files_below(&directory.join(COPIES)).len(), 2);
    let opened = LocalModel::open(Some(&directory), &Use::default()).unwrap();
    assert_eq!(
        (opened.id, opened.card.family.as_str()),
        (copied.id(), "mixtral")
    );
    let refused = import(2, false).unwrap_err();
    assert_eq!(refused.exit, Exit::VerifyFailed);
    assert!(refused.message.contains("open the first"), "{refused}");
}

#[test]
fn what_is_no_model_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let small = |name: &str| place.origin().join(name);
    let config = fs::read_to_string(small("config.json")).unwrap();
    let weights = fs::read(small("model.safetensors")).unwrap();
    let exits = |exit, named: &str| {
        let refused = place.refused(None);
        assert_eq!(refused.exit, exit, "{refused}");
        assert!(refused.message.contains(named), "{refused}");
        assert!(place.names().is_empty());
    };
    fs::write(
        small("config.json"),
        config.replace("\"llama\"", "\"parrot\""),
    )
    .unwrap();
    exits(Exit::BadConfig, "parrot");
    fs::write(small("config.json"), config.replace(": 8,", ": 9,")).unwrap();
    exits(Exit::VerifyFailed, "model.layers.8.");
    fs::write(small("config.json"), config.replace(": 512,", ": 544,")).unwrap();
    exits(Exit::VerifyFailed, "shape");
    fs::write(small("config.json"), &config).unwrap();
    fs::write(small("model.safetensors"), &weights[..weights.len() - 1]).unwrap();
    exits(Exit::VerifyFailed, "tensor");
    fs::write(small("model.safetensors"), &weights).unwrap();
    fs::remove_file(small("tokenizer.json")).unwrap();
    exits(Exit::VerifyFailed, "tokenizer.json");
    fs::remove_dir_all(place.origin()).unwrap();
    exits(Exit::NotFound, "small");
    assert!(!place.store().place("small").exists());
}

#[test]
fn names_are_taken_once_and_lead_nowhere_else() {
    let place = Place::new();
    place.import(Some("mine"), false).0.unwrap();
    for name in ["../mine", "demo", ".", ""] {
        assert_eq!(place.refused(Some(name)).exit, Exit::Usage, "{name}");
    }
    let copy = place.import(Some("mine"), true).0.unwrap_err();
    assert!(copy.message.contains("already"), "{copy}");
    // What somebody put into the store is not written over.
    fs::create_dir(place.store().place("by-hand")).unwrap();
    assert!(place.refused(Some("by-hand")).message.contains("already"));
    assert_eq!(place.names(), ["mine"]);
}

#[test]
fn changed_and_lost_files_are_noticed() {
    let place = Place::new();
    let record = place.import(None, false).0.unwrap().record;
    let directory = place.store().place("small");
    let open = || LocalModel::open(Some(&directory), &Use::default());
    let template = place.origin().join("chat_template.jinja");
    fs::write(&template, "{{ messages }}").unwrap();
    let failure = Failure::from(open().unwrap_err());
    assert_eq!(failure.exit, Exit::VerifyFailed);
    assert!(failure.message.contains("template"), "{failure}");
    assert_eq!(
        record.condition(&directory),
        Condition::Changed(template.clone())
    );
    fs::remove_file(&template).unwrap();
    open().unwrap();
    // A card that another version made of the same files is no damage.
    let mut other = record.clone();
    other.card.config = talkoot_protocol::Hash::ZERO;
    other.write(&directory).unwrap();
    assert_eq!(open().unwrap().id, record.id());
    record.write(&directory).unwrap();
    let tokenizer = place.origin().join("tokenizer.json");
    let mut text = fs::read(&tokenizer).unwrap();
    text.push(b'\n');
    fs::write(&tokenizer, text).unwrap();
    assert_eq!(record.condition(&directory), Condition::Changed(tokenizer));
    fs::remove_dir_all(place.origin()).unwrap();
    assert!(matches!(
        record.condition(&directory),
        Condition::Missing(_)
    ));
    let failure = Failure::from(open().unwrap_err());
    assert_eq!(failure.exit, Exit::NotFound);
    assert!(failure.hint.unwrap().contains("talkoot rm small"));
}

#[test]
fn unfinished_imports_are_no_models_and_go() {
    let place = Place::new();
    let store = place.store();
    let died = store.place("died");
    fs::create_dir_all(died.join(COPIES)).unwrap();
    fs::write(died.join(UNFINISHED), "").unwrap();
    fs::write(died.join(COPIES).join("config.json"), "{}").unwrap();
    let by_hand = store.place("by-hand");
    fs::create_dir_all(&by_hand).unwrap();
    fs::write(by_hand.join("config.json"), "{}").unwrap();
    assert_eq!(store.find("died").unwrap(), None);
    assert!(store.removal("died").unwrap().is_none());
    place.import(None, false).0.unwrap();
    assert!(!died.exists() && by_hand.exists());
    let held = store.lock().unwrap();
    assert!(
        place
            .refused(Some("second"))
            .message
            .contains("another command")
    );
    drop(held);
    place.import(Some("second"), false).0.unwrap();
}

#[test]
fn removal_says_what_goes_and_spares_the_rest() {
    let place = Place::new();
    let store = place.store();
    place.import(None, false).0.unwrap();
    let copied = place.import(Some("copied"), true).0.unwrap().record;
    let before = files_below(&place.origin());
    let removal = store.removal("small").unwrap().unwrap();
    assert_eq!(removal.stays, Some(place.origin()));
    store.remove(&removal).unwrap();
    let removal = store.removal("copied").unwrap().unwrap();
    assert_eq!(removal.stays, None);
    assert!(removal.bytes > copied.bytes());
    // The copies are second names of the originals, where that can be.
    assert!([0, copied.bytes()].contains(&removal.shared_bytes));
    assert_eq!(place.names(), ["copied"]);
    store.remove(&removal).unwrap();
    assert!(place.names().is_empty());
    assert_eq!(files_below(&place.origin()), before);
    for name in ["small", "..", "../home", "lock", ""] {
        assert_eq!(store.removal(name).unwrap(), None, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn removal_follows_no_link() {
    let place = Place::new();
    let store = place.store();
    place.import(None, false).0.unwrap();
    let elsewhere = place.root.path().join("elsewhere");
    fs::rename(store.place("small"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, store.place("small")).unwrap();
    let removal = store.removal("small").unwrap().unwrap();
    store.remove(&removal).unwrap();
    assert!(!store.place("small").is_symlink() && elsewhere.join(RECORD_FILE).exists());
}

#[test]
fn damaged_records_are_said_and_can_be_removed() {
    let place = Place::new();
    let store = place.store();
    place.import(None, false).0.unwrap();
    let path = store.place("small").join(RECORD_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let broken = [
        "{}".to_owned(),
        text.replace("\"schema\": 1", "\"schema\": 2"),
        text.replace("\"card\": \"", "\"card\": \"00"),
        "x".repeat(2 << 20),
    ];
    for text in broken {
        fs::write(&path, &text).unwrap();
        let failure = store.find("small").unwrap_err();
        assert_eq!(failure.exit, Exit::BadConfig, "{failure}");
        assert!(store.imported()[0].1.is_err());
    }
    let removal = store.removal("small").unwrap().unwrap();
    store.remove(&removal).unwrap();
    assert!(store.imported().is_empty());
}

#[test]
fn directories_that_are_only_read_come_after_the_store() {
    let place = Place::new();
    let store = Store::new(&place.home, &[PathBuf::new(), place.root.path().to_owned()]);
    let Some(Found::Shelved(model)) = store.find("small").unwrap() else {
        panic!("not found");
    };
    assert_eq!(model.path, place.origin());
    assert_eq!(store.resolve(Path::new("small")).unwrap(), place.origin());
    assert!(store.removal("small").unwrap().is_none());
    place.import(None, false).0.unwrap();
    assert!(matches!(
        store.find("small").unwrap(),
        Some(Found::Imported { .. })
    ));
}
