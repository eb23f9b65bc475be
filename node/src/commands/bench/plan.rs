//! What is measured: which layers, how many tokens of how many streams, checked
//! against the model before anything is loaded.

use crate::cli::BenchArgs;
use crate::exit::{Exit, Failure};
use talkoot_inference::{ModelConfig, SessionConfig, session_bytes};
use talkoot_protocol::{DType, LayerRange};

/// Everything that one run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// The layers.
    pub(super) range: LayerRange,
    /// Layers that the model has.
    pub(super) layers: u32,
    /// Tokens of each prompt.
    pub(super) prompt_tokens: u32,
    /// Tokens decoded after it.
    pub(super) decode_tokens: u32,
    /// Prompts at the same time.
    pub(super) streams: u32,
    /// Bytes of all their caches.
    pub(super) session_bytes: u64,
}

impl Plan {
    /// Checks the arguments.
    pub(super) fn new(args: &BenchArgs, config: &ModelConfig) -> Result<Self, Failure> {
        let shape = &config.shape;
        let range = match &args.layers {
            None => config.layers(),
            Some(text) => text
                .parse::<LayerRange>()
                .map_err(|error| bad(format!("--layers: {error}")))?,
        };
        if range.end() > shape.layers {
            return Err(bad(format!(
                "--layers {range}: the model has {} layers",
                shape.layers
            )));
        }
        for (name, value) in [
            ("--prompt", args.prompt),
            ("--decode", args.decode),
            ("--streams", u32::from(args.streams)),
            ("--runs", u32::from(args.runs)),
        ] {
            if value == 0 {
                return Err(bad(format!("{name} is at least 1")));
            }
        }
        let tokens = u64::from(args.prompt) + u64::from(args.decode);
        if tokens > u64::from(shape.context) {
            return Err(bad(format!(
                "--prompt {} and --decode {} are {tokens} tokens, the model's context is {}",
                args.prompt, args.decode, shape.context
            )));
        }
        let mut plan = Self {
            range,
            layers: shape.layers,
            prompt_tokens: args.prompt,
            decode_tokens: args.decode,
            streams: args.streams.into(),
            session_bytes: 0,
        };
        let each = session_bytes(shape, &plan.session());
        plan.session_bytes = each.saturating_mul(args.streams.into());
        Ok(plan)
    }

    /// A session with room for prompt and completion.
    pub(super) const fn session(&self) -> SessionConfig {
        SessionConfig {
            range: self.range,
            capacity_tokens: self.prompt_tokens + self.decode_tokens,
            hidden_dtype: DType::F32,
        }
    }
}

fn bad(message: impl Into<String>) -> Failure {
    Failure::new(Exit::BadConfig, message)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::{Cli, Command, Parsed, parse};

    pub(in super::super) fn arguments(line: &str) -> BenchArgs {
        let words = ["talkoot", "bench"].into_iter();
        let words = words.chain(line.split_whitespace()).map(Into::into);
        match parse(words) {
            Parsed::Run(Cli {
                command: Some(Command::Bench(args)),
                ..
            }) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn plan(line: &str) -> Result<Plan, Failure> {
        let checkpoint = crate::models::demo_checkpoint().unwrap();
        Plan::new(&arguments(line), checkpoint.config())
    }

    #[test]
    fn the_defaults_fit_the_demo_model() {
        let whole = plan("").unwrap();
        assert_eq!((whole.range.start(), whole.range.end()), (0, 8));
        assert_eq!((whole.prompt_tokens, whole.decode_tokens), (512, 64));
        let four = plan("--streams 4").unwrap();
        assert_eq!(four.session_bytes, 4 * whole.session_bytes);
    }

    #[test]
    fn what_does_not_go_is_refused_and_named() {
        for (line, named) in [
            ("--layers 0..9", "has 8 layers"),
            ("--layers 3..3", "--layers"),
            ("--prompt 0", "--prompt"),
            ("--decode 0", "--decode"),
            ("--streams 0", "--streams"),
            ("--runs 0", "--runs"),
            ("--prompt 1000 --decode 25", "context is 1024"),
            ("--prompt 4294967295 --decode 4294967295", "context"),
        ] {
            let failure = plan(line).unwrap_err();
            assert_eq!(failure.exit, Exit::BadConfig, "{line}");
            assert!(failure.message.contains(named), "{line}: {failure}");
        }
    }
}
