//! Conversations: open, make, rename, delete.

use rocket::form::{Form, FromForm};
use rocket::response::Redirect;
use rocket::{Either, Responder, State, delete, get, post, put, routes};
use rocket_dyn_templates::{Template, context};

use super::error::WebError;
use super::guards::{Htmx, SignedIn};
use super::views::{ConversationView, PageView, SidebarView};
use crate::chat::{Chat, ChatError};
use crate::domain::{Conversation, ConversationId, User};

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![home, create, open, name, rename, delete]
}

/// A fragment that also changes the address bar.
#[derive(Responder)]
pub(super) struct Pushed {
    inner: Template,
    push_url: rocket::http::Header<'static>,
}

#[get("/")]
async fn home(user: SignedIn, chat: &State<Chat>) -> Result<Redirect, WebError> {
    let latest = chat.latest(&user).await?;
    Ok(Redirect::to(address(&latest)))
}

#[post("/c")]
async fn create(
    user: SignedIn,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Pushed, Redirect>, WebError> {
    let conversation = chat.create(&user).await?;
    if !htmx.fragment {
        return Ok(Either::Right(Redirect::to(address(&conversation))));
    }
    Ok(Either::Left(navigate(chat, &user, conversation).await?))
}

#[get("/c/<id>")]
async fn open(
    user: SignedIn,
    id: ConversationId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let conversation = chat.conversation(&user, id).await?;
    let page = PageView::load(chat, &user, conversation).await?;
    Ok(Template::render(if htmx.fragment { "partials/navigation" } else { "chat" }, page))
}

/// The name of a conversation that a plugin is naming, once it has it; the page asks after its first reply.
#[get("/c/<id>/name")]
async fn name(
    user: SignedIn,
    id: ConversationId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let conversation = chat.once_named(&user, id).await?;
    let naming = chat.is_being_named(id);
    let conversation = ConversationView::new(&conversation, htmx.open == Some(id));
    Ok(Template::render("partials/named", context! { conversation, naming }))
}

#[derive(FromForm)]
struct TitleForm<'r> {
    #[field(default = "")]
    title: &'r str,
}

#[put("/c/<id>", data = "<form>")]
async fn rename(
    user: SignedIn,
    id: ConversationId,
    form: Form<TitleForm<'_>>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let conversation = chat.rename(&user, id, form.title).await?;
    let conversation = ConversationView::new(&conversation, htmx.open == Some(id));
    Ok(Template::render("partials/renamed", context! { conversation }))
}

/// Deletes; where the conversation was on the screen, its neighbour takes its place.
#[delete("/c/<id>")]
async fn delete(
    user: SignedIn,
    id: ConversationId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Pushed, Template>, WebError> {
    let neighbour = chat.delete(&user, id).await?;
    let conversations = chat.conversations(&user).await?;
    match conversations.iter().find(|open| htmx.open == Some(open.id)) {
        Some(open) => {
            let sidebar = SidebarView::load(chat, &user, Some(open)).await?;
            Ok(Either::Right(Template::render("partials/sidebar", sidebar)))
        }
        None => Ok(Either::Left(navigate(chat, &user, neighbour).await?)),
    }
}

/// Shows another conversation in the place of the open one.
pub(super) async fn navigate(chat: &Chat, user: &User, to: Conversation) -> Result<Pushed, ChatError> {
    let push_url = rocket::http::Header::new("HX-Push-Url", address(&to));
    let inner = Template::render("partials/navigation", PageView::load(chat, user, to).await?);
    Ok(Pushed { inner, push_url })
}

/// Where a conversation's page is.
pub(super) fn address(conversation: &Conversation) -> String {
    format!("/c/{}", conversation.id)
}
