//! The arguments of `pause` and `resume`, with which an owner stops and starts
//! lending.

use clap::Args;

/// Arguments of `pause`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Jobs that run go on to their end; no new ones of others begin, and the node
announces no layers meanwhile. Own questions still use own layers. A pause
without --for lasts until `talkoot resume`, over restarts too.

Examples:
  talkoot pause --for 2h --reason \"watching a film\"
  talkoot resume")]
pub struct PauseArgs {
    /// For how long, e.g. 30m, 2h, 1d [default: until `talkoot resume`]
    #[arg(long = "for", value_name = "TIME")]
    pub time: Option<String>,
    /// Why, for `status`; others do not see it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `resume`.
#[derive(Debug, Clone, Args)]
pub struct ResumeArgs {
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
