//! JSON schemas: an independent judge looks at each answer.

use serde_json::{Value, json};

use super::*;

fn is_valid(schema: &Value, answer: &str) -> bool {
    let value: Value = match serde_json::from_str(answer) {
        Ok(value) => value,
        // JSON knows no largest number, our judge does.
        Err(error) if error.to_string().contains("number out of range") => return true,
        Err(error) => panic!("{error}: {answer}\n{schema}"),
    };
    let judge = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    judge.is_valid(&value)
}

async fn check(schema: &Value, seeds: std::ops::Range<u64>) -> usize {
    let matcher = compile(Grammar::JsonSchema(schema.to_string())).await;
    let matcher = matcher.unwrap_or_else(|error| panic!("{error}: {schema}"));
    let answers = seeds.map(|seed| walk(matcher.deep_clone(), seed));
    let whole = answers.filter_map(|answer| match answer {
        Answer::Whole(answer) => Some(answer),
        Answer::Cut(_) => None,
        Answer::Refused(error) => panic!("{error}: {schema}"),
    });
    whole.inspect(|answer| assert!(is_valid(schema, answer), "{answer}\n{schema}")).count()
}

#[tokio::test]
async fn each_kind_of_schema_gets_answers_that_it_describes() {
    let object = |schema: Value| json!({ "type": "object", "properties": { "v": schema }, "required": ["v"], "additionalProperties": false });
    let kinds = [
        json!(true),
        json!({}),
        json!({ "$anchor": "a", "$id": "https://example.org/s", "$comment": "c", "title": "t", "type": "integer" }),
        object(json!({ "type": "number", "minimum": 0, "maximum": 1 })),
        object(json!({ "type": "integer", "exclusiveMinimum": -5, "exclusiveMaximum": 12 })),
        object(json!({ "type": "integer", "maximum": -5 })),
        object(json!({ "type": "integer", "multipleOf": 7 })),
        object(json!({ "type": "number", "multipleOf": 0.5, "minimum": -9, "maximum": 9 })),
        object(json!({ "type": "string", "pattern": "[A-Z]{3}[0-9]", "maxLength": 9 })),
        object(json!({ "type": "string", "pattern": "^\\d{5}$" })),
        object(json!({ "type": "string", "pattern": "^\"[a-z]{1,9}\"$" })),
        object(json!({ "type": "string", "minLength": 2, "maxLength": 4 })),
        object(json!({ "type": "string", "format": "date" })),
        object(json!({ "type": "string", "format": "date-time" })),
        object(json!({ "type": "string", "format": "uuid" })),
        object(json!({ "type": "string", "format": "ipv4" })),
        object(json!({ "type": ["string", "null"], "maxLength": 5 })),
        object(json!({ "enum": [1, 2.5, "x", null, true, { "a": [1] }] })),
        object(json!({ "const": null })),
        object(
            json!({ "allOf": [{ "type": "integer", "minimum": 1 }, { "maximum": 9 }], "description": "both" }),
        ),
        object(
            json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "boolean" }], "maximum": 3 }),
        ),
        object(json!({ "oneOf": [{ "type": "integer" }, { "type": "boolean" }] })),
        json!({ "allOf": [{ "properties": { "a": { "type": "integer" } }, "required": ["a"] }, { "properties": { "a": { "maximum": 3 } } }],
            "type": "object" }),
        json!({ "type": "object", "required": ["id", "name"] }),
        json!({ "type": "object", "properties": {}, "additionalProperties": { "type": "integer" } }),
        json!({ "type": "object", "patternProperties": { "^k_": { "type": "boolean" } }, "additionalProperties": false }),
        json!({ "type": "object", "properties": { "größe": { "type": "integer" }, "名前": { "type": "null" }, "q\"uote": { "type": "boolean" } },
            "required": ["größe", "名前", "q\"uote"], "additionalProperties": false }),
        json!({ "type": "array", "items": { "type": "integer" }, "minItems": 1, "maxItems": 3 }),
        json!({ "type": "array", "prefixItems": [{ "type": "integer" }, { "type": "boolean" }], "items": false }),
        json!({ "$defs": { "a/b": { "type": "integer" } }, "type": "array", "items": { "$ref": "#/$defs/a~1b" }, "maxItems": 2 }),
        json!({ "$defs": { "A": { "type": "integer" } }, "allOf": [{ "$ref": "#/$defs/A" }], "minimum": 3 }),
        json!({ "$defs": { "A.B": { "type": "integer" }, "A-B": { "type": "boolean" } }, "type": "array", "maxItems": 2,
            "prefixItems": [{ "$ref": "#/$defs/A.B" }, { "$ref": "#/$defs/A-B" }], "items": false }),
        json!({ "type": "object", "properties": { "name": { "type": "string", "maxLength": 5 },
            "children": { "type": "array", "maxItems": 2, "items": { "$ref": "#" } } }, "required": ["name", "children"], "additionalProperties": false }),
        json!({ "$schema": "http://json-schema.org/draft-04/schema#", "definitions": { "I": { "type": "integer" } }, "$ref": "#/definitions/I" }),
    ];
    for schema in kinds {
        assert!(check(&schema, 1..9).await > 0, "every answer was cut: {schema}");
    }
}

#[tokio::test]
async fn random_schemas_get_answers_that_they_describe() {
    let whole = async |seed: u64| check(&schema(&mut Random(seed), 0), seed..seed + 2).await;
    let mut answers = 0;
    for seed in 0..150 {
        answers += whole(seed).await;
    }
    assert!(answers > 200, "{answers} of 300 answers came to an end");
}

/// Any schema that has answers.
fn schema(random: &mut Random, depth: usize) -> Value {
    let leaf = ["integer", "number", "string", "boolean", "enum"];
    let all = [
        "integer", "number", "string", "boolean", "enum", "array", "prefix", "object", "object", "any", "all",
    ];
    let bounds = |random: &mut Random, schema: &mut Value| {
        let least = random.below(900) as i64 - 450;
        for (keys, bound) in [
            (["minimum", "exclusiveMinimum"], least),
            (["maximum", "exclusiveMaximum"], least + 3 + random.below(500) as i64),
        ] {
            if random.below(2) == 0 {
                schema[*random.of(&keys)] = bound.into();
            }
        }
    };
    match *if depth < 3 { random.of(&all) } else { random.of(&leaf) } {
        "integer" => {
            let mut schema = json!({ "type": "integer" });
            bounds(random, &mut schema);
            schema
        }
        "number" => {
            let mut schema = json!({ "type": "number" });
            bounds(random, &mut schema);
            schema
        }
        "string" => match random.below(3) {
            0 => json!({ "type": "string", "minLength": random.below(3), "maxLength": 3 + random.below(6) }),
            1 => {
                let patterns = ["^[a-z]{2,5}$", "^\\d{3}-\\d{4}$", "^(foo|bar)?$", "^\\w+@\\w+$"];
                json!({ "type": "string", "pattern": random.of(&patterns) })
            }
            _ => {
                json!({ "type": "string", "format": random.of(&["date", "time", "date-time", "uuid", "ipv4"]) })
            }
        },
        "boolean" => json!({ "type": "boolean" }),
        "enum" => {
            let values = json!([1, 2, "a", "b\"c", null, true, 1.5, { "x": [1] }, [1, 2], "é", "🦊"]);
            let values = values.as_array().unwrap();
            let first = random.below(values.len());
            json!({ "enum": values[first..values.len().min(first + 3)] })
        }
        "array" => {
            let least = random.below(3);
            json!({ "type": "array", "items": schema(random, depth + 1), "minItems": least, "maxItems": least + random.below(3) })
        }
        "prefix" => {
            json!({ "type": "array", "prefixItems": [schema(random, depth + 1), schema(random, depth + 1)], "items": false })
        }
        "any" => json!({ "anyOf": [schema(random, depth + 1), schema(random, depth + 1)] }),
        "all" => json!({ "allOf": [
            { "type": "object", "properties": { "a": schema(random, depth + 2) }, "required": ["a"] },
            { "type": "object", "properties": { "b": schema(random, depth + 2) } },
        ] }),
        _ => {
            let names: Vec<_> = ["a", "b", "name", "größe", "q\"", "x y"]
                .into_iter()
                .filter(|_| random.below(2) == 0)
                .collect();
            let required: Vec<_> = names.iter().filter(|_| random.below(2) == 0).collect();
            let rest = random.of(&[json!(true), json!(false), json!({ "type": "integer" })]).clone();
            let required = json!(required);
            let properties: serde_json::Map<_, _> =
                names.iter().map(|&name| (name.to_owned(), schema(random, depth + 1))).collect();
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": rest })
        }
    }
}

#[tokio::test]
async fn what_no_grammar_can_promise_is_refused_by_name() {
    let refused = [
        (json!({ "not": { "type": "string" } }), "no grammar can promise \"not\""),
        (json!({ "type": "array", "uniqueItems": true }), "no grammar can promise \"uniqueItems\""),
        (json!({ "type": "array", "contains": { "const": 1 } }), "no grammar can promise \"contains\""),
        (json!({ "if": {}, "then": {}, "else": {} }), "\"else\", \"if\", \"then\""),
        (json!({ "type": "object", "dependentRequired": { "a": ["b"] } }), "\"dependentRequired\""),
        (json!({ "type": "object", "propertyNames": { "pattern": "^[A-Z]+$" } }), "\"propertyNames\""),
        (json!({ "type": "object", "unevaluatedProperties": false }), "\"unevaluatedProperties\""),
        (json!({ "oneOf": [{ "minimum": 1 }, { "maximum": 3 }], "type": "integer" }), "write \"anyOf\""),
        (json!({ "type": "string", "pattern": "^(?!foo)[a-z]{3}$" }), "look-around"),
        (
            json!({ "type": "string", "minLength": 5, "maxLength": 2 }),
            "minLength (5) is greater than maxLength (2)",
        ),
        (
            json!({ "type": "array", "minItems": 5, "maxItems": 2 }),
            "minItems (5) is greater than maxItems (2)",
        ),
        (json!({ "type": "string", "pattern": "^a{5,2}$" }), "the start must be <= the end"),
        (json!({ "$defs": { "A": { "$ref": "#/$defs/A" } }, "$ref": "#/$defs/A" }), "nothing satisfies it"),
        (json!({ "$ref": "file:///etc/passwd" }), "file:///etc/passwd"),
        (json!({ "type": "string", "x-guidance": { "whitespace_pattern": ".*" } }), "leave out x-guidance"),
        (json!(false), "is an object"),
        (json!("{}"), "is an object"),
    ];
    for (schema, why) in refused {
        let error =
            compile(Grammar::JsonSchema(schema.to_string())).await.map(|_| ()).unwrap_err().to_string();

        assert!(
            error.starts_with("json_schema is no JSON schema") && error.contains(why),
            "{schema}: {error}"
        );
    }
}

#[tokio::test]
async fn the_keys_of_an_answer_come_in_the_order_of_the_schema() {
    let names = ["reasoning", "answer", "zz", "aa"];
    let properties: serde_json::Map<_, _> =
        names.iter().map(|&name| (name.to_owned(), json!({ "type": "null" }))).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false });

    let answer = walk(compile(Grammar::JsonSchema(schema.to_string())).await.unwrap(), 1);

    let expected = r#"{"reasoning": null, "answer": null, "zz": null, "aa": null}"#;
    assert_eq!(answer, Answer::Whole(expected.into()));
}
