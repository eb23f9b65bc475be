//! The arguments of `up`: what a node serves, where it listens, and what a new
//! network's genesis says.

use super::{ModelDirsArgs, ReachArgs};
use crate::settings::Backend;
use clap::{Args, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use talkoot_inference::kernels::PackedFormat;

/// Kademlia warns that it knows nobody, which is how every first node begins.
const DEFAULT_LOG: &str = "warn,libp2p_kad=error,talkoot=info";

/// Arguments of `up`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot up
  talkoot up --model ~/models/Llama-3.2-1B --layers 0..8
  talkoot up --model ~/models/Llama-3.2-1B --quantize q8_0
  talkoot up --join talkoot1… --no-serve
  talkoot up --max-cpu 50% --idle-only --hours 22:00-07:00
  talkoot up --instance 1            a second node beside the first")]
pub struct UpArgs {
    /// Model to serve: a name from `talkoot models`, a directory or a .gguf file; may repeat
    #[arg(
        long,
        value_name = "MODEL",
        env = "TALKOOT_MODEL",
        value_delimiter = ':'
    )]
    pub model: Vec<PathBuf>,
    /// Where else models are.
    #[command(flatten)]
    pub directories: ModelDirsArgs,
    /// Layers to serve, first and one past the last, e.g. 0..8 [default: the least covered that fit]
    #[arg(long, value_name = "A..B", env = "TALKOOT_LAYERS")]
    pub layers: Option<String>,
    /// Lend nothing: only ask
    #[arg(long, env = "TALKOOT_NO_SERVE")]
    pub no_serve: bool,
    /// Where it listens, and whom it dials first.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// A name in `Host` to answer to, besides those of this machine; may repeat
    #[arg(
        long,
        value_name = "NAME",
        env = "TALKOOT_HTTP_HOST",
        value_delimiter = ','
    )]
    pub http_host: Vec<String>,
    /// An address whose programs count as this machine's, such as a container's host; may repeat
    #[arg(
        long,
        value_name = "IP",
        env = "TALKOOT_HTTP_LOCAL",
        value_delimiter = ','
    )]
    pub http_local: Vec<IpAddr>,
    /// A web page's origin that may ask, such as `https://app.example.org`; may repeat
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "TALKOOT_CORS_ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<String>,
    /// Serve no dashboard at the root of the HTTP port
    #[arg(long, env = "TALKOOT_NO_DASHBOARD")]
    pub no_dashboard: bool,
    /// Answers that HTTP works on at once [default: as many as --sessions]
    #[arg(long, value_name = "N", env = "TALKOOT_MAX_ANSWERS")]
    pub max_answers: Option<u16>,
    /// Answers that may wait for a place
    #[arg(
        long,
        value_name = "N",
        env = "TALKOOT_MAX_QUEUE",
        default_value_t = 256
    )]
    pub max_queue: u16,
    /// Do not look for peers on the local network
    #[arg(long, env = "TALKOOT_NO_MDNS")]
    pub no_mdns: bool,
    /// Memory to lend at most, e.g. 4GiB [default: half of what is free]
    #[arg(long, value_name = "SIZE", env = "TALKOOT_MAX_MEM")]
    pub max_mem: Option<String>,
    /// Share of this machine's processors to lend at most, e.g. 50% [default: all]
    #[arg(long, value_name = "PERCENT", env = "TALKOOT_MAX_CPU")]
    pub max_cpu: Option<String>,
    /// Lend only while other programs leave the machine alone and it is not on battery
    #[arg(long, env = "TALKOOT_IDLE_ONLY")]
    pub idle_only: bool,
    /// Lend only at these hours, local time, e.g. 22:00-07:00,12:00-13:00
    #[arg(long, value_name = "HOURS", env = "TALKOOT_HOURS")]
    pub hours: Option<String>,
    /// Answers to work on at the same time
    #[arg(long, value_name = "N", env = "TALKOOT_SESSIONS", default_value_t = 16)]
    pub sessions: u16,
    /// Unconfirmed spending of one asker that this node works for
    #[arg(
        long,
        value_name = "AMOUNT",
        env = "TALKOOT_EXPOSURE",
        default_value = "1000GFT"
    )]
    pub exposure: String,
    /// How layers are computed
    #[arg(long, env = "TALKOOT_BACKEND", default_value = "kernels")]
    pub backend: BackendArg,
    /// Pack the weights as they are loaded: another model, with an id of its own
    #[arg(long, env = "TALKOOT_QUANTIZE", default_value = "none")]
    pub quantize: QuantizeArg,
    /// Threads that compute together [default: as many as the processor runs at once]
    #[arg(long, value_name = "N", env = "TALKOOT_THREADS")]
    pub threads: Option<u16>,
    /// What the genesis says, when this start founds a network.
    #[command(flatten)]
    pub genesis: GenesisArgs,
    /// What to log on stderr, e.g. debug or warn,talkoot::jobs=trace
    #[arg(
        long,
        value_name = "FILTER",
        env = "TALKOOT_LOG",
        default_value = DEFAULT_LOG
    )]
    pub log: String,
    /// Where to log too: a file, or `off` [default: the home's own, see `talkoot paths`]
    #[arg(long, value_name = "FILE", env = "TALKOOT_LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// How to log
    #[arg(long, env = "TALKOOT_LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
    /// Stop when stdin ends: a parent that dies takes this node along
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// `--backend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// Our kernels for this processor.
    Kernels,
    /// Stock burn operations.
    Burn,
    /// Stock burn operations on an NVIDIA card (built with the feature `cuda`).
    Cuda,
}

impl From<BackendArg> for Backend {
    fn from(arg: BackendArg) -> Self {
        match arg {
            BackendArg::Kernels => Self::Kernels,
            BackendArg::Burn => Self::Burn,
            BackendArg::Cuda => Self::Cuda,
        }
    }
}

/// `--quantize`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum QuantizeArg {
    /// As stored, in memory as in the file.
    #[default]
    None,
    /// 16-bit brain floats.
    Bf16,
    /// 8 bits, blocks of 32 with a scale: half the memory of 16 bits.
    #[value(name = "q8_0")]
    Q8,
    /// 4 bits, blocks of 32 with a scale: a quarter, and less exact.
    #[value(name = "q4_0")]
    Q4,
}

impl From<QuantizeArg> for Option<PackedFormat> {
    fn from(arg: QuantizeArg) -> Self {
        match arg {
            QuantizeArg::None => None,
            QuantizeArg::Bf16 => Some(PackedFormat::Bf16),
            QuantizeArg::Q8 => Some(PackedFormat::Q8_0),
            QuantizeArg::Q4 => Some(PackedFormat::Q4_0),
        }
    }
}

/// What a new network's genesis says for ever.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "A new network (its genesis cannot be changed)")]
pub struct GenesisArgs {
    /// What the price of a token follows [default: flops]
    #[arg(long, env = "TALKOOT_PRICING")]
    pub pricing: Option<PricingArg>,
    /// Whether fewer bits per weight lower prices by FLOPs [default: on]
    #[arg(long, env = "TALKOOT_PRECISION_FACTORS")]
    pub precision_factors: Option<Switch>,
    /// Whether jobs are paid; off, everybody works for nothing [default: on]
    #[arg(long, env = "TALKOOT_ACCOUNTING")]
    pub accounting: Option<Switch>,
}

/// `--pricing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PricingArg {
    /// The operations it takes: 1 GFT for 10^9.
    Flops,
    /// The size of the model: 1 GFT, and more above 32 GiB at 16 bits.
    Size,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people, with colours where stderr is a terminal.
    #[value(alias = "text")]
    Auto,
    /// Lines for people, with colours.
    Pretty,
    /// One JSON object per line.
    Json,
}
