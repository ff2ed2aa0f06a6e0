//! Forms that are made to hold the server up: they are refused, or cost little.

use std::fmt::Write;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::*;

/// Longest time in which a form is read or refused; what is usual is a hundredth of it. The engine itself gives up after three
/// seconds.
const READING: Duration = Duration::from_millis(2_900);

/// Longest time of a walk through 300 tokens.
const WALK: Duration = Duration::from_secs(10);

/// References that double at each step.
fn doubling(key: &str, steps: usize) -> Value {
    let step = |n: usize| json!({ key: [{ "$ref": format!("#/$defs/d{}", n + 1) }, { "$ref": format!("#/$defs/d{}", n + 1) }] });
    let mut steps: Map<_, _> = (0..steps).map(|n| (format!("d{n}"), step(n))).collect();
    steps.insert(
        format!("d{}", steps.len()),
        json!({ "type": "object", "properties": { "a": { "type": "string" } } }),
    );
    json!({ "$defs": steps, "$ref": "#/$defs/d0" })
}

fn schemas() -> Vec<Value> {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let exponential = |n: usize| format!("(a|b)*a(a|b){{{n}}}");
    let named = |count: usize, of: &dyn Fn(usize) -> Value| {
        (0..count).map(|n| (format!("p{n}"), of(n))).collect::<Map<_, _>>()
    };
    vec![
        text("^(((a{1,100}){1,100}){1,100}){1,100}$"),
        text("^(a|aa)+(a|aa|aaa)*b(a|aa)+$"),
        text(&format!("^{}$", exponential(40))),
        text(&format!("{}c", exponential(200))),
        text("^(\\p{L}|\\p{N}|\\p{P}){1,1000}$"),
        text(&format!("{}x", ".*".repeat(500))),
        json!({ "allOf": (2..40).map(|n| text(&exponential(n))).collect::<Vec<_>>() }),
        json!({ "allOf": [text(&exponential(30)), text(&exponential(31)), text(&exponential(32))] }),
        json!({ "type": "string", "pattern": format!("^{}x$", exponential(60)), "maxLength": 40 }),
        json!({ "type": "string", "minLength": 10_000_000 }),
        json!({ "type": "string", "maxLength": 4_000_000_000_u64 }),
        json!({ "type": "array", "minItems": 100_000, "items": { "type": "array", "minItems": 100_000 } }),
        json!({ "enum": (0..3_000).map(|n| format!("v{n:05}")).collect::<Vec<_>>() }),
        json!({ "type": "object", "properties": named(400, &|n| text(&format!("^{}$", exponential(n)))) }),
        json!({ "type": "object", "properties": named(900, &|_| json!({ "type": "integer" })), "additionalProperties": false }),
        json!({ "type": "object", "required": (0..2_500).map(|n| format!("r{n}")).collect::<Vec<_>>() }),
        json!({ "type": "object", "patternProperties": (1..30).map(|n| (exponential(n), json!(true))).collect::<Map<_, _>>() }),
        doubling("allOf", 60),
        doubling("anyOf", 60),
        doubling("prefixItems", 200),
        json!({ "allOf": (0..30).map(|n| json!({ "anyOf": [{ "minimum": n }, { "maximum": n }, { "multipleOf": n + 1 }] })).collect::<Vec<_>>() }),
        json!({ "type": "integer", "multipleOf": 1_000_003 }),
        json!({ "allOf": [{ "multipleOf": 97 }, { "multipleOf": 89 }, { "multipleOf": 83 }], "type": "integer" }),
        json!({ "type": "number", "multipleOf": 1e-300 }),
        json!({ "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/a" }, { "type": "array", "items": { "$ref": "#/$defs/a" } }] } },
            "$ref": "#/$defs/a" }),
    ]
}

fn grammars() -> Vec<String> {
    let chain = |count: usize, rule: &dyn Fn(usize) -> String, last: &str| {
        let mut text = String::from("root ::= r0\n");
        (0..count).for_each(|n| writeln!(text, "r{n} ::= {}", rule(n)).unwrap());
        text + format!("r{count} ::= {last}\n").as_str()
    };
    let circle = |n: usize| format!("\"\" | \"a\" | \"b\" | \"ab\" | r{}", (n + 1) % 40);
    vec![
        "s ::= \"a\" s \"b\" | \"a\" s \"c\" | \"x\"\nroot ::= s".into(),
        chain(40, &|n| format!("r{} | r{}", n + 1, n + 1), "\"a\""),
        chain(40, &|n| format!("r{} r{}", n + 1, n + 1), "\"a\"?"),
        chain(39, &circle, "\"a\" r0"),
        "root ::= root root | \"a\" | \"\"".into(),
        "root ::= root root root | root root | \"a\"".into(),
        "root ::= e root \"a\" | \"a\"\ne ::= \"\" | e e".into(),
        "root ::= ((((((\"a\"*)*)*)*)*)*)*".into(),
        "root ::= (((((\"a\"{0,2000}){0,2000}){0,2000}){0,2000}){0,2000})".into(),
        "root ::= (.* .* .* .* .* .* .* .*)* \"x\"".into(),
        "root ::= \"a\" root \"a\" | \"b\" root \"b\" | [a-z]* root [a-z]* | \"\"".into(),
        "root ::= ([^a]* [^b]* [^c]*)* [^d] root | \"e\"".into(),
        format!("root ::= \"{}\"", "a".repeat(32_000)),
        format!("root ::= {}\"a\"{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("root ::= {}", vec!["\"word\""; 3_000].join(" | ")),
        format!(
            "%llguidance {{}}\nstart: {}",
            (1..60).map(|n| format!("/(.*[a-z]{{{n}}}.*)/")).collect::<Vec<_>>().join(" & ")
        ),
        format!(
            "%llguidance {{}}\nstart: T0\n{}T60: \"a\"\n",
            (0..60).map(|n| format!("T{n}: T{} T{}\n", n + 1, n + 1)).collect::<String>()
        ),
        "%llguidance {}\nstart: ((\"a\"{0,10000}){0,10000}){0,10000}".into(),
        "%llguidance {}\nstart: A*\nA: /a/\n%ignore /(x|y)*x(x|y){50}/\n".into(),
    ]
}

/// One reply, with or without a form.
async fn reply(grammar: Option<&str>) -> (String, Result<Finished, String>) {
    let engine = real().await;
    let params = SamplingParams { temperature: 0.0, max_tokens: 30, ..SamplingParams::default() };
    let prompt = engine.model().unwrap().prepare(&[says(Role::User, "Tell a story.")], 30).unwrap();
    let task = Task { grammar: grammar.map(|text| Grammar::Rules(text.into())), ..params.into() };
    let reserved = engine.reserve(UserId::new()).unwrap();
    let submitted = tokio::task::spawn_blocking(move || reserved.submit(prompt, task)).await.unwrap();
    read(submitted.unwrap()).await
}

#[tokio::test]
async fn replies_whose_forms_are_slow_to_follow_stand_beside_others_and_change_nothing_in_them() {
    let (alone, _) = reply(None).await;
    let slow = "root ::= e root [a-z ] | [a-z ]\ne ::= \"\" | e e";
    let slower = "root ::= root root | [a-z ] | \"\"";

    let (first, second, third, plain) =
        tokio::join!(reply(Some(slow)), reply(Some(slower)), reply(Some(slow)), reply(None));

    assert_eq!(plain.0, alone);
    assert!(plain.1.is_ok());
    for (text, ended) in [first, second, third] {
        assert!(text.chars().all(|c| c.is_ascii_lowercase() || c == ' '), "{text:?}");
        assert_eq!(ended.map(|finished| finished.usage.completion_tokens), Ok(30), "{text:?}");
    }
}

#[tokio::test]
async fn no_form_takes_long_to_read_or_to_follow() {
    let schemas = schemas().into_iter().map(|schema| Grammar::JsonSchema(schema.to_string()));
    let forms: Vec<_> = schemas.chain(grammars().into_iter().map(Grammar::Rules)).collect();
    assert!(forms.len() > 40);
    // The token trie is made once.
    compile(Grammar::json_object()).await.unwrap();

    for form in forms {
        let begin = Instant::now();
        let compiled = compile(form.clone()).await;
        assert!(begin.elapsed() < READING, "{:?} to read {form:?}", begin.elapsed());
        let Ok(matcher) = compiled else { continue };
        let begin = Instant::now();
        let answer = walk(matcher, 1);
        assert!(begin.elapsed() < WALK, "{:?} to follow {form:?}: {answer:?}", begin.elapsed());
    }
}
