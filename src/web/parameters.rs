//! What a person sets for their replies: the form of a conversation, that of their own defaults, and presets.

use std::collections::BTreeMap;

use rocket::form::{Form, FromForm};
use rocket::http::Status;
use rocket::response::Redirect;
use rocket::{Either, State, delete, get, post, put, routes};
use rocket_dyn_templates::Template;

use super::error::WebError;
use super::guards::{Htmx, SignedIn};
use super::parameter_views::{ParametersView, PresetsView, Said};
use super::refusal::{Page, Refusal};
use crate::chat::{Chat, ChatError, Refused, Typed};
use crate::domain::{ConversationId, PresetId, User};

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![of_conversation, fill_conversation, apply, of_person, fill_person, rename_preset, delete_preset]
}

/// Of a field that is sent twice the last counts, as on the forms of settings.
#[derive(FromForm)]
struct ParametersForm {
    value: BTreeMap<String, Vec<String>>,
    nothing: BTreeMap<String, Vec<bool>>,
    reset: Option<String>,
    #[field(default = String::new())]
    preset: String,
}

impl From<Form<ParametersForm>> for Typed {
    fn from(form: Form<ParametersForm>) -> Self {
        let ParametersForm { value, nothing, reset, preset } = form.into_inner();
        let last = |(key, mut values): (String, Vec<String>)| Some((key, values.pop()?));
        let ticked =
            |(key, ticks): (String, Vec<bool>)| ticks.last().copied().unwrap_or(false).then_some(key);
        Self {
            fields: value.into_iter().filter_map(last).collect(),
            nothing: nothing.into_iter().filter_map(ticked).collect(),
            reset,
            preset,
        }
    }
}

#[get("/c/<id>/parameters")]
async fn of_conversation(
    user: SignedIn,
    id: ConversationId,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    Ok(Template::render("parameters", ParametersView::load(chat, &user, Some(id)).await?))
}

/// Keeps what is set for a conversation, and perhaps a preset of it.
#[post("/c/<id>/parameters", data = "<form>")]
async fn fill_conversation(
    user: SignedIn,
    id: ConversationId,
    form: Form<ParametersForm>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    fill(chat, &user, Some(id), form.into(), &htmx).await
}

/// Replaces what is set for a conversation with a preset.
#[post("/c/<id>/presets/<preset>")]
async fn apply(
    user: SignedIn,
    id: ConversationId,
    preset: PresetId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    chat.apply_preset(&user, id, preset).await?;
    let view = ParametersView::load(chat, &user, Some(id)).await?.saying(Said::Applied);
    Ok(Template::render(template(&htmx), view))
}

#[get("/account/parameters")]
async fn of_person(user: SignedIn, chat: &State<Chat>) -> Result<Template, WebError> {
    Ok(Template::render("parameters", ParametersView::load(chat, &user, None).await?))
}

/// Keeps a person's own defaults.
#[post("/account/parameters", data = "<form>")]
async fn fill_person(
    user: SignedIn,
    form: Form<ParametersForm>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    fill(chat, &user, None, form.into(), &htmx).await
}

#[derive(FromForm)]
struct NameForm<'r> {
    #[field(default = "")]
    name: &'r str,
}

#[put("/account/presets/<preset>", data = "<form>")]
async fn rename_preset(
    user: SignedIn,
    preset: PresetId,
    form: Form<NameForm<'_>>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Page, Redirect>, WebError> {
    match chat.rename_preset(&user, preset, form.name).await {
        Ok(()) => presets(chat, &user, &htmx, false).await,
        Err(ChatError::Invalid(why)) => {
            let view = ParametersView::load(chat, &user, None).await?.misnamed(preset, form.name, why.0);
            let template = Template::render(if htmx.fragment { PRESETS } else { "parameters" }, view);
            Ok(Either::Left(Page { template, refusal: Some(refusal("#presets")) }))
        }
        Err(error) => Err(error.into()),
    }
}

#[delete("/account/presets/<preset>")]
async fn delete_preset(
    user: SignedIn,
    preset: PresetId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Page, Redirect>, WebError> {
    chat.delete_preset(&user, preset).await?;
    presets(chat, &user, &htmx, true).await
}

const PRESETS: &str = "partials/presets";

/// The list of presets after something was done to one, or the way to its page.
async fn presets(
    chat: &Chat,
    user: &User,
    htmx: &Htmx,
    one_is_gone: bool,
) -> Result<Either<Page, Redirect>, WebError> {
    if !htmx.fragment {
        return Ok(Either::Right(Redirect::to("/account/parameters#presets")));
    }
    let mut view = PresetsView::load(chat, user).await?;
    view.one_is_gone = one_is_gone;
    let template = Template::render(PRESETS, view);
    Ok(Either::Left(Page { template, refusal: None }))
}

/// The form as its person gets it back.
async fn fill(
    chat: &Chat,
    user: &User,
    conversation: Option<ConversationId>,
    typed: Typed,
    htmx: &Htmx,
) -> Result<Page, WebError> {
    let outcome: Result<(), Refused> = chat.set_parameters(user, conversation, &typed).await?;
    let view = ParametersView::load(chat, user, conversation).await?;
    let (view, refusal) = match outcome {
        Ok(()) => (view.kept(&typed), None),
        Err(refused) => (view.refused(&typed, refused), Some(refusal("#parameters"))),
    };
    Ok(Page { template: Template::render(template(htmx), view), refusal })
}

fn template(htmx: &Htmx) -> &'static str {
    if htmx.fragment { "partials/parameters" } else { "parameters" }
}

fn refusal(part: &'static str) -> Refusal {
    Refusal {
        status: Status::UnprocessableEntity,
        sentence: String::new(),
        retry_after: None,
        part: Some(part.into()),
    }
}
