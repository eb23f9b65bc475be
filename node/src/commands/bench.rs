//! `talkoot bench`: how fast this machine computes a model, and how close that
//! comes to what its memory allows.
//!
//! It loads the layers as a node would, needs no node and no home (only the
//! cache directory, where packed weights are kept), opens no socket and changes
//! no books. What is measured is the same step that serves the network.

mod load;
mod perplexity;
mod plan;
mod profile;
mod report;
mod work;

use super::output;
use crate::cli::BenchArgs;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use plan::Plan;
use report::{Ready, Record};
use std::io::BufRead;
use work::Work;

/// Measures.
///
/// # Errors
/// When the model cannot be opened, does not fit, or stdout is gone.
pub fn run(args: &BenchArgs, home: &Home) -> Result<(), Failure> {
    let checkpoint = load::open(args, home)?;
    if let Some(file) = &args.perplexity {
        return perplexity::run(args, &checkpoint, file);
    }
    let plan = Plan::new(args, checkpoint.config())?;
    let loaded = load::load(&checkpoint, plan.range, plan.session_bytes, args)?;
    let ready = Ready::new(args, &checkpoint, &plan, &loaded);
    let mut work = Work::new(loaded.shard, plan, args.profile)?;
    work.warm_up()?;
    if args.interactive {
        return serve(&ready, &mut work);
    }
    let mut records = Vec::new();
    for _ in 0..args.runs.max(1) {
        let record = Record::new(&ready, work.run()?);
        if args.json {
            output::print_json(&record)?;
        }
        records.push(record);
    }
    if args.json {
        return Ok(());
    }
    output::print(&report::page(&ready, &records))
}

/// One run for every line `run`.
fn serve(ready: &Ready, work: &mut Work) -> Result<(), Failure> {
    output::print_json(ready)?;
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "" => {}
            "run" => output::print_json(&Record::new(ready, work.run()?))?,
            "quit" => break,
            other => {
                let message = format!("{other:?} is neither run nor quit");
                return Err(Failure::new(Exit::Usage, message));
            }
        }
    }
    Ok(())
}
