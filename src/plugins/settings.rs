//! Typed settings of a plugin: what `PLUGIN.settings` declares, and what `Rocket.toml` sets.

use std::collections::BTreeMap;

use rhai::{Dynamic, Map};
use serde_json::Value;

use super::value::{from_json, to_json, type_name};

/// Largest setting, in bytes.
const MAX_BYTES: usize = 64 << 10;
const KEYS: &[&str] = &["type", "default", "min", "max", "choices", "label"];

/// A setting's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Float,
    String,
    Choice,
    List,
}

const KINDS: &[(&str, Kind)] = &[
    ("bool", Kind::Bool),
    ("int", Kind::Int),
    ("float", Kind::Float),
    ("string", Kind::String),
    ("choice", Kind::Choice),
    ("list", Kind::List),
];

impl Kind {
    fn name(self) -> &'static str {
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
struct Setting {
    kind: Kind,
    default: Value,
    min: Option<f64>,
    max: Option<f64>,
    choices: Vec<String>,
}

/// The settings that a plugin declares, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings(BTreeMap<String, Setting>);

impl Settings {
    /// Reads `PLUGIN.settings`; the error is a sentence about it.
    pub(super) fn parse(declared: &Map) -> Result<Self, String> {
        let parse = |(name, value): (&_, &Dynamic)| {
            let name = ToString::to_string(name);
            let setting = Setting::parse(value).map_err(|why| format!("PLUGIN.settings.{name} {why}"))?;
            Ok((name, setting))
        };
        declared.iter().map(parse).collect::<Result<_, String>>().map(Self)
    }

    /// The values for `ctx.settings`: what the operator set over the defaults. The error names the key in
    /// `Rocket.toml`.
    pub(super) fn resolve(&self, id: &str, set: Option<&BTreeMap<String, Value>>) -> Result<Dynamic, String> {
        let table = format!("Rocket.toml: [default.plugins.settings.{id}]");
        if let Some(key) = set.and_then(|set| set.keys().find(|key| !self.0.contains_key(*key))) {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            return Err(match known.is_empty() {
                true => format!("{table} has no key \"{key}\"; this plugin has no settings"),
                false => format!("{table} has no key \"{key}\"; it has {}", known.join(", ")),
            });
        }
        let mut values = Map::new();
        for (name, setting) in &self.0 {
            let value = set.and_then(|set| set.get(name)).unwrap_or(&setting.default);
            setting.check(value).map_err(|why| format!("{table} {name} {why}"))?;
            values.insert(name.as_str().into(), from_json(value));
        }
        Ok(Dynamic::from_map(values))
    }
}

impl Setting {
    fn parse(declared: &Dynamic) -> Result<Self, String> {
        let declared = to_json(declared, MAX_BYTES)?;
        let Value::Object(mut declared) = declared else {
            let kind = Kind::of(&declared).ok_or("needs a default or a map with type and default")?;
            return Self { kind, default: declared, min: None, max: None, choices: Vec::new() }.checked();
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
        if declared.get("label").is_some_and(|label| !label.is_string()) {
            return Err("has a label that is no string".into());
        }
        let choices = declared.remove("choices").map_or(Ok(Vec::new()), texts)?;
        if (kind == Kind::Choice) == choices.is_empty() {
            return Err("needs choices exactly when its type is \"choice\"".into());
        }
        let default = declared.remove("default").ok_or("needs a default")?;
        Self { kind, default, min, max, choices }.checked()
    }

    fn checked(self) -> Result<Self, String> {
        self.check(&self.default).map_err(|why| format!("has a default that {why}"))?;
        Ok(self)
    }

    /// Whether a value has the right type and range; the error ends a sentence.
    fn check(&self, value: &Value) -> Result<(), String> {
        let right_type = match self.kind {
            Kind::Bool => value.is_boolean(),
            Kind::Int => value.is_i64(),
            Kind::Float => value.is_number(),
            Kind::String | Kind::Choice => value.is_string(),
            Kind::List => texts(value.clone()).is_ok(),
        };
        if !right_type {
            let found = type_name(&from_json(value));
            let wanted = if self.kind == Kind::List { "a list of strings" } else { self.kind.name() };
            return Err(format!("must be {wanted}, not {found}"));
        }
        if let Some(number) = value.as_f64() {
            let (min, max) = (self.min.unwrap_or(f64::MIN), self.max.unwrap_or(f64::MAX));
            if !(min..=max).contains(&number) {
                let range = match (self.min, self.max) {
                    (Some(min), Some(max)) => format!("from {min} to {max}"),
                    (Some(min), None) => format!("at least {min}"),
                    _ => format!("at most {max}"),
                };
                return Err(format!("must be {range}, not {number}"));
            }
        }
        match value.as_str() {
            Some(text) if self.kind == Kind::Choice && !self.choices.iter().any(|choice| choice == text) => {
                Err(format!("must be one of {}, not \"{text}\"", self.choices.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

fn texts(value: Value) -> Result<Vec<String>, String> {
    serde_json::from_value(value).map_err(|_| "must be a list of strings".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(settings: Value) -> Result<Settings, String> {
        Settings::parse(&from_json(&settings).cast::<Map>())
    }

    fn resolved(settings: Value, set: Value) -> Result<Value, String> {
        let set: BTreeMap<String, Value> = serde_json::from_value(set).unwrap();
        declared(settings)?.resolve("demo", Some(&set)).map(|values| to_json(&values, 1_000).unwrap())
    }

    #[test]
    fn what_the_operator_sets_wins_over_the_default() {
        let settings = serde_json::json!({
            "most": {"type": "int", "default": 60, "min": 10, "max": 500, "label": "Most words"},
            "tone": {"type": "choice", "default": "dry", "choices": ["dry", "warm"]},
            "words": ["a"],
        });

        let values = resolved(settings, serde_json::json!({"most": 20, "words": ["x", "y"]}));

        assert_eq!(values, Ok(serde_json::json!({"most": 20, "tone": "dry", "words": ["x", "y"]})));
    }

    #[test]
    fn a_wrong_key_type_or_range_names_the_key_in_rocket_toml() {
        let settings = serde_json::json!({
            "most": {"type": "int", "default": 60, "min": 10, "max": 500},
            "tone": {"type": "choice", "default": "dry", "choices": ["dry", "warm"]},
        });
        let sentence = |set| resolved(settings.clone(), set).unwrap_err();
        let table = "Rocket.toml: [default.plugins.settings.demo]";

        assert_eq!(
            sentence(serde_json::json!({"mots": 1})),
            format!("{table} has no key \"mots\"; it has most, tone")
        );
        assert_eq!(
            sentence(serde_json::json!({"most": "1"})),
            format!("{table} most must be int, not string")
        );
        assert_eq!(
            sentence(serde_json::json!({"most": 5})),
            format!("{table} most must be from 10 to 500, not 5")
        );
        assert_eq!(
            sentence(serde_json::json!({"tone": "loud"})),
            format!("{table} tone must be one of dry, warm, not \"loud\"")
        );
    }

    #[test]
    fn a_declaration_that_contradicts_itself_is_refused() {
        for bad in [
            serde_json::json!({"a": null}),
            serde_json::json!({"a": {"default": 1}}),
            serde_json::json!({"a": {"type": "int"}}),
            serde_json::json!({"a": {"type": "int", "default": 1, "min": 2}}),
            serde_json::json!({"a": {"type": "int", "default": 1, "least": 2}}),
            serde_json::json!({"a": {"type": "choice", "default": "x"}}),
            serde_json::json!({"a": [1, 2]}),
        ] {
            assert!(declared(bad.clone()).is_err(), "{bad} passed");
        }
    }
}
