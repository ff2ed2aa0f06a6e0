//! Everything of one's own as a download.

use rocket::http::{ContentType, Header};
use rocket::response::stream::TextStream;
use rocket::{Responder, State, get, routes};

use super::guards::SignedIn;
use crate::chat::{Chat, Export};
use crate::domain::User;

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![export]
}

/// A file that a browser saves.
#[derive(Responder)]
struct Download<T> {
    inner: (ContentType, T),
    name: Header<'static>,
}

/// Read and sent page by page. When the database fails on the way the text ends there, and is no whole JSON.
#[get("/account/export")]
async fn export(user: SignedIn, chat: &State<Chat>) -> Download<TextStream![String]> {
    let mut export = chat.export(&user);
    let text = TextStream! {
        while let Some(piece) = next(&mut export).await {
            yield piece;
        }
    };
    Download { inner: (ContentType::JSON, text), name: attachment(&user) }
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
fn attachment(user: &User) -> Header<'static> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = user.name.as_str().chars().map(plain).collect();
    Header::new("Content-Disposition", format!("attachment; filename=\"fireside-{name}.json\""))
}
