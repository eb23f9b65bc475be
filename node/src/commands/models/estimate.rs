//! `talkoot models estimate`: what a model would take and cost, from its
//! `config.json` alone, whole and for each of the nodes that share it.
//!
//! Nothing is measured. Tokens per second are shown as a bound, and only through
//! a bandwidth that the caller has measured.

use crate::api::SCHEMA;
use crate::cli::EstimateArgs;
use crate::commands::output::{self, Align, Table};
use crate::core::placement;
use crate::exit::{Exit, Failure};
use crate::units;
use serde::Serialize;
use std::path::Path;
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{Estimate, EstimateError};
use talkoot_protocol::{DType, LayerRange, Policy};

/// Bytes of a configuration.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What some layers take and cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// First layer and one past the last.
    pub layers: [u32; 2],
    /// Of the weights in memory.
    pub weight_bytes: u64,
    /// Of the caches of one session.
    pub session_bytes: u64,
    /// Floating-point operations for a token.
    pub flops_per_token: u64,
    /// Their price at the default policy, µGFT: what the layers earn where all
    /// stages are equally fast.
    pub ugft_per_token: u64,
    /// Of the matrices that one token of one session reads.
    pub read_bytes_per_token: u64,
    /// What one session cannot exceed in these layers with the given bandwidth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_s_max: Option<f64>,
}

/// The estimate of one configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    schema: u32,
    model: String,
    family: String,
    parameters: u64,
    dtype: String,
    context: u32,
    session_tokens: u32,
    /// All layers in one place.
    pub whole: Part,
    /// The layers of each node.
    pub nodes: Vec<Part>,
}

/// Prints the estimates.
///
/// # Errors
/// When a configuration is refused, or cannot be shared by so many nodes.
pub fn run(args: &EstimateArgs) -> Result<(), Failure> {
    if args.table {
        return output::print(&markdown(args)?);
    }
    let bandwidth = args.bandwidth.as_deref().map(bandwidth).transpose()?;
    for (index, path) in args.configs.iter().enumerate() {
        let report = report(path, args, args.quantize.into(), bandwidth)?;
        if args.json {
            output::print_json(&report)?;
            continue;
        }
        let gap = if index == 0 { "" } else { "\n" };
        output::print(&format!("{gap}{}", page(&report)))?;
    }
    Ok(())
}

/// `20GB/s` or `20GB` -> bytes a second.
fn bandwidth(text: &str) -> Result<u64, Failure> {
    let amount = text.trim().trim_end_matches("/s");
    let bytes = units::parse_bytes(amount).ok().filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| {
        let message = format!("--bandwidth {text:?} is no speed such as 20GB/s");
        Failure::new(Exit::Usage, message).hint("`talkoot bench` measures it as `reading`")
    })
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::BadConfig, format!("{}: {error}", path.display()))
}

fn report(
    path: &Path,
    args: &EstimateArgs,
    format: Option<PackedFormat>,
    bandwidth: Option<u64>,
) -> Result<Report, Failure> {
    let file = if path.is_dir() {
        path.join("config.json")
    } else {
        path.to_owned()
    };
    let io = |error: std::io::Error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::BadConfig,
        };
        Failure::new(exit, format!("{}: {error}", file.display()))
            .hint("give a config.json, or a directory that has one")
    };
    let bytes = std::fs::metadata(&file).map_err(io)?.len();
    if bytes > CONFIG_BYTES_MAX {
        let message = format!("has {bytes} bytes, a config.json at most {CONFIG_BYTES_MAX}");
        return Err(refused(&file, &message));
    }
    let text = std::fs::read(&file).map_err(io)?;
    let stored: Option<DType> = args.dtype.map(Into::into);
    let estimate = Estimate::from_json(&text, stored, format).map_err(|error| {
        let failure = refused(&file, &error);
        match error {
            EstimateError::NoDType | EstimateError::DType(_) => failure.hint("--dtype says it"),
            _ => failure,
        }
    })?;
    let context = estimate.config().shape.context;
    let session_tokens = args
        .context
        .unwrap_or_else(|| placement::reserved_tokens(context));
    if session_tokens == 0 || session_tokens > context {
        let message = format!("--context {session_tokens}: the model's context is {context}");
        return Err(Failure::new(Exit::Usage, message));
    }
    let cut = estimate
        .cut(args.nodes, session_tokens)
        .map_err(|error| Failure::new(Exit::Usage, format!("--nodes {}: {error}", args.nodes)))?;
    let part = |range| part(&estimate, range, session_tokens, bandwidth);
    let overflow = || refused(&file, &"the numbers of this model overflow");
    let whole = estimate.config().layers();
    Ok(Report {
        schema: SCHEMA,
        model: name_of(path),
        family: estimate.config().family.clone(),
        parameters: estimate.parameters(),
        dtype: estimate.dtype().name().to_owned(),
        context,
        session_tokens,
        whole: part(whole).ok_or_else(overflow)?,
        nodes: cut
            .into_iter()
            .map(part)
            .collect::<Option<_>>()
            .ok_or_else(overflow)?,
    })
}

/// The shape's name: that of the file, or of the folder of a `config.json`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    let name = if path.is_dir() {
        path.file_name()
    } else if stem == "config" {
        path.parent().and_then(Path::file_name)
    } else {
        Some(stem)
    };
    name.unwrap_or(stem).to_string_lossy().into_owned()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a bound that is shown with two decimals"
)]
fn part(
    estimate: &Estimate,
    range: LayerRange,
    session_tokens: u32,
    bandwidth: Option<u64>,
) -> Option<Part> {
    let flops_per_token = estimate.flops_per_token(range)?;
    let read_bytes_per_token = estimate.read_bytes_per_token(range)?;
    Some(Part {
        layers: [range.start(), range.end()],
        weight_bytes: estimate.weight_bytes(range),
        session_bytes: estimate.session_bytes(range, session_tokens),
        flops_per_token,
        ugft_per_token: Policy::default().flops_price_ugft(flops_per_token, estimate.dtype())?,
        read_bytes_per_token,
        tokens_per_s_max: bandwidth.map(|speed| speed as f64 / read_bytes_per_token as f64),
    })
}

fn page(report: &Report) -> String {
    let head = format!(
        "{}: {}, {} layers, {} weights as {}, context {}\n",
        report.model,
        report.family,
        report.whole.layers[1],
        units::thousands(report.parameters.into()),
        report.dtype,
        report.context
    );
    let mut columns = vec![
        ("NODE", Align::Left),
        ("LAYERS", Align::Left),
        ("WEIGHTS", Align::Right),
        ("SESSION", Align::Right),
        ("MEMORY", Align::Right),
        ("GFLOP/TOKEN", Align::Right),
        ("GFT/TOKEN", Align::Right),
    ];
    let is_bounded = report.whole.tokens_per_s_max.is_some();
    if is_bounded {
        columns.push(("TOKENS/S AT MOST", Align::Right));
    }
    let mut table = Table::new(&columns);
    let nodes = report.nodes.iter().enumerate();
    let nodes = nodes.map(|(index, part)| ((index + 1).to_string(), part));
    let several = report.nodes.len() > 1;
    let whole = ("all".to_owned(), &report.whole);
    for (name, part) in nodes.filter(|_| several).chain([whole]) {
        let mut cells = vec![
            name,
            output::layers(part.layers),
            units::bytes(part.weight_bytes),
            units::bytes(part.session_bytes),
            units::bytes(part.weight_bytes.saturating_add(part.session_bytes)),
            gflop(part.flops_per_token),
            units::gft(part.ugft_per_token.into()),
        ];
        cells.extend(part.tokens_per_s_max.map(|most| format!("{most:.2}")));
        table.row(cells);
    }
    let bound = if is_bounded {
        "; tokens/s of one session, bound by reading the weights"
    } else {
        ""
    };
    format!(
        "{head}{}session: room for {} positions; prices of the default policy{bound}\n",
        table.render(),
        report.session_tokens
    )
}

/// Operations in units of 10^9, three decimals, rounded down.
fn gflop(flops: u64) -> String {
    let mega = flops / 1_000_000;
    let whole = units::thousands((mega / 1000).into());
    format!("{whole}.{:03}", mega % 1000)
}

/// The table of docs/MODELS.md: a line for each configuration, in bf16, `q8_0` and
/// `q4_0`, and the node that needs most of those that share it in `q4_0`.
///
/// # Errors
/// When a file cannot be read; a model that this version does not run has a line
/// that says so.
pub fn markdown(args: &EstimateArgs) -> Result<String, Failure> {
    let mut text = format!(
        "| shape | family | layers | context | 10^9 weights | GFLOP/token | GFT/token bf16 | q8_0 | q4_0 \
         | memory bf16 | q8_0 | q4_0 | each of {} nodes, q4_0 |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        args.nodes
    );
    for path in &args.configs {
        let line = match row(path, args) {
            Ok(line) => line,
            Err(failure) if failure.exit == Exit::BadConfig => {
                // The reason without the path, which differs by where one stands.
                let reason = failure.message.rsplit_once(".json: ");
                let reason = reason.map_or(&*failure.message, |(_, reason)| reason);
                format!(
                    "| {} | not run: {reason} |{}\n",
                    name_of(path),
                    " |".repeat(11)
                )
            }
            Err(failure) => return Err(failure),
        };
        text.push_str(&line);
    }
    Ok(text)
}

fn row(path: &Path, args: &EstimateArgs) -> Result<String, Failure> {
    let in_format = |format| report(path, args, Some(format), None);
    let half = in_format(PackedFormat::Bf16)?;
    let eight = in_format(PackedFormat::Q8_0)?;
    let four = in_format(PackedFormat::Q4_0)?;
    let memory = |part: &Part| part.weight_bytes.saturating_add(part.session_bytes);
    let price = |report: &Report| units::gft(report.whole.ugft_per_token.into());
    let all = |report: &Report| units::bytes(memory(&report.whole));
    let most = four.nodes.iter().map(memory).max().unwrap_or(0);
    let giga = half.parameters.saturating_add(5_000_000) / 10_000_000;
    Ok(format!(
        "| {} | {} | {} | {} | {}.{:02} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        half.model,
        half.family,
        half.whole.layers[1],
        half.context,
        giga / 100,
        giga % 100,
        gflop(half.whole.flops_per_token),
        price(&half),
        price(&eight),
        price(&four),
        all(&half),
        all(&eight),
        all(&four),
        units::bytes(most),
    ))
}

#[cfg(test)]
mod tests;
