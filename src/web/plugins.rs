//! The administrator's pages for plugins: the list, and one page for each. Their forms work without JavaScript too.

use std::convert::Infallible;

use rocket::form::{Form, FromForm};
use rocket::http::Status;
use rocket::request::FromParam;
use rocket::response::Redirect;
use rocket::{Either, State, get, post, routes};
use rocket_dyn_templates::Template;

use super::error::WebError;
use super::guards::{Administrator, Htmx};
use super::plugin_rows::{PluginsView, path};
use super::plugin_views::{Done, PluginView};
use super::refusal::{Page, Refusal};
use crate::chat::{Chat, ChatError, Script};

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![list, detail, enable, disable, wake, test, rehearse]
}

/// A plugin's id, as far as the address tells; whether there is one is asked later.
struct PluginId(String);

impl FromParam<'_> for PluginId {
    type Error = Infallible;

    fn from_param(param: &str) -> Result<Self, Infallible> {
        Ok(Self(param.to_owned()))
    }
}

/// A part of a plugin's page, which an action of its own brings up to date.
#[derive(Clone, Copy)]
enum Part {
    State,
    Tests,
    Rehearsal,
}

impl Part {
    fn template(self) -> &'static str {
        match self {
            Self::State => "partials/plugin_state",
            Self::Tests => "partials/plugin_tests",
            Self::Rehearsal => "partials/plugin_try",
        }
    }
}

#[get("/admin/plugins")]
async fn list(user: Administrator, chat: &State<Chat>) -> Template {
    Template::render("plugins", PluginsView::new(&user, chat.plugins().await))
}

#[get("/admin/plugins/<plugin>")]
async fn detail(user: Administrator, plugin: PluginId, chat: &State<Chat>) -> Result<Template, WebError> {
    Ok(Template::render("plugin", PluginView::load(chat, &user, &plugin.0, Done::default()).await?))
}

#[post("/admin/plugins/<plugin>/enable")]
async fn enable(
    user: Administrator,
    plugin: PluginId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Template, Redirect>, WebError> {
    chat.switch_plugin(&plugin.0, true).await?;
    state(chat, &user, &plugin, &htmx).await
}

#[post("/admin/plugins/<plugin>/disable")]
async fn disable(
    user: Administrator,
    plugin: PluginId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Template, Redirect>, WebError> {
    chat.switch_plugin(&plugin.0, false).await?;
    state(chat, &user, &plugin, &htmx).await
}

/// Lets a plugin that rests work again.
#[post("/admin/plugins/<plugin>/wake")]
async fn wake(
    user: Administrator,
    plugin: PluginId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Either<Template, Redirect>, WebError> {
    chat.wake_plugin(&plugin.0).await?;
    state(chat, &user, &plugin, &htmx).await
}

#[post("/admin/plugins/<plugin>/test")]
async fn test(
    user: Administrator,
    plugin: PluginId,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let tested = chat.test_plugin(&plugin.0).await?;
    let done = Done { tested: Some(tested), ..Done::default() };
    answer(chat, &user, &plugin, &htmx, Part::Tests, done).await
}

#[derive(FromForm)]
struct ScriptForm {
    #[field(default = "")]
    system_prompt: String,
    #[field(default = "")]
    conversation: String,
    #[field(default = "")]
    answer: String,
}

#[post("/admin/plugins/<plugin>/try", data = "<form>")]
async fn rehearse(
    user: Administrator,
    plugin: PluginId,
    form: Form<ScriptForm>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    let ScriptForm { system_prompt, conversation, answer: said } = form.into_inner();
    let script = Script { system_prompt, conversation, answer: said };
    let (rehearsed, refusal) = match chat.rehearse(&user, &plugin.0, script.clone()).await {
        Ok(rehearsed) => (Some(rehearsed), None),
        Err(ChatError::Invalid(why)) => (None, Some(why.to_string())),
        Err(error) => return Err(error.into()),
    };
    let done = Done { script: Some(script), rehearsed, refusal: refusal.clone(), ..Done::default() };
    let template = answer(chat, &user, &plugin, &htmx, Part::Rehearsal, done).await?;
    let refusal = refusal.map(|sentence| Refusal {
        status: Status::UnprocessableEntity,
        sentence,
        retry_after: None,
        part: Some("#try".into()),
    });
    Ok(Page { template, refusal })
}

async fn state(
    chat: &Chat,
    user: &Administrator,
    plugin: &PluginId,
    htmx: &Htmx,
) -> Result<Either<Template, Redirect>, WebError> {
    if !htmx.fragment {
        return Ok(Either::Right(Redirect::to(path(&plugin.0))));
    }
    Ok(Either::Left(answer(chat, user, plugin, htmx, Part::State, Done::default()).await?))
}

/// The part of the page that was acted on, or the page.
async fn answer(
    chat: &Chat,
    user: &Administrator,
    plugin: &PluginId,
    htmx: &Htmx,
    part: Part,
    done: Done,
) -> Result<Template, WebError> {
    let view = PluginView::load(chat, user, &plugin.0, done).await?;
    Ok(Template::render(if htmx.fragment { part.template() } else { "plugin" }, view))
}
