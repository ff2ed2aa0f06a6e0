use std::pin::pin;
use std::time::Duration;

use rocket::futures::stream::Stream;
use rocket::http::ContentType;
use rocket::response::stream::stream;
use rocket::serde::json::Json;
use rocket::tokio::select;
use rocket::tokio::time::{sleep, timeout};
use rocket::{Either, State, post, routes};

use super::answer::{Answer, Whole};
use super::error::ApiError;
use super::key::ApiUser;
use super::models::check_name;
use super::parts::Parts;
use super::request::{Body, ChatRequest};
use crate::chat::{Chat, Completion, CompletionEvent};

/// A client that left is noticed at the next write, so there is one at least this often.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(3);

/// A comment of an event stream, which clients skip.
const COMMENT: &[u8] = b": \n\n";

/// White space before JSON, which clients skip.
const SPACE: &[u8] = b"\n";

/// How long a whole answer may take before its first sign of life. Until then a failure has its own status.
const SILENT_FOR: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![chat_completions]
}

/// A reply to a conversation. What fails before the first byte is a status; what fails later is an event `error` in the
/// stream, without `[DONE]`, or the error in the place of the whole answer.
#[post("/chat/completions", data = "<body>")]
async fn chat_completions(
    user: ApiUser,
    body: Body,
    chat: &State<Chat>,
) -> Result<Either<Json<Whole>, Parts>, ApiError> {
    let request = ChatRequest::parse(&body, chat.generation().clone())?;
    check_name(&*chat.model()?, request.model.as_deref())?;
    let completion = chat.complete(&user, request.completion).await?;
    match request.stream {
        Some(options) => {
            let events = events(completion, options.include_usage);
            Ok(Either::Right(Parts::new(ContentType::EventStream, events)))
        }
        None => whole(completion).await,
    }
}

async fn whole(completion: Completion) -> Result<Either<Json<Whole>, Parts>, ApiError> {
    let mut answer = Box::pin(async move {
        let answer = Answer::new(completion.model());
        let (said, end) = completion.whole().await?;
        Ok::<_, ApiError>(answer.whole(said, end))
    });
    if let Ok(answer) = timeout(SILENT_FOR, &mut answer).await {
        return Ok(Either::Left(Json(answer?)));
    }
    let late = stream! {
        loop {
            yield SPACE.to_vec();
            let answer = select! {
                answer = &mut answer => Some(answer),
                () = sleep(SIGN_OF_LIFE_EVERY) => None,
            };
            match answer {
                None => {}
                Some(Ok(answer)) => {
                    yield answer.to_json();
                    break;
                }
                Some(Err(error)) => {
                    yield error.to_json();
                    break;
                }
            }
        }
    };
    Ok(Either::Right(Parts::new(ContentType::JSON, late)))
}

fn events(completion: Completion, include_usage: bool) -> impl Stream<Item = Vec<u8>> + Send {
    let answer = Answer::new(completion.model());
    let mut events = completion.events();
    stream! {
        yield answer.begin();
        loop {
            let mut next = pin!(events.next());
            let event = loop {
                let event = select! {
                    event = &mut next => Some(event),
                    () = sleep(SIGN_OF_LIFE_EVERY) => None,
                };
                match event {
                    Some(event) => break event,
                    None => yield COMMENT.to_vec(),
                }
            };
            match event {
                Ok(CompletionEvent::Piece(piece)) => yield answer.piece(piece),
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
    }
}
