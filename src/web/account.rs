//! The page of one's own account: API keys, the password, sign-ins. Its forms work without JavaScript too.

use rocket::form::{Form, FromForm};
use rocket::http::{CookieJar, Status};
use rocket::response::Redirect;
use rocket::{Either, State, delete, get, post, routes};
use rocket_dyn_templates::Template;

use super::account_views::{AccountView, Said};
use super::cookies::{remember, sign_in_id};
use super::error::WebError;
use super::guards::{Htmx, SignedIn};
use super::refusal::{Page, Refusal};
use crate::accounts::{AccountError, Accounts};
use crate::chat::Chat;
use crate::domain::{ApiKeyId, User};

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![account, create_key, delete_key, change_password, sign_out_elsewhere]
}

/// A part of the page, which an action of its own brings up to date.
#[derive(Clone, Copy)]
enum Part {
    Keys,
    Password,
    SignIns,
}

impl Part {
    fn template(self) -> &'static str {
        match self {
            Self::Keys => "partials/account_keys",
            Self::Password => "partials/account_password",
            Self::SignIns => "partials/account_sign_ins",
        }
    }

    fn selector(self) -> &'static str {
        match self {
            Self::Keys => "#keys",
            Self::Password => "#password",
            Self::SignIns => "#sign-ins",
        }
    }
}

#[get("/account")]
async fn account(
    user: SignedIn,
    accounts: &State<Accounts>,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    Ok(Template::render("account", AccountView::load(accounts, chat, &user, Said::default()).await?))
}

#[derive(FromForm)]
struct KeyForm<'r> {
    #[field(default = "")]
    name: &'r str,
}

/// Makes a key. This answer is the only place where it can be read.
#[post("/account/keys", data = "<form>")]
async fn create_key(
    user: SignedIn,
    form: Form<KeyForm<'_>>,
    htmx: Htmx,
    accounts: &State<Accounts>,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    let made = accounts.create_key(&user, form.name).await;
    let made = made.map(|(_, secret)| Said { secret: Some(secret), ..Said::default() });
    answer(accounts, chat, &user, &htmx, Part::Keys, made).await
}

#[delete("/account/keys/<key>")]
async fn delete_key(
    user: SignedIn,
    key: ApiKeyId,
    htmx: Htmx,
    accounts: &State<Accounts>,
    chat: &State<Chat>,
) -> Result<Either<Page, Redirect>, WebError> {
    accounts.delete_key(&user, key).await?;
    if !htmx.fragment {
        return Ok(Either::Right(Redirect::to("/account")));
    }
    let said = Said { key_deleted: true, ..Said::default() };
    Ok(Either::Left(answer(accounts, chat, &user, &htmx, Part::Keys, Ok(said)).await?))
}

#[derive(FromForm)]
struct PasswordForm<'r> {
    #[field(default = "")]
    old: &'r str,
    #[field(default = "")]
    new: &'r str,
}

/// Changes the password. Every other browser is signed out; this one goes on.
#[post("/account/password", data = "<form>")]
async fn change_password(
    user: SignedIn,
    form: Form<PasswordForm<'_>>,
    htmx: Htmx,
    cookies: &CookieJar<'_>,
    accounts: &State<Accounts>,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    let changed = accounts.change_password(&user, form.old, form.new).await;
    let changed = changed.map(|sign_in| {
        remember(cookies, sign_in, &user, accounts);
        Said { password_changed: true, ..Said::default() }
    });
    answer(accounts, chat, &user, &htmx, Part::Password, changed).await
}

#[post("/account/sign-ins/end")]
async fn sign_out_elsewhere(
    user: SignedIn,
    htmx: Htmx,
    cookies: &CookieJar<'_>,
    accounts: &State<Accounts>,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    let ended = match sign_in_id(cookies, accounts) {
        Some(here) => accounts.sign_out_elsewhere(&user, here).await,
        None => Ok(0),
    };
    let ended = ended.map(|count| Said { signed_out: Some(count), ..Said::default() });
    answer(accounts, chat, &user, &htmx, Part::SignIns, ended).await
}

/// The part of the page that was acted on, or the page; what the person can mend stands in the part.
async fn answer(
    accounts: &Accounts,
    chat: &Chat,
    user: &User,
    htmx: &Htmx,
    part: Part,
    outcome: Result<Said, AccountError>,
) -> Result<Page, WebError> {
    let (said, refusal) = match outcome {
        Ok(said) => (said, None),
        Err(error) => {
            let refusal = Refusal { part: Some(part.selector().into()), ..refusal(error)? };
            let sentence = Some(refusal.sentence.clone());
            let said = match part {
                Part::Keys => Said { key_error: sentence, ..Said::default() },
                _ => Said { password_error: sentence, ..Said::default() },
            };
            (said, Some(refusal))
        }
    };
    let view = AccountView::load(accounts, chat, user, said).await?;
    let template = Template::render(if htmx.fragment { part.template() } else { "account" }, view);
    Ok(Page { template, refusal })
}

/// Whoever is signed in types no name that could be wrong.
fn refusal(error: AccountError) -> Result<Refusal, WebError> {
    match error {
        AccountError::NoMatch => Ok(Refusal {
            status: Status::UnprocessableEntity,
            sentence: "That is not your current password.".into(),
            retry_after: None,
            part: None,
        }),
        error => error.try_into(),
    }
}
