//! One streamed chat completion of any OpenAI-compatible server, with the moment at which each piece arrived.

use std::time::{Duration, Instant};

use reqwest::{Client, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Outcome;
use crate::sse::Events;

/// Nothing that is measured here takes longer on a machine on which measuring makes sense.
const PATIENCE: Duration = Duration::from_secs(180);

/// A message of a conversation.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    pub role: &'static str,
    pub content: String,
}

impl Message {
    pub fn system(content: String) -> Self {
        Self { role: "system", content }
    }

    pub fn user(content: String) -> Self {
        Self { role: "user", content }
    }

    pub fn assistant(content: String) -> Self {
        Self { role: "assistant", content }
    }
}

/// Where to send requests, and as whom.
#[derive(Debug, Clone)]
pub struct Endpoint {
    http: Client,
    /// Without a slash at its end.
    pub url: String,
    /// What goes into the field `model`.
    model: Option<String>,
    /// API keys, one a person; empty where the server asks for none.
    keys: Vec<String>,
    /// 0 is greedy: always the likeliest token.
    temperature: f32,
    /// What replies must look like.
    schema: Option<serde_json::Value>,
}

/// A reply as it arrived.
#[derive(Debug)]
pub struct Reply {
    pub sent: Instant,
    /// One for each piece of text; never empty.
    pub arrivals: Vec<Instant>,
    pub text: String,
    pub tokens: u32,
    pub prompt_tokens: u32,
    /// Prompt tokens that the server did not compute anew, where it says so.
    pub cached_tokens: u32,
}

impl Endpoint {
    /// Asks the server for the model's name.
    pub async fn connect(url: &str, keys: &[String]) -> Outcome<Self> {
        let mut endpoint = Self {
            http: client(false)?,
            url: url.to_owned(),
            model: None,
            keys: keys.to_vec(),
            temperature: 0.8,
            schema: None,
        };
        let models = endpoint.authorized(endpoint.http.get(format!("{url}/v1/models")), 0).send().await?;
        let models: serde_json::Value = expect_success(models).await?.json().await?;
        endpoint.model = models["data"][0]["id"].as_str().map(str::to_owned);
        Ok(endpoint)
    }

    /// The same server, asked for the likeliest token always.
    pub fn greedy(&self) -> Self {
        Self { temperature: 0.0, ..self.clone() }
    }

    /// The same server, asked for JSON.
    pub fn with_schema(&self, schema: serde_json::Value) -> Self {
        Self { schema: Some(schema), ..self.clone() }
    }

    /// One reply of exactly `max_tokens` tokens, for person number `person`.
    pub async fn chat(&self, person: usize, messages: &[Message], max_tokens: u32) -> Outcome<Reply> {
        let reply = self.stream(person, messages, max_tokens, true, |_| ()).await?;
        if reply.tokens != max_tokens {
            let sentence = "a reply has another length than asked for, so nothing can be compared";
            return Err(format!("{sentence}: {} tokens, not {max_tokens}", reply.tokens).into());
        }
        Ok(reply)
    }

    /// One reply of at most `max_tokens` tokens. `on_piece` is called when a piece arrives. Dropping the future hangs up.
    pub async fn stream(
        &self,
        person: usize,
        messages: &[Message],
        max_tokens: u32,
        ignore_eos: bool,
        mut on_piece: impl FnMut(Instant),
    ) -> Outcome<Reply> {
        let mut body = json!({
            "messages": messages, "max_tokens": max_tokens, "ignore_eos": ignore_eos,
            "stream": true, "stream_options": {"include_usage": true},
            "temperature": self.temperature, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "seed": 42,
        });
        if let Some(model) = &self.model {
            body["model"] = model.as_str().into();
        }
        if let Some(schema) = &self.schema {
            let schema = json!({ "name": "reply", "schema": schema });
            body["response_format"] = json!({ "type": "json_schema", "json_schema": schema });
        }
        let request = self.http.post(format!("{}/v1/chat/completions", self.url)).json(&body);
        let request = self.authorized(request, person).timeout(PATIENCE);

        let sent = Instant::now();
        let mut answer = expect_success(request.send().await.map_err(sentence)?).await?;
        let mut reply = Reply {
            sent,
            arrivals: vec![],
            text: String::new(),
            tokens: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
        };
        let mut events = Events::default();
        while let Some(bytes) = answer.chunk().await.map_err(sentence)? {
            let now = Instant::now();
            events.push(&bytes);
            for event in &mut events {
                if event.data == "[DONE]" {
                    return reply.checked();
                }
                if reply.take(&event.data, now)? {
                    on_piece(now);
                }
            }
        }
        Err("the server closed a stream without [DONE]; see its log".into())
    }

    fn authorized(&self, request: reqwest::RequestBuilder, person: usize) -> reqwest::RequestBuilder {
        match self.keys.get(person % self.keys.len().max(1)) {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

impl Reply {
    /// Time to the first piece of text, in milliseconds.
    pub fn ttft_ms(&self) -> f64 {
        milliseconds(self.arrivals[0] - self.sent)
    }

    /// Tokens a second after the first one.
    pub fn tokens_per_second(&self) -> f64 {
        let writing = self.arrivals[self.arrivals.len() - 1] - self.arrivals[0];
        f64::from(self.tokens.saturating_sub(1)) / writing.as_secs_f64()
    }

    /// Adds one chunk of the stream; whether it brought text.
    fn take(&mut self, data: &str, now: Instant) -> Outcome<bool> {
        let chunk: Chunk = serde_json::from_str(data)?;
        if let Some(error) = chunk.error {
            return Err(format!("the server broke off: {error}").into());
        }
        if let Some(usage) = chunk.usage {
            self.tokens = usage.completion_tokens;
            self.prompt_tokens = usage.prompt_tokens;
            self.cached_tokens = usage.prompt_tokens_details.map_or(0, |details| details.cached_tokens);
        }
        let pieces = chunk.choices.into_iter().filter_map(|choice| choice.delta.content);
        let text: String = pieces.collect();
        if text.is_empty() {
            return Ok(false);
        }
        self.arrivals.push(now);
        self.text.push_str(&text);
        Ok(true)
    }

    fn checked(self) -> Outcome<Self> {
        match (self.arrivals.is_empty(), self.tokens) {
            (true, _) => Err("a reply came without any text".into()),
            (_, 0) => Err("a reply came without `usage`; the server must support stream_options".into()),
            _ => Ok(self),
        }
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: u32,
}

/// A client that opens a connection for each request, as the first request of every user does.
pub fn client(cookies: bool) -> Outcome<Client> {
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).cookie_store(cookies);
    Ok(client.redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?)
}

/// The answer, or what the server said instead.
pub async fn expect_success(answer: Response) -> Outcome<Response> {
    let status = answer.status();
    if status.is_success() || status.is_redirection() {
        return Ok(answer);
    }
    let address = answer.url().clone();
    let body: String = answer.text().await?.chars().take(500).collect();
    Err(format!("{address} answered {status}: {body}").into())
}

fn sentence(error: reqwest::Error) -> Box<dyn std::error::Error> {
    if error.is_timeout() {
        return format!("a reply took longer than {} s; is the machine busy?", PATIENCE.as_secs()).into();
    }
    error.into()
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
