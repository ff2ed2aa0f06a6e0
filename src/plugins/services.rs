//! What a plugin may ask of the rest of the server. Each is a trait, so that this room knows no model or database.
//!
//! The errors are the rest of a script's error: no period at the end, and no text of a conversation in them.

use std::sync::Arc;

/// The services that scripts reach; without one, the functions over it are errors that say so.
#[derive(Clone, Default)]
pub struct Services {
    /// Behind `tokens`.
    pub tokens: Option<Arc<dyn Tokens>>,
}

/// Counts tokens.
pub trait Tokens: Send + Sync {
    /// How many tokens a text has inside a prompt of the loaded model. Blocks for about a millisecond for 1,000 characters.
    ///
    /// # Errors
    /// No model is loaded.
    fn count(&self, text: &str) -> Result<usize, String>;
}
