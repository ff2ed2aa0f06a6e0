//! Conversations from a file.

use rocket::form::{Form, FromForm};
use rocket::fs::TempFile;
use rocket::http::Status;
use rocket::{State, post, routes};
use rocket_dyn_templates::Template;

use super::account_views::{AccountView, Said};
use super::error::WebError;
use super::guards::{Htmx, SignedIn};
use super::refusal::{Page, Refusal};
use crate::accounts::Accounts;
use crate::chat::{Chat, ChatError};
use crate::domain::Invalid;

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![import]
}

#[derive(FromForm)]
struct Upload<'r> {
    file: TempFile<'r>,
}

/// Takes the conversations of an export over. The file lies in the folder for temporary ones until then.
#[post("/account/import", data = "<form>")]
async fn import(
    user: SignedIn,
    form: Form<Upload<'_>>,
    htmx: Htmx,
    accounts: &State<Accounts>,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    let imported = match form.file.path() {
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
