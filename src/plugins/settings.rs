//! Typed settings of a plugin: what `PLUGIN.settings` and `PLUGIN.user_settings` declare, and which value holds.
//!
//! Levels, lowest first: the default, `Rocket.toml`, what was set on a form. `Rocket.toml` is checked when the plugin loads; what
//! was set on a form may no longer fit after an edit, and then the level below holds.

use std::collections::BTreeMap;
use std::fmt;

use rhai::{Dynamic, Map};
use serde_json::Value;

use super::value::{from_json, to_json, type_name};
use crate::domain::SettingValues;

/// Largest setting, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Most settings of a plugin.
const MAX_SETTINGS: usize = 64;
/// Longest name of a setting.
const MAX_NAME: usize = 64;
/// The key that marks a secret among what is stored, so that it never passes for a setting of another type.
pub(super) const SECRET: &str = "secret";
const KEYS: &[&str] = &["type", "default", "min", "max", "choices", "label"];

/// A setting's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Float,
    String,
    /// A string of several lines.
    Text,
    /// A string that goes to its plugin and nowhere else.
    Secret,
    Choice,
    List,
}

const KINDS: &[(&str, Kind)] = &[
    ("bool", Kind::Bool),
    ("int", Kind::Int),
    ("float", Kind::Float),
    ("string", Kind::String),
    ("text", Kind::Text),
    ("secret", Kind::Secret),
    ("choice", Kind::Choice),
    ("list", Kind::List),
];

impl Kind {
    /// As a script declares it.
    pub(super) fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The type of a default that is written without one.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(_) => Some(Self::Bool),
            Value::Number(it) if it.is_i64() => Some(Self::Int),
            Value::Number(_) => Some(Self::Float),
            Value::String(_) => Some(Self::String),
            Value::Array(_) => Some(Self::List),
            Value::Null | Value::Object(_) => None,
        }
    }
}

/// One declared setting.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) kind: Kind,
    pub(super) default: Value,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) choices: Vec<String>,
    /// What a form calls it.
    pub(super) label: Option<String>,
}

/// The settings that a plugin declares, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings(pub(super) BTreeMap<String, Setting>);

/// A value that does not fit.
#[derive(Debug, PartialEq)]
pub(super) struct Misfit {
    /// What it must be: the end of a sentence. It holds nothing of the value.
    pub(super) must: String,
    /// What it is.
    not: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be {}, not {}", self.must, self.not)
    }
}

impl Settings {
    /// Reads `PLUGIN.settings`, or what `table` is called; the error is a sentence about it.
    pub(super) fn parse(table: &str, declared: &Map) -> Result<Self, String> {
        if declared.len() > MAX_SETTINGS {
            return Err(format!("{table} has {} settings; {MAX_SETTINGS} are the most", declared.len()));
        }
        let parse = |(name, value): (&_, &Dynamic)| {
            let name = ToString::to_string(name);
            let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(usable) {
                return Err(format!("{table}: a name has 1 to {MAX_NAME} letters, digits, _ and -"));
            }
            let setting = Setting::parse(value).map_err(|why| format!("{table}.{name} {why}"))?;
            Ok((name, setting))
        };
        declared.iter().map(parse).collect::<Result<_, String>>().map(Self)
    }

    /// Whether `Rocket.toml` sets nothing wrong. The error names the key there.
    pub(super) fn check_file(&self, id: &str, set: &SettingValues) -> Result<(), String> {
        let table = format!("Rocket.toml: [default.plugins.settings.{id}]");
        for (key, value) in set {
            let Some(setting) = self.0.get(key) else {
                let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
                return Err(match known.is_empty() {
                    true => format!("{table} has no key \"{key}\"; this plugin has no settings"),
                    false => format!("{table} has no key \"{key}\"; it has {}", known.join(", ")),
                });
            };
            setting.check(value).map_err(|why| format!("{table} {key} {why}"))?;
        }
        Ok(())
    }

    /// The values for a script: what was set on a form over what stands in `Rocket.toml` over the defaults.
    pub(super) fn values(&self, file: &SettingValues, form: &SettingValues) -> Dynamic {
        let value = |(name, setting): (&String, &Setting)| {
            let below = file.get(name).unwrap_or(&setting.default);
            let set = form.get(name).and_then(|stored| setting.stored(stored).ok());
            (name.as_str().into(), from_json(set.unwrap_or(below)))
        };
        Dynamic::from_map(self.0.iter().map(value).collect())
    }

    /// What was set on a form and no longer fits: its name and what it must be.
    pub(super) fn misfits<'a>(&'a self, form: &'a SettingValues) -> impl Iterator<Item = (&'a str, String)> {
        form.iter().filter_map(|(name, stored)| {
            let misfit = self.0.get(name)?.stored(stored).err()?;
            Some((name.as_str(), misfit.must))
        })
    }

    /// The names of its secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let secrets = self.0.iter().filter(|(_, setting)| setting.kind == Kind::Secret);
        secrets.map(|(name, _)| name.as_str())
    }
}

impl Setting {
    fn parse(declared: &Dynamic) -> Result<Self, String> {
        let declared = to_json(declared, MAX_BYTES)?;
        let Value::Object(mut declared) = declared else {
            let kind = Kind::of(&declared).ok_or("needs a default or a map with type and default")?;
            let (min, max, choices, label) = (None, None, Vec::new(), None);
            return Self { kind, default: declared, min, max, choices, label }.checked();
        };
        if let Some(key) = declared.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("has no key \"{key}\"; it has {}", KEYS.join(", ")));
        }
        let names = || KINDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let kind = declared.get("type").and_then(Value::as_str).unwrap_or_default();
        let (_, kind) = *KINDS
            .iter()
            .find(|(name, _)| *name == kind)
            .ok_or_else(|| format!("needs a type, one of {}", names()))?;
        let limit = |key: &str| match declared.get(key) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(format!("has a {key} that is no number")),
        };
        let (min, max) = (limit("min")?, limit("max")?);
        let label = match declared.remove("label") {
            None => None,
            Some(Value::String(label)) => Some(label),
            Some(_) => return Err("has a label that is no string".into()),
        };
        let choices = declared.remove("choices").map_or(Ok(Vec::new()), texts)?;
        if (kind == Kind::Choice) == choices.is_empty() {
            return Err("needs choices exactly when its type is \"choice\"".into());
        }
        let default = match (declared.remove("default"), kind) {
            (None, Kind::Secret) => Value::String(String::new()),
            (Some(_), Kind::Secret) => {
                return Err("is a secret and has no default: what stands in a script is none".into());
            }
            (default, _) => default.ok_or("needs a default")?,
        };
        Self { kind, default, min, max, choices, label }.checked()
    }

    fn checked(self) -> Result<Self, String> {
        self.check(&self.default).map_err(|why| format!("has a default that {why}"))?;
        Ok(self)
    }

    /// Whether a value has the right type and range.
    pub(super) fn check(&self, value: &Value) -> Result<(), Misfit> {
        let right_type = match self.kind {
            Kind::Bool => value.is_boolean(),
            Kind::Int => value.is_i64(),
            Kind::Float => value.is_number(),
            Kind::String | Kind::Text | Kind::Secret | Kind::Choice => value.is_string(),
            Kind::List => texts(value.clone()).is_ok(),
        };
        if !right_type {
            let must = match self.kind {
                Kind::List => "a list of strings",
                Kind::Text | Kind::Secret => "string",
                kind => kind.name(),
            };
            return Err(Misfit { must: must.into(), not: type_name(&from_json(value)).into() });
        }
        if let Some(number) = value.as_f64() {
            let (min, max) = (self.min.unwrap_or(f64::MIN), self.max.unwrap_or(f64::MAX));
            if !(min..=max).contains(&number) {
                let must = match (self.min, self.max) {
                    (Some(min), Some(max)) => format!("from {min} to {max}"),
                    (Some(min), None) => format!("at least {min}"),
                    _ => format!("at most {max}"),
                };
                return Err(Misfit { must, not: number.to_string() });
            }
        }
        match value.as_str() {
            Some(text) if self.kind == Kind::Choice && !self.choices.iter().any(|choice| choice == text) => {
                let must = format!("one of {}", self.choices.join(", "));
                Err(Misfit { must, not: format!("\"{text}\"") })
            }
            _ => Ok(()),
        }
    }

    /// A value out of what a form stored, if it fits.
    pub(super) fn stored<'a>(&self, stored: &'a Value) -> Result<&'a Value, Misfit> {
        let value = match self.kind {
            Kind::Secret => stored.get(SECRET).unwrap_or(&Value::Null),
            _ => stored,
        };
        self.check(value).map(|()| value)
    }
}

fn texts(value: Value) -> Result<Vec<String>, String> {
    serde_json::from_value(value).map_err(|_| "must be a list of strings".into())
}
