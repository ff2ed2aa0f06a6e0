use std::borrow::Cow;
use std::time::Duration;

use rocket::http::Status;
use rocket::response::{self, Responder};
use rocket::{Request, Response};
use rocket_dyn_templates::Template;

use super::error::{RETRY_AFTER_SECONDS, WebError};
use crate::accounts::AccountError;

/// How long the queue of passwords needs to become shorter.
const BUSY_FOR: Duration = Duration::from_secs(RETRY_AFTER_SECONDS as u64);

/// A page or a part of one with its form, and why the form came back.
pub struct Page {
    /// What is shown.
    pub template: Template,
    /// Set when the form was refused.
    pub refusal: Option<Refusal>,
}

/// Why a form comes back.
pub struct Refusal {
    /// The answer's status.
    pub status: Status,
    /// What the person reads.
    pub sentence: String,
    /// When the same may be tried again.
    pub retry_after: Option<Duration>,
    /// The part of the page that htmx puts the answer into; none for a whole page.
    pub part: Option<Cow<'static, str>>,
}

impl<'r> Responder<'r, 'static> for Page {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build_from(self.template.respond_to(request)?);
        if let Some(refusal) = self.refusal {
            response.status(refusal.status);
            if let Some(wait) = refusal.retry_after {
                response.raw_header("Retry-After", wait.as_secs().to_string());
            }
            if let Some(part) = refusal.part {
                response.raw_header("HX-Retarget", part.into_owned()).raw_header("HX-Reswap", "outerHTML");
            }
        }
        response.ok()
    }
}

impl TryFrom<AccountError> for Refusal {
    type Error = WebError;

    /// What the person can mend stands in the form; what only the operator can mend is an error page.
    fn try_from(error: AccountError) -> Result<Self, WebError> {
        let (status, retry_after) = match &error {
            AccountError::TooManyAttempts { retry_after }
            | AccountError::TooManyRegistrations { retry_after } => {
                (Status::TooManyRequests, Some(*retry_after))
            }
            AccountError::Busy => (Status::ServiceUnavailable, Some(BUSY_FOR)),
            AccountError::RegistrationClosed => (Status::Forbidden, None),
            AccountError::Store(_) | AccountError::Hash(_) | AccountError::Random(_) => {
                return Err(error.into());
            }
            _ => (Status::UnprocessableEntity, None),
        };
        Ok(Self { status, sentence: error.to_string(), retry_after, part: None })
    }
}
