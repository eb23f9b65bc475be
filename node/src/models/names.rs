//! What a model is called: by the path it lies at, or by its owner.
//!
//! A name is part of a model's card and so of its id: who serves one model
//! together gives it one name. It is also a directory of the store and a word on
//! the command line, which is where its limits come from.

use std::path::Path;

/// Bytes of a name; a card holds that and the packed format behind it.
pub(super) const NAME_BYTES_MAX: usize = 48;
/// The name of the embedded model.
pub const DEMO: &str = "demo";
/// The beginning of a model's folder in the cache of the model hub's own tools.
pub(super) const HUB_PREFIX: &str = "models--";
/// The end of the name of a GGUF file.
const GGUF: &str = "gguf";

/// Whether `path` is named like a GGUF file.
#[must_use]
pub fn is_gguf(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(GGUF))
}

/// The name of the model at `path`: that of the directory, or of the file
/// without its ending and without its number among several. A snapshot in the
/// cache of a model hub has the name of its repository.
#[must_use]
pub fn of_path(path: &Path) -> String {
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let last = if is_gguf(path) && !full.is_dir() {
        // A link into a cache of contents has the better name than its target.
        path.file_stem()
    } else {
        full.file_name()
    };
    let last = last.unwrap_or_default().to_string_lossy();
    let name = part_of(&last).map_or(&*last, |(name, _)| name);
    let name = hub_name(&full).unwrap_or(name);
    let name = clipped(name);
    if name.is_empty() {
        "model".to_owned()
    } else {
        name.to_owned()
    }
}

/// `…/models--OWNER--NAME/snapshots/REVISION` -> name, as the cache of the model
/// hub's own tools is laid out.
fn hub_name(path: &Path) -> Option<&str> {
    let snapshots = path
        .parent()
        .filter(|parent| parent.ends_with("snapshots"))?;
    let repository = snapshots.parent()?.file_name()?.to_str()?;
    repository.strip_prefix(HUB_PREFIX)?.rsplit("--").next()
}

/// `NAME-00002-of-00003` -> name and number, as split GGUF files are called.
#[must_use]
pub fn part_of(stem: &str) -> Option<(&str, u32)> {
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(number) && digits(count) && !name.is_empty()).then_some(())?;
    Some((name, number.parse().ok()?))
}

/// The longest beginning that fits.
fn clipped(name: &str) -> &str {
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// Why `name` is no name for a model; `None` if it is one.
#[must_use]
pub fn objection(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Some("it has 1 to 48 bytes");
    }
    if name == DEMO {
        return Some("the embedded model has it");
    }
    if name.starts_with(['.', '-']) {
        return Some("it does not begin with a dot or a dash");
    }
    if name.contains(['/', '\\', ':']) || name.chars().any(char::is_control) {
        return Some("it holds no slash, no colon and no control character");
    }
    if name.trim() != name {
        return Some("it neither begins nor ends with a space");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_give_names() {
        for (path, name) in [
            ("/nowhere/Llama-3.2-1B", "Llama-3.2-1B"),
            ("/nowhere/Llama-3.2-1B/", "Llama-3.2-1B"),
            ("/nowhere/tiny.Q4_0.gguf", "tiny.Q4_0"),
            ("/nowhere/big-00001-of-00003.gguf", "big"),
            (
                "/x/models--some--Llama-3.2-1B/snapshots/4e20de36",
                "Llama-3.2-1B",
            ),
            ("/x/snapshots/4e20de36", "4e20de36"),
            ("/", "model"),
        ] {
            assert_eq!(of_path(Path::new(path)), name);
        }
        let long = format!("/nowhere/{}ä", "x".repeat(NAME_BYTES_MAX - 1));
        assert_eq!(of_path(Path::new(&long)).len(), NAME_BYTES_MAX - 1);
    }

    #[test]
    fn parts_are_numbered() {
        assert_eq!(part_of("a-b-00002-of-00003"), Some(("a-b", 2)));
        for whole in [
            "a",
            "a-of-b",
            "a-2-of-3",
            "-00001-of-00002",
            "00001-of-00002",
        ] {
            assert_eq!(part_of(whole), None, "{whole}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        assert_eq!(objection("Llama 3.2 (1B)"), None);
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let refused = [
            "", "..", ".x", "-x", "a/b", "a:b", "a\nb", " a", DEMO, &long,
        ];
        for name in refused {
            assert!(objection(name).is_some(), "{name:?}");
        }
    }
}
