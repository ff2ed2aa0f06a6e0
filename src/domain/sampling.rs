use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A parameter outside its range, as a sentence without the place where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfRange {
    /// The parameter's name.
    pub key: &'static str,
    /// What is allowed, and what was found.
    pub why: String,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.why)
    }
}

/// A parameter as people read about it.
pub(super) struct Described {
    pub(super) key: &'static str,
    pub(super) about: &'static str,
    /// Of a number.
    pub(super) range: Option<Range>,
}

/// What a number may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Whether it has no fraction.
    pub whole: bool,
    /// The least.
    pub min: String,
    /// The greatest.
    pub max: String,
}

/// Declares [`SamplingParams`]: each number once, with what it does, its default and its range.
macro_rules! sampling_params {
    (
        numbers { $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr, $min:expr => $max:expr;)+ }
        others { $($(#[doc = $other_doc:literal])+ $other:ident: $other_type:ty = $other_default:expr;)+ }
    ) => {
        /// How the next token is chosen and when a reply ends; names and meaning as in llama.cpp and the OpenAI API.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct SamplingParams {
            $($(#[doc = $doc])+ pub $key: $type,)+
            $($(#[doc = $other_doc])+ pub $other: $other_type,)+
        }

        impl Default for SamplingParams {
            fn default() -> Self {
                Self { $($key: $default,)+ $($other: $other_default,)+ }
            }
        }

        impl SamplingParams {
            /// Sets one parameter by its name, unchecked; false when there is none of that name. An error is the
            /// deserializer's: the value has another type.
            pub fn set<'de, D: Deserializer<'de>>(&mut self, key: &str, value: D) -> Result<bool, D::Error> {
                match key {
                    $(stringify!($key) => self.$key = Deserialize::deserialize(value)?,)+
                    $(stringify!($other) => self.$other = Deserialize::deserialize(value)?,)+
                    _ => return Ok(false),
                }
                Ok(true)
            }

            /// Each parameter in the words of its declaration, the numbers first.
            pub(super) fn described() -> Vec<Described> {
                vec![
                    $(Described {
                        key: stringify!($key),
                        about: concat!($($doc),+).trim_ascii(),
                        range: Some(Range {
                            whole: stringify!($type) != "f32",
                            min: { let min: $type = $min; min.to_string() },
                            max: { let max: $type = $max; max.to_string() },
                        }),
                    },)+
                    $(Described { key: stringify!($other), about: concat!($($other_doc),+).trim_ascii(), range: None },)+
                ]
            }

            fn check_numbers(&self) -> Result<(), OutOfRange> {
                // Written as "not inside", so that NaN fails.
                $(
                    let allowed: std::ops::RangeInclusive<$type> = $min..=$max;
                    if !allowed.contains(&self.$key) {
                        let (min, max) = allowed.into_inner();
                        let why = format!("must be from {min} to {max}, not {}", self.$key);
                        return Err(OutOfRange { key: stringify!($key), why });
                    }
                )+
                Ok(())
            }
        }
    };
}

sampling_params! {
    numbers {
        /// Randomness; 0 always takes the likeliest token.
        temperature: f32 = 0.8, 0.0 => 5.0;
        /// Only the k likeliest tokens; 0 = all.
        top_k: i32 = 40, 0 => 1_000_000;
        /// Only the likeliest tokens that together reach this probability; 1 = all.
        top_p: f32 = 0.95, 0.0 => 1.0;
        /// Only tokens at least this likely, relative to the likeliest; 0 = all.
        min_p: f32 = 0.05, 0.0 => 1.0;
        /// Locally typical sampling; 1 = off.
        typical_p: f32 = 1.0, 0.0 => 1.0;
        /// Only tokens within n standard deviations of the best logit; -1 = off.
        top_n_sigma: f32 = -1.0, -1.0 => 100.0;
        /// Divides the logits of repeated tokens; 1 = off.
        repeat_penalty: f32 = 1.0, 0.1 => 10.0;
        /// How many of the last tokens count as repeatable; 0 = off, -1 = the context.
        repeat_last_n: i32 = 64, -1 => 1_000_000;
        /// Subtracted once from the logit of a token that occurred; 0 = off.
        presence_penalty: f32 = 0.0, -2.0 => 2.0;
        /// Subtracted from a token's logit for each time it occurred; 0 = off.
        frequency_penalty: f32 = 0.0, -2.0 => 2.0;
        /// Strength of DRY, which punishes repeated sequences; 0 = off.
        dry_multiplier: f32 = 0.0, 0.0 => 100.0;
        /// Base of the DRY penalty.
        dry_base: f32 = 1.75, 1.0 => 100.0;
        /// Longest sequence that DRY lets pass, in tokens.
        dry_allowed_length: i32 = 2, 0 => 1_000_000;
        /// How many of the last tokens DRY searches; 0 = off, -1 = the context.
        dry_penalty_last_n: i32 = -1, -1 => 1_000_000;
        /// Chance that XTC removes the likeliest tokens; 0 = off.
        xtc_probability: f32 = 0.0, 0.0 => 1.0;
        /// How likely a token must be for XTC to remove it; above 0.5 = off.
        xtc_threshold: f32 = 0.1, 0.0 => 1.0;
        /// Mirostat version, replacing top_k, top_p, min_p, typical_p; 0 = off.
        mirostat: i32 = 0, 0 => 2;
        /// Mirostat's target surprise.
        mirostat_tau: f32 = 5.0, 0.0 => 100.0;
        /// Mirostat's learning rate.
        mirostat_eta: f32 = 0.1, 0.0 => 1.0;
        /// Repeats a reply word for word; -1 = a new one each time, which is stored with the reply.
        seed: i64 = -1, -1 => 4_294_967_294;
        /// Longest reply, in tokens.
        max_tokens: u32 = 1024, 1 => 1_000_000;
    }
    others {
        /// Texts at which a reply ends; they are not part of it.
        stop: Vec<String> = Vec::new();
        /// Added to a token's logit: token id -> -100 (never) to 100 (always).
        logit_bias: BTreeMap<String, f32> = BTreeMap::new();
        /// Texts over which DRY does not reach.
        dry_sequence_breakers: Vec<String> = ["\n", ":", "\"", "*"].map(str::to_owned).to_vec();
    }
}

impl SamplingParams {
    /// Most entries of `stop` and `logit_bias`.
    pub const MAX_ENTRIES: usize = 1_000;
    /// Most entries of `dry_sequence_breakers`: llama.cpp goes through the whole vocabulary for each one (some 10 ms).
    pub const MAX_BREAKERS: usize = 32;
    /// Most bytes of one `stop` or `dry_sequence_breakers` text.
    pub const MAX_TEXT_BYTES: usize = 1_000;

    /// Checks every value. What passes may cross into llama.cpp.
    pub fn check(&self) -> Result<(), OutOfRange> {
        self.check_numbers()?;
        check_texts("stop", &self.stop, Self::MAX_ENTRIES)?;
        check_texts("dry_sequence_breakers", &self.dry_sequence_breakers, Self::MAX_BREAKERS)?;
        check_count("logit_bias", self.logit_bias.len(), Self::MAX_ENTRIES)?;
        for (token, bias) in &self.logit_bias {
            let why = match token.parse::<i32>() {
                Ok(id) if id >= 0 && (-100.0..=100.0).contains(bias) => continue,
                Ok(id) if id >= 0 => format!("of token {token} must be from -100 to 100, not {bias}"),
                _ => format!("has token ids (0, 1, 2 …) as keys, not \"{token}\""),
            };
            return Err(OutOfRange { key: "logit_bias", why });
        }
        Ok(())
    }

    /// The biases by token id. Call [`SamplingParams::check`] first: a key that is no token id is left out.
    pub fn biases(&self) -> impl Iterator<Item = (i32, f32)> + '_ {
        self.logit_bias.iter().filter_map(|(token, bias)| Some((token.parse().ok()?, *bias)))
    }
}

fn check_count(key: &'static str, count: usize, max: usize) -> Result<(), OutOfRange> {
    if count > max {
        let why = format!("has at most {max} entries, not {count}");
        return Err(OutOfRange { key, why });
    }
    Ok(())
}

fn check_texts(key: &'static str, texts: &[String], max: usize) -> Result<(), OutOfRange> {
    check_count(key, texts.len(), max)?;
    match texts
        .iter()
        .find(|text| text.is_empty() || text.contains('\0') || text.len() > SamplingParams::MAX_TEXT_BYTES)
    {
        Some(text) => Err(OutOfRange {
            key,
            why: format!(
                "entries have 1 to {} bytes and no NUL; one has {}",
                SamplingParams::MAX_TEXT_BYTES,
                text.len()
            ),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(SamplingParams::default().check(), Ok(()));
    }

    #[test]
    fn not_a_number_and_out_of_range_are_refused_by_name() {
        let nan = SamplingParams { temperature: f32::NAN, ..Default::default() };
        let high = SamplingParams { top_p: 1.5, ..Default::default() };

        assert_eq!(nan.check().unwrap_err().key, "temperature");
        assert_eq!(high.check().unwrap_err().to_string(), "top_p must be from 0 to 1, not 1.5");
    }

    #[test]
    fn a_parameter_is_set_by_its_name() {
        let mut params = SamplingParams::default();

        assert_eq!(params.set("top_k", &serde_json::json!(7)).ok(), Some(true));
        assert_eq!(params.set("stop", &serde_json::json!(["a"])).ok(), Some(true));
        assert_eq!(params.set("tools", &serde_json::json!([])).ok(), Some(false));
        assert!(params.set("top_p", &serde_json::json!("half")).is_err());
        assert_eq!((params.top_k, params.stop, params.top_p), (7, vec!["a".to_owned()], 0.95));
    }

    #[test]
    fn an_empty_stop_and_a_bias_on_a_word_are_refused() {
        let stop = SamplingParams { stop: vec![String::new()], ..Default::default() };
        let bias = SamplingParams { logit_bias: [("hi".to_owned(), 1.0)].into(), ..Default::default() };

        assert_eq!(stop.check().unwrap_err().key, "stop");
        assert_eq!(
            bias.check().unwrap_err().to_string(),
            "logit_bias has token ids (0, 1, 2 …) as keys, not \"hi\""
        );
    }
}
