//! The home: its directories, the identity, the disk, the file of settings.

use super::{Finding, NodeState, Scene};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::machine::disk;
use crate::units;
use std::path::{Path, PathBuf};

/// Homes beside this one that are looked at for the same identity.
const SIBLINGS_MAX: usize = 256;
/// Below so many times the least room the disk is nearly full.
const NEARLY_FULL: u64 = 4;
/// A twin that was heard within this time is still there, ms.
const TWIN_MS: u64 = 120_000;

/// How one directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    /// Not there yet; `up` makes it.
    Missing,
    /// Something else is in its place, or what is there cannot be written.
    Unusable(String),
    /// Others can look into it.
    Open(u32),
    /// As it should be.
    Private,
}

/// `home`.
pub(super) fn directories(scene: &Scene<'_>) -> Finding {
    let home = scene.home;
    let directories = [&home.data, &home.state, &home.config, &home.cache];
    let looked = directories.map(|path| (path.clone(), condition(path)));
    judge_directories(&looked)
}

fn judge_directories(looked: &[(PathBuf, Condition)]) -> Finding {
    for (path, condition) in looked {
        if let Condition::Unusable(reason) = condition {
            return Finding::fail(
                format!("{}: {reason}", path.display()),
                "make it a directory that this user may write, or set TALKOOT_HOME to another place",
            );
        }
    }
    let shown = |(path, _): &(PathBuf, Condition)| path.display().to_string();
    for (path, condition) in looked {
        if let Condition::Open(mode) = condition {
            return Finding::warn(
                format!(
                    "{} can be opened by others (mode {mode:03o})",
                    path.display()
                ),
                format!("chmod 700 {}", path.display()),
            );
        }
    }
    let is_missing = |(_, condition): &&(PathBuf, Condition)| *condition == Condition::Missing;
    let missing: Vec<String> = looked.iter().filter(is_missing).map(shown).collect();
    if missing.is_empty() {
        let all: Vec<String> = looked.iter().map(shown).collect();
        Finding::pass(format!("writable and private: {}", all.join(", ")))
    } else {
        Finding::pass(format!(
            "not there yet, `talkoot up` makes them: {}",
            missing.join(", ")
        ))
    }
}

fn condition(path: &Path) -> Condition {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let above = path.ancestors().skip(1).find(|above| above.exists());
            match above.map(try_to_write) {
                Some(Err(error)) => Condition::Unusable(format!("cannot be made: {error}")),
                _ => Condition::Missing,
            }
        }
        Err(error) => Condition::Unusable(error.to_string()),
        Ok(metadata) if !metadata.is_dir() => {
            Condition::Unusable("a file is in the place of the directory".to_owned())
        }
        Ok(metadata) => match try_to_write(path) {
            Err(error) => Condition::Unusable(format!("cannot be written: {error}")),
            Ok(()) => match mode(&metadata) {
                mode if mode & 0o077 != 0 => Condition::Open(mode),
                _ => Condition::Private,
            },
        },
    }
}

/// Makes a file in a directory and takes it away again.
fn try_to_write(directory: &Path) -> std::io::Result<()> {
    let path = directory.join(format!(".talkoot-doctor-{}", std::process::id()));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_metadata: &std::fs::Metadata) -> u32 {
    0
}

/// `identity`.
pub(super) fn identity(scene: &Scene<'_>) -> Finding {
    let found = scene
        .home
        .existing_identity()
        .map(|key| key.wallet().to_string());
    let serving = scene
        .node
        .running()
        .map(|running| running.status.wallet.as_str());
    judge_identity(&found, serving)
}

fn judge_identity(found: &Result<String, Failure>, serving: Option<&str>) -> Finding {
    match (found, serving) {
        (Err(failure), None) if failure.exit == Exit::NotFound => {
            Finding::skip("none yet; `talkoot up` makes one")
        }
        (Err(failure), _) => Finding::of(
            failure,
            "restore identity.seed from a backup, readable by this user",
        ),
        (Ok(wallet), Some(serving)) if serving != wallet => Finding::fail(
            format!("the file holds wallet {wallet}, and the running node is {serving}"),
            "the seed was replaced under a running node: start it again, or put the seed back",
        ),
        (Ok(wallet), _) => Finding::pass(format!("wallet {wallet}, 32 bytes, private")),
    }
}

/// `twin`.
pub(super) fn twin(scene: &Scene<'_>) -> Finding {
    let seed = std::fs::read(scene.home.seed_path()).ok();
    let siblings = seed.map_or_else(Vec::new, |seed| same_seed_beside(scene.home, &seed));
    let heard = scene
        .node
        .running()
        .and_then(|running| running.status.twin_ms);
    judge_twin(&siblings, heard, scene)
}

fn judge_twin(siblings: &[PathBuf], heard_ms: Option<u64>, scene: &Scene<'_>) -> Finding {
    const FIX: &str = "two nodes with one identity spoil each other's books: stop one, remove its \
                       identity.seed and its ledger, and let it make an identity of its own";
    let is_recent = |heard: &u64| scene.now_ms.saturating_sub(*heard) < TWIN_MS;
    if let Some(heard) = heard_ms.filter(is_recent) {
        let when = clock::local_text(heard);
        return Finding::fail(
            format!("another node announced itself with this identity, last at {when}"),
            FIX,
        );
    }
    if let Some(path) = siblings.first() {
        return Finding::fail(format!("{} holds the same identity", path.display()), FIX);
    }
    match scene.node {
        NodeState::Answers(_) => Finding::pass("nobody else announces this identity"),
        _ => Finding::pass("no home beside this one has the same identity"),
    }
}

/// Seeds of homes beside this one that are the same.
fn same_seed_beside(home: &Home, seed: &[u8]) -> Vec<PathBuf> {
    // `ROOT/data` with TALKOOT_HOME, `…/share/talkoot` without.
    let is_below_root = home.data.file_name().is_some_and(|name| name == "data");
    let own = if is_below_root {
        home.data.parent()
    } else {
        Some(home.data.as_path())
    };
    let Some((own, above)) = own.and_then(|own| Some((own, own.parent()?))) else {
        return Vec::new();
    };
    let beside = std::fs::read_dir(above).into_iter().flatten().flatten();
    beside
        .take(SIBLINGS_MAX)
        .map(|entry| entry.path())
        .filter(|path| path != own)
        .map(|path| {
            if is_below_root {
                path.join("data")
            } else {
                path
            }
        })
        .map(|data| data.join("identity.seed"))
        .filter(|path| std::fs::read(path).is_ok_and(|other| other == seed))
        .collect()
}

/// `disk`.
pub(super) fn disk(scene: &Scene<'_>) -> Finding {
    let home = scene.home;
    let mut least: Option<(u64, PathBuf)> = None;
    for path in [&home.data, &home.state, &home.cache] {
        let existing = path.ancestors().find(|path| path.exists());
        match existing.map(|path| (disk::free_bytes(path), path)) {
            Some((Ok(free), path)) if least.as_ref().is_none_or(|(bytes, _)| free < *bytes) => {
                least = Some((free, path.to_owned()));
            }
            _ => {}
        }
    }
    let Some((free, path)) = least else {
        return Finding::skip("this system does not say how full the disk is");
    };
    let taken = (disk::used_bytes(&home.data), disk::used_bytes(&home.cache));
    judge_disk(free, &path, taken, scene.wishes.min_free_bytes)
}

fn judge_disk(free: u64, path: &Path, (data, cache): (u64, u64), least: u64) -> Finding {
    let evidence = format!(
        "{} free at {}; ledger and models take {}, the cache {}",
        units::bytes(free),
        path.display(),
        units::bytes(data),
        units::bytes(cache)
    );
    let fix = "make room: `cache/` of the home may be deleted at any time, `talkoot rm NAME` \
               forgets a model";
    if free < least {
        Finding::fail(
            format!("{evidence}; less than {}", units::bytes(least)),
            fix,
        )
    } else if free < least.saturating_mul(NEARLY_FULL) {
        Finding::warn(evidence, fix)
    } else {
        Finding::pass(evidence)
    }
}

/// `config`. This version takes its settings from the command line and the
/// environment alone.
pub(super) fn config(_scene: &Scene<'_>) -> Finding {
    Finding::skip("no file of settings is read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn looked(condition: Condition) -> Verdict {
        let home = |condition| (PathBuf::from("/h"), condition);
        judge_directories(&[home(Condition::Private), home(condition)]).verdict
    }

    #[test]
    fn a_directory_is_private_open_missing_or_of_no_use() {
        assert_eq!(looked(Condition::Private), Verdict::Pass);
        assert_eq!(looked(Condition::Missing), Verdict::Pass);
        assert_eq!(looked(Condition::Open(0o755)), Verdict::Warn);
        assert_eq!(looked(Condition::Unusable("x".into())), Verdict::Fail);
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("a/b");
        assert_eq!(condition(&missing), Condition::Missing);
        std::fs::write(directory.path().join("a"), "").unwrap();
        assert!(matches!(condition(&missing), Condition::Unusable(_)));
        assert!(matches!(
            condition(&directory.path().join("a")),
            Condition::Unusable(_)
        ));
    }

    #[test]
    fn an_identity_is_that_of_the_running_node() {
        let wallet = Ok("w".to_owned());
        assert_eq!(judge_identity(&wallet, None).verdict, Verdict::Pass);
        assert_eq!(judge_identity(&wallet, Some("w")).verdict, Verdict::Pass);
        assert_eq!(judge_identity(&wallet, Some("x")).verdict, Verdict::Fail);
        let none = Err(Failure::new(Exit::NotFound, "none"));
        assert_eq!(judge_identity(&none, None).verdict, Verdict::Skip);
        assert_eq!(judge_identity(&none, Some("w")).verdict, Verdict::Fail);
    }

    #[test]
    fn a_copied_home_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let home = |name: &str, seed: u8| {
            let home = Home::at(&directory.path().join(name));
            home.create().unwrap();
            home.write_identity(&[seed; 32]).unwrap();
            home
        };
        let first = home("node", 1);
        home("node-1", 2);
        assert!(same_seed_beside(&first, &[1; 32]).is_empty());
        home("node-2", 1);
        let found = same_seed_beside(&first, &[1; 32]);
        assert_eq!(found, [directory.path().join("node-2/data/identity.seed")]);
    }

    #[test]
    fn a_disk_is_full_before_it_is() {
        let judged = |free| judge_disk(free, Path::new("/"), (0, 0), 100).verdict;
        assert_eq!(judged(99), Verdict::Fail);
        assert_eq!(judged(399), Verdict::Warn);
        assert_eq!(judged(400), Verdict::Pass);
    }
}
