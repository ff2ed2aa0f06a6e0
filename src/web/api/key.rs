use std::ops::Deref;

use rocket::async_trait;
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome, Request};

use crate::accounts::Accounts;
use crate::domain::User;

/// The person whose API key a request carries as `Authorization: Bearer …`. Cookies are not looked at.
#[derive(Debug)]
pub struct ApiUser(User);

impl Deref for ApiUser {
    type Target = User;

    fn deref(&self) -> &User {
        &self.0
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for ApiUser {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let Some(accounts) = request.rocket().state::<Accounts>() else {
            return Outcome::Error((Status::InternalServerError, ()));
        };
        let Some(secret) = bearer(request) else {
            return Outcome::Error((Status::Unauthorized, ()));
        };
        match accounts.user_of_key(secret).await {
            Ok(Some(user)) => Outcome::Success(Self(user)),
            Ok(None) => Outcome::Error((Status::Unauthorized, ())),
            Err(error) => {
                tracing::error!(%error, "an API key could not be looked up");
                Outcome::Error((Status::ServiceUnavailable, ()))
            }
        }
    }
}

/// What stands behind `Bearer`, in whatever case.
pub(super) fn bearer<'r>(request: &'r Request<'_>) -> Option<&'r str> {
    let (scheme, secret) = request.headers().get_one("Authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(secret.trim())
}
