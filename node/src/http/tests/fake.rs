//! A node made of plain data, for tests of HTTP without a network.

use crate::api::quote::{QuoteRequest, QuoteView};
use crate::api::{
    AskError, AskEvent, AskRequest, BalanceView, BooksView, ChainView, ContactsView, ErrorCode,
    InviteRequest, InviteView, LendingView, ModelView, PauseRequest, PausedView, PeerView,
    PingRequest, PingView, Prompt, RunDetailView, RunView, StatusView, SyncView, TokenizeRequest,
    TokenizeView, TokenizerView, UnreachedView, WelcomeRequest, WelcomedView,
};
use crate::clock;
use crate::http::chat::tests::events;
use crate::http::node_api::{Answer, NodeApi};
use crate::views::LedgerQuestion;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use talkoot_ledger::{Draft, Ledger, Payload, Source};
use talkoot_protocol::{Founder, Genesis, Keypair, Policy, Verified};
use tokio::sync::mpsc;

/// How it answers questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Manner {
    #[default]
    Answers,
    Endless,
    Refuses(ErrorCode),
    FailsFirst(ErrorCode),
    Lost,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FakeNode {
    manner: Manner,
    not_ready: bool,
    hangs: bool,
    stopped: Arc<AtomicBool>,
    cancelled: Arc<AtomicUsize>,
    request_id: Arc<Mutex<Option<String>>>,
}

impl FakeNode {
    fn with(manner: Manner) -> Self {
        Self {
            manner,
            ..Self::default()
        }
    }

    pub(crate) fn endless() -> Self {
        Self::with(Manner::Endless)
    }

    /// Gives every answer up in its middle, without a word.
    pub(crate) fn lost() -> Self {
        Self::with(Manner::Lost)
    }

    pub(crate) fn refusing(code: ErrorCode) -> Self {
        Self::with(Manner::Refuses(code))
    }

    pub(super) fn failing_first(code: ErrorCode) -> Self {
        Self::with(Manner::FailsFirst(code))
    }

    pub(super) fn not_ready() -> Self {
        Self {
            not_ready: true,
            ..Self::default()
        }
    }

    /// Does not say how it is.
    pub(super) fn hanging() -> Self {
        Self {
            hangs: true,
            ..Self::default()
        }
    }

    /// The id of the request that asked last.
    pub(super) fn last_request_id(&self) -> Option<String> {
        self.request_id.lock().unwrap().clone()
    }

    pub(super) fn was_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Takes one cancellation.
    pub(crate) fn wait_cancelled(&self, limit: Duration) -> bool {
        let began = clock::monotonic();
        while began.elapsed() < limit {
            if self.cancelled.swap(0, Ordering::SeqCst) > 0 {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl NodeApi for FakeNode {
    async fn status(&self) -> Answer<StatusView> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let reasons = if self.not_ready {
            vec!["layers 4..8 of demo are served by nobody".to_owned()]
        } else {
            Vec::new()
        };
        Ok(StatusView {
            ready: !self.not_ready,
            reasons,
            ..status_view()
        })
    }

    async fn peers(&self) -> Answer<Vec<PeerView>> {
        Ok(Vec::new())
    }

    async fn models(&self) -> Answer<Vec<ModelView>> {
        Ok(vec![
            model("id-a", "org/demo", 1),
            model("id-b", "twin", 0),
            model("id-c", "twin", 1),
        ])
    }

    async fn invite(&self, request: InviteRequest) -> Answer<InviteView> {
        Ok(InviteView {
            schema: 1,
            ticket: "talkoot1".to_owned(),
            expires_ms: request.ttl_ms,
            line_ugft: request.line_ugft,
        })
    }

    async fn jobs(&self) -> Answer<Vec<RunView>> {
        Ok(Vec::new())
    }

    async fn job(&self, id: &str) -> Answer<RunDetailView> {
        let message = format!("no job {id:?}");
        Err(AskError::new(ErrorCode::NotFound, message))
    }

    async fn unreached(&self) -> Answer<UnreachedView> {
        Ok(UnreachedView {
            schema: 1,
            unreached: Vec::new(),
            banned: Vec::new(),
        })
    }

    async fn ping(&self, request: &PingRequest) -> Answer<PingView> {
        let message = format!("no peer {:?}", request.peer);
        Err(AskError::new(ErrorCode::NotFound, message))
    }

    async fn welcome(&self, request: &WelcomeRequest) -> Answer<WelcomedView> {
        Ok(WelcomedView {
            schema: 1,
            wallet: request.peer.clone(),
            line_ugft: request.line_ugft,
        })
    }

    async fn take_contacts(&self) -> Answer<ContactsView> {
        Ok(ContactsView {
            schema: 1,
            labels: 0,
            bans: 0,
            bootstrap: 0,
        })
    }

    async fn ledger<Q: LedgerQuestion>(&self, question: Q) -> Answer<Q::Answer> {
        question.answer(&books())
    }

    async fn quote(&self, request: &QuoteRequest) -> Answer<QuoteView> {
        let message = format!("no model {:?}", request.model);
        Err(AskError::new(ErrorCode::NotFound, message))
    }

    async fn tokenize(&self, request: TokenizeRequest) -> Answer<TokenizeView> {
        let Prompt::Text(text) = request.prompt else {
            return Err(AskError::new(ErrorCode::Unsupported, "because"));
        };
        Ok(TokenizeView {
            model_name: "demo".to_owned(),
            ids: text.bytes().map(u32::from).collect(),
            names: text.chars().map(String::from).collect(),
            context: 64,
        })
    }

    async fn detokenize(&self, _model: Option<String>, ids: Vec<u32>) -> Answer<String> {
        Ok(ids.into_iter().filter_map(char::from_u32).collect())
    }

    async fn tokenizer(&self, _model: Option<String>) -> Answer<TokenizerView> {
        Ok(TokenizerView {
            model_name: "demo".to_owned(),
            context: 64,
            vocabulary: 256,
            special_tokens: [("eos_token".to_owned(), "</s>".to_owned())].into(),
            stop_ids: vec![0],
            chat_template: None,
            has_tools: false,
        })
    }

    async fn ask(&self, request: AskRequest) -> Answer<mpsc::Receiver<AskEvent>> {
        self.request_id
            .lock()
            .unwrap()
            .clone_from(&request.request_id);
        let because = |code| AskError::new(code, "because");
        let (sender, receiver) = mpsc::channel(8);
        let events = match self.manner {
            Manner::Refuses(code) => return Err(because(code)),
            Manner::FailsFirst(code) => vec![AskEvent::Failed(because(code))],
            Manner::Answers => events(),
            Manner::Endless | Manner::Lost => events().into_iter().take(2).collect(),
        };
        let endless = self.manner == Manner::Endless;
        let cancelled = Arc::clone(&self.cancelled);
        tokio::spawn(async move {
            for event in events {
                let _ = sender.send(event).await;
            }
            if endless {
                sender.closed().await;
                cancelled.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(receiver)
    }

    async fn pause(&self, request: PauseRequest) -> Answer<LendingView> {
        let paused = PausedView {
            kind: "by_hand".to_owned(),
            reason: request.reason.unwrap_or_default(),
            since_ms: 1,
            until_ms: request.for_ms,
        };
        Ok(LendingView {
            schema: 1,
            paused: Some(paused),
        })
    }

    async fn resume(&self) -> Answer<LendingView> {
        Ok(LendingView {
            schema: 1,
            paused: None,
        })
    }

    fn shutdown(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}

/// What a ready node says of itself.
pub(crate) fn status_view() -> StatusView {
    StatusView {
        schema: 1,
        version: "0".to_owned(),
        wallet: "w".to_owned(),
        peer_id: "p".to_owned(),
        network: "n".to_owned(),
        network_id: "i".to_owned(),
        ready: true,
        reasons: Vec::new(),
        peers: 0,
        serving: Vec::new(),
        loading: None,
        paused: None,
        twin_ms: None,
        instruction_set: "baseline".to_owned(),
        threads: 1,
        models: Vec::new(),
        balance: balance(),
        chain: chain(),
        books: BooksView::default(),
        sync: SyncView::default(),
        signing: "active".to_owned(),
        accounting: true,
        pricing: "flops".to_owned(),
        addresses: Vec::new(),
        data_addresses: Vec::new(),
        neighbours: Vec::new(),
        uptime_ms: 1,
    }
}

/// Books with one entry of one founder.
pub(super) fn books() -> Ledger {
    let key = Keypair::from_seed(&[5; 32]);
    let founder = Founder {
        wallet: key.wallet(),
        line_ugft: 1 << 60,
    };
    let genesis = Genesis::new("fake", 1, Policy::default(), vec![founder]).unwrap();
    let mut ledger = Ledger::new(genesis);
    let entry = ledger
        .compose(key.wallet(), Draft::new(&Payload::Witness, 1))
        .unwrap();
    let entry = Verified::sign(entry, &key, ledger.network()).unwrap();
    ledger.admit(entry, Source::Own, 1);
    ledger
}

fn chain() -> ChainView {
    ChainView {
        length: 0,
        tip: "t".to_owned(),
    }
}

fn balance() -> BalanceView {
    BalanceView {
        wallet: "w".to_owned(),
        balance_ugft: i128::MIN,
        available_ugft: 5,
        held_ugft: 0,
        pending_ugft: u128::MAX,
        line_ugft: 10,
    }
}

fn model(id: &str, name: &str, coverage: u32) -> ModelView {
    ModelView {
        id: id.to_owned(),
        name: name.to_owned(),
        layers: 2,
        dtype: "f32".to_owned(),
        context: 16,
        coverage: vec![1, coverage],
        price_ugft_per_token: 3,
        local: false,
    }
}
