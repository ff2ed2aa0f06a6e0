//! Values between scripts and JSON, with bounds.

use rhai::{Dynamic, Map};
use serde_json::{Number, Value};

/// Deepest nesting of a value that leaves a script.
pub(super) const MAX_DEPTH: usize = 16;

/// A JSON value for a script.
pub(super) fn from_json(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(it) => Dynamic::from(*it),
        Value::Number(it) => match (it.as_i64(), it.as_f64()) {
            (Some(int), _) => Dynamic::from(int),
            (None, float) => Dynamic::from(float.unwrap_or(f64::NAN)),
        },
        Value::String(it) => Dynamic::from(it.clone()),
        Value::Array(items) => Dynamic::from_array(items.iter().map(from_json).collect()),
        Value::Object(entries) => Dynamic::from_map(
            entries.iter().map(|(key, value)| (key.as_str().into(), from_json(value))).collect::<Map>(),
        ),
    }
}

/// A script's value as JSON of about at most `max_bytes`; the error says what does not fit.
pub(super) fn to_json(value: &Dynamic, max_bytes: usize) -> Result<Value, String> {
    let mut left = max_bytes;
    convert(value, 0, &mut left)
}

fn convert(value: &Dynamic, depth: usize, left: &mut usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(format!("a value nests deeper than {MAX_DEPTH} levels"));
    }
    let mut take = |bytes: usize| {
        *left = left.checked_sub(bytes).ok_or("a value is larger than max_string_bytes allows")?;
        Ok::<(), String>(())
    };
    take(8)?;
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(it) = value.as_bool() {
        return Ok(it.into());
    }
    if let Ok(it) = value.as_int() {
        return Ok(it.into());
    }
    if let Ok(it) = value.as_float() {
        return Number::from_f64(it).map(Value::Number).ok_or_else(|| format!("{it} is not a number"));
    }
    if let Ok(it) = value.as_char() {
        return Ok(it.to_string().into());
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        take(text.len())?;
        return Ok(text.as_str().into());
    }
    if let Ok(items) = value.as_array_ref() {
        return items.iter().map(|item| convert(item, depth + 1, left)).collect();
    }
    if let Ok(entries) = value.as_map_ref() {
        let mut object = serde_json::Map::new();
        for (key, value) in entries.iter() {
            *left = left.saturating_sub(key.len());
            object.insert(key.to_string(), convert(value, depth + 1, left)?);
        }
        return Ok(Value::Object(object));
    }
    Err(format!("a value is of type {}", type_name(value)))
}

/// A value's type in a script author's words.
pub(super) fn type_name(value: &Dynamic) -> &'static str {
    match () {
        () if value.is_unit() => "()",
        () if value.is_bool() => "bool",
        () if value.is_int() => "int",
        () if value.is_float() => "float",
        () if value.is_char() => "char",
        () if value.is_string() => "string",
        () if value.is_array() => "array",
        () if value.is_map() => "map",
        () if value.is_fnptr() => "function",
        () => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_survives_the_way_into_a_script_and_back() {
        let value = serde_json::json!({"a": [1, -2.5, "é", null, true], "b": {"c": "d"}});

        assert_eq!(to_json(&from_json(&value), 1_000), Ok(value));
    }

    #[test]
    fn what_is_no_json_is_refused_by_name() {
        let nan = Dynamic::from(f64::NAN);
        let deep = (0..20).fold(Dynamic::UNIT, |inner, _| Dynamic::from_array(vec![inner]));

        assert_eq!(to_json(&nan, 100).unwrap_err(), "NaN is not a number");
        assert!(to_json(&deep, 10_000).unwrap_err().contains("deeper"));
        assert!(to_json(&Dynamic::from("x".repeat(200)), 100).unwrap_err().contains("larger"));
    }
}
