//! Settings as forms show and fill them. A secret goes in and never comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Number, Value, json};

use super::choices::Plugin;
use super::settings::{Kind, SECRET, Setting, Settings};
use super::{PluginSet, Plugins};
use crate::domain::{OperatorChoices, PersonChoices, SettingChanges, SettingValues};

/// Longest value that can be typed, in bytes.
const MAX_TYPED: usize = 16 << 10;

/// What was typed into the fields of a form, by name; a field that is not there stays as it is.
pub type Typed = BTreeMap<String, String>;

/// Why fields cannot be taken: a sentence for each.
pub type FieldErrors = BTreeMap<String, String>;

/// A plugin's settings as a form shows them.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginForm {
    /// The plugin's id.
    pub plugin: String,
    /// The name that it gives itself.
    pub name: String,
    /// What it says it does; may be empty.
    pub description: String,
    /// Its fields, by name.
    pub fields: Vec<Field>,
    /// Names under which the form set something that the plugin no longer declares; it is kept until it is taken back.
    pub leftovers: Vec<String>,
    /// Whether people may turn it off.
    pub optional: bool,
    /// Whether it must not be skipped, so that nobody may.
    pub closed: bool,
}

impl PluginForm {
    /// Whether there is anything in it to choose.
    fn is_needed(&self) -> bool {
        self.optional || !(self.fields.is_empty() && self.leftovers.is_empty())
    }
}

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name in the script.
    pub name: String,
    /// What to call it.
    pub label: String,
    /// Its type, as a script declares it.
    pub kind: &'static str,
    /// Its value as the field holds it; of a secret only whether it is set: empty or not.
    pub text: String,
    /// The choices of a choice.
    pub choices: Vec<String>,
    /// The least number.
    pub min: Option<f64>,
    /// The largest number.
    pub max: Option<f64>,
    /// Which level the value comes from.
    pub origin: Origin,
    /// What holds when the form's value is taken back, as `text`.
    pub below: String,
    /// What the value that was set here must be, where it no longer fits.
    pub misfit: Option<String>,
}

/// A level of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The script.
    Default,
    /// `Rocket.toml`.
    File,
    /// The form itself.
    Form,
}

impl Plugins {
    /// The operator's form of a plugin that is loaded.
    pub fn operator_form(&self, id: &str) -> Option<PluginForm> {
        let plugin = self.plugin(id)?;
        let (declared, chosen) = (&plugin.manifest.settings, &plugin.operator.settings);
        Some(plugin.form(fields(declared, &plugin.file, chosen), leftovers(declared, chosen)))
    }

    /// What becomes of the operator's settings by what was typed; none where no such plugin is loaded.
    pub fn read_as_operator(&self, id: &str, typed: &Typed) -> Option<Result<SettingChanges, FieldErrors>> {
        let plugin = self.plugin(id)?;
        Some(changes(&plugin.manifest.settings, &plugin.file, &plugin.operator.settings, typed))
    }

    /// What becomes of a person's settings by what was typed; none where no such plugin is loaded.
    pub fn read_as_person(
        &self,
        id: &str,
        choices: &PersonChoices,
        typed: &Typed,
    ) -> Option<Result<SettingChanges, FieldErrors>> {
        let plugin = self.plugin(id)?;
        let (nothing, chosen) = (SettingValues::new(), choices.settings.get(id));
        Some(changes(&plugin.manifest.user_settings, &nothing, chosen.unwrap_or(&nothing), typed))
    }

    /// Takes over what the operator chose, for every reply that begins from now on. It is read while nobody else
    /// reads it, so that an older reading never replaces a newer one.
    ///
    /// # Errors
    /// That of the reading; everything stays as it was.
    pub async fn configure<E>(
        &self,
        read: impl Future<Output = Result<BTreeMap<String, OperatorChoices>, E>>,
    ) -> Result<(), E> {
        let _alone = self.choosing.lock().await;
        let choices = read.await?;
        self.update(|registry| {
            registry.configure(choices);
            true
        });
        Ok(())
    }

    fn plugin(&self, id: &str) -> Option<Arc<Plugin>> {
        self.seen().entries.get(id)?.plugin.clone()
    }
}

impl PluginSet {
    /// The forms of a person: of every plugin that has settings for them, or that they may turn off.
    pub fn person_forms(&self, choices: &PersonChoices) -> Vec<PluginForm> {
        let nothing = SettingValues::new();
        let form = |plugin: &Arc<Plugin>| {
            let chosen = choices.settings.get(&plugin.id).unwrap_or(&nothing);
            let declared = &plugin.manifest.user_settings;
            plugin.form(fields(declared, &nothing, chosen), leftovers(declared, chosen))
        };
        let forms = self.chain.loaded().map(form);
        forms.filter(PluginForm::is_needed).collect()
    }
}

impl Plugin {
    fn form(&self, fields: Vec<Field>, leftovers: Vec<String>) -> PluginForm {
        PluginForm {
            plugin: self.id.clone(),
            name: self.manifest.name.clone(),
            description: self.manifest.description.clone(),
            fields,
            leftovers,
            optional: self.is_optional(),
            closed: self.is_closed(),
        }
    }
}

fn leftovers(declared: &Settings, form: &SettingValues) -> Vec<String> {
    form.keys().filter(|name| !declared.0.contains_key(*name)).cloned().collect()
}

fn fields(settings: &Settings, file: &SettingValues, form: &SettingValues) -> Vec<Field> {
    let field = |(name, setting): (&String, &Setting)| {
        let stored = form.get(name).map(|stored| setting.stored(stored));
        let (below, level) = match file.get(name) {
            Some(value) => (value, Origin::File),
            None => (&setting.default, Origin::Default),
        };
        let (value, origin, misfit) = match stored {
            Some(Ok(value)) => (value, Origin::Form, None),
            Some(Err(misfit)) => (below, level, Some(misfit.must)),
            None => (below, level, None),
        };
        Field {
            name: name.clone(),
            label: setting.label.clone().unwrap_or_else(|| name.clone()),
            kind: setting.kind.name(),
            text: setting.shown(value),
            choices: setting.choices.clone(),
            min: setting.min,
            max: setting.max,
            origin,
            below: setting.shown(below),
            misfit,
        }
    };
    settings.0.iter().map(field).collect()
}

/// What was typed, as far as it differs from what holds.
fn changes(
    settings: &Settings,
    file: &SettingValues,
    form: &SettingValues,
    typed: &Typed,
) -> Result<SettingChanges, FieldErrors> {
    let (mut changes, mut errors) = (SettingChanges::new(), FieldErrors::new());
    for field in fields(settings, file, form) {
        let (Some(text), Some(setting)) = (typed.get(&field.name), settings.0.get(&field.name)) else {
            continue;
        };
        let text = text.replace("\r\n", "\n");
        let untouched = match setting.kind {
            Kind::Secret => text.is_empty(),
            // A field of one line drops line ends, and a list empty lines: compared is what comes back of what was shown.
            _ => setting.read(&text).is_ok_and(|value| setting.read(&field.text) == Ok(value)),
        };
        match setting.read(&text) {
            _ if untouched => {}
            Ok(value) => drop(changes.insert(field.name, Some(value))),
            Err(must) => drop(errors.insert(field.name, format!("This must be {must}."))),
        }
    }
    if errors.is_empty() { Ok(changes) } else { Err(errors) }
}

impl Setting {
    /// A value as a field holds it.
    fn shown(&self, value: &Value) -> String {
        match value {
            Value::String(text) if self.kind == Kind::Secret => {
                if text.is_empty() {
                    String::new()
                } else {
                    "set".into()
                }
            }
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            other => other.to_string(),
        }
    }

    /// What was typed, as it is stored; the error is what it must be.
    fn read(&self, text: &str) -> Result<Value, String> {
        if text.len() > MAX_TYPED {
            return Err(format!("at most {MAX_TYPED} bytes long; it has {}", text.len()));
        }
        let value = match self.kind {
            Kind::Bool => json!(text == "true"),
            Kind::Int => json!(text.trim().parse::<i64>().map_err(|_| "a whole number")?),
            Kind::Float => {
                let number = text.trim().parse::<f64>().ok().and_then(Number::from_f64);
                Value::Number(number.ok_or("a number")?)
            }
            Kind::String => json!(text.replace('\n', "")),
            Kind::Text | Kind::Choice | Kind::Secret => json!(text),
            Kind::List => {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                json!(lines.collect::<Vec<_>>())
            }
        };
        self.check(&value).map_err(|misfit| misfit.must)?;
        Ok(if self.kind == Kind::Secret { json!({ SECRET: value }) } else { value })
    }
}
