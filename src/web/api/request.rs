use rocket::data::{Data, FromData, Outcome, ToByteUnit};
use rocket::http::Status;
use rocket::{Request, async_trait};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::extras::{Extras, StructuredOutputs};
use super::messages;
use crate::chat::CompletionRequest;
use crate::domain::SamplingParams;

/// Fields that change the meaning of a request and that we cannot do, unless their value says "not that".
const UNSUPPORTED: [(&str, &str); 7] = [
    ("tools", "Calling tools"),
    ("functions", "Calling tools"),
    ("audio", "Speaking"),
    ("web_search_options", "Searching the web"),
    ("n_probs", "Telling probabilities by this name (logprobs and top_logprobs can be used)"),
    ("dynatemp_range", "A temperature that moves"),
    ("lora", "Changing adapters for one request"),
];

/// The body of a request, not longer than `limits.json`.
pub struct Body(String);

#[async_trait]
impl<'r> FromData<'r> for Body {
    type Error = ();

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        let limit = request.limits().get("json").unwrap_or(1.mebibytes());
        match data.open(limit).into_string().await {
            Ok(body) if body.is_complete() => Outcome::Success(Self(body.into_inner())),
            Ok(_) => Outcome::Error((Status::PayloadTooLarge, ())),
            Err(_) => Outcome::Error((Status::BadRequest, ())), // no UTF-8, or the client left
        }
    }
}

/// A request for a reply.
#[derive(Debug)]
pub struct ChatRequest {
    /// The model that it names.
    pub model: Option<String>,
    /// What goes to the model.
    pub completion: CompletionRequest,
    /// How it wants the reply in pieces; none = whole.
    pub stream: Option<StreamOptions>,
}

/// `stream_options`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether a last piece tells the cost.
    pub include_usage: bool,
}

impl ChatRequest {
    /// Reads a body over the operator's parameters. Fields that nobody knows are ignored: clients send many.
    pub fn parse(body: &Body, params: SamplingParams) -> Result<Self, ApiError> {
        let mut fields = Fields(
            serde_json::from_str(&body.0)
                .map_err(|error| ApiError::invalid(format!("The body is no JSON object: {error}.")))?,
        );
        let Some(said) = fields.take("messages")? else {
            return Err(ApiError::parameter("messages", "messages is missing."));
        };
        let messages = messages::parse(said)?;
        fields.refuse_what_we_cannot()?;
        let extras = fields.extras()?;
        let (grammar, logprobs) = (extras.form()?, extras.alternatives()?);
        let model = fields.take("model")?;
        let options: StreamOptions = fields.take("stream_options")?.unwrap_or_default();
        let stream = fields.take("stream")?.unwrap_or(false).then_some(options);
        let ignore_eos = fields.take("ignore_eos")?.unwrap_or(false);
        let params = fields.params(params)?;
        let completion = CompletionRequest { messages, params, ignore_eos, grammar, logprobs };
        Ok(Self { model, completion, stream })
    }
}

/// What is left of a body.
struct Fields(Map<String, Value>);

impl Fields {
    /// A field, gone from the body; none also for null.
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        let value = self.0.remove(name).unwrap_or_default();
        Option::deserialize(value).map_err(|error| wrong_type(name, &error))
    }

    fn refuse_what_we_cannot(&mut self) -> Result<(), ApiError> {
        if self.take::<u32>("n")?.is_some_and(|n| n != 1) {
            return Err(ApiError::unsupported("n", "Several replies at once"));
        }
        let modalities: Vec<String> = self.take("modalities")?.unwrap_or_default();
        if modalities.iter().any(|modality| modality != "text") {
            return Err(ApiError::unsupported("modalities", "A reply other than text"));
        }
        match UNSUPPORTED
            .into_iter()
            .find(|(name, _)| self.0.get(*name).is_some_and(|value| !is_blank(value)))
        {
            Some((name, what)) => Err(ApiError::unsupported(name, what)),
            None => Ok(()),
        }
    }

    fn extras(&mut self) -> Result<Extras, ApiError> {
        Ok(Extras {
            response_format: self.take("response_format")?.unwrap_or_default(),
            grammar: self.take("grammar")?.unwrap_or_default(),
            json_schema: self.take("json_schema")?,
            structured: [self.take("structured_outputs")?.unwrap_or_default(), self.guided()?],
            logprobs: self.take("logprobs")?.unwrap_or(false),
            top_logprobs: self.take("top_logprobs")?.unwrap_or(0),
        })
    }

    fn guided(&mut self) -> Result<StructuredOutputs, ApiError> {
        Ok(StructuredOutputs {
            json: self.take("guided_json")?,
            regex: self.take("guided_regex")?,
            choice: self.take("guided_choice")?,
            grammar: self.take("guided_grammar")?,
        })
    }

    /// The sampling parameters, checked.
    fn params(mut self, mut params: SamplingParams) -> Result<SamplingParams, ApiError> {
        // A text alone is a list of one.
        if let Some(stop @ Value::String(_)) = self.0.get_mut("stop") {
            *stop = Value::Array(vec![stop.take()]);
        }
        // llama.cpp's way to say "random".
        if self.0.get("seed").and_then(Value::as_u64) == Some(u32::MAX.into()) {
            self.0.remove("seed");
        }
        // OpenAI's older name yields to llama.cpp's, where -1 says nothing, and both to OpenAI's newer one.
        for name in ["n_predict", "max_completion_tokens"] {
            if let Some(value) = self.0.remove(name).filter(|value| !value.is_null() && *value != -1) {
                self.0.insert("max_tokens".into(), value);
            }
        }
        for (name, value) in self.0.iter().filter(|(_, value)| !value.is_null()) {
            params.set(name, value).map_err(|error| wrong_type(name, &error))?;
        }
        params.check()?;
        Ok(params)
    }
}

fn wrong_type(name: &str, error: &serde_json::Error) -> ApiError {
    ApiError::parameter(name, format!("{name} has the wrong type: {error}."))
}

/// Null, false, 0, "", [] or {}.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
    }
}
