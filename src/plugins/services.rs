//! What a plugin may ask of the rest of the server. Each is a trait, so that this room knows no model or database.
//!
//! The errors are the rest of a script's error: no period at the end, and no text of a conversation in them.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{KvQuota, KvShelf};

/// The services that scripts reach; without one, the functions over it are errors that say so.
#[derive(Clone, Default)]
pub struct Services {
    /// Behind `tokens`.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// Behind `kv_get` and its like.
    pub kv: Option<Arc<dyn KeyValue>>,
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
