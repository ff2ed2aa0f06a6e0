//! Search over titles and messages.

use rocket::{State, get, routes};
use rocket_dyn_templates::Template;
use serde::Serialize;

use super::error::WebError;
use super::guards::{Htmx, SignedIn};
use crate::chat::{Chat, Hit};
use crate::domain::{Piece, Shelf, in_iso, in_words};

/// Places of one page.
const PAGE: u32 = 20;

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![search]
}

/// What was found, as a page or below the field in which one types.
#[derive(Serialize)]
struct FoundView {
    q: String,
    /// Whether something can be looked for.
    sought: bool,
    /// Whether this is not the first page.
    further: bool,
    found: Vec<PlaceView>,
    /// Where the next page begins.
    more: Option<i64>,
}

#[derive(Serialize)]
struct PlaceView {
    url: String,
    title: String,
    archived: bool,
    pieces: Vec<Piece>,
    /// Who wrote the message, and when, for machines and for people; none for a title.
    role: Option<&'static str>,
    at: Option<(String, String)>,
}

#[get("/search?<q>&<before>")]
async fn search(
    user: SignedIn,
    q: Option<&str>,
    before: Option<i64>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let q = q.unwrap_or_default();
    let result = chat.search(&user, q, before.unwrap_or(i64::MAX), PAGE + 1).await?;
    let view = FoundView::new(q, before.is_some(), result);
    Ok(Template::render(if htmx.fragment { "partials/found" } else { "search" }, view))
}

impl FoundView {
    fn new(q: &str, further: bool, result: Option<Vec<Hit>>) -> Self {
        let q = q.to_owned();
        let Some(mut found) = result else {
            return Self { q, sought: false, further, found: Vec::new(), more: None };
        };
        let more = found.len() > PAGE as usize;
        found.truncate(PAGE as usize);
        let more = found.last().filter(|_| more).map(|last| last.found.position);
        let found = found.into_iter().map(PlaceView::from).collect();
        Self { q, sought: true, further, found, more }
    }
}

impl From<Hit> for PlaceView {
    fn from(Hit { found, excerpt: pieces }: Hit) -> Self {
        let (title, archived) = (found.title.to_string(), found.shelf == Shelf::Archived);
        let page = format!("/c/{}", found.conversation);
        match found.message {
            None => Self { url: page, pieces, title, archived, role: None, at: None },
            Some(message) => Self {
                url: format!("{page}?at={0}#message-{0}", message.id),
                title,
                archived,
                pieces,
                role: Some(message.role.as_str()),
                at: Some((in_iso(message.created_at), in_words(message.created_at))),
            },
        }
    }
}
