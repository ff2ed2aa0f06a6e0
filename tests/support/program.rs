use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::{PATIENCE, TestApp};

/// A program that uses a person's account with an API key. It keeps no cookies.
pub struct Program {
    pub key: String,
    pub url: String,
    pub client: Client,
}

/// What a stream said.
#[derive(Debug, Default)]
pub struct Said {
    pub text: String,
    pub chunks: Vec<Value>,
    pub error: Option<Value>,
    pub done: bool,
}

impl Program {
    /// A program with a new key of `user`'s.
    pub fn new(app: &TestApp, user: &str) -> Self {
        let printed = app.home.command(&["key", "new", user, "--name", "test"]);
        let key = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
        assert!(key.starts_with("fs-"), "{}", String::from_utf8_lossy(&printed.stderr));
        Self { key, url: app.url.clone(), client: Client::new() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.bearer_auth(&self.key).timeout(PATIENCE)
    }

    pub async fn post(&self, body: &Value) -> Response {
        self.request(Method::POST, "/v1/chat/completions").json(body).send().await.unwrap()
    }

    /// A whole answer that must come.
    pub async fn ask(&self, body: Value) -> Value {
        let (status, answer) = self.try_ask(body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub async fn try_ask(&self, body: Value) -> (StatusCode, Value) {
        let answer = self.post(&body).await;
        (answer.status(), answer.json().await.unwrap())
    }

    /// A whole stream; further fields are added to `stream`.
    pub async fn stream(&self, mut body: Value) -> Said {
        body["stream"] = true.into();
        let answer = self.post(&body).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Said::parse(&answer.text().await.unwrap())
    }
}

impl Said {
    pub fn parse(stream: &str) -> Self {
        let mut said = Self::default();
        for block in stream
            .split("\n\n")
            .map(|block| block.trim_start_matches('\n'))
            .filter(|block| !block.is_empty() && !block.starts_with(':'))
        {
            let data = block.lines().find_map(|line| line.strip_prefix("data: ")).expect("a data line");
            assert!(!said.done && said.error.is_none(), "{block} after the end");
            if data == "[DONE]" {
                said.done = true;
                continue;
            }
            let chunk: Value = serde_json::from_str(data).unwrap();
            if chunk["error"].is_object() {
                assert!(block.starts_with("event: error\n"), "{block}");
                said.error = Some(chunk["error"].clone());
                continue;
            }
            said.text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
            said.chunks.push(chunk);
        }
        said
    }

    pub fn last(&self) -> &Value {
        self.chunks.last().expect("a chunk")
    }
}

/// A request with one message of the person's.
pub fn one(message: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": message }] })
}

/// The text of a whole answer.
pub fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap_or_default()
}

/// `base` with the fields of `more`.
pub fn with(mut base: Value, more: Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base
}
