//! `ledger show`: one entry as a sentence, as fields and as bytes, with its
//! hash, its signature and its link computed again here.

use super::check::{self, EntryCheck};
use super::list::confirmed;
use super::reader::Reader;
use crate::api::{EntryQuestion, EntryView, GenesisQuestion};
use crate::cli::LedgerShowArgs;
use crate::commands::output;
use crate::exit::{Exit, Failure};
use crate::units;
use serde::Serialize;

/// Bytes of a part that are printed; `--json` has all.
const SHOWN_BYTES_MAX: usize = 64;

/// An entry with what became of it here.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    entry: &'a EntryView,
    checks: EntryCheck,
}

/// Prints one entry.
///
/// # Errors
/// [`Exit::VerifyFailed`] when what was shown is not what the bytes say.
pub(super) fn run(args: &LedgerShowArgs, books: &Reader) -> Result<(), Failure> {
    let network = check::network(&books.ask(&GenesisQuestion)?)?;
    let id = args.id.clone();
    let entry = books.ask(&EntryQuestion { id })?;
    let checks = check::entry(&entry, network);
    if args.json {
        output::print_json(&Shown {
            entry: &entry,
            checks,
        })?;
    } else {
        output::print(&page(&entry, checks))?;
    }
    if checks.is_right() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::VerifyFailed,
        "the entry does not verify: what was shown is not what its bytes say",
    ))
}

fn page(entry: &EntryView, checks: EntryCheck) -> String {
    let mut text = format!("{}\n\n", entry.summary);
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<10}{value}\n"));
    line("id", &entry.id);
    line("kind", &entry.kind);
    line("author", &output::whole_wallet(&entry.author));
    line("seq", &entry.seq.to_string());
    line("prev", entry.prev.as_deref().unwrap_or("none"));
    for reference in &entry.refs {
        line("cites", reference);
    }
    for name in &entry.names {
        line("names", &output::whole_wallet(name));
    }
    line("lamport", &entry.lamport.to_string());
    line(
        "time",
        &format!("{} UTC (a claim)", units::utc(entry.time_ms)),
    );
    if let Some(job) = entry.job.as_ref().filter(|job| **job != entry.id) {
        line("job", job);
    }
    line("effect", &entry.effect);
    if let Some(available) = entry.available_ugft {
        line("available", &format!("{} GFT to it", units::gft(available)));
    }
    line("state", confirmed(entry));
    for founder in &entry.confirmed_by {
        line("seen by", &output::whole_wallet(founder));
    }
    line("index", &entry.index.to_string());
    line("link", &entry.link);
    let fields = serde_json::to_string_pretty(&entry.fields).unwrap_or_default();
    text.push_str(&format!("\n{fields}\n\n"));
    text.push_str(&verdicts(checks));
    let bytes = entry.bytes.as_deref().unwrap_or_default();
    let bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes());
    text.push_str(&layout(&bytes.unwrap_or_default()));
    text
}

fn verdicts(checks: EntryCheck) -> String {
    let verdict = |is_right: bool| if is_right { "ok  " } else { "WRONG" };
    format!(
        "computed again here\n\
         {}  id: the hash of the bytes without the signature\n\
         {}  signature: the author's, over that, in this network\n\
         {}  fields: author, seq, kind and time are those of the bytes\n\
         {}  link: the hash of the link before, the id and the effect\n",
        verdict(checks.id),
        verdict(checks.signature),
        verdict(checks.fields),
        verdict(checks.link),
    )
}

/// The signed bytes, part by part: where each begins, what it is.
fn layout(bytes: &[u8]) -> String {
    let mut text = format!(
        "\nsigned bytes: {} (integers are little-endian, lengths count what follows; \
         docs/LEDGER.md 1)\n",
        bytes.len()
    );
    let mut cut = Cut { bytes, at: 0 };
    let mut parts = vec![cut.part("body length", 8)];
    for (name, length) in [("network", 32), ("author", 32), ("seq", 8), ("prev", 32)] {
        parts.push(cut.part(name, length));
    }
    parts.extend(cut.list("refs", 32));
    parts.extend([cut.part("lamport", 8), cut.part("time_ms", 8)]);
    parts.extend(cut.list("names", 32));
    parts.push(cut.part("kind", 2));
    parts.extend(cut.list("payload", 1));
    parts.push(cut.part("signature", 64));
    for (offset, name, part) in parts.into_iter().filter(|(_, _, part)| !part.is_empty()) {
        let shown = part.get(..SHOWN_BYTES_MAX).unwrap_or(part);
        let rest = part.len() - shown.len();
        let more = if rest > 0 {
            format!("… {rest} more (--json has all)")
        } else {
            String::new()
        };
        let hex = data_encoding::HEXLOWER.encode(shown);
        text.push_str(&format!("{offset:>6}  {name:<14}{hex}{more}\n"));
    }
    text
}

/// Takes parts off the front of an entry's bytes.
struct Cut<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Part<'a> = (usize, &'static str, &'a [u8]);

impl<'a> Cut<'a> {
    fn part(&mut self, name: &'static str, length: usize) -> Part<'a> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let part = rest.get(..length).unwrap_or(rest);
        self.at = start + part.len();
        (start, name, part)
    }

    /// A length of 8 bytes, then as many items.
    fn list(&mut self, name: &'static str, item: usize) -> [Part<'a>; 2] {
        let (start, _, prefix) = self.part(name, 8);
        let count = <[u8; 8]>::try_from(prefix).map_or(0, u64::from_le_bytes);
        let length = usize::try_from(count).unwrap_or(usize::MAX);
        let length_name = match name {
            "refs" => "refs count",
            "names" => "names count",
            _ => "payload length",
        };
        let items = self.part(name, length.saturating_mul(item));
        [(start, length_name, prefix), items]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkoot_ledger::{Draft, Ledger, Payload};
    use talkoot_protocol::{Founder, Genesis, Keypair, Policy, Verified};

    fn signed() -> (Vec<u8>, Genesis) {
        let key = Keypair::from_seed(&[4; 32]);
        let founder = Founder {
            wallet: key.wallet(),
            line_ugft: 1,
        };
        let genesis = Genesis::new("one", 1, Policy::default(), vec![founder]).unwrap();
        let ledger = Ledger::new(genesis.clone());
        let other = Keypair::from_seed(&[5; 32]).wallet();
        let draft = Draft::new(&Payload::Witness, 7).naming([other]);
        let entry = ledger.compose(key.wallet(), draft).unwrap();
        let entry = Verified::sign(entry, &key, genesis.id()).unwrap();
        (entry.to_bytes(), genesis)
    }

    #[test]
    fn the_layout_names_every_byte() {
        let (bytes, _) = signed();
        let text = layout(&bytes);
        let other = Keypair::from_seed(&[5; 32]).wallet().to_string();
        assert!(
            text.lines()
                .any(|line| line.contains("names  ") && line.ends_with(&other)),
            "{text}"
        );
        let last = text.lines().last().unwrap();
        assert!(last.contains("signature"), "{text}");
        let offset: usize = last.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(offset + 64, bytes.len());
        // Whatever comes, it does not panic.
        for length in 0..bytes.len() {
            layout(&bytes[..length]);
        }
        layout(&[0xff; 300]);
    }
}
