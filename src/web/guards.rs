//! Request guards: a handler's parameter types are its list of permissions.

use std::convert::Infallible;
use std::ops::Deref;

use rocket::async_trait;
use rocket::form::{self, FromFormField, ValueField};
use rocket::http::Status;
use rocket::request::{FromParam, FromRequest, Outcome, Request};

use super::cookies::{known_browser, sign_in_id};
use crate::accounts::{Accounts, Visitor};
use crate::domain::{ApiKeyId, ConversationId, MessageId, PresetId, User, UserRole};

/// A person who is signed in. Without one, the 401 catcher leads to the sign-in page.
#[derive(Debug)]
pub struct SignedIn(User);

impl Deref for SignedIn {
    type Target = User;

    fn deref(&self) -> &User {
        &self.0
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for SignedIn {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let Some(accounts) = request.rocket().state::<Accounts>() else {
            return Outcome::Error((Status::InternalServerError, ()));
        };
        let Some(id) = sign_in_id(request.cookies(), accounts) else {
            return Outcome::Error((Status::Unauthorized, ()));
        };
        match accounts.user_of(id).await {
            Ok(Some(user)) => Outcome::Success(Self(user)),
            Ok(None) => Outcome::Error((Status::Unauthorized, ())),
            Err(error) => {
                tracing::error!(%error, "a sign-in could not be looked up");
                Outcome::Error((Status::ServiceUnavailable, ()))
            }
        }
    }
}

/// A person who is signed in and looks after the server. Anybody else who is signed in gets 403.
#[derive(Debug)]
pub struct Administrator(User);

impl Deref for Administrator {
    type Target = User;

    fn deref(&self) -> &User {
        &self.0
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for Administrator {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match SignedIn::from_request(request).await {
            Outcome::Success(SignedIn(user)) if user.role == UserRole::Administrator => {
                Outcome::Success(Self(user))
            }
            Outcome::Success(_) => Outcome::Error((Status::Forbidden, ())),
            Outcome::Error(error) => Outcome::Error(error),
            Outcome::Forward(status) => Outcome::Forward(status),
        }
    }
}

/// What htmx says about a request.
#[derive(Debug)]
pub struct Htmx {
    /// A fragment is wanted, not a page.
    pub fragment: bool,
    /// The conversation that is open in the asking tab.
    pub open: Option<ConversationId>,
}

impl Htmx {
    /// Reads htmx's headers. A request that restores a page of the history wants the whole page.
    pub fn of(request: &Request<'_>) -> Self {
        let header = |name| request.headers().get_one(name);
        let is = |name| header(name) == Some("true");
        let open = header("HX-Current-URL")
            .and_then(|url| url.split(['?', '#']).next()?.rsplit_once("/c/")?.1.parse().ok());
        Self { fragment: is("HX-Request") && !is("HX-History-Restore-Request"), open }
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for Htmx {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        Outcome::Success(Self::of(request))
    }
}

/// Where a viewer of an event stream resumes: characters that it has already.
#[derive(Debug)]
pub struct LastEventId(pub usize);

#[async_trait]
impl<'r> FromRequest<'r> for LastEventId {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        // Whatever is not a position of ours starts at the beginning.
        let position = request.headers().get_one("Last-Event-ID").and_then(|id| id.parse().ok());
        Outcome::Success(Self(position.unwrap_or(0)))
    }
}

// Where a request comes from, for the limits on failed sign-ins and on new accounts.
#[async_trait]
impl<'r> FromRequest<'r> for Visitor {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        let accounts = request.rocket().state::<Accounts>();
        let browser = accounts.and_then(|accounts| known_browser(request.cookies(), accounts));
        Outcome::Success(Self { address: request.client_ip(), browser })
    }
}

// An id that does not parse is taken for one that names nothing, so both get the same 404.
impl FromParam<'_> for ConversationId {
    type Error = Infallible;

    fn from_param(param: &str) -> Result<Self, Infallible> {
        Ok(param.parse().unwrap_or(Self::UNKNOWN))
    }
}

impl FromParam<'_> for ApiKeyId {
    type Error = Infallible;

    fn from_param(param: &str) -> Result<Self, Infallible> {
        Ok(param.parse().unwrap_or(Self::UNKNOWN))
    }
}

impl FromParam<'_> for PresetId {
    type Error = Infallible;

    fn from_param(param: &str) -> Result<Self, Infallible> {
        Ok(param.parse().unwrap_or(Self::UNKNOWN))
    }
}

impl FromParam<'_> for MessageId {
    type Error = Infallible;

    fn from_param(param: &str) -> Result<Self, Infallible> {
        Ok(param.parse().unwrap_or(Self::UNKNOWN))
    }
}

impl FromFormField<'_> for MessageId {
    fn from_value(field: ValueField<'_>) -> form::Result<'_, Self> {
        Ok(field.value.parse().unwrap_or(Self::UNKNOWN))
    }
}
