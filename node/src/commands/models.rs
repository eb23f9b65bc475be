//! `talkoot models`: models known in the network, their coverage and price.

use super::output::{self, Align, Table};
use super::status::gft_of;
use crate::api::ModelsView;
use crate::cli::ReadArgs;
use crate::client::Client;
use crate::exit::Failure;
use crate::home::Home;

/// Prints the table.
///
/// # Errors
/// When no node runs.
pub fn run(args: &ReadArgs, home: &Home) -> Result<(), Failure> {
    let view: ModelsView = Client::connect(home)?.get("models")?;
    if args.json {
        return output::print_json(&view);
    }
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("ID", Align::Left),
        ("LAYERS", Align::Right),
        ("DTYPE", Align::Left),
        ("CONTEXT", Align::Right),
        ("GFT/TOKEN", Align::Right),
        ("LOCAL", Align::Left),
        ("COVERAGE", Align::Left),
    ]);
    for model in &view.models {
        let gaps = output::gaps(&model.coverage);
        let least = model.coverage.iter().min().copied().unwrap_or(0);
        table.row(vec![
            model.name.clone(),
            output::id(&model.id),
            model.layers.to_string(),
            model.dtype.clone(),
            model.context.to_string(),
            gft_of(model.price_ugft_per_token.into()),
            if model.local { "yes" } else { "no" }.to_owned(),
            if gaps.is_empty() {
                format!("whole, {least} or more per layer")
            } else {
                format!("missing {gaps}")
            },
        ]);
    }
    output::print(&table.render())
}
