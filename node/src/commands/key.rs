//! `talkoot key`: makes, lists and removes keys; works on the home alone, beside
//! a running node too.

use super::output::{self, Align, Table};
use crate::api::SCHEMA;
use crate::cli::{KeyArgs, KeyNewArgs, KeyVerb};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::keys::{self, Key, KeyCaps, usage};
use crate::units;
use serde::Serialize;

/// A key as `--json` shows it; `key` is there when it is made, and never again.
#[derive(Debug, Serialize)]
struct KeyView {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    created_ms: u64,
    max_concurrent: Option<u32>,
    requests_per_minute: Option<u32>,
    ugft_per_day: Option<u64>,
    burned_today_ugft: u64,
}

#[derive(Debug, Serialize)]
struct KeysView {
    schema: u32,
    keys: Vec<KeyView>,
}

#[derive(Debug, Serialize)]
struct NewKeyView {
    schema: u32,
    #[serde(flatten)]
    key: KeyView,
}

/// Runs a verb of `key`.
///
/// # Errors
/// When a name is taken, unknown or no name, or the file cannot be used.
pub fn run(args: KeyArgs, home: &Home) -> Result<(), Failure> {
    home.create()?;
    match args.verb {
        KeyVerb::New(args) => new(&args, home),
        KeyVerb::Ls(args) => list(args.json, home),
        KeyVerb::Rm { name } => {
            keys::remove(home, &name)?;
            output::note(&format!(
                "removed; a running node refuses {name} from now on\n"
            ));
            Ok(())
        }
    }
}

fn new(args: &KeyNewArgs, home: &Home) -> Result<(), Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    for (option, value) in [
        ("--max-concurrent", args.max_concurrent),
        ("--requests-per-minute", args.requests_per_minute),
    ] {
        if value == Some(0) {
            return Err(usage(format!("{option} is at least 1")));
        }
    }
    let ugft_per_day = args.gft_per_day.as_deref().map(units::parse_gft);
    let caps = KeyCaps {
        max_concurrent: args.max_concurrent,
        requests_per_minute: args.requests_per_minute,
        ugft_per_day: ugft_per_day
            .transpose()
            .map_err(|error| usage(format!("--gft-per-day: {error}")))?,
    };
    let now_ms = clock::now_ms();
    let text = keys::create(home, &args.name, caps, now_ms)?;
    if args.json {
        let key = Key {
            name: args.name.clone(),
            hash: String::new(),
            created_ms: now_ms,
            caps,
        };
        return output::print_json(&NewKeyView {
            schema: SCHEMA,
            key: view(&key, Some(text), 0),
        });
    }
    output::note("shown this once; clients send it as `authorization: Bearer KEY`\n");
    output::print(&format!("{text}\n"))
}

fn view(key: &Key, text: Option<String>, burned_today_ugft: u64) -> KeyView {
    KeyView {
        name: key.name.clone(),
        key: text,
        created_ms: key.created_ms,
        max_concurrent: key.caps.max_concurrent,
        requests_per_minute: key.caps.requests_per_minute,
        ugft_per_day: key.caps.ugft_per_day,
        burned_today_ugft,
    }
}

fn list(as_json: bool, home: &Home) -> Result<(), Failure> {
    let now_ms = clock::now_ms();
    let burned = usage::read(&home.key_usage_path());
    let today = |key: &Key| {
        let spending = burned.get(&key.hash);
        spending.map_or(0, |spending| spending.today_ugft(now_ms))
    };
    let keys = keys::read(home)?;
    let views = keys.iter().map(|key| view(key, None, today(key)));
    if as_json {
        return output::print_json(&KeysView {
            schema: SCHEMA,
            keys: views.collect(),
        });
    }
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("CREATED UTC", Align::Left),
        ("AT ONCE", Align::Right),
        ("A MINUTE", Align::Right),
        ("GFT A DAY", Align::Right),
        ("TODAY", Align::Right),
    ]);
    let number = |cap: Option<u32>| cap.map_or_else(|| "-".to_owned(), |cap| cap.to_string());
    for key in views {
        let per_day = key.ugft_per_day.map(|ugft| units::gft(ugft.into()));
        table.row(vec![
            key.name,
            units::utc(key.created_ms),
            number(key.max_concurrent),
            number(key.requests_per_minute),
            per_day.unwrap_or_else(|| "-".to_owned()),
            units::gft(key.burned_today_ugft.into()),
        ]);
    }
    output::print(&table.render())
}
