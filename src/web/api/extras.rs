use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;
use crate::engine::Grammar;

/// What a request wants of a reply's form, and to know about its tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extras {
    /// OpenAI's way to ask for JSON.
    pub response_format: ResponseFormat,
    /// llama.cpp's grammar in GBNF, or in Lark behind `%llguidance`; empty = none.
    pub grammar: String,
    /// llama.cpp's way to ask for JSON.
    pub json_schema: Option<Value>,
    /// vLLM's ways to ask for a form: the newer one, then the older one.
    pub structured: [StructuredOutputs; 2],
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

/// The form of a reply, as vLLM takes it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StructuredOutputs {
    /// A JSON schema, or a text that is one.
    pub json: Option<Value>,
    /// A regular expression for the whole reply.
    pub regex: Option<String>,
    /// The texts that the reply may be.
    pub choice: Option<Vec<String>>,
    /// As `grammar`.
    pub grammar: Option<String>,
}

impl StructuredOutputs {
    fn forms(&self) -> impl Iterator<Item = Grammar> {
        let json = self.json.as_ref().map(|json| match json {
            Value::String(text) => Grammar::JsonSchema(text.clone()),
            value => schema(value),
        });
        let regex = self.regex.as_deref().map(Grammar::regex);
        let choice = self.choice.as_deref().map(Grammar::choice);
        [json, regex, choice, self.grammar.clone().map(Grammar::Rules)].into_iter().flatten()
    }
}

impl Extras {
    /// What the reply must look like, whichever way it was asked for.
    pub fn form(&self) -> Result<Option<Grammar>, ApiError> {
        let by_format = match &self.response_format {
            ResponseFormat::Text => None,
            ResponseFormat::JsonObject => Some(Grammar::json_object()),
            ResponseFormat::JsonSchema { json_schema } => Some(schema(&json_schema.schema)),
        };
        let by_grammar = (!self.grammar.is_empty()).then(|| Grammar::Rules(self.grammar.clone()));
        let mut forms = [by_format, by_grammar, self.json_schema.as_ref().map(schema)]
            .into_iter()
            .flatten()
            .chain(self.structured.iter().flat_map(StructuredOutputs::forms));
        match (forms.next(), forms.next()) {
            (_, Some(_)) => Err(ApiError::invalid(
                "Send one form of the reply, not several (response_format, grammar, json_schema …).",
            )),
            (form, None) => Ok(form),
        }
    }

    /// How many alternatives of each token are told; none = nothing is.
    pub fn alternatives(&self) -> Result<Option<u32>, ApiError> {
        if self.top_logprobs > 0 && !self.logprobs {
            return Err(ApiError::parameter("top_logprobs", "top_logprobs needs logprobs to be true."));
        }
        Ok(self.logprobs.then_some(self.top_logprobs))
    }
}

fn schema(schema: &Value) -> Grammar {
    Grammar::JsonSchema(schema.to_string())
}
