//! The API for programs: OpenAI's, in its plain form.
//!
//! Invariants: an API key opens it and a cookie never does; every answer below `/v1`, a failure too, is JSON in OpenAI's
//! shape; a field that we cannot do is refused by name, one that we do not know is ignored.

mod answer;
mod chat_completions;
mod error;
mod extras;
mod key;
mod logprobs;
mod messages;
mod models;
mod parts;
mod request;

pub(super) use error::{ApiError, catchers};
use rocket::Request;

/// Below this path lies the API and nothing else.
pub(super) const ROOT: &str = "/v1";

pub(super) fn routes() -> Vec<rocket::Route> {
    [chat_completions::routes(), models::routes()].concat()
}

/// Whether a request is for the API.
pub(super) fn is_under_root(request: &Request<'_>) -> bool {
    let path = request.uri().path().as_str();
    path.strip_prefix(ROOT).is_some_and(|rest| rest.starts_with('/'))
}
