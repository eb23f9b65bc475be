//! The arguments of `chat`: a conversation at the terminal.

use clap::Args;
use std::path::PathBuf;

/// Arguments of `chat`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
At the prompt: /help lists the commands, Tab completes them, Ctrl-C cancels a
running answer, Ctrl-D leaves. A line that ends with \\ goes on; so does what
stands between two lines of \"\"\". Answers go to stdout, everything else to stderr.
Without a terminal every line of stdin is a question or a command.

Examples:
  talkoot chat
  talkoot chat demo --system \"Be kind.\" --temperature 0.7
  printf 'Tell me a story.\\n/stats\\n' | talkoot chat demo
  talkoot chat --load story.json")]
pub struct ChatArgs {
    /// Name, id or unique prefix of an id [default: the first with a full route]
    pub model: Option<String>,
    /// An instruction before the conversation (/system)
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// 0 takes the most likely token every time (/set temperature)
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Only the most likely tokens that together have probability P (/set top_p)
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f32,
    /// Tokens of an answer at most [default: 512, or what the context holds]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// Random seed of every answer (/set seed) [default: another for each]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Go on with a conversation that /save wrote
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
}
