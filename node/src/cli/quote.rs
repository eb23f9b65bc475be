//! The arguments of `quote`: what a question would cost.

use clap::Args;

/// Arguments of `quote`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Stages of today's route are asked for offers and let go; nothing is reserved.
`talkoot ledger quote` shows the same with every factor of the split.

Examples:
  talkoot quote demo \"Tell me a story about a fox.\"
  talkoot quote demo -p 16 -n 256
  talkoot quote -n 100 --json | jq .held_ugft")]
pub struct QuoteArgs {
    /// Name, id or unique prefix of an id [default: the first with a full route]
    pub model: Option<String>,
    /// The question: its tokens are counted
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// Tokens of the prompt, instead of a prompt [default: 100]
    #[arg(long, short, value_name = "N", conflicts_with = "prompt")]
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer at most [default: as `ask`]
    #[arg(long, short = 'n', value_name = "M")]
    pub max_tokens: Option<u32>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
