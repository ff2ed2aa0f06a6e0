use std::pin::pin;
use std::time::Duration;

use rocket::http::ContentType;
use rocket::response::stream::ByteStream;
use rocket::serde::json::Json;
use rocket::tokio::{select, time::sleep};
use rocket::{Either, State, post, routes};

use super::answer::{Answer, Whole};
use super::error::ApiError;
use super::key::ApiUser;
use super::models::check_name;
use super::request::{Body, ChatRequest};
use crate::chat::{Chat, Completion, CompletionEvent};

/// A client that left is noticed at the next write, so there is one at least this often.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(3);

/// A comment of an event stream, which clients skip.
const SIGN_OF_LIFE: &[u8] = b": \n\n";

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![chat_completions]
}

/// A reply to a conversation. What fails before the first piece is a status; what fails later is an event `error` in the
/// stream, without `[DONE]`.
#[post("/chat/completions", data = "<body>")]
async fn chat_completions(
    user: ApiUser,
    body: Body,
    chat: &State<Chat>,
) -> Result<Either<Json<Whole>, (ContentType, ByteStream![Vec<u8>])>, ApiError> {
    let request = ChatRequest::parse(&body, chat.generation().clone())?;
    check_name(&*chat.model()?, request.model.as_deref())?;
    let completion = chat.complete(&user, request.completion).await?;
    match request.stream {
        Some(options) => Ok(Either::Right(stream(completion, options.include_usage))),
        None => Ok(Either::Left(whole(completion).await?)),
    }
}

async fn whole(completion: Completion) -> Result<Json<Whole>, ApiError> {
    let answer = Answer::new(completion.model());
    let (text, end) = completion.whole().await?;
    Ok(Json(answer.whole(text, end)))
}

fn stream(mut completion: Completion, include_usage: bool) -> (ContentType, ByteStream![Vec<u8>]) {
    let answer = Answer::new(completion.model());
    let events = ByteStream! {
        yield answer.begin();
        loop {
            let mut next = pin!(completion.next());
            let event = loop {
                let event = select! {
                    event = &mut next => Some(event),
                    () = sleep(SIGN_OF_LIFE_EVERY) => None,
                };
                match event {
                    Some(event) => break event,
                    None => yield SIGN_OF_LIFE.to_vec(),
                }
            };
            match event {
                Ok(CompletionEvent::Text(text)) => yield answer.piece(&text),
                Ok(CompletionEvent::End(end)) => {
                    yield answer.end(&end, include_usage);
                    break;
                }
                Err(error) => {
                    yield ApiError::from(error).to_event();
                    break;
                }
            }
        }
    };
    (ContentType::EventStream, events)
}
