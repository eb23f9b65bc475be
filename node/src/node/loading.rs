//! How far the layers of this node are with loading: for `status` and the log.
//!
//! Only listens; what is loaded does not depend on it.

use crate::api::LoadingView;
use std::sync::{Arc, Mutex, PoisonError};
use talkoot_inference::LoadEvent;

/// What is being loaded now, if anything is. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Loading(Arc<Mutex<Option<LoadingView>>>);

impl Loading {
    /// For `status`.
    pub(super) fn view(&self) -> Option<LoadingView> {
        self.now().clone()
    }

    /// Begins with a model.
    pub(super) fn begin(&self, model: &str) {
        *self.now() = Some(LoadingView {
            model: model.to_owned(),
            step: "opening".to_owned(),
            percent: 0,
        });
    }

    /// Everything is loaded, or nothing will be.
    pub(super) fn end(&self) {
        *self.now() = None;
    }

    /// Takes news of a load.
    pub(super) fn hear(&self, event: &LoadEvent<'_>) {
        match event {
            LoadEvent::Hashed {
                done_bytes,
                total_bytes,
            } => self.advance("hashing", *done_bytes, *total_bytes),
            LoadEvent::Packed {
                is_cached,
                done_bytes,
                total_bytes,
                ..
            } => {
                let step = if *is_cached { "reading" } else { "packing" };
                self.advance(step, *done_bytes, *total_bytes);
            }
            LoadEvent::Dropped { path, reason } => tracing::warn!(
                path = %path.display(),
                "a packed matrix in the cache did not verify and is made again: {reason}"
            ),
            LoadEvent::CacheRefused { path, error } => tracing::warn!(
                path = %path.display(),
                "cannot write the cache: {error}; loading goes on without it, and the next start \
                 will take as long (make room on the disk, or move the cache with XDG_CACHE_HOME)"
            ),
            _ => {}
        }
    }

    fn advance(&self, step: &str, done_bytes: u64, total_bytes: u64) {
        let share = u128::from(done_bytes).saturating_mul(100);
        let percent = share.checked_div(u128::from(total_bytes)).unwrap_or(100);
        let percent = u32::try_from(percent).unwrap_or(100);
        let mut now = self.now();
        let Some(view) = now.as_mut() else {
            return;
        };
        let is_new_step = view.step != step;
        // Threads report as they finish, not in order.
        if !is_new_step && percent <= view.percent {
            return;
        }
        // A person at the terminal sees each tenth of what takes long.
        if percent / 10 > view.percent / 10 && step != "reading" {
            tracing::info!(model = view.model, "{step} {percent} %");
        }
        if is_new_step {
            step.clone_into(&mut view.step);
        }
        view.percent = percent;
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Option<LoadingView>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(done_bytes: u64, is_cached: bool) -> LoadEvent<'static> {
        LoadEvent::Packed {
            tensor: "t",
            is_cached,
            done_bytes,
            total_bytes: 200,
        }
    }

    #[test]
    fn the_view_follows_the_load() {
        let loading = Loading::default();
        loading.hear(&packed(10, false));
        assert!(loading.view().is_none());
        loading.begin("demo-q8_0");
        let hashed = LoadEvent::Hashed {
            done_bytes: 7,
            total_bytes: 7,
        };
        let steps = [
            (hashed, "hashing", 100),
            (packed(86, false), "packing", 43),
            (packed(50, false), "packing", 43),
            (packed(200, true), "reading", 100),
        ];
        for (event, step, percent) in steps {
            loading.hear(&event);
            let view = loading.view().unwrap();
            assert_eq!((view.step.as_str(), view.percent), (step, percent));
            assert_eq!(view.model, "demo-q8_0");
        }
        loading.end();
        assert!(loading.view().is_none());
    }
}
