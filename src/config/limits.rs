use serde::{Deserialize, Serialize};

use crate::domain::SamplingParams;

/// `[default.generation_limits]`: the most that people, programs and plugins may ask of a reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Longest reply, in tokens.
    pub max_tokens: u32,
    /// Most randomness.
    pub temperature: f32,
}

/// A parameter that was above the operator's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// Its name.
    pub key: &'static str,
    /// What was asked for.
    pub asked: String,
    /// What is used.
    pub limit: String,
}

impl Lowered {
    fn new(key: &'static str, asked: impl ToString, limit: impl ToString) -> Self {
        Self { key, asked: asked.to_string(), limit: limit.to_string() }
    }

    /// The sentence that tells it; `plugin` is who asked, where it was one.
    pub fn sentence(&self, plugin: Option<&str>) -> String {
        let Self { key, asked, limit } = self;
        match plugin {
            None => format!("{key} was {asked}, above the operator's limit: {limit} was used."),
            Some(plugin) => format!(
                "The plugin {plugin} set {key} to {asked}, above the operator's limit: {limit} was used."
            ),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { max_tokens: 1_000_000, temperature: 5.0 }
    }
}

impl LimitsConfig {
    /// Lowers what is above a limit; says what.
    pub fn clamp(&self, params: &mut SamplingParams) -> Vec<Lowered> {
        let mut lowered = Vec::new();
        if params.max_tokens > self.max_tokens {
            lowered.push(Lowered::new("max_tokens", params.max_tokens, self.max_tokens));
            params.max_tokens = self.max_tokens;
        }
        if params.temperature > self.temperature {
            lowered.push(Lowered::new("temperature", params.temperature, self.temperature));
            params.temperature = self.temperature;
        }
        lowered
    }

    /// The limit of a parameter, where there is one.
    pub fn of(&self, key: &str) -> Option<String> {
        match key {
            "max_tokens" => Some(self.max_tokens.to_string()),
            "temperature" => Some(self.temperature.to_string()),
            _ => None,
        }
    }

    /// The operator's own values must pass.
    pub(super) fn check(&self, own: &SamplingParams) -> Result<(), (&'static str, String)> {
        let above =
            |key, own: String| Err((key, format!("must not be below {key} of [default.generation], {own}")));
        if self.max_tokens < own.max_tokens {
            return above("max_tokens", own.max_tokens.to_string());
        }
        if self.temperature.is_nan() || self.temperature < own.temperature {
            return above("temperature", own.temperature.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_a_limit_is_lowered_and_told() {
        let limits = LimitsConfig { max_tokens: 100, temperature: 1.0 };
        let mut params = SamplingParams { max_tokens: 5_000, temperature: 0.5, ..Default::default() };

        let told = limits.clamp(&mut params);

        assert_eq!(told, [Lowered::new("max_tokens", 5_000, 100)]);
        assert_eq!(told[0].sentence(None), "max_tokens was 5000, above the operator's limit: 100 was used.");
        assert_eq!(
            told[0].sentence(Some("long")),
            "The plugin long set max_tokens to 5000, above the operator's limit: 100 was used."
        );
        assert_eq!((params.max_tokens, params.temperature), (100, 0.5));
        assert_eq!(limits.clamp(&mut params), []);
    }
}
