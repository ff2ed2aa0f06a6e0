//! Messages: send, follow, stop.

use rocket::form::{Form, FromForm};
use rocket::http::Status;
use rocket::response::Redirect;
use rocket::response::stream::EventStream;
use rocket::{Either, Shutdown, State, delete, get, post, routes, tokio};
use rocket_dyn_templates::{Template, context};

use super::conversations::address;
use super::error::WebError;
use super::figures::ContextView;
use super::guards::{Htmx, LastEventId, SignedIn};
use super::sse;
use super::views::{MessageView, QueuedView, ThreadView, TurnView, send_key};
use crate::chat::{Chat, ChatError, Part, Sent};
use crate::domain::{ConversationId, MessageId, SendKey};

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![send, message, events, stop, take_back]
}

#[derive(FromForm)]
struct MessageForm<'r> {
    #[field(default = "")]
    message: &'r str,
    /// Another one each time that the page was given a form.
    #[field(validate = len(..=64))]
    key: Option<&'r str>,
}

#[post("/c/<id>/messages", data = "<form>")]
async fn send(
    user: SignedIn,
    id: ConversationId,
    form: Form<MessageForm<'_>>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Template, Redirect>, WebError> {
    let text = chat.parse_text(form.message).map_err(ChatError::Invalid)?;
    let key = form.key.map(|key| SendKey::new(key, form.message));
    let sent = chat.send_or_queue(&user, id, text, key).await?;
    let conversation = chat.conversation(&user, id).await?;
    if !htmx.fragment {
        return Ok(Either::Right(Redirect::to(address(&conversation))));
    }
    Ok(Either::Left(match sent {
        Sent::Now(turn) => {
            Template::render("partials/turn", TurnView::load(chat, &user, &conversation, *turn).await?)
        }
        Sent::Later(queued) => {
            let view = context! { queued: QueuedView::new(id, queued), send_key: send_key() };
            Template::render("partials/queued_now", view)
        }
    }))
}

/// One message as it stands now; a reply that is over asks for itself here.
#[get("/c/<id>/messages/<message>")]
async fn message(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let message = chat.message(&user, id, message).await?;
    // An older one says nothing about how full the context is.
    let newest = chat.conversation(&user, id).await?.head == Some(message.id);
    let used = ContextView::new(chat, std::slice::from_ref(&message)).filter(|_| newest);
    let versions = chat.versions(&user, id, std::slice::from_ref(&message)).await?;
    let message = MessageView::new(message, &versions);
    Ok(Template::render("partials/ended", context! { message, used, naming: chat.is_being_named(id) }))
}

/// A view of a reply: read-only, resumable, and over at once when the server stops.
#[get("/c/<id>/messages/<reply>/events")]
async fn events(
    user: SignedIn,
    id: ConversationId,
    reply: MessageId,
    from: LastEventId,
    chat: &State<Chat>,
    mut shutdown: Shutdown,
) -> Result<EventStream![], WebError> {
    let mut follower = chat.follow(&user, id, reply, from.0).await?;
    Ok(EventStream! {
        loop {
            let event = tokio::select! {
                event = follower.next() => event,
                () = &mut shutdown => None,
            };
            match event {
                Some(event) => yield sse::event(event),
                None => break,
            }
        }
    })
}

#[post("/c/<id>/messages/<reply>/stop")]
async fn stop(
    user: SignedIn,
    id: ConversationId,
    reply: MessageId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Status, Redirect>, WebError> {
    chat.stop(&user, id, reply).await?;
    match htmx.fragment {
        true => Ok(Either::Left(Status::NoContent)),
        false => Ok(Either::Right(Redirect::to(address(&chat.conversation(&user, id).await?)))),
    }
}

/// Takes a message back that waits for a reply's end.
#[delete("/c/<id>/queued/<message>")]
async fn take_back(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Template, Redirect>, WebError> {
    chat.take_back(&user, id, message).await?;
    let conversation = chat.conversation(&user, id).await?;
    if !htmx.fragment {
        return Ok(Either::Right(Redirect::to(address(&conversation))));
    }
    Ok(Either::Left(Template::render(
        "partials/thread",
        ThreadView::load(chat, &user, conversation, Part::Last, None).await?,
    )))
}
