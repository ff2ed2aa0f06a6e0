//! What a plugin may ask of the rest of the server. Each is a trait, so that this room knows no model or database.
//!
//! The errors are the rest of a script's error: no period at the end, and no text of a conversation in them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::{KvQuota, KvShelf, PromptMessage, SamplingParams, UserId};

/// The services that scripts reach; without one, the functions over it are errors that say so.
#[derive(Clone, Default)]
pub struct Services {
    /// Behind `tokens`.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// Behind `kv_get` and its like.
    pub kv: Option<Arc<dyn KeyValue>>,
    /// Behind `llm_generate`.
    pub llm: Option<Arc<dyn Llm>>,
}

/// Counts tokens.
pub trait Tokens: Send + Sync {
    /// How many tokens a text has inside a prompt of the loaded model. Blocks for about a millisecond for 1,000 characters.
    ///
    /// # Errors
    /// No model is loaded.
    fn count(&self, text: &str) -> Result<usize, String>;
}

/// Keeps values, as JSON texts. Each call blocks at most `within`; what a call that took longer did is not known.
///
/// The errors: it took longer, the database cannot serve, or whose shelf it is does not exist any more.
#[allow(missing_docs)] // said above, and in the names
pub trait KeyValue: Send + Sync {
    fn get(&self, shelf: &KvShelf, key: &str, within: Duration) -> Result<Option<String>, String>;

    /// False when it does not fit the quota. Without `lives` the value stays for good.
    fn set(
        &self,
        shelf: &KvShelf,
        key: &str,
        value: &str,
        lives: Option<Duration>,
        quota: KvQuota,
        within: Duration,
    ) -> Result<bool, String>;

    /// Whether there was one.
    fn delete(&self, shelf: &KvShelf, key: &str, within: Duration) -> Result<bool, String>;

    /// In order.
    fn keys(&self, shelf: &KvShelf, within: Duration) -> Result<Vec<String>, String>;
}

/// Lets the model write for a plugin.
pub trait Llm: Send + Sync {
    /// The operator's parameters.
    fn params(&self) -> SamplingParams;

    /// What the model writes. Blocks until it is whole, `within` is over, nobody waits any more, or the server stops. No hook
    /// runs on it.
    ///
    /// # Errors
    /// It came to no end, or could not begin.
    fn generate(&self, order: LlmOrder) -> Result<String, String>;
}

/// What a plugin wants written.
#[derive(Debug, Clone)]
pub struct LlmOrder {
    /// The person on whose behalf.
    pub user: UserId,
    /// For the chat template; not empty.
    pub messages: Vec<PromptMessage>,
    /// How it is sampled and when it ends, in range.
    pub params: SamplingParams,
    /// The schema of the JSON that it must be.
    pub json_schema: Option<String>,
    /// Whether a reply waits for it, which holds a place in the queue already. Otherwise nobody does.
    pub in_a_reply: bool,
    /// Longest wait.
    pub within: Duration,
    /// Its sender is dropped when nobody waits for the call any more.
    pub caller: Option<watch::Receiver<()>>,
}
