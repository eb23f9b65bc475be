//! The arguments of the verbs about models: what is here, what is taken in, and
//! what a model would take.

use super::{QuantizeArg, ReadArgs};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use talkoot_protocol::DType;

/// Directories of models beside the store.
#[derive(Debug, Clone, Default, Args)]
pub struct ModelDirsArgs {
    /// Directories of models that are only read, separated by colons
    #[arg(
        long,
        value_name = "DIRS",
        env = "TALKOOT_MODEL_DIRS",
        value_delimiter = ':'
    )]
    pub model_dirs: Vec<PathBuf>,
}

/// Arguments of `models`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  talkoot models                             what is here, and what the network serves
  talkoot models --model-dirs /srv/models    with a directory that is only read
  talkoot models estimate config.json --quantize q4_0 --nodes 4")]
pub struct ModelsArgs {
    /// How to print.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Where else models are.
    #[command(flatten)]
    pub directories: ModelDirsArgs,
    /// Something else than the list.
    #[command(subcommand)]
    pub command: Option<ModelsCommand>,
}

/// Verbs of `models`.
#[derive(Debug, Clone, Subcommand)]
pub enum ModelsCommand {
    /// What a model would take and cost, from its config.json alone
    Estimate(EstimateArgs),
}

/// Arguments of `models estimate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Needs neither weights nor a node. Prices are those of the default policy.
Examples:
  talkoot models estimate models/shapes/Llama-3.1-8B.json --quantize q4_0 --nodes 4
  talkoot models estimate config.json --bandwidth 20GB/s
  talkoot models estimate models/shapes/*.json --nodes 4 --table")]
pub struct EstimateArgs {
    /// A config.json, or a directory that has one; may repeat
    #[arg(value_name = "CONFIG", required = true)]
    pub configs: Vec<PathBuf>,
    /// What the weights would be packed to
    #[arg(long, default_value = "none")]
    pub quantize: QuantizeArg,
    /// Nodes that share the layers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub nodes: u32,
    /// Positions of the session that is counted [default: what a node keeps room for]
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<u32>,
    /// How the weights are stored [default: what the configuration says]
    #[arg(long)]
    pub dtype: Option<StoredArg>,
    /// The measured speed of reading memory (`talkoot bench` measures it), e.g. 20GB/s
    #[arg(long, value_name = "SPEED")]
    pub bandwidth: Option<String>,
    /// One JSON object for each configuration
    #[arg(long, conflicts_with = "table")]
    pub json: bool,
    /// One line of a Markdown table for each configuration, in all formats
    #[arg(long, conflicts_with_all = ["quantize", "bandwidth"])]
    pub table: bool,
}

/// `--dtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoredArg {
    /// 32-bit floats.
    F32,
    /// 16-bit brain floats.
    Bf16,
    /// 16-bit floats.
    F16,
}

impl From<StoredArg> for DType {
    fn from(arg: StoredArg) -> Self {
        match arg {
            StoredArg::F32 => Self::F32,
            StoredArg::Bf16 => Self::Bf16,
            StoredArg::F16 => Self::F16,
        }
    }
}

/// Arguments of `import`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The name is part of the model's id: who serves one model together gives it one name.
Examples:
  talkoot import ~/models/Llama-3.2-1B
  talkoot import ~/models/model-of-mine --name Llama-3.2-1B
  talkoot import model-q4_0.gguf --copy")]
pub struct ImportArgs {
    /// A folder with config.json, tokenizer.json and safetensors, or a .gguf file
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// What it shall be called [default: as the folder or file]
    #[arg(long)]
    pub name: Option<String>,
    /// Copy the files, where possible without taking more room
    #[arg(long)]
    pub copy: bool,
    /// Threads that hash [default: as many as the processor runs at once]
    #[arg(long, value_name = "N", env = "TALKOOT_THREADS")]
    pub threads: Option<u16>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// A name, the beginning of an id, a directory or a .gguf file
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Where else models are.
    #[command(flatten)]
    pub directories: ModelDirsArgs,
    /// One JSON object on stdout: raw integers, full ids
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `rm`.
#[derive(Debug, Clone, Args)]
pub struct RmArgs {
    /// The name of an imported model
    pub name: String,
    /// Do it
    #[arg(long)]
    pub yes: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
