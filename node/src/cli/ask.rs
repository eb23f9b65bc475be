//! The arguments of `ask`: one question and how it is answered.

use clap::Args;

/// Arguments of `ask`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot ask \"Tell me a story about a fox who lost a drum.\"
  echo \"Who helps the hare?\" | talkoot ask
  talkoot ask --temperature 0.8 --seed 7 --max-tokens 200 \"Tell me a story.\"
  talkoot ask --json \"Tell me a story.\" | jq .stages")]
pub struct AskArgs {
    /// The question; without it stdin is read
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// Name, id or unique prefix of an id [default: the first with a full route]
    #[arg(long, short)]
    pub model: Option<String>,
    /// Tokens of the answer at most [default: 512, or what the context holds]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// 0 takes the most likely token every time
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Only the N most likely tokens; 0 = all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub top_k: u32,
    /// Only the most likely tokens that together have probability P
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f32,
    /// Only tokens at least P times as likely as the most likely one
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub min_p: f32,
    /// Random seed; the same seed on the same route gives the same answer
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// A text that ends the answer; may repeat
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// An instruction before the question
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub system: Option<String>,
    /// Continue the text as it is, without the model's chat template
    #[arg(long)]
    pub raw: bool,
    /// Say on stderr what the answer costs at most before it begins
    #[arg(long)]
    pub quote: bool,
    /// Say on stderr who computes which layers before the answer begins
    #[arg(long)]
    pub show_route: bool,
    /// Print one JSON object at the end instead of streaming
    #[arg(long)]
    pub json: bool,
}
