//! `ledger forks`: logs with two entries at one number, both of them, and the
//! entries that prove it to everybody.

use super::list;
use super::reader::Reader;
use crate::api::{ForksQuestion, ForksView};
use crate::cli::ReadArgs;
use crate::commands::output;
use crate::exit::Failure;

/// Prints all forks. That others cheat is no failure of these books.
///
/// # Errors
/// When the books cannot be read.
pub(super) fn run(args: &ReadArgs, books: &Reader) -> Result<(), Failure> {
    let view: ForksView = books.ask(&ForksQuestion)?;
    if args.json {
        return output::print_json(&view);
    }
    let mut text = String::new();
    for fork in &view.forks {
        let at = fork
            .seq
            .map_or_else(String::new, |seq| format!(" at number {seq}"));
        text.push_str(&format!(
            "{} has forked its log{at}\n",
            output::whole_wallet(&fork.author)
        ));
        if fork.entries.is_empty() {
            text.push_str("  its entries there are not held here; the proof carries them\n");
        } else {
            text.push_str(&list::table(&fork.entries, true));
        }
        if fork.proofs.is_empty() {
            text.push_str(
                "  no proof is posted yet: both entries are held, which proves it here\n",
            );
        }
        for proof in &fork.proofs {
            let proof = output::id(proof);
            text.push_str(&format!(
                "  proven in entry {proof} (`talkoot ledger show`)\n"
            ));
        }
        text.push('\n');
    }
    let hidden = view.total.saturating_sub(view.forks.len() as u64);
    if hidden > 0 {
        text.push_str(&format!("{hidden} more are not shown\n"));
    }
    text.push_str(&format!(
        "{} of {} wallets forked their log; {} entries, tip {}\n",
        view.total,
        view.authors,
        view.chain.length,
        output::id(&view.chain.tip)
    ));
    output::print(&text)
}
