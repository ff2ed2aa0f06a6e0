//! The plugins of one conversation: which are on, and turning them off and on.

use std::collections::BTreeMap;

use rocket::form::{Form, FromForm};
use rocket::{State, get, post, routes};
use rocket_dyn_templates::Template;
use serde::Serialize;

use super::error::WebError;
use super::guards::{Htmx, SignedIn};
use super::sidebar_views::ConversationView;
use crate::chat::{Chat, ChatError, PluginSwitch};
use crate::domain::{ConversationId, User};

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![switches, switch]
}

/// The page, and its form.
#[derive(Serialize)]
struct SwitchesView {
    conversation: ConversationView,
    switches: Vec<SwitchView>,
    done: bool,
}

#[derive(Serialize)]
struct SwitchView {
    plugin: String,
    name: String,
    description: String,
    on: bool,
    off_everywhere: bool,
}

impl SwitchesView {
    async fn load(chat: &Chat, user: &User, id: ConversationId, done: bool) -> Result<Self, ChatError> {
        let conversation = ConversationView::new(&chat.conversation(user, id).await?, true);
        let switches = chat.plugin_switches(user, id).await?.into_iter();
        Ok(Self { conversation, switches: switches.map(SwitchView::from).collect(), done })
    }
}

impl From<PluginSwitch> for SwitchView {
    fn from(switch: PluginSwitch) -> Self {
        let PluginSwitch { plugin, name, description, on, off_everywhere } = switch;
        Self { plugin, name, description, on, off_everywhere }
    }
}

#[get("/c/<id>/plugins")]
async fn switches(user: SignedIn, id: ConversationId, chat: &State<Chat>) -> Result<Template, WebError> {
    Ok(Template::render("plugin_switches", SwitchesView::load(chat, &user, id, false).await?))
}

/// Of a plugin that is sent twice the last counts, as on the forms of settings.
#[derive(FromForm)]
struct SwitchesForm {
    on: BTreeMap<String, Vec<bool>>,
}

#[post("/c/<id>/plugins", data = "<form>")]
async fn switch(
    user: SignedIn,
    id: ConversationId,
    form: Form<SwitchesForm>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let last = |(plugin, mut on): (String, Vec<bool>)| Some((plugin, on.pop()?));
    let switches = form.into_inner().on.into_iter().filter_map(last).collect();
    chat.switch_plugins(&user, id, switches).await?;
    let view = SwitchesView::load(chat, &user, id, true).await?;
    Ok(Template::render(if htmx.fragment { "partials/plugin_switches" } else { "plugin_switches" }, view))
}
