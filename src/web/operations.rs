//! What an operator's tools ask, and the model's state for the page.

use rocket::http::Status;
use rocket::{Either, State, get, routes};
use rocket_dyn_templates::{Template, context};

use super::api::ApiError;
use super::error::WebError;
use super::guards::SignedIn;
use super::hosts::ForeignHost;
use super::views::ModelView;
use crate::chat::Chat;
use crate::engine::EngineState;

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![healthz, readyz, model, cross_site, foreign_host]
}

/// The process answers.
#[get("/healthz")]
fn healthz() -> &'static str {
    "ok\n"
}

/// 200 once the model is loaded; before and after, 503 and the reason.
#[get("/readyz")]
fn readyz(chat: &State<Chat>) -> (Status, String) {
    match chat.engine_state() {
        EngineState::Ready(model) => (Status::Ok, format!("ready: {}\n", model.name)),
        EngineState::Loading { percent } => {
            (Status::ServiceUnavailable, format!("The model is loading: {percent} %.\n"))
        }
        EngineState::Failed(sentence) => (Status::ServiceUnavailable, format!("{sentence}\n")),
        EngineState::Stopped => (Status::ServiceUnavailable, "The server is stopping.\n".into()),
    }
}

/// The model's state, for a page that waits for it.
#[get("/model")]
fn model(_user: SignedIn, chat: &State<Chat>) -> Template {
    Template::render("partials/model", context! { model: ModelView::new(chat.engine_state()) })
}

/// Where [`SameSiteOnly`](super::csrf::SameSiteOnly) sends what it refuses.
#[get("/cross-site")]
pub(super) fn cross_site() -> WebError {
    WebError::CrossSite
}

/// Where [`KnownHostsOnly`](super::hosts::KnownHostsOnly) sends what it refuses.
#[get("/foreign-host")]
pub(super) fn foreign_host(host: ForeignHost) -> Either<WebError, ApiError> {
    match host.from_program {
        true => Either::Right(ApiError::foreign_host(&host)),
        false => Either::Left(WebError::ForeignHost(host)),
    }
}
