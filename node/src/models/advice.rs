//! What to do about a model that cannot be opened or lacks layers, in words that
//! end an error.

use talkoot_inference::CheckpointError;
use talkoot_protocol::ModelCard;

/// What to do about a checkpoint that is refused.
#[must_use]
pub fn advice(error: &CheckpointError) -> &'static str {
    use CheckpointError as E;
    match error {
        E::NoSuchPath { .. } | E::UnknownFormat { .. } => {
            "`talkoot models` lists what is known by name"
        }
        E::MissingFile { .. } => "the download is not complete: fetch that file, too",
        E::MissingTensor { .. } => {
            "the weight files are not complete, or of another model than config.json: fetch what is \
             missing"
        }
        E::Header { .. } | E::Tensor { .. } => {
            "the file is damaged, cut off or of another model: fetch it again"
        }
        E::Gguf { .. } => {
            "docs/MODELS.md says what is read; a file that is damaged or cut off must be fetched again"
        }
        E::Json { .. } | E::TooLarge { .. } => "fetch that file again",
        E::Config(_) => "docs/MODELS.md says which models run",
        E::Memory { .. } => "fewer --layers or --quantize q4_0 take less",
        E::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            "the download is not complete: fetch that file, too"
        }
        _ => super::NO_MODEL,
    }
}

/// The command that serves `layers` of the model of `card`, for whoever has its
/// files: under the same name and packed the same way, else it is another model.
#[must_use]
pub fn serve_command(card: &ModelCard, layers: &str) -> String {
    let suffix = format!("-{}", card.dtype);
    let (name, quantize) = match card.name.strip_suffix(&suffix) {
        Some(name) if card.quantiser_version > 0 => (name, format!(" --quantize {}", card.dtype)),
        _ => (card.name.as_str(), String::new()),
    };
    format!("talkoot up --model {name} --layers {layers}{quantize}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{LocalModel, Use};
    use talkoot_inference::kernels::PackedFormat;

    #[test]
    fn the_command_names_what_was_packed() {
        let command = |format| {
            let how = Use {
                format,
                ..Use::default()
            };
            serve_command(&LocalModel::open(None, &how).unwrap().card, "2..4")
        };
        assert_eq!(command(None), "talkoot up --model demo --layers 2..4");
        assert_eq!(
            command(Some(PackedFormat::Q4_0)),
            "talkoot up --model demo --layers 2..4 --quantize q4_0"
        );
    }
}
