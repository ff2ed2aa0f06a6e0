//! Conversations from a file.

use rocket::data::{self, Data, FromData};
use rocket::form::{Errors, Form, FromForm};
use rocket::fs::TempFile;
use rocket::http::Status;
use rocket::outcome::Outcome;
use rocket::{Request, State, get, post, routes};
use rocket_dyn_templates::{Template, context};

use super::account_views::{AccountView, Said};
use super::error::WebError;
use super::guards::{Htmx, SignedIn};
use super::refusal::{Page, Refusal};
use super::views::grouped;
use crate::accounts::Accounts;
use crate::chat::{Chat, ChatError};
use crate::domain::Invalid;

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![import, progress]
}

#[derive(FromForm)]
struct Upload<'r> {
    file: TempFile<'r>,
}

/// An [`Upload`] within the limits. One that is too large is read and thrown away before it is refused: a browser that
/// is still sending when the connection closes shows a broken connection in place of the sentence.
struct Bounded<'r>(Upload<'r>);

/// So many times the limit are thrown away at most.
const PATIENCE: u64 = 4;

#[rocket::async_trait]
impl<'r> FromData<'r> for Bounded<'r> {
    type Error = Errors<'r>;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> data::Outcome<'r, Self> {
        let most = request.limits().get("data-form").unwrap_or_default();
        let length = request.headers().get_one("Content-Length").and_then(|it| it.parse::<u64>().ok());
        if length.is_some_and(|length| length > most) {
            let thrown_away = data.open(PATIENCE * most).stream_to(rocket::tokio::io::sink()).await;
            if let Err(error) = thrown_away {
                tracing::debug!(%error, "an upload that is too large broke off");
            }
            return Outcome::Error((Status::PayloadTooLarge, Errors::new()));
        }
        Form::<Upload<'r>>::from_data(request, data).await.map(|form| Self(form.into_inner()))
    }
}

/// How far the import has come; asked for while its form is on its way.
#[get("/account/import")]
fn progress(user: SignedIn, chat: &State<Chat>) -> Template {
    let messages = chat.import_progress(&user).filter(|written| *written > 0).map(grouped);
    Template::render("partials/import_progress", context! { asked: true, messages })
}

/// Takes the conversations of an export over. The file lies in the folder for temporary ones until then.
#[post("/account/import", data = "<upload>")]
async fn import(
    user: SignedIn,
    upload: Bounded<'_>,
    htmx: Htmx,
    accounts: &State<Accounts>,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    let imported = match upload.0.file.path() {
        Some(path) => chat.import(&user, path.to_owned()).await,
        None => {
            Err(Invalid("Choose a file that was downloaded here or from another Fireside.".into()).into())
        }
    };
    let (said, refusal) = match imported {
        Ok(taken) => (Said { imported: Some(taken), ..Said::default() }, None),
        Err(ChatError::Invalid(Invalid(sentence))) => {
            let (status, part) = (Status::UnprocessableEntity, Some("#data".into()));
            let refusal = Refusal { status, sentence: sentence.clone(), retry_after: None, part };
            (Said { import_error: Some(sentence), ..Said::default() }, Some(refusal))
        }
        Err(error) => return Err(error.into()),
    };
    let view = AccountView::load(accounts, chat, &user, said).await?;
    let name = if htmx.fragment { "partials/account_data" } else { "account" };
    Ok(Page { template: Template::render(name, view), refusal })
}
