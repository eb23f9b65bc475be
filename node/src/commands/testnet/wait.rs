//! What a testnet waits for: all layers covered before the question, equal and
//! quiet chains after it. Conditions with deadlines, never plain sleeps.

use super::interrupt::Interrupt;
use super::nodes::Nodes;
use super::report::Books;
use crate::api::{AskDone, StatusView};
use crate::clock;
use crate::commands::output;
use crate::exit::{Exit, Failure};
use std::time::Duration;

const COVERAGE_TIMEOUT: Duration = Duration::from_secs(60);
const QUIET_TIMEOUT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(100);
/// Equal chains that nobody lengthened for so long are at rest.
const QUIET: Duration = Duration::from_millis(600);

/// Until the asker knows every peer and every layer is served.
pub(super) fn for_coverage(
    nodes: &mut Nodes,
    layers: u32,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let mut began = clock::monotonic();
    let others = nodes.all().len().saturating_sub(1);
    let mut shown = String::new();
    loop {
        interrupt.check()?;
        nodes.check_alive()?;
        let status: StatusView = nodes.asker()?.get("status")?;
        let covered = covered(&status, layers);
        let mut progress = format!(
            "{} of {others} workers found, {covered} of {layers} layers covered\n",
            status.peers
        );
        let loading = if covered == layers {
            Vec::new()
        } else {
            nodes.loading()
        };
        if !loading.is_empty() {
            // Packing a large model takes as long as it takes.
            began = clock::monotonic();
            progress = format!("{}; {}\n", progress.trim_end(), loading.join("; "));
        }
        if progress != shown {
            output::note(&progress);
            shown = progress;
        }
        if status.peers >= others && covered == layers && status.ready {
            return Ok(());
        }
        if began.elapsed() > COVERAGE_TIMEOUT {
            let mut message = format!("after {} s: {}", COVERAGE_TIMEOUT.as_secs(), shown.trim());
            if !status.reasons.is_empty() {
                message.push_str(&format!("; {}", status.reasons.join("; ")));
            }
            return Err(Failure::new(Exit::NoRoute, message));
        }
        std::thread::sleep(STEP);
    }
}

fn covered(status: &StatusView, layers: u32) -> u32 {
    let most = status
        .models
        .iter()
        .filter(|model| model.layers == layers)
        .map(|model| model.coverage.iter().filter(|peers| **peers > 0).count())
        .max()
        .unwrap_or(0);
    u32::try_from(most).unwrap_or(0)
}

/// Until every chain is the same, nothing is held any more and nobody writes;
/// at the deadline the last state is returned as it is, to be judged.
pub(super) fn for_quiet(
    nodes: &mut Nodes,
    done: &AskDone,
    interrupt: &Interrupt,
) -> Result<Books, Failure> {
    let began = clock::monotonic();
    let mut books = Books::read(nodes, done)?;
    let mut since = clock::monotonic();
    loop {
        if books.is_settled() && since.elapsed() >= QUIET {
            return Ok(books);
        }
        if began.elapsed() > QUIET_TIMEOUT {
            return Ok(books);
        }
        interrupt.check()?;
        nodes.check_alive()?;
        std::thread::sleep(STEP);
        let next = Books::read(nodes, done)?;
        if next != books {
            since = clock::monotonic();
            books = next;
        }
    }
}
