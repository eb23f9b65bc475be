//! What `talkoot show` tells, as one JSON object or as a page for people.

use crate::api::{ModelView, SCHEMA};
use crate::commands::output::{self, Align, Table};
use crate::models::LocalModel;
use crate::models::store::{Condition, Record};
use crate::units;
use serde::Serialize;
use std::path::{Path, PathBuf};
use talkoot_inference::Estimate;
use talkoot_inference::kernels::PackedFormat;
use talkoot_protocol::{Hash, Policy};

/// Everything about one model. What only the files tell is absent where they are
/// not here.
#[derive(Debug, Serialize)]
pub(super) struct ShowView {
    schema: u32,
    name: String,
    id: String,
    layers: u32,
    dtype: String,
    context: u32,
    price_ugft_per_token: u64,
    #[serde(flatten)]
    local: Option<Local>,
    /// Who serves it, packed or not; absent where no node runs.
    pub(super) serving: Option<Vec<Server>>,
}

/// What the files tell.
#[derive(Debug, Serialize)]
struct Local {
    family: String,
    shape: Shape,
    parameters: u64,
    flops_per_token: Option<u64>,
    has_template: bool,
    tensors: usize,
    /// Bytes of the tensors that the family needs, as the card counts them.
    tensor_bytes: u64,
    hashes: Hashes,
    /// As it is stored, then for each `--quantize`.
    formats: Vec<Format>,
    files: Files,
}

#[derive(Debug, Serialize)]
struct Shape {
    hidden: u32,
    intermediate: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    vocabulary: u32,
    active_experts: u32,
}

/// What the card names; nodes serve these blobs to askers.
#[derive(Debug, Serialize)]
struct Hashes {
    settings: String,
    config: String,
    tokenizer: String,
    template: Option<String>,
    tensors: String,
}

/// The model as one `--quantize` makes it.
#[derive(Debug, Serialize)]
struct Format {
    quantize: &'static str,
    name: String,
    id: String,
    /// Of all layers in memory.
    weight_bytes: u64,
    price_ugft_per_token: u64,
}

/// Where its files are.
#[derive(Debug, Serialize)]
pub(super) struct Files {
    /// `embedded`, `imported`, `copied`, `read-only` or `path`.
    place: &'static str,
    path: Option<PathBuf>,
    bytes: u64,
    /// Since the import: `whole`, or which file is missing or changed.
    condition: Option<String>,
}

/// Layers of it that somebody serves.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    pub(super) peer: String,
    pub(super) is_this_node: bool,
    pub(super) model: String,
    pub(super) name: String,
    pub(super) layers: [u32; 2],
    pub(super) layers_per_second: u32,
    pub(super) arithmetic: String,
}

impl Files {
    pub(super) const fn embedded() -> Self {
        Self {
            place: "embedded",
            path: None,
            bytes: 0,
            condition: None,
        }
    }

    pub(super) fn of_path(place: &'static str, path: &Path, bytes: u64) -> Self {
        Self {
            place,
            path: Some(path.to_owned()),
            bytes,
            condition: None,
        }
    }

    pub(super) fn of_record(directory: &Path, record: &Record) -> Self {
        let condition = match record.condition(directory) {
            Condition::Whole => "whole".to_owned(),
            Condition::Missing(path) => format!("{} is missing", path.display()),
            Condition::Changed(path) => format!("{} was written since", path.display()),
        };
        Self {
            place: if record.is_copy { "copied" } else { "imported" },
            path: Some(directory.join(&record.model)),
            bytes: record.bytes(),
            condition: Some(condition),
        }
    }

    fn text(&self) -> String {
        let path = self.path.as_ref().map_or_else(String::new, |path| {
            format!(", {}, {}", path.display(), units::bytes(self.bytes))
        });
        let condition = self
            .condition
            .as_ref()
            .map_or_else(String::new, |text| format!(", {text}"));
        format!("{}{path}{condition}", self.place)
    }
}

impl ShowView {
    /// A model that only others have.
    pub(super) fn of_network(model: &ModelView) -> Self {
        Self {
            schema: SCHEMA,
            name: model.name.clone(),
            id: model.id.clone(),
            layers: model.layers,
            dtype: model.dtype.clone(),
            context: model.context,
            price_ugft_per_token: model.price_ugft_per_token,
            local: None,
            serving: None,
        }
    }

    /// A model that is here.
    pub(super) fn of_local(model: &LocalModel, files: Files, policy: &Policy) -> Self {
        let card = &model.card;
        Self {
            schema: SCHEMA,
            name: card.name.clone(),
            id: model.id.to_string(),
            layers: card.shape.layers,
            dtype: card.dtype.name().to_owned(),
            context: card.shape.context,
            price_ugft_per_token: policy.price_ugft_per_token(card).unwrap_or(0),
            local: Some(Local::new(model, files, policy)),
            serving: None,
        }
    }

    /// Its ids, as stored and packed.
    pub(super) fn ids(&self) -> Vec<String> {
        let formats = self.local.iter().flat_map(|local| &local.formats);
        let packed = formats.map(|format| format.id.clone());
        packed.chain([self.id.clone()]).collect()
    }

    pub(super) fn page(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| text.push_str(&format!("{name:<10}{value}\n"));
        line("name", self.name.clone());
        line("id", output::id(&self.id));
        if let Some(local) = &self.local {
            local.lines(&mut line, self);
        } else {
            line("files", "not here".to_owned());
            line("shape", format!("{} layers, {}", self.layers, self.dtype));
        }
        line(
            "context",
            format!("{} tokens", units::thousands(self.context.into())),
        );
        line(
            "price",
            format!("{} GFT/token", units::gft(self.price_ugft_per_token.into())),
        );
        if let Some(local) = &self.local {
            text.push_str(&format!("\n{}", local.formats()));
        }
        text.push_str(&format!("\n{}", self.servers()));
        text
    }

    fn servers(&self) -> String {
        let Some(serving) = &self.serving else {
            return "no node runs here: who serves it is not known\n".to_owned();
        };
        if serving.is_empty() {
            return "nobody serves it now\n".to_owned();
        }
        let mut table = Table::new(&[
            ("PEER", Align::Left),
            ("MODEL", Align::Left),
            ("LAYERS", Align::Left),
            ("LAYERS/S", Align::Right),
            ("ARITHMETIC", Align::Left),
        ]);
        for server in serving {
            let us = if server.is_this_node {
                " (this node)"
            } else {
                ""
            };
            table.row(vec![
                format!("{}{us}", output::wallet(&server.peer)),
                server.name.clone(),
                output::layers(server.layers),
                server.layers_per_second.to_string(),
                server.arithmetic.clone(),
            ]);
        }
        table.render()
    }
}

impl Local {
    fn new(model: &LocalModel, files: Files, policy: &Policy) -> Self {
        let (card, shape) = (&model.card, &model.card.shape);
        let config = model.checkpoint.config();
        let has_template = card.template != Hash::ZERO;
        Self {
            family: card.family.clone(),
            shape: Shape {
                hidden: shape.hidden,
                intermediate: shape.intermediate,
                heads: shape.heads,
                kv_heads: shape.kv_heads,
                head_dim: shape.head_dim,
                vocabulary: shape.vocabulary,
                active_experts: shape.active_experts,
            },
            parameters: Estimate::new(config.clone(), card.dtype, None).parameters(),
            flops_per_token: shape.flops_per_token(config.layers()),
            has_template,
            tensors: model.checkpoint.tensor_list().map_or(0, <[_]>::len),
            tensor_bytes: card.weight_bytes,
            hashes: Hashes {
                settings: card.settings.to_string(),
                config: card.config.to_string(),
                tokenizer: card.tokenizer.to_string(),
                template: has_template.then(|| card.template.to_string()),
                tensors: card.tensors.to_string(),
            },
            formats: model
                .variants()
                .iter()
                .map(|variant| Format {
                    quantize: variant.format.map_or("none", PackedFormat::name),
                    name: variant.card.name.clone(),
                    id: variant.card.id().to_string(),
                    weight_bytes: variant.weight_bytes,
                    price_ugft_per_token: policy.price_ugft_per_token(&variant.card).unwrap_or(0),
                })
                .collect(),
            files,
        }
    }

    fn lines(&self, line: &mut impl FnMut(&str, String), view: &ShowView) {
        let shape = &self.shape;
        line(
            "shape",
            format!(
                "{}, {} layers, hidden {}, {} heads of {}, {} of keys, feed-forward {}, vocabulary {}",
                self.family,
                view.layers,
                shape.hidden,
                shape.heads,
                shape.head_dim,
                shape.kv_heads,
                shape.intermediate,
                shape.vocabulary
            ),
        );
        line(
            "weights",
            format!(
                "{} as {}, {} in {} tensors",
                units::thousands(self.parameters.into()),
                view.dtype,
                units::bytes(self.tensor_bytes),
                self.tensors
            ),
        );
        let template = if self.has_template {
            "yes"
        } else {
            "none: only --raw questions"
        };
        line("template", template.to_owned());
        line("files", self.files.text());
    }

    fn formats(&self) -> String {
        let mut table = Table::new(&[
            ("QUANTIZE", Align::Left),
            ("NAME", Align::Left),
            ("ID", Align::Left),
            ("MEMORY", Align::Right),
            ("GFT/TOKEN", Align::Right),
        ]);
        for format in &self.formats {
            table.row(vec![
                format.quantize.to_owned(),
                format.name.clone(),
                output::id(&format.id),
                units::bytes(format.weight_bytes),
                units::gft(format.price_ugft_per_token.into()),
            ]);
        }
        table.render()
    }
}
