//! A thread that lends a share of the time rests for the others of it, and hears
//! what it is asked meanwhile.

use super::*;
use crate::core::lending;
use crate::core::stage::WorkInput;
use talkoot_protocol::{DType, LayerRange};

const STEP: Duration = Duration::from_millis(20);

/// Takes its time, and computes nothing.
struct Sleeper;

impl Engine for Sleeper {
    fn open(&mut self, _session: u64, _spec: SessionSpec) -> Result<(), EngineError> {
        Ok(())
    }

    fn close(&mut self, _session: u64) {}

    fn step(&mut self, batch: &[(u64, Work)]) -> Vec<Result<Computed, EngineError>> {
        std::thread::sleep(STEP);
        let read = |_: &(u64, Work)| Ok(Computed::Read { scores: Vec::new() });
        batch.iter().map(read).collect()
    }
}

fn spec() -> SessionSpec {
    SessionSpec {
        range: LayerRange::new(0, 1).unwrap(),
        tokens_max: 8,
        hidden_dtype: DType::F32,
        picking: None,
    }
}

#[tokio::test]
async fn steps_and_rests_keep_the_share() {
    let limits = WorkerLimits {
        sessions_max: 2,
        // A quarter of the time.
        duty: lending::plan(25, 1, None).duty,
    };
    let worker = WorkerHandle::start_with("test", limits, || Sleeper).unwrap();
    let session = worker.reserve().unwrap().open(spec()).await.unwrap();
    let began = monotonic();
    let steps = 4;
    for position in 0..steps {
        let work = Work {
            position,
            rows: 1,
            input: WorkInput::Tokens(vec![0]),
            is_sampled: false,
        };
        let reply = session.step(work).unwrap();
        if position == 2 {
            // It rests now, and opens a session all the same.
            let other = worker.reserve().unwrap().open(spec()).await.unwrap();
            drop(other);
        }
        let done = reply.await.unwrap().unwrap();
        assert!(done.compute_us >= 20_000, "{}", done.compute_us);
    }
    // The last step is not followed by its rest here.
    assert!(began.elapsed() >= STEP * steps + STEP * 3 * (steps - 1));
}
