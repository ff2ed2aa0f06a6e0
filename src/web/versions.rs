//! Versions of messages: another one is shown, made, written on; a branch becomes a conversation; a message goes and comes back.

use rocket::form::{Form, FromForm};
use rocket::response::Redirect;
use rocket::{Either, State, delete, get, post, put, routes};
use rocket_dyn_templates::{Template, context};

use super::conversations::{Pushed, address, navigate};
use super::error::WebError;
use super::guards::{Htmx, SignedIn};
use super::views::{MessageView, ThreadView};
use crate::chat::{Chat, Part};
use crate::domain::{ConversationId, MessageId, User};

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![regenerate, go_on, show, edit, save, fork, delete, restore]
}

/// The messages as they are shown now, or the page with one of them.
type Shown = Result<Either<Template, Redirect>, WebError>;

#[post("/c/<id>/messages/<message>/regenerate")]
async fn regenerate(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Shown {
    let reply = chat.regenerate(&user, id, message).await?;
    shown(chat, &user, id, reply.id, htmx, None).await
}

#[post("/c/<id>/messages/<reply>/continue")]
async fn go_on(
    user: SignedIn,
    id: ConversationId,
    reply: MessageId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Shown {
    chat.go_on(&user, id, reply).await?;
    shown(chat, &user, id, reply, htmx, None).await
}

#[post("/c/<id>/messages/<message>/show")]
async fn show(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Shown {
    chat.show(&user, id, message).await?;
    shown(chat, &user, id, message, htmx, None).await
}

/// The form in which a message is edited, in its place or as a page.
#[get("/c/<id>/messages/<message>/edit")]
async fn edit(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let message = MessageView::from(chat.message(&user, id, message).await?);
    let name = if htmx.fragment { "partials/message_edit" } else { "message_edit" };
    Ok(Template::render(name, context! { message }))
}

#[derive(FromForm)]
struct EditForm<'r> {
    #[field(default = "")]
    message: &'r str,
    /// The model goes on where an edited reply ends.
    #[field(name = "continue", default = false)]
    go_on: bool,
}

#[put("/c/<id>/messages/<message>", data = "<form>")]
async fn save(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    form: Form<EditForm<'_>>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Shown {
    let edited = chat.edit(&user, id, message, form.message).await?;
    if form.go_on {
        chat.go_on(&user, id, edited.id).await?;
    }
    shown(chat, &user, id, edited.id, htmx, None).await
}

#[post("/c/<id>/messages/<message>/fork")]
async fn fork(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Pushed, Redirect>, WebError> {
    let copy = chat.fork(&user, id, message).await?;
    match htmx.fragment {
        true => Ok(Either::Left(navigate(chat, &user, copy).await?)),
        false => Ok(Either::Right(Redirect::to(address(&copy)))),
    }
}

#[delete("/c/<id>/messages/<message>")]
async fn delete(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Shown {
    chat.delete_message(&user, id, message).await?;
    shown(chat, &user, id, message, htmx, Some(message)).await
}

#[post("/c/<id>/messages/<message>/restore")]
async fn restore(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Shown {
    chat.restore(&user, id, message).await?;
    shown(chat, &user, id, message, htmx, None).await
}

/// `deleted` may be brought back.
async fn shown(
    chat: &Chat,
    user: &User,
    id: ConversationId,
    at: MessageId,
    htmx: Htmx,
    deleted: Option<MessageId>,
) -> Shown {
    let conversation = chat.conversation(user, id).await?;
    if !htmx.fragment {
        return Ok(Either::Right(Redirect::to(format!("{0}?at={at}#message-{at}", address(&conversation)))));
    }
    let thread = ThreadView::load(chat, user, conversation, Part::Around(at), deleted).await?;
    Ok(Either::Left(Template::render("partials/thread", thread)))
}
