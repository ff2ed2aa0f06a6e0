//! What a schema allows and nobody means: it is narrowed before it is read, so that every answer still follows it.

use serde_json::{Map, Value, json};

/// Keys whose values are data, not schemas.
const DATA: [&str; 5] = ["const", "enum", "default", "example", "examples"];

/// Largest whole number that every program reads exactly.
const LARGEST_EXACT: i64 = (1 << 53) - 1;

/// A day that exists, also in February.
const DATE: &str = concat!(
    "([0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|30)",
    "|[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])",
    "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)",
);

/// A moment of a day that exists; leap seconds are few.
const TIME: &str =
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";

/// Keys whose schemas are about the same value as the schema that they stand in.
const IN_PLACE: [&str; 4] = ["allOf", "anyOf", "oneOf", "$ref"];

/// Keys that ask for nothing.
const NOTES: [&str; 11] = [
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
];

/// Narrows a schema: to the properties that it names, to days and times that exist, and to multiples that are read exactly.
pub(super) fn narrow(schema: &mut Value) {
    let definitions_meet = meets(schema);
    inner(schema, false, definitions_meet);
}

/// `meets_others`: whether something else, which stands elsewhere, is asked of the same value.
fn inner(schema: &mut Value, meets_others: bool, definitions_meet: bool) {
    let Value::Object(schema) = schema else { return };
    let is_alone = is_alone(schema);
    if !meets_others && !schema.keys().any(|key| IN_PLACE.contains(&key.as_str())) {
        close(schema);
    }
    multiples(schema);
    times(schema);
    let child = |value: &mut Value, meets| inner(value, meets, definitions_meet);
    for (key, value) in schema.iter_mut() {
        match (key.as_str(), value) {
            (key, _) if DATA.contains(&key) => {}
            ("$defs" | "definitions", Value::Object(named)) => {
                named.values_mut().for_each(|value| child(value, definitions_meet));
            }
            ("properties" | "patternProperties", Value::Object(named)) => {
                named.values_mut().for_each(|value| child(value, false));
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(parts)) => {
                parts.iter_mut().for_each(|value| child(value, meets_others || !is_alone));
            }
            (_, Value::Array(parts)) => parts.iter_mut().for_each(|value| child(value, false)),
            (_, value) => child(value, false),
        }
    }
}

/// Whether several parts of a schema, anywhere in it, ask something of the same value.
fn meets(schema: &Value) -> bool {
    match schema {
        Value::Object(schema) => {
            !is_alone(schema)
                || schema.iter().any(|(key, value)| !DATA.contains(&key.as_str()) && meets(value))
        }
        Value::Array(parts) => parts.iter().any(meets),
        _ => false,
    }
}

/// Whether all that a schema asks of a value stands in one place.
fn is_alone(schema: &Map<String, Value>) -> bool {
    let asks = || schema.iter().filter(|(key, _)| !NOTES.contains(&key.as_str()));
    let parts = |(key, value): (&String, &Value)| match value {
        Value::Array(parts) if key == "allOf" => parts.len(),
        _ => 1,
    };
    let refers = asks().any(|(key, _)| IN_PLACE.contains(&key.as_str()));
    !refers || asks().map(parts).sum::<usize>() == 1
}

/// Who names properties means these: a model that may add others goes on with that for long.
fn close(schema: &mut Map<String, Value>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let is_named = |name: &Value| name.as_str().is_some_and(|name| properties.contains_key(name));
    let names_all =
        schema.get("required").and_then(Value::as_array).is_none_or(|names| names.iter().all(is_named));
    let decides = ["additionalProperties", "patternProperties", "minProperties"];
    if !properties.is_empty() && names_all && !decides.iter().any(|&key| schema.contains_key(key)) {
        schema.insert("additionalProperties".into(), false.into());
    }
}

fn multiples(schema: &mut Map<String, Value>) {
    if !schema.get("multipleOf").is_some_and(Value::is_number) {
        return;
    }
    for (bound, exclusive, most) in
        [("minimum", "exclusiveMinimum", -LARGEST_EXACT), ("maximum", "exclusiveMaximum", LARGEST_EXACT)]
    {
        if !schema.contains_key(bound) && !schema.contains_key(exclusive) {
            schema.insert(bound.into(), json!(most));
        }
    }
}

fn times(schema: &mut Map<String, Value>) {
    if schema.contains_key("pattern") {
        return;
    }
    let pattern = match schema.get("format").and_then(Value::as_str) {
        Some("time") => format!("^{TIME}$"),
        Some("date") => format!("^{DATE}$"),
        Some("date-time") => format!("^{DATE}T{TIME}$"),
        _ => return,
    };
    schema.remove("format");
    schema.insert("pattern".into(), pattern.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_are_those_of_the_calendar() {
        let date = regex::Regex::new(&format!("^{DATE}$")).unwrap();

        for year in [1900, 1999, 2000, 2023, 2024] {
            for (month, day) in (1..=12).flat_map(|month| (1..=31).map(move |day| (month, day))) {
                let text = format!("{year}-{month:02}-{day:02}");
                let exists = jiff::civil::Date::new(year, month, day).is_ok();
                assert_eq!(date.is_match(&text), exists, "{text}");
            }
        }
    }

    #[test]
    fn objects_have_the_properties_that_are_named_where_nothing_else_is_asked_of_them() {
        let open = json!({ "properties": { "a": {} }, "required": ["a"] });
        let mut closed = open.clone();
        closed["additionalProperties"] = false.into();
        let alone: [fn(Value) -> Value; 4] = [
            |part| part,
            |part| json!({ "items": part }),
            |part| json!({ "anyOf": [part] }),
            |part| json!({ "$defs": { "a": part }, "$ref": "#/$defs/a" }),
        ];
        for wrap in alone {
            let mut schema = wrap(open.clone());
            narrow(&mut schema);
            assert_eq!(schema, wrap(closed.clone()));
        }
        for open in [
            json!({ "allOf": [open, { "properties": { "b": {} } }] }),
            json!({ "anyOf": [open], "required": ["c"] }),
            json!({ "$defs": { "a": open }, "$ref": "#/$defs/a", "required": ["c"] }),
            json!({ "properties": { "a": {} }, "required": ["b"] }),
            json!({ "properties": { "a": {} }, "additionalProperties": true }),
        ] {
            let mut schema = open.clone();
            narrow(&mut schema);
            assert_eq!(schema, open);
        }
    }

    #[test]
    fn schemas_are_narrowed_and_data_is_not() {
        let mut schema = json!({ "items": { "format": "time" }, "const": { "format": "time" }, "multipleOf": 7, "maximum": 9 });

        narrow(&mut schema);

        assert!(schema["items"]["pattern"].is_string() && schema["items"].get("format").is_none());
        assert_eq!(schema["const"], json!({ "format": "time" }));
        assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(-9_007_199_254_740_991_i64), &json!(9)));
    }
}
