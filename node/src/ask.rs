//! From a question to an answer: text on this side, tokens on the other.
//!
//! Finds the model, makes tokens of the prompt, chooses a route, runs the job,
//! turns tokens into text that will not change any more, watches for stop
//! texts, and puts the bill together when the stages have settled. What a job
//! does on the wire is in `jobs`; what a route is, in `core::route`.

mod bill;
mod observer;
mod quote;
mod tokens;

use crate::api::{self, AskDone, AskError, AskEvent, AskRequest, ErrorCode, StageView};
use crate::context::NodeContext;
use crate::core::route::{self, Candidate, RouteError};
use crate::data::DataPlane;
use crate::gossip::ControlPlane;
use crate::jobs::submit::{JobReport, JobRequest, RouteStage, submit};
use crate::models::{Models, RemoteModel};
use observer::{TextObserver, Wishes};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use talkoot_inference::{AskerModel, ConstraintError};
use talkoot_protocol::announce::Served;
use talkoot_protocol::control::{Grammar, SamplingParams, is_request_id};
use talkoot_protocol::frame::Finish;
use talkoot_protocol::{DType, ModelCard, ModelId, Wallet};
use tokio::sync::{mpsc, watch};

/// Completion tokens when the request names none.
const COMPLETION_TOKENS_DEFAULT: u32 = 512;
/// How long `Done` waits for the stages' final frontiers.
const SETTLE_WAIT: Duration = Duration::from_millis(2_000);
/// How long an asker looks for a route whose stages have room and answer.
const ROUTE_WAIT: Duration = Duration::from_secs(15);
/// Pause between two attempts.
const ROUTE_PAUSE: Duration = Duration::from_millis(250);

/// Everything needed to answer questions; cheap to clone.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who we are.
    pub ctx: Arc<NodeContext>,
    /// The models we know.
    pub models: Models,
    /// Who serves what.
    pub control: Arc<ControlPlane>,
    /// Links to stages.
    pub data: DataPlane,
}

/// A question that has been checked and tokenized.
struct Prepared {
    id: ModelId,
    model: RemoteModel,
    prompt_ids: Vec<u32>,
    completion_tokens_max: u32,
    sampling: SamplingParams,
    stop_ids: Vec<u32>,
}

impl Asker {
    /// Starts to answer. Events end with `Done` or `Failed`; dropping the
    /// receiver cancels the job.
    ///
    /// # Errors
    /// [`AskError`] for what is known before any work: a wrong request, an
    /// unknown model, a prompt that does not fit, an uncovered layer.
    pub async fn ask(&self, request: AskRequest) -> Result<mpsc::Receiver<AskEvent>, AskError> {
        let prepared = self.prepare(&request).await?;
        self.route(prepared.id, &prepared.model.card)?;
        // The observer runs inside the job and must never wait, so the channel
        // holds a whole answer, and scores of the prompt in frames of any size.
        let scored = if request.echo {
            prepared.prompt_ids.len()
        } else {
            0
        };
        let capacity = prepared.completion_tokens_max as usize + scored + 16;
        let (sender, receiver) = mpsc::channel(capacity);
        let asker = self.clone();
        tokio::spawn(async move { asker.run(prepared, request, sender).await });
        Ok(receiver)
    }

    async fn prepare(&self, request: &AskRequest) -> Result<Prepared, AskError> {
        let id = self.find_model(request.model.as_deref())?;
        let model = self.know_model(id).await?;
        let prompt_ids = tokens::prompt_ids(&model, &request.prompt, &request.tools)?;
        let context = model.card.shape.context;
        let prompt_tokens = tokens::count(&prompt_ids);
        if prompt_tokens == 0 {
            return Err(AskError::new(
                ErrorCode::InvalidRequest,
                "the prompt is empty",
            ));
        }
        if prompt_tokens >= context {
            return Err(AskError::new(
                ErrorCode::ContextLengthExceeded,
                // OpenAI's own words are in it: programs look for them.
                format!(
                    "the prompt has {prompt_tokens} tokens, but this model's maximum context length is \
                     {context} tokens ({}), the answer included; shorten it",
                    model.card.name
                ),
            ));
        }
        let asked = request
            .completion_tokens_max
            .unwrap_or(COMPLETION_TOKENS_DEFAULT);
        if asked == 0 {
            return Err(AskError::new(
                ErrorCode::InvalidRequest,
                "at least one completion token must be allowed",
            ));
        }
        let sampling = sampling_of(request);
        check_wishes(request, &sampling)?;
        read_grammar(&model.asker, sampling.grammar.as_ref()).await?;
        let stop_ids = if request.ignore_stop_ids {
            Vec::new()
        } else {
            model.asker.stop_ids().to_vec()
        };
        let completion_tokens_max = asked.min(context - prompt_tokens);
        Ok(Prepared {
            id,
            model,
            prompt_ids,
            completion_tokens_max,
            sampling,
            stop_ids,
        })
    }

    /// The model that a name, an id or a unique beginning of an id means.
    fn find_model(&self, asked: Option<&str>) -> Result<ModelId, AskError> {
        let listed = self.listed();
        let Some(asked) = asked.filter(|text| !text.is_empty()) else {
            let complete = listed.iter().find(|(id, _)| self.routable(*id));
            return complete.or_else(|| listed.first()).map(|(id, _)| *id).ok_or_else(|| {
                AskError::new(
                    ErrorCode::NoRoute,
                    "no peer serves any model yet; start a node that does (`talkoot up`) or wait for one",
                )
            });
        };
        let matching: BTreeSet<ModelId> = listed
            .iter()
            .filter(|(id, name)| {
                name == asked || (asked.len() >= 4 && id.to_string().starts_with(asked))
            })
            .map(|(id, _)| *id)
            .collect();
        let mut matching = matching.into_iter();
        match (matching.next(), matching.next()) {
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => Err(AskError::new(
                ErrorCode::InvalidRequest,
                format!("\"{asked}\" means several models; use the id (`talkoot models`)"),
            )),
            (None, _) => {
                let names: BTreeSet<&str> = listed.iter().map(|(_, name)| name.as_str()).collect();
                let known = names.into_iter().collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known
                };
                Err(AskError::new(
                    ErrorCode::NotFound,
                    format!(
                        "no model \"{asked}\" is known here; known: {known} (`talkoot models`)"
                    ),
                ))
            }
        }
    }

    /// Models that somebody serves or that are here, with their names.
    fn listed(&self) -> Vec<(ModelId, String)> {
        let mut listed: Vec<(ModelId, String)> = self
            .models
            .locals()
            .into_iter()
            .map(|model| (model.id, model.card.name))
            .collect();
        for (_, served) in self.served() {
            if !listed.iter().any(|(id, _)| *id == served.model) {
                listed.push((served.model, served.name));
            }
        }
        listed.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        listed
    }

    /// What is served now and by whom, we included.
    #[must_use]
    pub fn served(&self) -> Vec<(Wallet, Served)> {
        let me = self.ctx.wallet();
        let mut served: Vec<(Wallet, Served)> = self
            .ctx
            .served
            .list()
            .iter()
            .map(|model| (me, model.announced()))
            .collect();
        self.control.directory().read(|directory, now_ms| {
            let present = directory.present(now_ms);
            let host = self.data.host();
            let others = present.filter(|(wallet, _)| **wallet != me && !host.is_kept_out(wallet));
            served.extend(others.flat_map(|(wallet, present)| {
                present
                    .presence
                    .served
                    .iter()
                    .map(|served| (*wallet, served.clone()))
            }));
        });
        served
    }

    fn data_addresses(&self, wallet: Wallet) -> Vec<SocketAddr> {
        self.control.directory().read(|directory, now_ms| {
            directory
                .get(&wallet, now_ms)
                .map_or_else(Vec::new, |present| present.data_addresses())
        })
    }

    fn routable(&self, id: ModelId) -> bool {
        let (layers, candidates) = self.candidates(id);
        layers > 0 && route::cheapest_route(layers, &candidates).is_ok()
    }

    /// Card, tokenizer and template: ours, remembered, or fetched from a peer.
    async fn know_model(&self, id: ModelId) -> Result<RemoteModel, AskError> {
        if let Some(model) = self.models.known(id) {
            return Ok(model);
        }
        let fetched = crate::models::fetch(id, &self.control)
            .await
            .map_err(|error| {
                AskError::new(
                    ErrorCode::NoRoute,
                    format!("cannot learn how to ask model {}: {error}", id.short()),
                )
            })?;
        self.models.remember(id, fetched.clone());
        Ok(fetched)
    }

    /// Layers of a model and everyone who could compute some, we included.
    fn candidates(&self, id: ModelId) -> (u32, Vec<Candidate>) {
        let mut layers = self
            .models
            .known(id)
            .map_or(0, |model| model.card.shape.layers);
        let mut candidates = Vec::new();
        if let Some(own) = self.ctx.served.get(id) {
            candidates.push(Candidate {
                wallet: self.ctx.wallet(),
                range: own.range,
                layers_per_second: own.layers_per_second(),
                rtt_us: 0,
            });
        }
        for (wallet, served) in self.served() {
            if served.model == id && wallet != self.ctx.wallet() {
                layers = layers.max(served.layers);
                candidates.push(Candidate {
                    wallet,
                    range: served.range,
                    layers_per_second: served.layers_per_second,
                    rtt_us: self
                        .control
                        .swarm()
                        .peer(&wallet)
                        .and_then(|peer| peer.rtt_us)
                        .unwrap_or(0),
                });
            }
        }
        (layers, candidates)
    }

    fn route(&self, id: ModelId, card: &ModelCard) -> Result<Vec<RouteStage>, AskError> {
        let layers = card.shape.layers;
        let (_, candidates) = self.candidates(id);
        let stages = route::cheapest_route(layers, &candidates).map_err(|error| {
            let model = &card.name;
            let hint = match &error {
                RouteError::Uncovered(gaps) => gaps.first().map_or_else(String::new, |gap| {
                    let command = crate::models::serve_command(card, &gap.to_string());
                    format!("; who has the model serves them with `{command}`")
                }),
                RouteError::NoChain => String::new(),
            };
            AskError::new(
                ErrorCode::NoRoute,
                format!("no route through {model}: {error}{hint}"),
            )
        })?;
        let me = self.ctx.wallet();
        let stage = |stage: route::Stage| RouteStage {
            wallet: stage.wallet,
            range: stage.range,
            addresses: if stage.wallet == me {
                Vec::new()
            } else {
                self.data_addresses(stage.wallet)
            },
        };
        Ok(stages.into_iter().map(stage).collect())
    }

    async fn run(&self, prepared: Prepared, request: AskRequest, sender: mpsc::Sender<AskEvent>) {
        let end = match self.run_job(&prepared, &request, &sender).await {
            Ok(done) => AskEvent::Done(Box::new(done)),
            Err(error) => AskEvent::Failed(error),
        };
        // A receiver that is gone has cancelled; nobody is left to tell.
        drop(sender.send(end).await);
    }

    async fn run_job(
        &self,
        prepared: &Prepared,
        request: &AskRequest,
        sender: &mpsc::Sender<AskEvent>,
    ) -> Result<AskDone, AskError> {
        let (cancel, cancelled) = watch::channel(false);
        let began = crate::clock::monotonic();
        loop {
            let route = self.route(prepared.id, &prepared.model.card)?;
            let observer = TextObserver::new(
                prepared_views(prepared, &route),
                &prepared.model.asker,
                Wishes {
                    stop: request.stop.clone(),
                    echo: request.echo.then(|| prepared.prompt_ids.clone()),
                    has_scores: prepared.sampling.prompt_logprobs,
                },
                sender,
            );
            let job = JobRequest {
                card: prepared.model.card.clone(),
                route: route.clone(),
                prompt_ids: prepared.prompt_ids.clone(),
                completion_tokens_max: prepared.completion_tokens_max,
                sampling: prepared.sampling.clone(),
                stop_ids: prepared.stop_ids.clone(),
                hidden_dtype: DType::F32,
                request_id: request.request_id.clone().unwrap_or_default(),
            };
            let running = submit(
                self.data.clone(),
                job,
                Box::new(observer),
                cancelled.clone(),
            );
            tokio::pin!(running);
            let outcome = tokio::select! {
                outcome = &mut running => outcome,
                () = sender.closed() => {
                    cancel.send_replace(true);
                    (&mut running).await
                }
            };
            match outcome {
                Ok(report) => return Ok(self.done(prepared, &route, &report).await),
                Err(error) if error.code == ErrorCode::Busy && began.elapsed() < ROUTE_WAIT => {
                    tracing::info!(%error, "looking for another route");
                    tokio::time::sleep(ROUTE_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn done(&self, prepared: &Prepared, route: &[RouteStage], report: &JobReport) -> AskDone {
        let bill = if report.reserved {
            bill::wait_settled(&self.ctx, report.job, SETTLE_WAIT).await
        } else {
            bill::Bill::free()
        };
        let at = |list: &[f64], index: usize| list.get(index).copied().unwrap_or(0.0);
        let stages = route.iter().enumerate().map(|(index, stage)| StageView {
            peer: stage.wallet.to_string(),
            layers: [stage.range.start(), stage.range.end()],
            compute_us_per_token: at(&report.compute_us_per_token, index),
            hop_us_per_token: at(&report.hop_us_per_token, index),
            earned_ugft: bill.earned_by(stage.wallet),
        });
        AskDone {
            job: report.job.to_string(),
            finish: match report.finish {
                Finish::Stop => "stop".to_owned(),
                Finish::Length => "length".to_owned(),
            },
            prompt_tokens: u32::try_from(prepared.prompt_ids.len()).unwrap_or(u32::MAX),
            completion_tokens: report.completion_tokens,
            time_to_first_token_us: report.time_to_first_token_us,
            tokens_per_second: report.tokens_per_second(),
            overhead_us_per_token_hop: report.overhead_us_per_token_hop,
            stages: stages.collect(),
            burned_ugft: bill.burned_ugft,
            commons_ugft: bill.commons_ugft,
            held_ugft: bill.held_ugft,
            settled: bill.settled,
            accounting: self.ctx.genesis.policy.accounting,
        }
    }
}

fn sampling_of(request: &AskRequest) -> SamplingParams {
    let has_logprobs = request.logprobs || request.top_logprobs > 0;
    SamplingParams {
        temperature: request.temperature,
        top_k: request.top_k,
        top_p: request.top_p,
        min_p: request.min_p,
        repetition_penalty: request.repetition_penalty,
        frequency_penalty: request.frequency_penalty,
        presence_penalty: request.presence_penalty,
        seed: request.seed.unwrap_or_else(crate::clock::now_ms),
        top_logprobs: request.top_logprobs,
        logprobs: has_logprobs,
        logit_bias: request.logit_bias.clone(),
        prompt_logprobs: request.echo && has_logprobs,
        grammar: request.grammar.as_ref().map(|grammar| match grammar {
            api::Grammar::JsonObject => Grammar::JsonObject,
            api::Grammar::JsonSchema(text) => Grammar::JsonSchema(text.clone()),
            api::Grammar::Regex(text) => Grammar::Regex(text.clone()),
            api::Grammar::Lark(text) => Grammar::Lark(text.clone()),
        }),
    }
}

/// What can be judged without the model.
fn check_wishes(request: &AskRequest, sampling: &SamplingParams) -> Result<(), AskError> {
    let invalid = |message: String| Err(AskError::new(ErrorCode::InvalidRequest, message));
    if let Err(error) = sampling.check() {
        return invalid(error.to_string());
    }
    match &request.request_id {
        Some(id) if !is_request_id(id) => {
            invalid("a request id has at most 64 characters of A-Za-z0-9._-".to_owned())
        }
        _ => Ok(()),
    }
}

/// Refuses a grammar before anything is paid: the last stage would refuse it too.
async fn read_grammar(asker: &Arc<AskerModel>, grammar: Option<&Grammar>) -> Result<(), AskError> {
    let Some(grammar) = grammar.cloned() else {
        return Ok(());
    };
    let asker = Arc::clone(asker);
    let read = tokio::task::spawn_blocking(move || asker.read_grammar(&grammar)).await;
    let refused = match read {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(ConstraintError::NoEnd)) => {
            (ErrorCode::Unsupported, ConstraintError::NoEnd.to_string())
        }
        Ok(Err(error)) => (ErrorCode::InvalidRequest, error.to_string()),
        Err(error) => (ErrorCode::Internal, error.to_string()),
    };
    Err(AskError::new(refused.0, refused.1))
}

/// What the first event of an answer says.
fn prepared_views(prepared: &Prepared, route: &[RouteStage]) -> observer::Routed {
    observer::Routed {
        model: prepared.id.to_string(),
        model_name: prepared.model.card.name.clone(),
        prompt_tokens: u32::try_from(prepared.prompt_ids.len()).unwrap_or(u32::MAX),
        stages: route
            .iter()
            .map(|stage| StageView {
                peer: stage.wallet.to_string(),
                layers: [stage.range.start(), stage.range.end()],
                ..StageView::default()
            })
            .collect(),
    }
}
