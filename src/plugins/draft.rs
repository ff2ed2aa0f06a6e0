//! The draft on its way into a script and back: nothing comes back unchecked.

use rhai::{Array, Dynamic, Map};
use serde::Deserialize;
use serde_json::Value;

use super::hooks::Draft;
use super::value::{from_json, to_json, type_name};
use crate::domain::{PromptMessage, Role, SamplingParams};

/// Largest `params`, as JSON, in bytes.
const MAX_PARAMS_BYTES: usize = 1 << 20;

/// Largest `json_schema`, as JSON, in bytes; the engine takes no larger one.
const MAX_SCHEMA_BYTES: usize = 32 << 10;

const KEYS: &str = "messages, params, stop, grammar, json_schema, prefill";

/// `#{messages: [#{role, content}], params: #{…}, stop: […], grammar, json_schema, prefill}`; `()` is what there is none of.
pub(super) fn to_script(draft: &Draft) -> Dynamic {
    let message = |message: &PromptMessage| {
        let entries: [(&str, Dynamic); 2] =
            [("role", message.role.as_str().into()), ("content", message.content.clone().into())];
        Dynamic::from_map(map(entries))
    };
    let mut params = params_as_json(&draft.params);
    let stop = params.remove("stop").unwrap_or(Value::Array(Vec::new()));
    Dynamic::from_map(map([
        ("messages", Dynamic::from_array(draft.messages.iter().map(message).collect())),
        ("params", from_json(&Value::Object(params))),
        ("stop", from_json(&stop)),
        ("grammar", text_or_unit(draft.grammar.as_deref())),
        ("json_schema", draft.json_schema.as_deref().map_or(Dynamic::UNIT, schema_for_script)),
        ("prefill", text_or_unit(draft.prefill.as_deref())),
    ]))
}

/// Reads the draft that a script returned over the one that it was given: keys left out stay as they were.
/// The error is the rest of a sentence that begins with the hook's name.
pub(super) fn from_script(returned: &Dynamic, before: &Draft) -> Result<Draft, String> {
    let Ok(returned) = returned.as_map_ref() else {
        return Err(format!("must return the draft or (), not {}", type_name(returned)));
    };
    let mut draft = before.clone();
    for (key, value) in returned.iter() {
        match key.as_str() {
            "messages" => draft.messages = messages(value, &before.messages)?,
            "params" => set_params(&mut draft.params, value)?,
            "stop" => set(&mut draft.params, [("stop", value)].into_iter()).map_err(in_params)?,
            "grammar" => draft.grammar = optional_text(key, value)?,
            "json_schema" => draft.json_schema = schema(value, before.json_schema.as_deref())?,
            "prefill" => draft.prefill = optional_text(key, value)?,
            other => {
                return Err(format!("returned a draft with \"{other}\"; it has {KEYS}"));
            }
        }
    }
    if draft.grammar.is_some() && draft.json_schema.is_some() {
        return Err("returned both grammar and json_schema; one of them must be ()".into());
    }
    let said_last = draft.messages.last().is_some_and(|last| last.role == Role::Assistant);
    if said_last && draft.prefill.is_some() {
        return Err(
            "returned a prefill behind a message of the assistant's, which the reply continues already"
                .into(),
        );
    }
    draft.params.check().map_err(|wrong| format!("returned params.{wrong}"))?;
    Ok(draft)
}

fn text_or_unit(text: Option<&str>) -> Dynamic {
    text.map_or(Dynamic::UNIT, Into::into)
}

fn schema_for_script(text: &str) -> Dynamic {
    serde_json::from_str(text).map_or(Dynamic::UNIT, |schema| from_json(&schema))
}

/// A text, or none where it is `()` or empty.
fn optional_text(key: &str, value: &Dynamic) -> Result<Option<String>, String> {
    if value.is_unit() {
        return Ok(None);
    }
    let text = text(value).map_err(|why| format!("returned {key}, which {why}"))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A schema's text; one that is as it was keeps the order of its keys, which the reply follows.
pub(super) fn schema(value: &Dynamic, before: Option<&str>) -> Result<Option<String>, String> {
    if value.is_unit() {
        return Ok(None);
    }
    if !value.is_map() {
        return Err(format!("returned json_schema of type {}; it must be a map or ()", type_name(value)));
    }
    let schema =
        to_json(value, MAX_SCHEMA_BYTES).map_err(|why| format!("returned json_schema, where {why}"))?;
    let unchanged = |text: &&str| to_json(&schema_for_script(text), MAX_SCHEMA_BYTES).as_ref() == Ok(&schema);
    Ok(Some(before.filter(unchanged).map_or_else(|| schema.to_string(), str::to_owned)))
}

fn map<const N: usize>(entries: [(&str, Dynamic); N]) -> Map {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

pub(super) fn messages(returned: &Dynamic, before: &[PromptMessage]) -> Result<Vec<PromptMessage>, String> {
    let Ok(returned) = returned.as_array_ref() else {
        return Err(format!("returned messages of type {}; they must be an array", type_name(returned)));
    };
    if returned.is_empty() {
        return Err("returned no messages; at least one must stay".into());
    }
    let returned: &Array = &returned;
    returned
        .iter()
        .enumerate()
        .map(|(at, value)| message(value, before).map_err(|why| format!("returned messages[{at}] {why}")))
        .collect()
}

fn message(returned: &Dynamic, before: &[PromptMessage]) -> Result<PromptMessage, String> {
    let Ok(returned) = returned.as_map_ref() else {
        return Err(format!("of type {}; it must be #{{role, content}}", type_name(returned)));
    };
    if returned.keys().any(|key| key != "role" && key != "content") {
        return Err("with a key other than role and content".into());
    }
    let role = returned.get("role").and_then(|role| role.clone().into_string().ok());
    let Some(role) = role.as_deref().and_then(Role::parse) else {
        return Err("with a role other than \"system\", \"user\", \"assistant\"".into());
    };
    let content = text(returned.get("content").unwrap_or(&Dynamic::UNIT))
        .map_err(|why| format!("whose content {why}"))?;
    // What the model said keeps its tokens as long as it is still what the model said.
    let same = |message: &&PromptMessage| message.role == role && message.content == content;
    let token_ids = before.iter().find(same).and_then(|message| message.token_ids.clone());
    Ok(PromptMessage { role, content, token_ids })
}

/// A text that may enter a prompt or the store.
pub(super) fn text(value: &Dynamic) -> Result<String, String> {
    match value.as_immutable_string_ref() {
        Ok(text) if text.contains('\0') => Err("holds a NUL character".into()),
        Ok(text) => Ok(text.to_string()),
        Err(_) => Err(format!("is not a string but {}", type_name(value))),
    }
}

fn set_params(params: &mut SamplingParams, returned: &Dynamic) -> Result<(), String> {
    let Ok(returned) = returned.as_map_ref() else {
        return Err(format!("returned params of type {}; they must be a map", type_name(returned)));
    };
    if returned.contains_key("stop") {
        return Err("returned params.stop; stop stands beside params, as draft.stop".into());
    }
    set(params, returned.iter().map(|(key, value)| (key.as_str(), value))).map_err(in_params)
}

fn in_params(why: String) -> String {
    format!("returned params.{why}")
}

/// Sets the parameters that differ, one by one, so that the error can begin with the name of the one that is wrong.
pub(super) fn set<'a>(
    params: &mut SamplingParams,
    returned: impl Iterator<Item = (&'a str, &'a Dynamic)>,
) -> Result<(), String> {
    let mut all = params_as_json(params);
    for (key, value) in returned {
        let value = to_json(value, MAX_PARAMS_BYTES).map_err(|why| format!("{key}, where {why}"))?;
        let Some(before) = all.get_mut(key) else {
            return Err(format!("{key}; there is no such parameter"));
        };
        if *before != value {
            *before = value;
            *params =
                SamplingParams::deserialize(&all).map_err(|why| format!("{key} of a wrong type: {why}"))?;
        }
    }
    Ok(())
}

/// Through text, because a 32-bit float then keeps its short form: 0.8 and not 0.800000011920929.
pub(super) fn params_as_json(params: &SamplingParams) -> serde_json::Map<String, Value> {
    let text = serde_json::to_string(params).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
