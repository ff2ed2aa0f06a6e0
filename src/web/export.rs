//! Everything of one's own as a download, and a conversation.

use rocket::http::{ContentType, Header};
use rocket::response::stream::TextStream;
use rocket::{Responder, State, get, routes};

use super::error::WebError;
use super::guards::SignedIn;
use crate::chat::{Chat, Export};
use crate::domain::ConversationId;

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![everything, as_json, as_markdown]
}

/// A file that a browser saves.
#[derive(Responder)]
struct Download<T> {
    inner: (ContentType, T),
    name: Header<'static>,
}

#[get("/account/export")]
async fn everything(user: SignedIn, chat: &State<Chat>) -> Download<TextStream![String]> {
    let name = attachment(user.name.as_str(), "json");
    Download { inner: (ContentType::JSON, pieces(chat.export(&user))), name }
}

#[get("/c/<id>/export.json")]
async fn as_json(
    user: SignedIn,
    id: ConversationId,
    chat: &State<Chat>,
) -> Result<Download<TextStream![String]>, WebError> {
    let name = attachment(chat.conversation(&user, id).await?.title.as_str(), "json");
    Ok(Download { inner: (ContentType::JSON, pieces(chat.export_one(&user, id).await?)), name })
}

#[get("/c/<id>/export.md")]
async fn as_markdown(
    user: SignedIn,
    id: ConversationId,
    chat: &State<Chat>,
) -> Result<Download<String>, WebError> {
    let name = attachment(chat.conversation(&user, id).await?.title.as_str(), "md");
    Ok(Download { inner: (ContentType::Markdown, chat.as_markdown(&user, id).await?), name })
}

/// Read and sent page by page. When the database fails on the way the text ends there, and is no whole JSON.
fn pieces(mut export: Export) -> TextStream![String] {
    TextStream! {
        while let Some(piece) = next(&mut export).await {
            yield piece;
        }
    }
}

async fn next(export: &mut Export) -> Option<String> {
    match export.next().await {
        Ok(piece) => piece,
        Err(error) => {
            tracing::error!(%error, "an export was cut off");
            None
        }
    }
}

/// A name of letters that every file system takes.
fn attachment(of: &str, ending: &str) -> Header<'static> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = of.chars().take(60).map(plain).collect();
    Header::new("Content-Disposition", format!("attachment; filename=\"fireside-{name}.{ending}\""))
}
