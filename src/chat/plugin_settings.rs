//! Settings and switches of plugins: the forms of the operator and of each person, and the plugins that a person has.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Chat, ChatError};
use crate::domain::{ConversationId, SettingChanges, User};
use crate::plugins::{FieldErrors, PluginForm, PluginSet, Typed};
use crate::store::StoreError;

/// What a form is sent for. It may hold secrets, so it cannot be printed.
#[derive(Clone, Default)]
pub struct Filled {
    /// The fields.
    pub typed: Typed,
    /// The one setting that goes back to the level below; the fields are not looked at then.
    pub reset: Option<String>,
    /// The form's switch: whether people may turn the plugin off, or whether a person has it on.
    pub switch: Option<bool>,
}

/// A plugin that a person may turn off, as it is in one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSwitch {
    /// The plugin's id.
    pub plugin: String,
    /// The name that it gives itself.
    pub name: String,
    /// What it says it does; may be empty.
    pub description: String,
    /// Whether it is on in this conversation.
    pub on: bool,
    /// Whether it is off everywhere, whatever is said here.
    pub off_everywhere: bool,
}

impl Chat {
    /// Takes over what the operator chose on the forms of plugins, as it is stored.
    pub async fn load_plugin_choices(&self) -> Result<(), ChatError> {
        Ok(self.plugins.configure(self.store.operator_choices()).await?)
    }

    /// The plugins as a person has them, in a conversation of theirs or in none.
    pub(super) async fn plugins_of(
        &self,
        user: &User,
        conversation: Option<ConversationId>,
    ) -> Result<Arc<PluginSet>, ChatError> {
        let set = self.plugins.current().await;
        Ok(set.for_person(&self.store.person_choices(user.id, conversation).await?))
    }

    /// The operator's form of a plugin.
    pub async fn operator_form(&self, plugin: &str) -> Result<PluginForm, ChatError> {
        self.plugins.current().await;
        Ok(self.plugins.operator_form(plugin).ok_or(StoreError::NotFound)?)
    }

    /// Keeps what the operator filled in; it holds from the next message on. What cannot be taken comes back with a sentence
    /// for each field, and nothing is kept.
    pub async fn fill_operator_form(
        &self,
        plugin: &str,
        filled: &Filled,
    ) -> Result<Result<(), FieldErrors>, ChatError> {
        let form = self.operator_form(plugin).await?;
        let read = match reset(&form, filled) {
            Some(changes) => Ok(changes),
            None => self.plugins.read_as_operator(plugin, &filled.typed).ok_or(StoreError::NotFound)?,
        };
        let changes = match read {
            Ok(changes) => changes,
            Err(errors) => return Ok(Err(errors)),
        };
        let optional = filled.switch.filter(|_| filled.reset.is_none() && !form.closed);
        self.store.choose_as_operator(plugin, &changes, optional).await?;
        self.load_plugin_choices().await?;
        Ok(Ok(()))
    }

    /// A person's forms, each with whether they have the plugin on: of every plugin that has settings for them or that they
    /// may turn off.
    pub async fn person_forms(&self, user: &User) -> Result<Vec<(PluginForm, bool)>, ChatError> {
        let set = self.plugins.current().await;
        let choices = self.store.person_choices(user.id, None).await?;
        let forms = set.person_forms(&choices).into_iter();
        Ok(forms
            .map(|form| (!choices.off.contains(&form.plugin), form))
            .map(|(on, form)| (form, on))
            .collect())
    }

    /// As [`Chat::fill_operator_form`], with what a person filled in for themself.
    pub async fn fill_person_form(
        &self,
        user: &User,
        plugin: &str,
        filled: &Filled,
    ) -> Result<Result<(), FieldErrors>, ChatError> {
        let forms = self.person_forms(user).await?;
        let form = forms.into_iter().map(|(form, _)| form).find(|form| form.plugin == plugin);
        let form = form.ok_or(StoreError::NotFound)?;
        let read = match reset(&form, filled) {
            Some(changes) => Ok(changes),
            None => {
                let choices = self.store.person_choices(user.id, None).await?;
                self.plugins.read_as_person(plugin, &choices, &filled.typed).ok_or(StoreError::NotFound)?
            }
        };
        let changes = match read {
            Ok(changes) => changes,
            Err(errors) => return Ok(Err(errors)),
        };
        let off = filled.switch.filter(|_| filled.reset.is_none() && form.optional).map(|on| !on);
        self.store.choose_as_person(user.id, plugin, &changes, off).await?;
        Ok(Ok(()))
    }

    /// Whether there is a plugin that people may turn off, as far as the last look at the folder knows.
    pub fn has_optional_plugins(&self) -> bool {
        self.plugins.last_seen().optional().next().is_some()
    }

    /// The plugins that a person may turn off, as they are in one conversation of theirs.
    pub async fn plugin_switches(
        &self,
        user: &User,
        conversation: ConversationId,
    ) -> Result<Vec<PluginSwitch>, ChatError> {
        let off = self.store.off_in_conversation(user.id, conversation).await?;
        let everywhere = self.store.person_choices(user.id, None).await?.off;
        let set = self.plugins.current().await;
        let switch = |[plugin, name, description]: [&str; 3]| PluginSwitch {
            plugin: plugin.into(),
            name: name.into(),
            description: description.into(),
            on: !off.contains(plugin),
            off_everywhere: everywhere.contains(plugin),
        };
        Ok(set.optional().map(switch).collect())
    }

    /// Turns plugins on and off in one conversation; those that nobody may turn off stay on.
    pub async fn switch_plugins(
        &self,
        user: &User,
        conversation: ConversationId,
        mut switches: BTreeMap<String, bool>,
    ) -> Result<(), ChatError> {
        let set = self.plugins.current().await;
        switches.retain(|plugin, _| set.optional().any(|[id, ..]| id == plugin));
        Ok(self.store.switch_in_conversation(user.id, conversation, &switches).await?)
    }
}

/// The change that the reset of one setting is; a name that the form has not changes nothing.
fn reset(form: &PluginForm, filled: &Filled) -> Option<SettingChanges> {
    let name = filled.reset.as_ref()?;
    let known = form.fields.iter().map(|field| &field.name).chain(&form.leftovers);
    Some(known.filter(|known| *known == name).map(|name| (name.clone(), None)).collect())
}
