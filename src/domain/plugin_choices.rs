use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Values of a plugin's settings by name, as JSON.
pub type SettingValues = BTreeMap<String, Value>;

/// What becomes of settings: a new value, or none any more.
pub type SettingChanges = BTreeMap<String, Option<Value>>;

/// What the operator chose on the form of one plugin. It may hold secrets, so it cannot be printed.
#[derive(Clone, Default, PartialEq)]
pub struct OperatorChoices {
    /// Settings that were set there.
    pub settings: SettingValues,
    /// Whether people may turn the plugin off.
    pub optional: bool,
}

/// What one person chose: for everything they do, or in one of their conversations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PersonChoices {
    /// The ids of plugins that are off.
    pub off: BTreeSet<String>,
    /// Settings of theirs by plugin.
    pub settings: BTreeMap<String, SettingValues>,
}

impl PersonChoices {
    /// Whether nothing is chosen.
    pub fn is_empty(&self) -> bool {
        self.off.is_empty() && self.settings.is_empty()
    }
}
