use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;

/// What a request wants of a reply's form, and to know about its tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extras {
    /// OpenAI's way to ask for JSON.
    pub response_format: ResponseFormat,
    /// llama.cpp's grammar in GBNF; empty = none.
    pub grammar: String,
    /// llama.cpp's way to ask for JSON.
    pub json_schema: Option<Value>,
    /// Whether the tokens' probabilities are told.
    pub logprobs: bool,
    /// How many alternatives of each token are told.
    pub top_logprobs: u32,
}

/// The form of a reply.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Whatever the model writes.
    #[default]
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON of a schema.
    JsonSchema {
        /// The schema with its name.
        json_schema: NamedSchema,
    },
}

/// A JSON schema as OpenAI wraps it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NamedSchema {
    /// The schema.
    pub schema: Value,
}

impl Extras {
    /// The one place that says which of them the engine can do: none yet.
    pub fn check(&self) -> Result<(), ApiError> {
        const JSON: &str = "A reply in a given format";
        let wanted = [
            ("response_format", JSON, self.response_format != ResponseFormat::Text),
            ("grammar", JSON, !self.grammar.is_empty()),
            ("json_schema", JSON, self.json_schema.is_some()),
            ("logprobs", "Telling probabilities", self.logprobs),
            ("top_logprobs", "Telling probabilities", self.top_logprobs > 0),
        ];
        match wanted.into_iter().find(|(_, _, is_wanted)| *is_wanted) {
            Some((name, what, _)) => Err(ApiError::unsupported(name, what)),
            None => Ok(()),
        }
    }
}
