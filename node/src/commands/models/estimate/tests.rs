//! Tests of the estimate: against loaded layers, by hand, and with the document.

use super::*;
use crate::cli::{Cli, Command, ModelsCommand, Parsed, parse};
use crate::models;
use std::path::PathBuf;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn arguments(line: &str) -> EstimateArgs {
    let words = ["talkoot", "models", "estimate"].into_iter();
    let words = words.chain(line.split_whitespace()).map(Into::into);
    match parse(words) {
        Parsed::Run(Cli {
            command: Some(Command::Models(args)),
            ..
        }) => match args.command {
            Some(ModelsCommand::Estimate(args)) => args,
            None => panic!("{line}"),
        },
        other => panic!("{line}: {other:?}"),
    }
}

fn reported(name: &str, line: &str) -> Result<Report, Failure> {
    let args = arguments(&format!("x {line}"));
    let bandwidth = args.bandwidth.as_deref().map(bandwidth).transpose()?;
    report(&root().join(name), &args, args.quantize.into(), bandwidth)
}

#[test]
fn the_estimate_is_what_a_loaded_shard_holds() {
    let formats = [
        ("none", None),
        ("bf16", Some(PackedFormat::Bf16)),
        ("q8_0", Some(PackedFormat::Q8_0)),
        ("q4_0", Some(PackedFormat::Q4_0)),
    ];
    for (name, format) in formats {
        let report = reported("models/demo", &format!("--quantize {name} --nodes 3")).unwrap();
        let mut checkpoint = models::demo_checkpoint().unwrap();
        if let Some(format) = format {
            checkpoint = checkpoint.packed_as(format);
        }
        for part in report.nodes.iter().chain([&report.whole]) {
            let range = LayerRange::new(part.layers[0], part.layers[1]).unwrap();
            assert_eq!(part.weight_bytes, checkpoint.weight_bytes(range), "{name}");
        }
        assert_eq!(report.dtype, checkpoint.dtype().name());
        let card = checkpoint.card("demo").unwrap();
        let price = Policy::default().price_ugft_per_token(&card);
        assert_eq!(Some(report.whole.ugft_per_token), price);
    }
}

#[test]
fn operations_are_those_of_the_design() {
    let report = reported("models/shapes/Llama-3.2-1B.json", "--nodes 4").unwrap();
    assert_eq!(report.whole.flops_per_token, 2_471_493_632);
    assert_eq!(report.parameters, 1_235_814_400);
    let sum: u64 = report.nodes.iter().map(|node| node.flops_per_token).sum();
    assert_eq!(sum, report.whole.flops_per_token);
    let text = page(&report);
    let all = text.lines().find(|line| line.starts_with("all")).unwrap();
    assert!(
        all.contains(" 2.471 ") && all.contains(" 1.235746"),
        "{text}"
    );
    assert!(!text.contains("TOKENS/S"), "{text}");
}

#[test]
fn tokens_per_second_need_a_bandwidth() {
    let name = "models/shapes/Llama-3.2-1B.json";
    let report = reported(name, "--quantize q4_0 --bandwidth 20GB/s").unwrap();
    let bytes = 2_471_493_632 / 2 * 18 / 32;
    assert_eq!(report.whole.read_bytes_per_token, bytes);
    let most = report.whole.tokens_per_s_max.unwrap();
    assert!((most - 2e10 / bytes as f64).abs() < 1e-9, "{most}");
    assert!(page(&report).contains("28.77"), "{}", page(&report));
}

#[test]
fn what_does_not_go_is_refused_and_named() {
    let name = "models/shapes/Llama-3.2-1B.json";
    for (name, line, exit, named) in [
        ("models/nowhere.json", "", Exit::NotFound, "nowhere"),
        (
            "models/demo/model.safetensors",
            "",
            Exit::BadConfig,
            "bytes",
        ),
        (
            "models/demo/tokenizer_config.json",
            "",
            Exit::BadConfig,
            "config",
        ),
        (name, "--nodes 0", Exit::Usage, "--nodes"),
        (name, "--nodes 17", Exit::Usage, "16 layers"),
        (name, "--context 0", Exit::Usage, "--context"),
        (name, "--context 131073", Exit::Usage, "131072"),
        (name, "--bandwidth fast", Exit::Usage, "--bandwidth"),
        (name, "--bandwidth 0", Exit::Usage, "--bandwidth"),
    ] {
        let failure = reported(name, line).unwrap_err();
        assert_eq!(failure.exit, exit, "{line}: {failure}");
        assert!(failure.message.contains(named), "{line}: {failure}");
    }
}

/// docs/MODELS.md has the table that the command prints.
#[test]
fn the_document_has_the_table() {
    let mut shapes: Vec<PathBuf> = std::fs::read_dir(root().join("models/shapes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    shapes.sort();
    let mut args = arguments("x --nodes 4 --table");
    args.configs = shapes;
    let table = markdown(&args).unwrap();
    assert!(table.lines().count() > 10, "{table}");
    let document = std::fs::read_to_string(root().join("docs/MODELS.md")).unwrap();
    assert!(
        document.contains(&table),
        "docs/MODELS.md lacks what `talkoot models estimate models/shapes/*.json --nodes 4 --table` \
         prints:\n{table}"
    );
}
