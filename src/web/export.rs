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
async fn everything(user: SignedIn, chat: &State<Chat>) -> Result<Download<TextStream![String]>, WebError> {
    download(chat.export(&user), ContentType::JSON, attachment(user.name.as_str(), "json")).await
}

#[get("/c/<id>/export.json")]
async fn as_json(
    user: SignedIn,
    id: ConversationId,
    chat: &State<Chat>,
) -> Result<Download<TextStream![String]>, WebError> {
    let name = attachment(chat.conversation(&user, id).await?.title.as_str(), "json");
    download(chat.export_one(&user, id).await?, ContentType::JSON, name).await
}

#[get("/c/<id>/export.md")]
async fn as_markdown(
    user: SignedIn,
    id: ConversationId,
    chat: &State<Chat>,
) -> Result<Download<TextStream![String]>, WebError> {
    let name = attachment(chat.conversation(&user, id).await?.title.as_str(), "md");
    download(chat.as_markdown(&user, id).await?, ContentType::Markdown, name).await
}

/// Read and sent page by page. A body that breaks off looks like one that has ended, so everything is read once before: a
/// database that is damaged is an error, and no half of a file.
async fn download(
    mut export: Export,
    kind: ContentType,
    name: Header<'static>,
) -> Result<Download<TextStream![String]>, WebError> {
    export.check().await?;
    let pieces = TextStream! {
        loop {
            match export.next().await {
                Ok(Some(piece)) => yield piece,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "an export was cut off");
                    yield format!("\n\nThis file is not complete: {error}\n");
                    break;
                }
            }
        }
    };
    Ok(Download { inner: (kind, pieces), name })
}

/// A name of letters that every file system takes.
fn attachment(of: &str, ending: &str) -> Header<'static> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = of.chars().take(60).map(plain).collect();
    Header::new("Content-Disposition", format!("attachment; filename=\"fireside-{name}.{ending}\""))
}
