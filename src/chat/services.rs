//! What plugins may ask of the model: their traits, over the engine.

use std::sync::Arc;

use crate::engine::{Engine, EngineError};
use crate::plugins::{Services, Tokens};

/// The services of a server.
pub fn services(engine: &Engine) -> Services {
    Services { tokens: Some(Arc::new(Counter(engine.clone()))) }
}

struct Counter(Engine);

impl Tokens for Counter {
    fn count(&self, text: &str) -> Result<usize, String> {
        self.0.model().map(|model| model.count_tokens(text)).map_err(|error| told(&error))
    }
}

/// What a script is told of an engine's error: nothing that a person wrote.
fn told(error: &EngineError) -> String {
    match error {
        EngineError::NoModel(_) | EngineError::Failed(_) => "the model cannot be used".into(),
        EngineError::Template(_) => "the model's chat template refuses these messages".into(),
        error => error.to_string().trim_end_matches('.').to_owned(),
    }
}
