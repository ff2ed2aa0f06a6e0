//! What templates receive of parameters.

use serde::Serialize;

use super::sidebar_views::ConversationView;
use super::views::{ModelView, grouped};
use crate::chat::{Chat, ChatError, PRESET_FIELD, ParameterField, Refused, Typed};
use crate::domain::{
    ConversationId, Level, ParamTrace, ParameterKind, PartOrigin, Preset, PresetId, PresetName, Range, SetBy,
    Trace, User,
};

/// Groups of fields: the key of the title, the names, whether it is folded away while nothing in it is set.
const GROUPS: [(&str, &[&str], bool); 4] = [
    ("reply", &["system_prompt", "prefill", "max_tokens", "stop", "seed", "json_schema"], false),
    ("sampling", &["temperature", "top_k", "top_p", "min_p", "typical_p", "top_n_sigma"], false),
    ("repetition", &["repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty"], false),
    (
        "others",
        &[
            "dry_multiplier",
            "dry_base",
            "dry_allowed_length",
            "dry_penalty_last_n",
            "dry_sequence_breakers",
            "xtc_probability",
            "xtc_threshold",
            "mirostat",
            "mirostat_tau",
            "mirostat_eta",
            "logit_bias",
        ],
        true,
    ),
];

/// The page of parameters, and its form.
#[derive(Serialize)]
pub struct ParametersView {
    /// None for a person's defaults.
    conversation: Option<ConversationView>,
    /// Where the form is sent.
    action: String,
    model: ModelView,
    groups: Vec<GroupView>,
    presets: Vec<PresetView>,
    max_name_chars: usize,
    preset: String,
    preset_error: Option<String>,
    said: Option<Said>,
    wrong: bool,
}

/// What was just done.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The form was kept.
    Saved,
    /// … and a preset of it.
    SavedAsPreset,
    /// One parameter was taken back.
    Reset,
    /// A preset took the form's place.
    Applied,
}

#[derive(Serialize)]
struct GroupView {
    key: &'static str,
    fields: Vec<FieldView>,
    folds: bool,
    open: bool,
}

#[derive(Serialize)]
struct FieldView {
    key: &'static str,
    about: &'static str,
    kind: &'static str,
    /// What a number may be.
    range: Option<RangeView>,
    /// A minus sign may be needed, which some keypads of phones lack.
    signed: bool,
    text: String,
    inherited: String,
    /// Who set what holds; none where nothing does.
    origin: Option<&'static str>,
    /// Who set what is inherited.
    below: &'static str,
    set: bool,
    /// It is set to nothing, or that was ticked.
    nothing: bool,
    /// Whether it can be set to nothing instead of what is inherited.
    may_be_nothing: bool,
    lowered_to: Option<String>,
    /// What a plugin did to it for the newest reply.
    newest: Option<NewestView>,
    error: Option<String>,
    /// Whether the person goes on here: at the first thing to mend, or at what was taken back.
    focus: bool,
}

/// From where to where, and whether the operator sets the end.
#[derive(Serialize)]
struct RangeView {
    min: String,
    max: String,
    limited: bool,
}

/// Which text tells what a plugin did, and what stands in it.
#[derive(Serialize)]
struct NewestView {
    says: &'static str,
    plugin: String,
    asked: String,
    /// None where it would be long.
    value: Option<String>,
}

impl ParametersView {
    /// Reads a form: a conversation's, or with none that of a person's defaults.
    pub async fn load(
        chat: &Chat,
        user: &User,
        conversation: Option<ConversationId>,
    ) -> Result<Self, ChatError> {
        let fields = chat.parameter_fields(user, conversation).await?;
        let (shown, newest) = match conversation {
            Some(id) => {
                let shown = ConversationView::new(&chat.conversation(user, id).await?, true);
                (Some(shown), chat.newest_trace(user, id).await?)
            }
            None => (None, None),
        };
        let field = |key: &&str| {
            let field = fields.iter().find(|field| field.parameter.key == *key)?;
            Some(FieldView::new(field, conversation.is_some(), newest.as_ref()))
        };
        let group = |(key, keys, folds): (&'static str, &[&str], bool)| {
            let fields: Vec<_> = keys.iter().filter_map(field).collect();
            GroupView { key, folds, open: fields.iter().any(FieldView::is_of_interest), fields }
        };
        Ok(Self {
            action: match conversation {
                Some(id) => format!("/c/{id}/parameters"),
                None => "/account/parameters".into(),
            },
            conversation: shown,
            model: ModelView::new(chat.engine_state()),
            groups: GROUPS.into_iter().map(group).collect(),
            presets: PresetsView::load(chat, user).await?.presets,
            max_name_chars: PresetName::MAX_CHARS,
            preset: String::new(),
            preset_error: None,
            said: None,
            wrong: false,
        })
    }

    /// The form with what was just done.
    pub fn saying(self, said: Said) -> Self {
        Self { said: Some(said), ..self }
    }

    /// The form after it was kept.
    pub fn kept(mut self, typed: &Typed) -> Self {
        match &typed.reset {
            Some(reset) => {
                // The other fields were not looked at.
                self.type_again(typed, Some(reset));
                // The button that took it back is gone.
                let mut fields = self.groups.iter_mut().flat_map(|group| &mut group.fields);
                if let Some(field) = fields.find(|field| field.key == *reset) {
                    field.focus = true;
                }
                self.saying(Said::Reset)
            }
            None if typed.preset.trim().is_empty() => self.saying(Said::Saved),
            None => self.saying(Said::SavedAsPreset),
        }
    }

    /// The form as it was filled in, with what is wrong with it.
    pub fn refused(mut self, typed: &Typed, mut refused: Refused) -> Self {
        self.type_again(typed, None);
        self.preset_error = refused.remove(PRESET_FIELD);
        for field in self.groups.iter_mut().flat_map(|group| &mut group.fields) {
            field.error = refused.remove(field.key);
        }
        let mut wrong = self.groups.iter_mut().flat_map(|group| &mut group.fields);
        if let Some(first) = wrong.find(|field| field.error.is_some()) {
            first.focus = true;
        }
        for group in &mut self.groups {
            group.open |= group.fields.iter().any(|field| field.error.is_some());
        }
        Self { wrong: true, ..self }
    }

    /// The page with a preset's name that cannot be one.
    pub fn misnamed(mut self, preset: PresetId, name: &str, why: String) -> Self {
        let id = preset.to_string();
        if let Some(preset) = self.presets.iter_mut().find(|preset| preset.id == id) {
            preset.typed = name.to_owned();
            preset.error = Some(why);
        }
        self
    }

    fn type_again(&mut self, typed: &Typed, except: Option<&str>) {
        self.preset.clone_from(&typed.preset);
        let fields = self.groups.iter_mut().flat_map(|group| &mut group.fields);
        for field in fields.filter(|field| Some(field.key) != except) {
            if let Some(text) = typed.fields.get(field.key) {
                field.text.clone_from(text);
                field.nothing = typed.nothing.contains(field.key);
            }
        }
    }
}

impl FieldView {
    fn new(field: &ParameterField, in_conversation: bool, newest: Option<&Trace>) -> Self {
        let key = field.parameter.key;
        let own = if in_conversation { "conversation" } else { "person" };
        let below = match field.inherited_from {
            Level::Operator => "operator",
            Level::Person | Level::Conversation => "person",
        };
        let (kind, range) = match &field.parameter.kind {
            ParameterKind::Number(range) => ("number", Some(range)),
            ParameterKind::Texts => ("texts", None),
            ParameterKind::Biases => ("biases", None),
            ParameterKind::Text => ("text", None),
            ParameterKind::Schema => ("schema", None),
        };
        let text = field.own.clone().unwrap_or_default();
        let nothing = field.own.is_some() && text.is_empty();
        Self {
            key,
            about: field.parameter.about,
            kind,
            signed: range.is_some_and(|range| range.min.starts_with('-')),
            range: range.map(|range| RangeView::new(range, field.limit.as_deref())),
            text,
            inherited: field.inherited.clone(),
            origin: match &field.own {
                Some(_) => Some(own),
                None => Some(below).filter(|_| !field.inherited.is_empty()),
            },
            below,
            set: field.own.is_some(),
            nothing,
            may_be_nothing: kind != "number" && (nothing || !field.inherited.is_empty()),
            lowered_to: field.lowered_to.clone(),
            newest: newest.and_then(|trace| by_plugin(trace, key)),
            error: None,
            focus: false,
        }
    }

    fn is_of_interest(&self) -> bool {
        self.set || self.newest.is_some() || self.lowered_to.is_some() || self.origin == Some("person")
    }
}

impl RangeView {
    fn new(range: &Range, limit: Option<&str>) -> Self {
        let readable = |number: &str| number.parse().map_or_else(|_| number.to_owned(), grouped);
        let limit = limit.filter(|limit| *limit != range.max);
        let max = readable(limit.unwrap_or(&range.max));
        Self { min: readable(&range.min), max, limited: limit.is_some() }
    }
}

/// What a plugin did to a parameter of a reply.
fn by_plugin(trace: &Trace, key: &str) -> Option<NewestView> {
    let view = |says, plugin: &str, asked: &str, value| {
        Some(NewestView { says, plugin: plugin.to_owned(), asked: asked.to_owned(), value })
    };
    if key == "system_prompt" {
        let system = trace.prompt.iter().find(|part| part.origin == PartOrigin::System)?;
        let plugins = (!system.plugins.is_empty()).then(|| system.plugins.join(", "))?;
        return view("system_prompt", &plugins, "", None);
    }
    let ParamTrace { value, by, .. } = trace.params.iter().find(|param| param.key == key)?;
    let value = value.clone().filter(|value| value.len() <= 40);
    match by {
        SetBy::Plugin(plugin) => view("plugin", plugin, "", value),
        SetBy::Limit { plugin: Some(plugin), asked } => view("limit", plugin, asked, value),
        _ => None,
    }
}

/// The presets of a person.
#[derive(Serialize)]
pub struct PresetsView {
    presets: Vec<PresetView>,
    max_name_chars: usize,
    /// One was just deleted, and with it the button that had the focus.
    pub one_is_gone: bool,
}

#[derive(Serialize)]
struct PresetView {
    id: String,
    name: String,
    /// The names of what it sets.
    sets: String,
    /// What stands in the field of its name.
    typed: String,
    error: Option<String>,
}

impl PresetsView {
    /// Reads them.
    pub async fn load(chat: &Chat, user: &User) -> Result<Self, ChatError> {
        let presets = chat.presets(user).await?.into_iter().map(PresetView::from).collect();
        Ok(Self { presets, max_name_chars: PresetName::MAX_CHARS, one_is_gone: false })
    }
}

impl From<Preset> for PresetView {
    fn from(preset: Preset) -> Self {
        let name = preset.name.to_string();
        let sets = preset.parameters.keys().collect::<Vec<_>>().join(", ");
        Self { id: preset.id.to_string(), typed: name.clone(), name, sets, error: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Parameter;

    #[test]
    fn every_parameter_stands_in_one_group() {
        let mut shown: Vec<_> = GROUPS.iter().flat_map(|(_, keys, _)| keys.iter().copied()).collect();
        let mut all: Vec<_> = Parameter::all().iter().map(|parameter| parameter.key).collect();
        shown.sort_unstable();
        all.sort_unstable();

        assert_eq!(shown, all);
    }
}
