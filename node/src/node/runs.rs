//! A running node's newest jobs, as its owner sees them: what was noted while
//! they ran, and the money that the ledger says.

use super::{Answer, NodeHandle};
use crate::api::{
    AskError, ErrorCode, HopView, RunDetailView, RunView, SCHEMA, SpreadView, StageSampleView,
    StageView, TokenSampleView,
};
use crate::core::runs::{Phase, Role, Run, Spread};
use talkoot_ledger::views::JobView;
use talkoot_protocol::Wallet;

/// Jobs in one list.
const RUNS_SHOWN: usize = 64;

impl NodeHandle {
    /// The newest jobs that this node asks for or works in, newest first.
    ///
    /// # Errors
    /// [`AskError`] when the node is stopping.
    pub async fn jobs(&self) -> Answer<Vec<RunView>> {
        let runs = self.0.data.host().runs.newest(RUNS_SHOWN);
        let views = self.with_money(runs).await?;
        Ok(views.into_iter().map(|(_, view)| view).collect())
    }

    /// One of them, by its id or a beginning that no other has, with the times
    /// of its tokens.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] when none is remembered.
    pub async fn job(&self, asked: &str) -> Answer<RunDetailView> {
        let runs = self.0.data.host().runs.newest(usize::MAX);
        let begins = |run: &&Run| run.start.job.to_string().starts_with(asked);
        let found: Vec<&Run> = runs.iter().filter(begins).collect();
        // One node may both ask and work in a job: the asker knows more.
        let is_asker = |run: &&&Run| run.start.role == Role::Asker;
        let run = found.iter().find(is_asker).or_else(|| found.first());
        let Some(run) = run.filter(|_| asked.len() >= 4) else {
            let message = format!(
                "no job {asked:?} is remembered here (`talkoot jobs ls`); `talkoot ledger job` \
                 knows those of the books"
            );
            return Err(AskError::new(ErrorCode::NotFound, message));
        };
        if found.iter().any(|other| other.start.job != run.start.job) {
            let message = format!("several jobs begin with {asked}: give more of the id");
            return Err(AskError::new(ErrorCode::InvalidRequest, message));
        }
        let mut views = self.with_money(vec![(**run).clone()]).await?;
        let (run, view) = views
            .pop()
            .ok_or_else(|| AskError::new(ErrorCode::Internal, "the job was forgotten"))?;
        Ok(detail(&run, view))
    }

    async fn with_money(&self, runs: Vec<Run>) -> Answer<Vec<(Run, RunView)>> {
        let me = self.0.ctx.wallet();
        self.ledger(move |ledger| {
            let view = |run: Run| {
                let money = ledger.job(run.start.job);
                let view = view(&run, money.as_ref(), me);
                (run, view)
            };
            runs.into_iter().map(view).collect()
        })
        .await
    }
}

fn view(run: &Run, money: Option<&JobView>, me: Wallet) -> RunView {
    let start = &run.start;
    let earned = |wallet: Wallet| {
        let mut stages = money.into_iter().flat_map(|job| &job.stages);
        stages
            .find(|stage| stage.worker == wallet && !stage.is_own)
            .map_or(0, |stage| stage.earned.0)
    };
    let stages = start
        .stages
        .iter()
        .enumerate()
        .map(|(index, (wallet, range))| {
            let hop = run.hop_spread(index);
            StageView {
                peer: wallet.to_string(),
                layers: [range.start(), range.end()],
                compute_us_per_token: float(hop.compute.p50),
                hop_us_per_token: float(hop.wait.p50 + hop.wire.p50),
                earned_ugft: earned(*wallet),
            }
        });
    let is_settled = money.is_none_or(|job| {
        let mut foreign = job.stages.iter().filter(|stage| !stage.is_own);
        foreign.all(|stage| stage.is_final)
    });
    RunView {
        job: start.job.to_string(),
        request_id: start.request_id.clone(),
        role: match start.role {
            Role::Asker => "asker",
            Role::Worker => "worker",
        }
        .to_owned(),
        model: start.model.clone(),
        model_name: start.model_name.clone(),
        state: state(&run.phase, is_settled).to_owned(),
        error: match &run.phase {
            Phase::Failed(reason) => Some(reason.clone()),
            _ => None,
        },
        started_ms: start.started_ms,
        ended_ms: run.ended_ms,
        prompt_tokens: start.prompt_tokens,
        prompt_done: run.prompt_done,
        completion_tokens: run.completion_tokens,
        acked_tokens: run.acked_tokens,
        completion_tokens_max: start.completion_tokens_max,
        held_ugft: money.map_or(0, |job| job.cap.0),
        burned_ugft: money.map_or(0, |job| job.burned.0),
        earned_ugft: earned(me),
        commons_ugft: money.map_or(0, |job| job.commons.0),
        price_ugft_per_token: start.price_ugft_per_token,
        tokens_per_second: run.tokens_per_second(),
        time_to_first_token_us: run.time_to_first_token_us(),
        stages: stages.collect(),
    }
}

const fn state(phase: &Phase, is_settled: bool) -> &'static str {
    match phase {
        Phase::Prompt => "prompt",
        Phase::Answering => "answering",
        Phase::Done if !is_settled => "settling",
        Phase::Done => "done",
        Phase::Cancelled => "cancelled",
        Phase::Failed(_) => "failed",
    }
}

fn detail(run: &Run, view: RunView) -> RunDetailView {
    let spread = |spread: Spread| SpreadView {
        p50: spread.p50,
        p95: spread.p95,
    };
    let hops = (0..run.hops_known()).map(|stage| {
        let hop = run.hop_spread(stage);
        HopView {
            stage,
            wait_us: spread(hop.wait),
            compute_us: spread(hop.compute),
            wire_us: spread(hop.wire),
        }
    });
    let tokens = run.samples.iter().map(|sample| TokenSampleView {
        at_us: sample.at_us,
        interval_us: sample.interval_us,
        wire_us: sample.wire_us(),
        stages: sample
            .hops
            .iter()
            .map(|hop| StageSampleView {
                wait_us: hop.wait_us,
                compute_us: hop.compute_us,
                wire_us: hop.wire_us,
            })
            .collect(),
    });
    RunDetailView {
        schema: SCHEMA,
        run: view,
        hops: hops.collect(),
        wire_us: spread(run.wire_spread()),
        tokens: tokens.collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "times of days are exact")]
const fn float(us: u64) -> f64 {
    us as f64
}
