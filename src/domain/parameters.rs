//! What people set for their replies. What is not set is inherited: from the person's defaults, then from the operator.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Parameter, SamplingParams};

/// What is set, and only that. Every value passed its check: what does not, or is of another version, is not taken up.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Parameters(BTreeMap<String, Value>);

impl Parameters {
    /// A value that is set.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Sets a value that [`Parameter::read`] or [`Parameter::nothing`] gave; none = inherited.
    pub fn set(&mut self, parameter: &Parameter, value: Option<Value>) {
        match value {
            Some(value) => drop(self.0.insert(parameter.key.to_owned(), value)),
            None => drop(self.0.remove(parameter.key)),
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of what is set.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Sets the sampling parameters among them.
    fn over(&self, params: &mut SamplingParams) {
        for (key, value) in &self.0 {
            // False for a text; no error, because it was checked.
            params.set(key, value).unwrap_or_default();
        }
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = BTreeMap::<String, Value>::deserialize(deserializer)?;
        values.retain(|key, value| Parameter::find(key).is_some_and(|it| it.check(value).is_ok()));
        Ok(Self(values))
    }
}

/// Who set a parameter that is in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The operator, or nobody.
    Operator,
    /// The person, for all their conversations.
    Person,
    /// The person, for one conversation.
    Conversation,
}

/// What a person set that holds in a conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParameterLevels {
    /// For all their conversations.
    pub person: Parameters,
    /// For this one, over it.
    pub conversation: Parameters,
}

impl ParameterLevels {
    /// The value that holds below a level, with the level that set it; none = the operator's.
    pub fn below(&self, level: Level, key: &str) -> Option<(Level, &Value)> {
        let levels = [(Level::Conversation, &self.conversation), (Level::Person, &self.person)];
        let below = levels.into_iter().filter(|(own, _)| *own < level);
        below.filter_map(|(own, parameters)| Some((own, parameters.get(key)?))).next()
    }

    /// The value that holds, with the level that set it; none = the operator's.
    pub fn in_effect(&self, key: &str) -> Option<(Level, &Value)> {
        let conversation = self.conversation.get(key).map(|value| (Level::Conversation, value));
        conversation.or_else(|| self.below(Level::Conversation, key))
    }

    /// The sampling parameters over the operator's.
    pub fn over(&self, mut params: SamplingParams) -> SamplingParams {
        self.person.over(&mut params);
        self.conversation.over(&mut params);
        params
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_another_version_stored_is_left_out_where_it_does_not_fit() {
        let stored = r#"{"temperature": 99, "top_k": 5, "gone": true, "stop": [""], "json_schema": "{", "prefill": 3}"#;

        let parameters: Parameters = serde_json::from_str(stored).unwrap();

        assert_eq!(parameters.keys().collect::<Vec<_>>(), ["top_k"]);
    }

    #[test]
    fn the_conversation_stands_over_the_person_and_nothing_is_a_value_too() {
        let parameters = |json| serde_json::from_value::<Parameters>(json).unwrap();
        let levels = ParameterLevels {
            person: parameters(json!({ "temperature": 0.1, "top_k": 3, "stop": ["x"] })),
            conversation: parameters(json!({ "temperature": 0.2, "stop": [] })),
        };

        let params = levels.over(SamplingParams { top_p: 0.5, ..SamplingParams::default() });

        assert_eq!((params.temperature, params.top_k, params.top_p), (0.2, 3, 0.5));
        assert!(params.stop.is_empty());
        assert_eq!(levels.in_effect("top_k"), Some((Level::Person, &json!(3))));
        assert_eq!(levels.below(Level::Conversation, "temperature"), Some((Level::Person, &json!(0.1))));
        assert_eq!(levels.below(Level::Person, "temperature"), None);
    }
}
