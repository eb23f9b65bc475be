//! The arguments of `testnet`: how many nodes, of what, and what is asked.

use super::{BackendArg, GenesisArgs, ModelDirsArgs, QuantizeArg};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `testnet`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit 0 only if the answer came, the bill adds up (with --accounting off: nothing
was burned), all balances and the commons sum to zero, and every node holds the
same chain.")]
pub struct TestnetArgs {
    /// What to ask
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// Nodes that lend layers
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub workers: u32,
    /// Name, directory or .gguf file of the model [default: the demo model]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Where else models are.
    #[command(flatten)]
    pub directories: ModelDirsArgs,
    /// Tokens of the answer at most
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// Credit line of each node
    #[arg(long, value_name = "AMOUNT", default_value = "1000GFT")]
    pub line: String,
    /// How the workers compute
    #[arg(long, default_value = "kernels")]
    pub backend: BackendArg,
    /// Pack the weights as the workers load them
    #[arg(long, default_value = "none")]
    pub quantize: QuantizeArg,
    /// Threads of each worker
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u16,
    /// What the genesis says.
    #[command(flatten)]
    pub genesis: GenesisArgs,
    /// Leave the nodes running and say how to use and stop them
    #[arg(long)]
    pub keep: bool,
    /// One JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}
