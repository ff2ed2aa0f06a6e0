//! Pages of signing in and out. They are plain forms and work without JavaScript.

use rocket::form::{Form, FromForm};
use rocket::http::CookieJar;
use rocket::response::Redirect;
use rocket::{Either, State, get, post, routes};
use rocket_dyn_templates::{Template, context};

use super::cookies::{forget, remember, sign_in_id};
use super::error::WebError;
use super::guards::SignedIn;
use super::next_path::NextPath;
use super::refusal::{Page, Refusal};
use crate::accounts::{AccountError, Accounts, Visitor};

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![login_page, login, register_page, register, logout]
}

/// The fields of both pages; a missing one is empty and refused with a sentence.
#[derive(Debug, FromForm)]
struct Credentials<'r> {
    #[field(default = "")]
    username: &'r str,
    #[field(default = "")]
    password: &'r str,
    #[field(default = "")]
    next: &'r str,
}

/// Onwards, or the page again with a sentence in place.
type Answer = Either<Redirect, Page>;

#[get("/login?<next>")]
async fn login_page(
    next: Option<&str>,
    user: Option<SignedIn>,
    accounts: &State<Accounts>,
) -> Result<Answer, WebError> {
    let next = NextPath::parse(next.unwrap_or_default());
    if user.is_some() {
        return Ok(Either::Left(Redirect::to(next.to_string())));
    }
    if accounts.is_empty().await? {
        return Ok(Either::Left(Redirect::to("/register")));
    }
    login_form(accounts, "", &next, None).await
}

#[post("/login", data = "<form>")]
async fn login(
    form: Form<Credentials<'_>>,
    from: Visitor,
    cookies: &CookieJar<'_>,
    accounts: &State<Accounts>,
) -> Result<Answer, WebError> {
    let next = NextPath::parse(form.next);
    match accounts.sign_in(form.username, form.password, from).await {
        Ok((user, id)) => {
            remember(cookies, id, &user, accounts);
            Ok(Either::Left(Redirect::to(next.to_string())))
        }
        Err(error) => login_form(accounts, form.username, &next, Some(error.try_into()?)).await,
    }
}

#[get("/register?<next>")]
async fn register_page(
    next: Option<&str>,
    user: Option<SignedIn>,
    accounts: &State<Accounts>,
) -> Result<Answer, WebError> {
    let next = NextPath::parse(next.unwrap_or_default());
    match user {
        Some(_) => Ok(Either::Left(Redirect::to(next.to_string()))),
        None => register_form(accounts, "", &next, None).await,
    }
}

#[post("/register", data = "<form>")]
async fn register(
    form: Form<Credentials<'_>>,
    from: Visitor,
    cookies: &CookieJar<'_>,
    accounts: &State<Accounts>,
) -> Result<Answer, WebError> {
    let next = NextPath::parse(form.next);
    match accounts.register(form.username, form.password, from.address).await {
        Ok(user) => {
            remember(cookies, accounts.start_sign_in(&user).await?, &user, accounts);
            Ok(Either::Left(Redirect::to(next.to_string())))
        }
        Err(error) => register_form(accounts, form.username, &next, Some(error.try_into()?)).await,
    }
}

/// Ends the sign-in on the server, not only in this browser.
#[post("/logout")]
async fn logout(cookies: &CookieJar<'_>, accounts: &State<Accounts>) -> Result<Redirect, WebError> {
    if let Some(id) = sign_in_id(cookies, accounts) {
        accounts.sign_out(id).await?;
    }
    forget(cookies, accounts);
    Ok(Redirect::to("/login"))
}

async fn login_form(
    accounts: &Accounts,
    username: &str,
    next: &NextPath,
    refusal: Option<Refusal>,
) -> Result<Answer, WebError> {
    let error = refusal.as_ref().map(|refusal| &refusal.sentence);
    let form = context! { username, next: next.to_string(), error };
    let can_register = accounts.takes_newcomers().await?;
    let template = Template::render("login", context! { form, can_register });
    Ok(Either::Right(Page { template, refusal }))
}

async fn register_form(
    accounts: &Accounts,
    username: &str,
    next: &NextPath,
    refusal: Option<Refusal>,
) -> Result<Answer, WebError> {
    if !accounts.takes_newcomers().await? {
        let closed = Refusal::try_from(AccountError::RegistrationClosed)?;
        return login_form(accounts, username, next, Some(closed)).await;
    }
    let error = refusal.as_ref().map(|refusal| &refusal.sentence);
    let form = context! { username, next: next.to_string(), error };
    let first_account = accounts.is_empty().await?;
    let min_password_chars = accounts.config().min_password_chars;
    let template = Template::render("register", context! { form, first_account, min_password_chars });
    Ok(Either::Right(Page { template, refusal }))
}
