//! What people can set for their replies, and how it is typed.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::sampling::{Described, Range};
use super::{Invalid, SamplingParams};

/// Something that a person can set for their replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as in `Rocket.toml` where it stands there.
    pub key: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What its values are.
    pub kind: ParameterKind,
}

/// What the values of a parameter are, and how they are typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterKind {
    /// A number.
    Number(Range),
    /// Texts, one on each line; `\n` in one stands for a line break.
    Texts,
    /// Biases of tokens, one `token id = bias` on each line.
    Biases,
    /// A text.
    Text,
    /// A JSON schema. It keeps the order of its keys, which the reply follows.
    Schema,
}

/// What is no sampling parameter.
const TEXTS: [(&str, &str, ParameterKind); 3] = [
    (
        "system_prompt",
        "The first message of every prompt: who the model is and what it has to heed.",
        ParameterKind::Text,
    ),
    ("prefill", "The first words of every new reply, which the model goes on from.", ParameterKind::Text),
    (
        "json_schema",
        "A new reply is JSON that this schema describes; it does not hold for a reply that is continued.",
        ParameterKind::Schema,
    ),
];

static ALL: LazyLock<Vec<Parameter>> = LazyLock::new(|| {
    let texts = TEXTS.map(|(key, about, kind)| Parameter { key, about, kind });
    let sampling = |Described { key, about, range }| Parameter {
        key,
        about,
        kind: match (range, key) {
            (Some(range), _) => ParameterKind::Number(range),
            (None, "logit_bias") => ParameterKind::Biases,
            (None, _) => ParameterKind::Texts,
        },
    };
    texts.into_iter().chain(SamplingParams::described().into_iter().map(sampling)).collect()
});

impl Parameter {
    /// Most characters of a text, whatever the operator allows.
    const MAX_TEXT_CHARS: usize = 1_000_000;

    /// Every one.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The one of this name.
    pub fn find(key: &str) -> Option<&'static Self> {
        ALL.iter().find(|parameter| parameter.key == key)
    }

    /// The value that sets it to nothing, whatever is inherited; none for a number.
    pub fn nothing(&self) -> Option<Value> {
        match self.kind {
            ParameterKind::Number(_) => None,
            ParameterKind::Texts => Some(Value::Array(Vec::new())),
            ParameterKind::Biases => Some(Value::Object(Map::new())),
            ParameterKind::Text | ParameterKind::Schema => Some(Value::String(String::new())),
        }
    }

    /// The value that was typed; none for an empty field. A text has at most `max_chars`.
    pub fn read(&self, typed: &str, max_chars: usize) -> Result<Option<Value>, Invalid> {
        if typed.trim().is_empty() {
            return Ok(None);
        }
        let typed = typed.replace("\r\n", "\n");
        let lines = || typed.lines().filter(|line| !line.trim().is_empty());
        let value = match &self.kind {
            ParameterKind::Number(range) => number(self.key, range, typed.trim())?,
            ParameterKind::Texts => lines().map(|line| Value::String(unescaped(line))).collect(),
            ParameterKind::Biases => Value::Object(lines().map(bias).collect::<Result<_, _>>()?),
            ParameterKind::Text if self.key == "system_prompt" => typed.trim().into(),
            ParameterKind::Text => typed.into(),
            ParameterKind::Schema => typed.trim().into(),
        };
        match value.as_str().map(|text| text.chars().count()) {
            Some(length) if length > max_chars => {
                Err(Invalid(format!("This has at most {max_chars} characters; it has {length}.")))
            }
            _ => self.check(&value).map(|()| Some(value)),
        }
    }

    /// A value as it is typed.
    pub fn written(&self, value: &Value) -> String {
        match (&self.kind, value) {
            (ParameterKind::Texts, Value::Array(texts)) => {
                let lines: Vec<_> = texts.iter().filter_map(Value::as_str).map(escaped).collect();
                lines.join("\n")
            }
            (ParameterKind::Biases, Value::Object(biases)) => {
                let lines: Vec<_> =
                    biases.iter().map(|(token, bias)| format!("{token} = {}", short(bias))).collect();
                lines.join("\n")
            }
            (_, Value::String(text)) => text.clone(),
            (_, value) => short(value),
        }
    }

    /// Checks a value, whoever made it. What passes may go on to the engine.
    pub(super) fn check(&self, value: &Value) -> Result<(), Invalid> {
        let key = self.key;
        match (&self.kind, value) {
            (ParameterKind::Text | ParameterKind::Schema, Value::String(text)) => {
                if text.contains('\0') || text.chars().count() > Self::MAX_TEXT_CHARS {
                    return Err(Invalid("This is too long, or holds a NUL character.".into()));
                }
                if self.kind == ParameterKind::Schema && !text.is_empty() {
                    let read = serde_json::from_str::<Map<String, Value>>(text);
                    read.map_err(|error| Invalid(format!("This is no JSON object: {error}.")))?;
                }
                Ok(())
            }
            (ParameterKind::Text | ParameterKind::Schema, _) => Err(Invalid(format!("{key} is a text."))),
            _ => {
                let mut params = SamplingParams::default();
                params.set(key, value).map_err(|error| match &self.kind {
                    ParameterKind::Number(range) => no_number(key, range),
                    _ => Invalid(format!("{key} has the wrong type: {error}.")),
                })?;
                params.check().map_err(|wrong| Invalid(format!("{wrong}.")))
            }
        }
    }
}

fn number(key: &str, range: &Range, typed: &str) -> Result<Value, Invalid> {
    let whole = typed.parse::<i64>().ok().map(Value::from);
    let broken =
        || serde_json::Number::from_f64(typed.parse().ok().filter(|_| !range.whole)?).map(Value::Number);
    whole.or_else(broken).ok_or_else(|| no_number(key, range))
}

fn no_number(key: &str, range: &Range) -> Invalid {
    let what = if range.whole { "a whole number" } else { "a number such as 0.7" };
    Invalid(format!("{key} must be {what}, from {} to {}.", range.min, range.max))
}

fn bias(line: &str) -> Result<(String, Value), Invalid> {
    let read = line.split_once('=').and_then(|(token, bias)| {
        let bias = serde_json::Number::from_f64(bias.trim().parse().ok()?)?;
        Some((token.trim().to_owned(), Value::Number(bias)))
    });
    read.ok_or_else(|| {
        Invalid(format!("Each line is a token id, =, and a number from -100 to 100; not “{}”.", line.trim()))
    })
}

/// A number without a fraction that says nothing.
fn short(value: &Value) -> String {
    let mut text = value.to_string();
    if text.ends_with(".0") {
        text.truncate(text.len() - 2);
    }
    text
}

/// A text on one line.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n").replace('\t', r"\t").replace('\r', r"\r")
}

fn unescaped(line: &str) -> String {
    let (mut text, mut letters) = (String::new(), line.chars());
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('\\') | None => text.push('\\'),
                Some(other) => text.extend(['\\', other]),
            },
            (letter, false) => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(key: &str, typed: &str) -> Result<Option<Value>, String> {
        Parameter::find(key).unwrap().read(typed, 100).map_err(|error| error.0)
    }

    #[test]
    fn what_is_typed_becomes_a_checked_value_and_is_written_back_alike() {
        for (key, typed, value) in [
            ("temperature", "0.3", json!(0.3)),
            ("top_k", "7", json!(7)),
            ("seed", "-1", json!(-1)),
            ("stop", "END\nA\\nB\\\\", json!(["END", "A\nB\\"])),
            ("logit_bias", "42 = -100.0\n7 = 1.5", json!({ "42": -100.0, "7": 1.5 })),
            ("prefill", "Sure, ", json!("Sure, ")),
            ("json_schema", "{\"type\": \"object\"}", json!("{\"type\": \"object\"}")),
        ] {
            let parameter = Parameter::find(key).unwrap();
            let got = read(key, typed).unwrap().unwrap();
            assert_eq!(got, value, "{key}");
            assert_eq!(read(key, &parameter.written(&got)).unwrap(), Some(got), "{key}");
        }
        assert_eq!(read("top_p", " \n"), Ok(None));
    }

    #[test]
    fn what_is_wrong_gets_a_sentence_that_says_what_is_allowed() {
        for (key, typed, why) in [
            ("temperature", "9", "temperature must be from 0 to 5, not 9."),
            ("temperature", "warm", "temperature must be a number such as 0.7, from 0 to 5."),
            ("temperature", "nan", "temperature must be a number such as 0.7, from 0 to 5."),
            ("top_k", "1.5", "top_k must be a whole number, from 0 to 1000000."),
            ("max_tokens", "-1", "max_tokens must be a whole number, from 1 to 1000000."),
            ("logit_bias", "word", "Each line is a token id, =, and a number from -100 to 100; not “word”."),
            ("logit_bias", "7 = 900", "logit_bias of token 7 must be from -100 to 100, not 900."),
        ] {
            assert_eq!(read(key, typed).unwrap_err(), why, "{key}");
        }
        assert!(read("json_schema", "[1]").unwrap_err().starts_with("This is no JSON object"));
        assert!(read("system_prompt", &"x".repeat(101)).unwrap_err().contains("at most 100 characters"));
    }
}
