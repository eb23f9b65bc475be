//! Who takes part in a testnet: seeds, one genesis, and which layers each
//! worker serves.

use crate::cli::{BackendArg, QuantizeArg, TestnetArgs};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::home;
use crate::models;
use crate::settings;
use crate::units;
use std::path::PathBuf;
use talkoot_protocol::{Founder, Genesis, Keypair, LayerRange, limits};

/// One node to start.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Name of its home.
    pub(super) name: String,
    /// Its identity.
    pub(super) seed: [u8; 32],
    /// What it serves; none for the asker.
    pub(super) layers: Option<LayerRange>,
}

impl Member {
    /// Its wallet as text.
    pub(super) fn wallet(&self) -> String {
        Keypair::from_seed(&self.seed).wallet().to_string()
    }
}

/// The whole testnet.
#[derive(Debug)]
pub(super) struct Plan {
    /// The asker first.
    pub(super) members: Vec<Member>,
    /// The network.
    pub(super) genesis: Genesis,
    /// Directory of the model; none is the demo model.
    pub(super) model: Option<PathBuf>,
    /// Its layers.
    pub(super) layers: u32,
    /// How the workers compute.
    pub(super) backend: BackendArg,
    /// What they pack the weights to.
    pub(super) quantize: QuantizeArg,
    /// Threads of each.
    pub(super) threads: u16,
}

impl Plan {
    pub(super) fn new(args: &TestnetArgs) -> Result<Self, Failure> {
        let layers = model_layers(args)?;
        let line_ugft = units::parse_gft(&args.line)
            .map_err(|error| Failure::new(Exit::Usage, format!("--line: {error}")))?;
        let mut members = vec![member("asker".to_owned(), None)?];
        for (index, range) in split(layers, args.workers)?.into_iter().enumerate() {
            members.push(member(format!("worker{}", index + 1), Some(range))?);
        }
        if members.len() > limits::FOUNDERS_MAX {
            let most = limits::FOUNDERS_MAX - 1;
            return Err(usage(format!(
                "--workers is at most {most}: all are founders"
            )));
        }
        let founders = members
            .iter()
            .map(|member| Founder {
                wallet: Keypair::from_seed(&member.seed).wallet(),
                line_ugft,
            })
            .collect();
        let policy = settings::policy(&args.genesis);
        let genesis = Genesis::new("testnet", clock::now_ms(), policy, founders)
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        Ok(Self {
            members,
            genesis,
            // Children work in other directories.
            model: args.model.as_deref().map(std::path::absolute).transpose()?,
            layers,
            backend: args.backend,
            quantize: args.quantize,
            threads: args.threads,
        })
    }
}

fn member(name: String, layers: Option<LayerRange>) -> Result<Member, Failure> {
    let mut seed = [0; 32];
    home::fill_random(&mut seed)?;
    Ok(Member { name, seed, layers })
}

/// `layers` in `workers` ranges whose sizes differ by at most one.
fn split(layers: u32, workers: u32) -> Result<Vec<LayerRange>, Failure> {
    if workers == 0 || workers > layers {
        return Err(usage(format!(
            "--workers is 1 to {layers}: the model has {layers} layers"
        )));
    }
    (0..workers)
        .map(|index| {
            let border = |index: u32| {
                let border = u64::from(layers) * u64::from(index) / u64::from(workers);
                u32::try_from(border).unwrap_or(layers)
            };
            LayerRange::new(border(index), border(index + 1))
                .map_err(|error| usage(error.to_string()))
        })
        .collect()
}

/// Reads `config.json`, which every Hugging Face directory has.
fn model_layers(args: &TestnetArgs) -> Result<u32, Failure> {
    let opened = match &args.model {
        None => models::demo_checkpoint(),
        Some(path) => models::checkpoint(path),
    };
    Ok(opened?.config().shape.layers)
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_tile_the_model() {
        for (layers, workers) in [(8, 4), (8, 3), (7, 7), (32, 5), (5, 1)] {
            let ranges = split(layers, workers).unwrap();
            assert_eq!(ranges.len(), workers as usize);
            let mut next = 0;
            for range in &ranges {
                assert_eq!(range.start(), next);
                next = range.end();
            }
            assert_eq!(next, layers);
            let sizes = ranges.iter().map(|range| range.count());
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
        }
        assert!(split(8, 0).is_err() && split(8, 9).is_err());
    }
}
