//! The forms of plugins' settings: the administrator's, and those of a person on their account page.

use std::collections::BTreeMap;

use rocket::form::{Form, FromForm};
use rocket::http::Status;
use rocket::{State, post, routes};
use rocket_dyn_templates::{Template, context};

use super::account_views::{AccountView, Said};
use super::error::WebError;
use super::guards::{Administrator, Htmx, SignedIn};
use super::plugin_form_view::PluginFormView;
use super::plugin_views::{Done, PluginView};
use super::refusal::{Page, Refusal};
use crate::accounts::Accounts;
use crate::chat::{Chat, ChatError, Filled};
use crate::plugins::FieldErrors;
use crate::store::StoreError;

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![fill_operator_form, fill_person_form]
}

/// A form as it was filled in. Of a field that is sent twice the last counts: the first is what an empty tick means.
#[derive(FromForm)]
struct SettingsForm {
    value: BTreeMap<String, Vec<String>>,
    reset: Option<String>,
    switch: Vec<bool>,
}

impl From<Form<SettingsForm>> for Filled {
    fn from(form: Form<SettingsForm>) -> Self {
        let SettingsForm { value, reset, switch } = form.into_inner();
        let last = |(name, mut values): (String, Vec<String>)| Some((name, values.pop()?));
        let typed = value.into_iter().filter_map(last).collect();
        Self { typed, reset, switch: switch.last().copied() }
    }
}

/// Keeps what the administrator filled in; every reply that begins from now on has it.
#[post("/admin/plugins/<plugin>/settings", data = "<form>")]
async fn fill_operator_form(
    user: Administrator,
    plugin: &str,
    form: Form<SettingsForm>,
    htmx: Htmx,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    let filled = Filled::from(form);
    let outcome = chat.fill_operator_form(plugin, &filled).await?;
    let form = PluginFormView::of_operator(chat, plugin).await?;
    let (form, refusal) = answered(form, &filled, outcome);
    let template = match htmx.fragment {
        true => Template::render("partials/plugin_settings", context! { form }),
        false => {
            let done = Done { form: Some(form), ..Done::default() };
            Template::render("plugin", PluginView::load(chat, &user, plugin, done).await?)
        }
    };
    Ok(Page { template, refusal })
}

/// Keeps what a person filled in for themself.
#[post("/account/plugins/<plugin>", data = "<form>")]
async fn fill_person_form(
    user: SignedIn,
    plugin: &str,
    form: Form<SettingsForm>,
    htmx: Htmx,
    accounts: &State<Accounts>,
    chat: &State<Chat>,
) -> Result<Page, WebError> {
    let filled = Filled::from(form);
    let outcome = chat.fill_person_form(&user, plugin, &filled).await?;
    let form = PluginFormView::of_person(chat, &user).await?.into_iter().find(|form| form.plugin == plugin);
    let form = form.ok_or(ChatError::Store(StoreError::NotFound))?;
    let (form, refusal) = answered(form, &filled, outcome);
    let template = match htmx.fragment {
        true => Template::render("partials/plugin_settings", context! { form }),
        false => {
            let view = AccountView::load(accounts, chat, &user, Said::default()).await?;
            Template::render("account", view.with_form(form))
        }
    };
    Ok(Page { template, refusal })
}

/// The form as its person gets it back.
fn answered(
    form: PluginFormView,
    filled: &Filled,
    outcome: Result<(), FieldErrors>,
) -> (PluginFormView, Option<Refusal>) {
    match outcome {
        Ok(()) => (form.kept(filled), None),
        Err(errors) => {
            let refusal = Refusal {
                status: Status::UnprocessableEntity,
                sentence: String::new(),
                retry_after: None,
                part: Some(form.part().into()),
            };
            (form.refused(filled, errors), Some(refusal))
        }
    }
}
