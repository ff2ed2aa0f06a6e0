//! The one place where a failure becomes a status and a page.

use rocket::http::{Header, Method, Status};
use rocket::request::Request;
use rocket::response::{Redirect, Responder, Response, Result};
use rocket::{Catcher, Either, catch, catchers};
use rocket_dyn_templates::{Template, context};

use super::guards::Htmx;
use super::hosts::ForeignHost;
use super::next_path::NextPath;
use crate::accounts::AccountError;
use crate::chat::ChatError;
use crate::engine::EngineError;
use crate::store::StoreError;

/// Seconds after which a refused request may be tried again.
pub(super) const RETRY_AFTER_SECONDS: u32 = 5;

/// A failure on its way to a person.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Of a conversation.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// Of an account, that its person cannot mend.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A request that another site sent.
    #[error("This request came from another site and was not carried out.")]
    CrossSite,
    /// A request for a host that this server is not known by.
    #[error("{0}")]
    ForeignHost(ForeignHost),
}

/// What is sent: the status, the sentence, which plugin spoke, and when to try again.
struct Answer {
    status: Status,
    sentence: String,
    plugin: Option<String>,
    retry_after: Option<u32>,
}

impl Answer {
    fn new(status: Status, sentence: impl ToString) -> Self {
        Self { status, sentence: sentence.to_string(), plugin: None, retry_after: None }
    }

    fn retry(self) -> Self {
        Self { retry_after: Some(RETRY_AFTER_SECONDS), ..self }
    }
}

impl From<&WebError> for Answer {
    fn from(error: &WebError) -> Self {
        let error = match error {
            WebError::CrossSite => return Self::new(Status::Forbidden, error),
            WebError::ForeignHost(_) => return Self::new(Status::MisdirectedRequest, error),
            WebError::Account(AccountError::Store(error)) => return Self::from(error),
            WebError::Account(_) => return Self::new(Status::InternalServerError, BROKEN),
            WebError::Chat(error) => error,
        };
        match error {
            ChatError::Invalid(_) => Self::new(Status::UnprocessableEntity, error),
            ChatError::Denied(denied) => {
                let plugin = Some(denied.plugin.clone());
                Self { plugin, ..Self::new(Status::UnprocessableEntity, &denied.reason) }
            }
            ChatError::Engine(engine) => match engine {
                EngineError::TooLong { .. } | EngineError::Template(_) | EngineError::Parameter(_) => {
                    Self::new(Status::UnprocessableEntity, error)
                }
                EngineError::UserLimit { .. } => Self::new(Status::TooManyRequests, error).retry(),
                _ => Self::new(Status::ServiceUnavailable, error).retry(),
            },
            ChatError::Store(error) => Self::from(error),
            ChatError::StorageFull { .. } => Self::new(Status::InsufficientStorage, error),
            ChatError::Panicked => Self::new(Status::InternalServerError, BROKEN),
        }
    }
}

impl From<&StoreError> for Answer {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::new(Status::NotFound, NOT_FOUND),
            StoreError::ReplyRunning | StoreError::AlreadySent => Self::new(Status::Conflict, error),
            StoreError::TooManyFollow(_) => Self::new(Status::UnprocessableEntity, error),
            StoreError::TemporaryFull => Self::new(Status::InsufficientStorage, error),
            StoreError::Damaged(_) => Self::new(Status::InternalServerError, error),
            StoreError::Unavailable(..) => Self::new(Status::ServiceUnavailable, error).retry(),
            _ => Self::new(Status::InternalServerError, BROKEN),
        }
    }
}

pub(super) const NOT_FOUND: &str = "There is nothing here, or it is not yours.";
pub(super) const BROKEN: &str =
    "Something went wrong on the server. Nothing was lost; the log says what happened.";

impl<'r> Responder<'r, 'static> for WebError {
    fn respond_to(self, request: &'r Request<'_>) -> Result<'static> {
        let answer = Answer::from(&self);
        if answer.status.class().is_server_error() {
            tracing::warn!(error = %self, uri = %request.uri().path(), "a request failed");
        }
        answer.respond_to(request)
    }
}

/// A sentence in place for htmx, else a page.
impl<'r> Responder<'r, 'static> for Answer {
    fn respond_to(self, request: &'r Request<'_>) -> Result<'static> {
        let Answer { status, sentence, plugin, retry_after } = self;
        let mut response = Response::build();
        if Htmx::of(request).fragment {
            let alert = Template::render("partials/alert", context! { sentence, plugin, retry_after });
            response.merge(alert.respond_to(request)?);
            response.raw_header("HX-Retarget", "#alert").raw_header("HX-Reswap", "innerHTML");
        } else {
            let title = status.reason_lossy();
            let page = Template::render("error", context! { status: status.code, title, sentence, plugin });
            response.merge(page.respond_to(request)?);
        }
        if let Some(seconds) = retry_after {
            response.header(Header::new("Retry-After", seconds.to_string()));
        }
        response.status(status).ok()
    }
}

pub(super) fn catchers() -> Vec<Catcher> {
    catchers![unauthorized, any]
}

/// The sign-in page, for htmx.
#[derive(Responder)]
#[response(status = 401)]
struct HxRedirect((), Header<'static>);

/// Leads to the sign-in page and back again; a whole page goes there by 303, a fragment by `HX-Redirect`.
#[catch(401)]
fn unauthorized(request: &Request<'_>) -> Either<Redirect, HxRedirect> {
    let htmx = Htmx::of(request);
    let next = match (htmx.open, request.method()) {
        (Some(open), _) => NextPath::conversation(open),
        (None, Method::Get) => NextPath::of(request.uri()),
        _ => NextPath::default(),
    };
    match htmx.fragment {
        true => Either::Right(HxRedirect((), Header::new("HX-Redirect", next.login()))),
        false => Either::Left(Redirect::to(next.login())),
    }
}

#[catch(default)]
fn any(status: Status, _request: &Request<'_>) -> Answer {
    let sentence = match status.code {
        403 => "This is for the administrators of this server only.",
        404 => NOT_FOUND,
        413 => "That is more than the server takes at once.",
        503 => "The server cannot answer now. Try again in a moment.",
        code if code < 500 => "The server does not understand this request.",
        _ => BROKEN,
    };
    Answer::new(status, sentence)
}
