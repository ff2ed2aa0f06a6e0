use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;
use crate::domain::{PromptMessage, Role};

#[derive(Deserialize)]
struct RawMessage {
    role: String,
    content: Option<Content>,
    tool_calls: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

/// The conversation of a request; an error names the message and what is wrong with it.
pub(super) fn parse(messages: Vec<Value>) -> Result<Vec<PromptMessage>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::parameter("messages", "messages is empty; send at least one."));
    }
    messages.into_iter().enumerate().map(|(at, message)| parse_one(at, message)).collect()
}

fn parse_one(at: usize, message: Value) -> Result<PromptMessage, ApiError> {
    let name = |field: &str| format!("messages[{at}]{field}");
    let message = RawMessage::deserialize(message)
        .map_err(|error| ApiError::parameter(name(""), format!("{} is no message: {error}.", name(""))))?;
    if message.tool_calls.is_some_and(|calls| !calls.is_empty()) {
        return Err(ApiError::unsupported(name(".tool_calls"), "Calling tools"));
    }
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => return Err(ApiError::unsupported(name(""), "Calling tools")),
        other => {
            let why = format!("{} must be system, user or assistant, not \"{other}\".", name(".role"));
            return Err(ApiError::parameter(name(".role"), why));
        }
    };
    let wrong = |why: &str| ApiError::parameter(name(".content"), format!("{} {why}", name(".content")));
    let content = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let texts = parts.into_iter().map(|part| match part {
                Part { kind, text: Some(text) } if kind == "text" => Ok(text),
                Part { kind, .. } if kind == "text" => Err(wrong("has a part of type text without a text.")),
                Part { kind, .. } => {
                    Err(ApiError::unsupported(name(".content"), &format!("Reading a part of type {kind}")))
                }
            });
            texts.collect::<Result<Vec<_>, _>>()?.join("\n")
        }
        None => return Err(wrong("is missing.")),
    };
    if content.contains('\0') {
        return Err(wrong("holds a NUL character."));
    }
    Ok(PromptMessage { role, content, token_ids: None })
}
