//! Failures in OpenAI's shape.

use rocket::http::{ContentType, Header, Status};
use rocket::response::{Responder, Response, Result};
use rocket::serde::json::Json;
use rocket::{Catcher, Request, catch, catchers};
use serde::Serialize;

use super::answer::framed;
use super::key::bearer;
use crate::chat::ChatError;
use crate::domain::OutOfRange;
use crate::engine::EngineError;
use crate::store::StoreError;
use crate::web::error::{BROKEN, NOT_FOUND, RETRY_AFTER_SECONDS};
use crate::web::hosts::ForeignHost;

/// A failure on its way to a program.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    status: Status,
    retry: bool,
    body: Body,
}

/// What stands under `error`.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Body {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a Body,
}

impl ApiError {
    fn new(status: Status, code: Option<&'static str>, message: impl ToString) -> Self {
        let kind = match status.code {
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let body = Body { message: message.to_string(), kind, param: None, code };
        Self { status, retry: false, body }
    }

    /// 400 without a parameter to name.
    pub(super) fn invalid(message: impl ToString) -> Self {
        Self::new(Status::BadRequest, None, message)
    }

    /// 400 for one parameter.
    pub(super) fn parameter(name: impl ToString, message: impl ToString) -> Self {
        Self::invalid(message).about(name)
    }

    /// 400 for a parameter that means something that this server cannot do.
    pub(super) fn unsupported(name: impl ToString, what: &str) -> Self {
        let message = format!("{what} cannot be done here; leave out {}.", name.to_string());
        Self::new(Status::BadRequest, Some("unsupported_parameter"), message).about(name)
    }

    /// 404 for a model of another name.
    pub(super) fn no_such_model(asked: &str, ours: &str) -> Self {
        let message = format!("There is no model \"{asked}\" here; this server runs \"{ours}\".");
        Self::new(Status::NotFound, Some("model_not_found"), message).about("model")
    }

    /// 421 for a host that is not ours.
    pub(in crate::web) fn foreign_host(host: &ForeignHost) -> Self {
        Self::new(Status::MisdirectedRequest, Some("foreign_host"), host)
    }

    fn about(mut self, parameter: impl ToString) -> Self {
        self.body.param = Some(parameter.to_string());
        self
    }

    fn retry(self) -> Self {
        Self { retry: true, ..self }
    }

    /// As the last event of a stream.
    pub(super) fn to_event(&self) -> Vec<u8> {
        framed(b"event: error\ndata: ", &Envelope { error: &self.body }, b"\n\n")
    }

    /// As the body of an answer that is too late for a status.
    pub(super) fn to_json(&self) -> Vec<u8> {
        framed(b"", &Envelope { error: &self.body }, b"\n")
    }
}

impl From<OutOfRange> for ApiError {
    fn from(wrong: OutOfRange) -> Self {
        Self::parameter(wrong.key, format!("{wrong}."))
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        let error = match error {
            ChatError::Invalid(invalid) => return Self::invalid(invalid),
            ChatError::Denied(denied) => {
                return Self::new(Status::BadRequest, Some("plugin_denied"), denied);
            }
            ChatError::Engine(error) => error,
            ChatError::Store(StoreError::Unavailable(sentence, source)) => {
                tracing::warn!(%source, "{sentence}");
                return Self::new(Status::ServiceUnavailable, None, sentence).retry();
            }
            ChatError::Store(_) | ChatError::StorageFull { .. } | ChatError::Panicked => {
                tracing::error!(%error, "a request of a program failed");
                return Self::new(Status::InternalServerError, None, BROKEN);
            }
        };
        let unavailable = |code| Self::new(Status::ServiceUnavailable, Some(code), &error).retry();
        match &error {
            EngineError::TooLong { .. } => {
                Self::new(Status::BadRequest, Some("context_length_exceeded"), &error).about("messages")
            }
            EngineError::Template(_) => Self::parameter("messages", &error),
            EngineError::Parameter(wrong) => wrong.clone().into(),
            EngineError::UserLimit { .. } => {
                Self::new(Status::TooManyRequests, Some("rate_limit_exceeded"), &error).retry()
            }
            EngineError::QueueFull { .. } => unavailable("queue_full"),
            EngineError::NotReady { .. } => unavailable("model_loading"),
            EngineError::Stopping => unavailable("stopping"),
            EngineError::NoModel(_) | EngineError::Failed(_) => unavailable("engine_failed"),
        }
    }
}

impl<'r> Responder<'r, 'static> for ApiError {
    fn respond_to(self, request: &'r Request<'_>) -> Result<'static> {
        let mut response = Response::build_from(Json(Envelope { error: &self.body }).respond_to(request)?);
        response.status(self.status).header(ContentType::JSON);
        if self.retry {
            response.header(Header::new("Retry-After", RETRY_AFTER_SECONDS.to_string()));
        }
        if self.status == Status::Unauthorized {
            response.header(Header::new("WWW-Authenticate", "Bearer"));
        }
        response.ok()
    }
}

pub(in crate::web) fn catchers() -> Vec<Catcher> {
    catchers![any]
}

#[catch(default)]
fn any(status: Status, request: &Request<'_>) -> ApiError {
    let error = |code, sentence| ApiError::new(status, code, sentence);
    match status.code {
        401 => {
            let sentence = match bearer(request) {
                Some(_) => "This API key opens nothing here; it may have been deleted.",
                None => "Send an API key as \"Authorization: Bearer …\"; one is made on the account page.",
            };
            error(Some("invalid_api_key"), sentence)
        }
        404 => error(Some("not_found"), NOT_FOUND),
        413 => error(
            Some("request_too_large"),
            "The body is larger than the server takes; its operator sets limits.json.",
        ),
        503 => error(None, "The server cannot answer now. Try again in a moment.").retry(),
        code if code < 500 => error(None, "The server does not understand this request."),
        _ => error(None, BROKEN),
    }
}
