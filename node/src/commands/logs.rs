//! `talkoot logs`: the log of this home, also while no node runs.

use super::output;
use crate::api::ConfigView;
use crate::cli::{LevelArg, LogsArgs};
use crate::client::Client;
use crate::config::next::next_start;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::telemetry;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks at a file that is followed.
const LOOK: Duration = Duration::from_millis(200);

/// Prints the newest lines, and goes on where asked for.
///
/// # Errors
/// When there is no log yet, or none is written.
pub fn run(args: &LogsArgs, instance: u16, home: &Home) -> Result<(), Failure> {
    let path = log_of(instance, home)?;
    let mut tail = Tail::new(path.clone());
    let mut older = Tail::new(telemetry::older_log_path(&path));
    let mut newest = VecDeque::new();
    for line in older.more()?.into_iter().chain(tail.more()?) {
        if is_wanted(&line, args.level) {
            newest.push_back(line);
            if newest.len() > args.lines {
                newest.pop_front();
            }
        }
    }
    if !path.exists() && !args.follow {
        let message = format!("there is no log yet in {}", path.display());
        return Err(Failure::new(Exit::NotFound, message).hint("`talkoot up` writes one"));
    }
    let print = |line: String| {
        let line = if args.json { as_object(line) } else { line };
        output::print(&format!("{line}\n"))
    };
    for line in newest {
        print(line)?;
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(LOOK);
        for line in tail.more()? {
            if is_wanted(&line, args.level) {
                print(line)?;
            }
        }
    }
}

/// The file that the running node writes, or else the next one would.
fn log_of(instance: u16, home: &Home) -> Result<PathBuf, Failure> {
    let running = Client::connect(home).and_then(|client| client.get::<ConfigView>("config"));
    let settings = running
        .map(|view| view.settings)
        .or_else(|_| next_start(instance, home).map(|(_, settings)| settings))
        .unwrap_or_default();
    let mut chosen = settings.into_iter().filter(|one| one.key == "log-file");
    let chosen = chosen.next().and_then(|one| one.value).map(PathBuf::from);
    telemetry::chosen_log_path(chosen.as_deref(), home).ok_or_else(|| {
        Failure::new(Exit::NotFound, "this home writes no log: log-file is off")
            .hint("`talkoot config show --origin` says where that is set")
    })
}

/// A line as one JSON object: what `--log-format json` writes as it stands, and
/// `TIME LEVEL message` in the same shape. What begins with no time has none.
fn as_object(line: String) -> String {
    if line.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok() {
        return line;
    }
    let mut words = line.trim_start().splitn(2, ' ');
    let (time, rest) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (level, message) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
    let fields = |message: &str| serde_json::json!({ "message": message });
    let object = if LEVELS.iter().any(|(name, _)| *name == level) {
        serde_json::json!({ "timestamp": time, "level": level, "fields": fields(message) })
    } else {
        serde_json::json!({ "fields": fields(&line) })
    };
    object.to_string()
}

const LEVELS: [(&str, LevelArg); 5] = [
    ("ERROR", LevelArg::Error),
    ("WARN", LevelArg::Warn),
    ("INFO", LevelArg::Info),
    ("DEBUG", LevelArg::Debug),
    ("TRACE", LevelArg::Trace),
];

/// Whether a line is of this level or above. A line that names none belongs to
/// the one before and is shown with everything.
fn is_wanted(line: &str, level: LevelArg) -> bool {
    // `TIME LEVEL message`, or an object with a level.
    let named = match line.split_once("\"level\":\"") {
        Some((_, rest)) if line.starts_with('{') => rest.split('"').next(),
        _ => line.split_whitespace().nth(1),
    };
    let mut known = LEVELS.into_iter();
    known
        .find(|(name, _)| Some(*name) == named)
        .map_or(level == LevelArg::Trace, |(_, found)| found <= level)
}

/// A file that grows, and is now and then replaced by a new one.
struct Tail {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    at: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// From the beginning of the file, which need not exist yet.
    const fn new(path: PathBuf) -> Self {
        Self {
            path,
            reader: None,
            at: 0,
            partial: Vec::new(),
        }
    }

    /// The whole lines since the last look.
    fn more(&mut self) -> std::io::Result<Vec<String>> {
        let mut lines = self.read()?;
        // Shorter than what was read: a new file has its name.
        if length(&self.path) < self.at {
            self.reader = None;
            self.at = 0;
            lines.extend(self.read()?);
        }
        Ok(lines)
    }

    fn read(&mut self) -> std::io::Result<Vec<String>> {
        if self.reader.is_none() {
            let Ok(mut file) = File::open(&self.path) else {
                return Ok(Vec::new());
            };
            file.seek(std::io::SeekFrom::Start(self.at))?;
            self.reader = Some(BufReader::new(file));
        }
        let mut lines = Vec::new();
        let Some(reader) = &mut self.reader else {
            return Ok(lines);
        };
        loop {
            let read = reader.read_until(b'\n', &mut self.partial)?;
            self.at = self.at.saturating_add(read as u64);
            if read == 0 {
                return Ok(lines);
            }
            if self.partial.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.partial);
                lines.push(line.trim_end().to_owned());
                self.partial.clear();
            }
        }
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_of_both_formats_become_objects() {
        let object = |line: &str| -> serde_json::Value {
            serde_json::from_str(&as_object(line.to_owned())).unwrap()
        };
        let plain = object("2026-01-01T00:00:00Z  INFO a \"word\" n=1");
        assert_eq!(plain["timestamp"], "2026-01-01T00:00:00Z");
        assert_eq!(plain["level"], "INFO");
        assert_eq!(plain["fields"]["message"], "a \"word\" n=1");
        let written = r#"{"timestamp":"t","level":"WARN","fields":{"message":"m"}}"#;
        assert_eq!(as_object(written.to_owned()), written);
        for odd in ["", "{not json", "   at some place", "one", "2026 WARNING x"] {
            assert_eq!(object(odd)["fields"]["message"], odd);
        }
    }

    #[test]
    fn a_tail_goes_on_over_half_lines_and_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("talkoot.log");
        std::fs::write(&path, "old\n").unwrap();
        let mut tail = Tail::new(path.clone());
        assert_eq!(tail.more().unwrap(), ["old"]);
        assert!(tail.more().unwrap().is_empty());
        let append = |text: &str| {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("one\ntw");
        assert_eq!(tail.more().unwrap(), ["one"]);
        append("o\n");
        assert_eq!(tail.more().unwrap(), ["two"]);
        append("\u{e9}\n");
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"\xff\n")
            .unwrap();
        assert_eq!(tail.more().unwrap(), ["\u{e9}", "\u{fffd}"]);
        append("last\n");
        std::fs::rename(&path, directory.path().join("talkoot.log.1")).unwrap();
        append("new\n");
        assert_eq!(tail.more().unwrap(), ["last", "new"]);
    }

    #[test]
    fn lines_below_the_level_are_left_out() {
        let info = "2026-11-27T17:10:29.545069Z  INFO books open";
        let warn = "2026-11-27T17:10:29.545069Z  WARN mark";
        assert!(is_wanted(info, LevelArg::Info) && !is_wanted(info, LevelArg::Warn));
        assert!(is_wanted(warn, LevelArg::Info) && is_wanted(warn, LevelArg::Warn));
        assert!(is_wanted("   at x.rs", LevelArg::Trace));
        assert!(!is_wanted("   at x.rs", LevelArg::Info));
        let json = r#"{"timestamp":"2026-11-27T17:10:29Z","level":"WARN"}"#;
        assert!(is_wanted(json, LevelArg::Warn) && !is_wanted(json, LevelArg::Error));
    }
}
