//! What plugins may ask of the model and the database: their traits, over the engine and the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::aside::Aside;
use crate::config::LimitsConfig;
use crate::domain::{KvQuota, KvShelf, SamplingParams, now};
use crate::engine::{Engine, EngineError};
use crate::plugins::{KeyValue, Services, Tokens};
use crate::store::{Store, StoreError};

/// The services of a server. Call it within its runtime.
pub fn services(
    engine: &Engine,
    store: &Store,
    generation: &SamplingParams,
    limits: &LimitsConfig,
    stopping: &watch::Sender<bool>,
) -> Services {
    let runtime = Handle::current();
    let aside = Aside {
        engine: engine.clone(),
        runtime: runtime.clone(),
        generation: generation.clone(),
        limits: limits.clone(),
        stopping: stopping.subscribe(),
    };
    Services {
        tokens: Some(Arc::new(Counter(engine.clone()))),
        kv: Some(Arc::new(Shelves { store: store.clone(), runtime })),
        llm: Some(Arc::new(aside)),
    }
}

/// Behind `tokens`, by the loaded model.
pub(super) struct Counter(pub(super) Engine);

impl Tokens for Counter {
    fn count(&self, text: &str) -> Result<usize, String> {
        self.0.model().map(|model| model.count_tokens(text)).map_err(|error| told(&error))
    }
}

/// What a script is told of an engine's error: nothing that a person wrote.
pub(super) fn told(error: &EngineError) -> String {
    match error {
        EngineError::NoModel(_) | EngineError::Failed(_) => "the model cannot be used".into(),
        EngineError::Template(_) => "the model's chat template refuses these messages".into(),
        error => error.to_string().trim_end_matches('.').to_owned(),
    }
}

struct Shelves {
    store: Store,
    runtime: Handle,
}

impl Shelves {
    /// Waits on a thread of the plugins' own, which the runtime does not need.
    fn wait<T>(
        &self,
        within: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, String> {
        match self.runtime.block_on(async { tokio::time::timeout(within, work).await }) {
            Err(_) => Err("the database takes longer than deadline_ms allows".into()),
            Ok(Err(StoreError::NotFound)) => Err("the account or conversation is gone".into()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a plugin's data");
                Err("the database cannot serve now".into())
            }
            Ok(Ok(value)) => Ok(value),
        }
    }
}

impl KeyValue for Shelves {
    fn get(&self, shelf: &KvShelf, key: &str, within: Duration) -> Result<Option<String>, String> {
        self.wait(within, self.store.kv_get(shelf, key))
    }

    fn set(
        &self,
        shelf: &KvShelf,
        key: &str,
        value: &str,
        lives: Option<Duration>,
        quota: KvQuota,
        within: Duration,
    ) -> Result<bool, String> {
        let millis = lives.map(|lives| i64::try_from(lives.as_millis()).unwrap_or(i64::MAX));
        let expires_at = millis.map(|millis| now().saturating_add(millis));
        self.wait(within, self.store.kv_set(shelf, key, value, expires_at, quota))
    }

    fn delete(&self, shelf: &KvShelf, key: &str, within: Duration) -> Result<bool, String> {
        self.wait(within, self.store.kv_delete(shelf, key))
    }

    fn keys(&self, shelf: &KvShelf, within: Duration) -> Result<Vec<String>, String> {
        self.wait(within, self.store.kv_keys(shelf))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::domain::KvScope;
    use crate::store::testing::{locked, store};

    #[tokio::test]
    async fn a_database_that_hangs_does_not_outlive_the_call() {
        let (_folder, store) = store().await;
        let lock = locked(&store).await;
        let shelves = Shelves { store, runtime: Handle::current() };
        let shelf = KvShelf { plugin: "a".into(), scope: KvScope::Global };
        let quota = KvQuota { keys: 10, bytes: 1_000 };
        let set = move |within| shelves.set(&shelf, "k", "1", None, quota, within);
        let start = Instant::now();

        let (set, hung) = tokio::task::spawn_blocking(move || {
            let hung = set(Duration::from_millis(50));
            (set, hung)
        })
        .await
        .unwrap();
        let took = start.elapsed();
        drop(lock);
        let kept = tokio::task::spawn_blocking(move || set(Duration::from_secs(30))).await.unwrap();

        assert_eq!(hung, Err("the database takes longer than deadline_ms allows".into()));
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(kept, Ok(true));
    }
}
