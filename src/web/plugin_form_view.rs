//! What templates receive of plugins' settings.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::chat::{Chat, ChatError, Filled};
use crate::domain::User;
use crate::plugins::{Field, FieldErrors, Origin, PluginForm};

/// The form of one plugin, for the administrator or for a person.
#[derive(Clone, Serialize)]
pub struct PluginFormView {
    /// The plugin's id.
    pub plugin: String,
    name: String,
    description: String,
    /// Where it is sent.
    action: String,
    fields: Vec<FieldView>,
    /// Names of what is kept and no longer declared.
    leftovers: Vec<String>,
    switch: Option<SwitchView>,
    /// Whether it stands among those of other plugins.
    heading: bool,
    /// Nobody may turn it off.
    closed: bool,
    /// What was just done.
    done: Option<&'static str>,
    /// Whether something in it must be mended.
    wrong: bool,
}

/// A tick beside the settings.
#[derive(Clone, Serialize)]
struct SwitchView {
    /// Which text stands beside it.
    says: &'static str,
    on: bool,
}

/// One field.
#[derive(Clone, Serialize)]
struct FieldView {
    name: String,
    label: String,
    kind: &'static str,
    /// What stands in it: what was typed, else what holds. Of a secret only whether it is set.
    text: String,
    /// Whether it needs more than one line.
    lines: bool,
    choices: Vec<String>,
    min: Option<f64>,
    max: Option<f64>,
    /// Where the value comes from.
    origin: &'static str,
    /// Whether this form set it, so that it can be taken back.
    set: bool,
    /// What holds then: a quotation, or `empty`, `on` or `off`; of a secret whether the file has one.
    below: String,
    misfit: Option<String>,
    error: Option<String>,
    /// Whether the person goes on here: at the first thing to mend, or at what was taken back.
    focus: bool,
}

impl PluginFormView {
    /// The administrator's form of a plugin.
    pub async fn of_operator(chat: &Chat, plugin: &str) -> Result<Self, ChatError> {
        let form = chat.operator_form(plugin).await?;
        let switch = (!form.closed).then_some(SwitchView { says: "people_may", on: form.optional });
        Ok(Self::new(form, format!("/admin/plugins/{plugin}/settings"), switch, false))
    }

    /// A person's forms.
    pub async fn of_person(chat: &Chat, user: &User) -> Result<Vec<Self>, ChatError> {
        let view = |(form, on): (PluginForm, bool)| {
            let switch = form.optional.then_some(SwitchView { says: "use", on });
            let action = format!("/account/plugins/{}", form.plugin);
            Self::new(form, action, switch, true)
        };
        Ok(chat.person_forms(user).await?.into_iter().map(view).collect())
    }

    fn new(form: PluginForm, action: String, switch: Option<SwitchView>, heading: bool) -> Self {
        Self {
            fields: form.fields.into_iter().map(FieldView::from).collect(),
            leftovers: form.leftovers,
            plugin: form.plugin,
            name: form.name,
            description: form.description,
            action,
            switch,
            heading,
            closed: form.closed,
            done: None,
            wrong: false,
        }
    }

    /// The form after it was kept: what was set anew stands in it.
    pub fn kept(mut self, filled: &Filled) -> Self {
        if let Some(reset) = &filled.reset {
            // The other fields were not looked at.
            self.type_again(&filled.typed, Some(reset));
            // The button that took it back is gone.
            if let Some(field) = self.fields.iter_mut().find(|field| field.name == *reset) {
                field.focus = true;
            }
        }
        let done = match filled.reset {
            Some(_) => "reset",
            None => "saved",
        };
        Self { done: Some(done), ..self }
    }

    /// The form as it was filled in, with what is wrong with it.
    pub fn refused(mut self, filled: &Filled, mut errors: FieldErrors) -> Self {
        self.type_again(&filled.typed, None);
        for field in &mut self.fields {
            field.error = errors.remove(&field.name);
        }
        if let Some(first) = self.fields.iter_mut().find(|field| field.error.is_some()) {
            first.focus = true;
        }
        if let (Some(switch), Some(on)) = (&mut self.switch, filled.switch) {
            switch.on = on;
        }
        Self { wrong: true, ..self }
    }

    /// The element that htmx puts the form into.
    pub fn part(&self) -> String {
        format!("#settings-{}", self.plugin)
    }

    fn type_again(&mut self, typed: &BTreeMap<String, String>, except: Option<&str>) {
        let fields = self.fields.iter_mut().filter(|field| Some(field.name.as_str()) != except);
        for field in fields.filter(|field| field.kind != "secret") {
            if let Some(text) = typed.get(&field.name) {
                field.text.clone_from(text);
            }
        }
    }
}

impl From<Field> for FieldView {
    fn from(field: Field) -> Self {
        let below = match (field.kind, field.below.as_str()) {
            ("secret", "") => String::new(),
            (_, "") => "empty".into(),
            ("secret", _) => "file".into(),
            ("bool", "true") => "on".into(),
            ("bool", _) => "off".into(),
            ("list", lines) => shortened(&lines.replace('\n', ", ")),
            (_, text) => shortened(text),
        };
        Self {
            lines: matches!(field.kind, "text" | "list") || field.text.contains('\n'),
            set: field.origin == Origin::Form || field.misfit.is_some(),
            origin: match field.origin {
                Origin::Default => "default",
                Origin::File => "file",
                Origin::Form => "form",
            },
            name: field.name,
            label: field.label,
            kind: field.kind,
            text: field.text,
            choices: field.choices,
            min: field.min,
            max: field.max,
            below,
            misfit: field.misfit,
            error: None,
            focus: false,
        }
    }
}

/// The beginning of a text, on one line.
fn shortened(text: &str) -> String {
    let line = text.replace('\n', " ");
    match line.char_indices().nth(40) {
        Some((at, _)) => format!("“{}…”", &line[..at]),
        None => format!("“{line}”"),
    }
}
