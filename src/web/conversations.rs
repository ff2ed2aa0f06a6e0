//! Conversations: open, make, rename, pin, put away, delete.

use rocket::form::{Form, FromForm};
use rocket::response::Redirect;
use rocket::{Either, Responder, State, delete, get, post, put, routes};
use rocket_dyn_templates::{Template, context};
use serde::Serialize;

use super::error::WebError;
use super::guards::{Htmx, SignedIn};
use super::sidebar_views::{ConversationView, SidebarView, place};
use super::views::{PageView, ThreadView};
use crate::chat::{Chat, ChatError, Part};
use crate::domain::{Conversation, ConversationId, Invalid, MessageId, Shelf, User};

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![
        home,
        create,
        create_temporary,
        list,
        archive,
        open,
        earlier,
        name,
        edit,
        rename,
        put_on_shelf,
        delete
    ]
}

/// A fragment that also changes the address bar.
#[derive(Responder)]
pub(super) struct Pushed {
    inner: Template,
    push_url: rocket::http::Header<'static>,
}

/// A fragment that changes pieces of the page by their ids, and nothing in the place of what asked.
#[derive(Responder)]
struct Pieces {
    inner: Template,
    reswap: rocket::http::Header<'static>,
}

#[get("/")]
async fn home(user: SignedIn, chat: &State<Chat>) -> Result<Redirect, WebError> {
    let latest = chat.latest(&user).await?;
    Ok(Redirect::to(address(&latest)))
}

/// A conversation in the place of the open one, or its page.
type Begun = Result<Either<Pushed, Redirect>, WebError>;

#[post("/c")]
async fn create(user: SignedIn, htmx: Htmx, chat: &State<Chat>) -> Begun {
    let conversation = chat.create(&user).await?;
    begun(chat, &user, conversation, htmx).await
}

/// Makes a conversation that is never written to the disk.
#[post("/c/temporary")]
async fn create_temporary(user: SignedIn, htmx: Htmx, chat: &State<Chat>) -> Begun {
    let conversation = chat.create_temporary(&user).await?;
    begun(chat, &user, conversation, htmx).await
}

/// The next page of the list in the sidebar.
#[get("/conversations?<behind>")]
async fn list(
    user: SignedIn,
    behind: Option<&str>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let list = SidebarView::page(chat, &user, Shelf::Listed, place(behind), htmx.open).await?;
    let name = if htmx.fragment { "partials/groups" } else { "conversations" };
    Ok(Template::render(name, list))
}

/// What was put away.
#[get("/archive?<behind>")]
async fn archive(user: SignedIn, behind: Option<&str>, chat: &State<Chat>) -> Result<Template, WebError> {
    let list = SidebarView::page(chat, &user, Shelf::Archived, place(behind), None).await?;
    Ok(Template::render("archive", list))
}

/// A conversation from its end; or from a message, to a message, or around the message that was asked for.
#[get("/c/<id>?<at>&<since>&<to>")]
async fn open(
    user: SignedIn,
    id: ConversationId,
    at: Option<MessageId>,
    since: Option<MessageId>,
    to: Option<MessageId>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let part = match (at, since, to) {
        (Some(at), ..) => Part::Around(at),
        (_, Some(since), _) => Part::Since(since),
        (_, _, Some(to)) => Part::UpTo(to),
        _ => Part::Last,
    };
    let conversation = chat.conversation(&user, id).await?;
    let page = PageView::load(chat, &user, conversation, part).await?;
    Ok(Template::render(if htmx.fragment { "partials/navigation" } else { "chat" }, page))
}

/// The stretch of a conversation that ends with a message.
#[get("/c/<id>/messages/<message>/before")]
async fn earlier(
    user: SignedIn,
    id: ConversationId,
    message: MessageId,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let conversation = chat.conversation(&user, id).await?;
    let stretch = ThreadView::load(chat, &user, conversation, Part::UpTo(message), None).await?;
    Ok(Template::render("partials/stretch", stretch))
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

/// What can be done with a conversation, in its place in the list or as a page; `done` puts the row back.
#[get("/c/<id>/edit?<done>")]
async fn edit(
    user: SignedIn,
    id: ConversationId,
    done: Option<bool>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let conversation = chat.conversation(&user, id).await?;
    let conversation = ConversationView::new(&conversation, htmx.open == Some(id));
    let name = match (htmx.fragment, done) {
        (true, Some(true)) => "partials/conversation",
        (true, _) => "partials/conversation_edit",
        (false, _) => "conversation_edit",
    };
    Ok(Template::render(name, context! { conversation, focus: true }))
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
) -> Result<Either<Template, Redirect>, WebError> {
    let conversation = chat.rename(&user, id, form.title).await?;
    if !htmx.fragment {
        return Ok(Either::Right(Redirect::to(address(&conversation))));
    }
    let conversation = ConversationView::new(&conversation, htmx.open == Some(id));
    Ok(Either::Left(Template::render("partials/renamed", context! { conversation })))
}

#[derive(FromForm)]
struct ShelfForm<'r> {
    #[field(default = "")]
    shelf: &'r str,
}

/// The list after one was put on a shelf.
#[derive(Serialize)]
struct ShelvedView {
    #[serde(flatten)]
    sidebar: SidebarView,
    /// The one that left the list, on the shelf where it was: the notice puts it back there.
    archived: Option<ConversationView>,
}

#[put("/c/<id>/shelf", data = "<form>")]
async fn put_on_shelf(
    user: SignedIn,
    id: ConversationId,
    form: Form<ShelfForm<'_>>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Template, Redirect>, WebError> {
    let conversation = chat.conversation(&user, id).await?;
    let unknown = || ChatError::Invalid(Invalid("A conversation can be pinned, listed or archived.".into()));
    let shelf = Shelf::parse(form.shelf).ok_or_else(unknown)?;
    chat.put_on_shelf(&user, id, shelf).await?;
    let archived = shelf == Shelf::Archived;
    if !htmx.fragment {
        let to = if archived { "/archive".into() } else { address(&conversation) };
        return Ok(Either::Right(Redirect::to(to)));
    }
    let sidebar = SidebarView::load(chat, &user, htmx.open).await?;
    let archived = archived.then(|| ConversationView::new(&conversation, false));
    Ok(Either::Left(Template::render("partials/shelved", ShelvedView { sidebar, archived })))
}

/// Deletes; where the conversation was on the screen, its neighbour takes its place. Otherwise its row goes, and what is read stays.
#[delete("/c/<id>")]
async fn delete(
    user: SignedIn,
    id: ConversationId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Pushed, Either<Pieces, Redirect>>, WebError> {
    let neighbour = chat.delete(&user, id).await?;
    if !htmx.fragment {
        return Ok(Either::Right(Either::Right(Redirect::to(address(&neighbour)))));
    }
    if htmx.open.is_none_or(|open| open == id) {
        return Ok(Either::Left(navigate(chat, &user, neighbour).await?));
    }
    let inner = Template::render("partials/deleted", context! { id: id.to_string() });
    let reswap = rocket::http::Header::new("HX-Reswap", "none");
    Ok(Either::Right(Either::Left(Pieces { inner, reswap })))
}

/// Shows a conversation that was just made.
async fn begun(chat: &Chat, user: &User, conversation: Conversation, htmx: Htmx) -> Begun {
    match htmx.fragment {
        true => Ok(Either::Left(navigate(chat, user, conversation).await?)),
        false => Ok(Either::Right(Redirect::to(address(&conversation)))),
    }
}

/// Shows another conversation in the place of the open one.
pub(super) async fn navigate(chat: &Chat, user: &User, to: Conversation) -> Result<Pushed, ChatError> {
    let push_url = rocket::http::Header::new("HX-Push-Url", address(&to));
    let inner = Template::render("partials/navigation", PageView::load(chat, user, to, Part::Last).await?);
    Ok(Pushed { inner, push_url })
}

/// Where a conversation's page is.
pub(super) fn address(conversation: &Conversation) -> String {
    format!("/c/{}", conversation.id)
}
