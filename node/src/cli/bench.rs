//! The arguments of `talkoot bench`: what is loaded and how much is measured.

use super::{ModelDirsArgs, QuantizeArg};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `bench`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot bench                                the demo model
  talkoot bench ~/models/Llama-3.2-1B --quantize q8_0 --threads 4
  talkoot bench ~/models/Llama-3.2-1B --quantize q4_0 --layers 0..8 --profile
  talkoot bench ~/models/Llama-3.2-1B --quantize q4_0 --perplexity text.txt")]
pub struct BenchArgs {
    /// Name, directory or .gguf file of a model
    #[arg(value_name = "MODEL", default_value = "demo")]
    pub model: PathBuf,
    /// Where else models are.
    #[command(flatten)]
    pub directories: ModelDirsArgs,
    /// Pack the weights as they are loaded
    #[arg(long, env = "TALKOOT_QUANTIZE", default_value = "none")]
    pub quantize: QuantizeArg,
    /// Threads that compute together [default: as many as the processor runs at once]
    #[arg(long, value_name = "N", env = "TALKOOT_THREADS")]
    pub threads: Option<u16>,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub prompt: u32,
    /// Tokens generated after it
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub decode: u32,
    /// Answers worked on at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub streams: u16,
    /// How often all of it is done
    #[arg(long, value_name = "K", default_value_t = 5)]
    pub runs: u16,
    /// Layers to load, first and one past the last, e.g. 0..8 [default: all]
    #[arg(long, value_name = "A..B")]
    pub layers: Option<String>,
    /// Say which part of the time goes where
    #[arg(long)]
    pub profile: bool,
    /// One JSON object for each run, a line each
    #[arg(long)]
    pub json: bool,
    /// Load, print a JSON line, then one for each line `run` on stdin, until `quit`
    #[arg(long, conflicts_with = "perplexity")]
    pub interactive: bool,
    /// How well the model predicts each line of this file, instead of how fast
    #[arg(long, value_name = "FILE", conflicts_with = "layers")]
    pub perplexity: Option<PathBuf>,
}
