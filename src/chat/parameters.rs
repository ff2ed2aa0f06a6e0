//! What people set for their replies: the forms, and what is in effect in a conversation.
//!
//! Only replies in the browser have it. A program says with each request what it wants.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Chat, ChatError, trace};
use crate::domain::{
    ConversationId, Invalid, Level, Parameter, ParameterKind, ParameterLevels, Parameters, Preset, PresetId,
    PresetName, SamplingParams, SetBy, Trace, User, UserId,
};
use crate::engine::Grammar;
use crate::store::StoreError;

/// A parameter on a form.
#[derive(Debug, Clone)]
pub struct ParameterField {
    /// Which one it is.
    pub parameter: &'static Parameter,
    /// What this form sets, as it is typed; empty where it sets it to nothing.
    pub own: Option<String>,
    /// What holds where this form sets nothing.
    pub inherited: String,
    /// Who set that.
    pub inherited_from: Level,
    /// The operator's limit, where there is one.
    pub limit: Option<String>,
    /// What that makes of what holds.
    pub lowered_to: Option<String>,
}

/// What was typed into a form of parameters.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    /// The fields by name; what is not among them stays as it is.
    pub fields: BTreeMap<String, String>,
    /// Those that are set to nothing.
    pub nothing: BTreeSet<String>,
    /// The one that goes back to what is inherited; nothing else is looked at then.
    pub reset: Option<String>,
    /// The name under which the values are kept as a preset, too; empty = they are not.
    pub preset: String,
}

/// What is wrong with a form: sentences by field. That of the preset's name stands under [`PRESET_FIELD`].
pub type Refused = BTreeMap<String, String>;

/// The name of the field for a preset's name.
pub const PRESET_FIELD: &str = "preset";

/// What a reply is written with, before any plugin.
pub(super) struct InEffect {
    pub(super) system_prompt: String,
    pub(super) params: SamplingParams,
    pub(super) json_schema: Option<String>,
    pub(super) prefill: Option<String>,
    /// Who set what is not the operator's.
    pub(super) set_by: BTreeMap<String, SetBy>,
}

impl InEffect {
    /// Without what is for the beginning of a reply.
    pub(super) fn of_a_continuation(mut self) -> Self {
        for key in ["json_schema", "prefill"] {
            self.set_by.remove(key);
        }
        Self { json_schema: None, prefill: None, ..self }
    }
}

impl Chat {
    /// What holds in a conversation of the person's.
    pub(super) async fn in_effect(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<InEffect, ChatError> {
        let levels = self.store.parameters(user, Some(conversation)).await?;
        let text = |key| levels.in_effect(key).and_then(|(_, value)| value.as_str()).map(str::to_owned);
        let some_text = |key| text(key).filter(|text| !text.is_empty());
        let set_by = |parameter: &Parameter| {
            let (level, _) = levels.in_effect(parameter.key)?;
            Some((parameter.key.to_owned(), SetBy::from(level)))
        };
        Ok(InEffect {
            system_prompt: text("system_prompt").unwrap_or_else(|| self.config.system_prompt.clone()),
            json_schema: some_text("json_schema"),
            prefill: some_text("prefill"),
            set_by: Parameter::all().iter().filter_map(set_by).collect(),
            params: levels.over(self.generation.clone()),
        })
    }

    /// The fields of a person's form, of a conversation or, with none, of their defaults.
    pub async fn parameter_fields(
        &self,
        user: &User,
        conversation: Option<ConversationId>,
    ) -> Result<Vec<ParameterField>, ChatError> {
        let levels = self.levels(user, conversation).await?;
        let level = level_of(conversation);
        let operator = trace::as_json(&self.generation);
        let lowered = self.limits.clamp(&mut levels.over(self.generation.clone()));
        let field = |parameter: &'static Parameter| {
            let (inherited_from, inherited) = match levels.below(level, parameter.key) {
                Some((level, value)) => (level, parameter.written(value)),
                None => (Level::Operator, self.operators(&operator, parameter)),
            };
            let own = own(&levels, level).get(parameter.key).map(|value| parameter.written(value));
            let lowered = lowered.iter().find(|lowered| lowered.key == parameter.key);
            let lowered_to = lowered.map(|lowered| lowered.limit.clone());
            let limit = self.limits.of(parameter.key);
            ParameterField { parameter, own, inherited, inherited_from, limit, lowered_to }
        };
        Ok(Parameter::all().iter().map(field).collect())
    }

    /// How the newest reply that is shown in a conversation came about, for what plugins did to its parameters.
    pub async fn newest_trace(
        &self,
        user: &User,
        conversation: ConversationId,
    ) -> Result<Option<Trace>, ChatError> {
        match self.conversation(user, conversation).await?.head {
            Some(head) => Ok(self.store.trace(user.id, conversation, head).await?),
            None => Ok(None),
        }
    }

    /// Keeps what was typed; it holds from the next reply on. Of a form that is wrong nothing is kept.
    pub async fn set_parameters(
        &self,
        user: &User,
        conversation: Option<ConversationId>,
        typed: &Typed,
    ) -> Result<Result<(), Refused>, ChatError> {
        let levels = self.levels(user, conversation).await?;
        let mut parameters = own(&levels, level_of(conversation)).clone();
        if let Some(reset) = &typed.reset {
            if let Some(parameter) = Parameter::find(reset) {
                parameters.set(parameter, None);
            }
        } else {
            let mut refused = self.read(typed, &mut parameters).await?;
            if refused.is_empty() && !typed.preset.trim().is_empty() {
                let kept = self.keep_preset(user, &typed.preset, &parameters).await?;
                refused.extend(kept.err().map(|why| (PRESET_FIELD.to_owned(), why.0)));
            }
            if !refused.is_empty() {
                return Ok(Err(refused));
            }
        }
        match conversation {
            Some(id) => self.store.set_conversation_parameters(user.id, id, &parameters).await?,
            None => self.store.set_person_parameters(user.id, &parameters).await?,
        }
        Ok(Ok(()))
    }

    /// Reads a form over what was set before.
    async fn read(&self, typed: &Typed, parameters: &mut Parameters) -> Result<Refused, ChatError> {
        let mut refused = Refused::new();
        for parameter in Parameter::all() {
            let nothing = parameter.nothing().filter(|_| typed.nothing.contains(parameter.key));
            let text = typed.fields.get(parameter.key).map(String::as_str);
            let read = match (nothing, text) {
                (Some(nothing), None) => Ok(Some(nothing)),
                (Some(nothing), Some(text)) if text.trim().is_empty() => Ok(Some(nothing)),
                (Some(_), Some(_)) => Err(Invalid("Empty the field, or take the tick out below it.".into())),
                (None, Some(text)) => parameter.read(text, self.config.max_message_chars),
                (None, None) => continue,
            };
            let read = match read {
                Ok(value) => self.check_schema(parameter, value.as_ref()).await?.map(|()| value),
                refused => refused,
            };
            match read {
                Ok(value) => parameters.set(parameter, value),
                Err(why) => drop(refused.insert(parameter.key.to_owned(), why.0)),
            }
        }
        Ok(refused)
    }

    /// Whether the model can follow a schema. While none is loaded only its size and shape are looked at.
    async fn check_schema(
        &self,
        parameter: &Parameter,
        value: Option<&Value>,
    ) -> Result<Result<(), Invalid>, ChatError> {
        let text = value.and_then(Value::as_str).filter(|text| !text.is_empty());
        let (ParameterKind::Schema, Some(text)) = (&parameter.kind, text) else { return Ok(Ok(())) };
        let (grammar, engine) = (Grammar::JsonSchema(text.to_owned()), self.engine.clone());
        let check = move || match engine.model() {
            Ok(model) => model.check_grammar(&grammar),
            Err(_) => grammar.check(),
        };
        let checked = tokio::task::spawn_blocking(check).await.map_err(|_| ChatError::Panicked)?;
        Ok(checked.map_err(|error| Invalid(error.to_string())))
    }

    /// A person's presets by name.
    pub async fn presets(&self, user: &User) -> Result<Vec<Preset>, ChatError> {
        Ok(self.store.presets(user.id).await?)
    }

    async fn keep_preset(
        &self,
        user: &User,
        name: &str,
        parameters: &Parameters,
    ) -> Result<Result<(), Invalid>, ChatError> {
        let name = match PresetName::parse(name) {
            Ok(name) => name,
            Err(why) => return Ok(Err(why)),
        };
        let preset = Preset { id: PresetId::new(), name, parameters: parameters.clone() };
        match self.store.create_preset(user.id, &preset).await {
            Ok(true) => Ok(Ok(())),
            Ok(false) => {
                let most = Preset::MOST;
                Ok(Err(Invalid(format!("You have {most} presets, which is the most. Delete one first."))))
            }
            Err(StoreError::NameTaken) => Ok(Err(taken(&preset.name))),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a preset another name.
    ///
    /// # Errors
    /// [`ChatError::Invalid`] when the name cannot be one, or another preset has it.
    pub async fn rename_preset(&self, user: &User, preset: PresetId, name: &str) -> Result<(), ChatError> {
        let name = PresetName::parse(name)?;
        match self.store.rename_preset(user.id, preset, &name).await {
            Err(StoreError::NameTaken) => Err(taken(&name).into()),
            renamed => Ok(renamed?),
        }
    }

    /// Deletes a preset. Where it was applied its values stay.
    pub async fn delete_preset(&self, user: &User, preset: PresetId) -> Result<(), ChatError> {
        Ok(self.store.delete_preset(user.id, preset).await?)
    }

    /// Replaces what is set for a conversation with a preset.
    pub async fn apply_preset(
        &self,
        user: &User,
        conversation: ConversationId,
        preset: PresetId,
    ) -> Result<(), ChatError> {
        Ok(self.store.apply_preset(user.id, conversation, preset).await?)
    }

    async fn levels(
        &self,
        user: &User,
        conversation: Option<ConversationId>,
    ) -> Result<ParameterLevels, ChatError> {
        if let Some(id) = conversation {
            self.conversation(user, id).await?;
        }
        Ok(self.store.parameters(user.id, conversation).await?)
    }

    /// The operator's value, as it is typed.
    fn operators(&self, generation: &serde_json::Map<String, Value>, parameter: &Parameter) -> String {
        match parameter.key {
            "system_prompt" => self.config.system_prompt.trim().to_owned(),
            key => generation.get(key).map(|value| parameter.written(value)).unwrap_or_default(),
        }
    }
}

fn taken(name: &PresetName) -> Invalid {
    Invalid(format!("You have a preset “{name}” already. Choose another name."))
}

fn level_of(conversation: Option<ConversationId>) -> Level {
    conversation.map_or(Level::Person, |_| Level::Conversation)
}

/// What a form sets.
fn own(levels: &ParameterLevels, level: Level) -> &Parameters {
    match level {
        Level::Conversation => &levels.conversation,
        _ => &levels.person,
    }
}
