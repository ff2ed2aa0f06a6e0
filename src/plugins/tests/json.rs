use proptest::prelude::*;
use serde_json::Value;

use crate::config::PluginsConfig;
use crate::plugins::{budget, json, sandbox};

/// A text that is read as JSON and written again within a call's budget; the inner error is the script's.
fn there_and_back(text: &str) -> Result<String, String> {
    let config = PluginsConfig::default();
    let engine = sandbox::engine(&config);
    let both = || {
        let value = json::parse(text, &engine)?;
        json::stringify(&value, config.max_string_bytes)
    };
    let (ended, spent) = budget::within(&config, "json", both);
    assert!(spent.peak_bytes < 2 * config.max_memory_bytes, "{} bytes", spent.peak_bytes);
    ended.expect("no panic").map_err(|error| error.to_string())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_json_survives_the_way_into_a_script_and_back(value in any_json()) {
        let text = value.to_string();

        prop_assert_eq!(there_and_back(&text), Ok(text));
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), brackets in "[\\[\\]{}:,\"0-9a-z\\\\]{0,200}") {
        for text in [text, brackets] {
            if let Ok(back) = there_and_back(&text) {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", back);
            }
        }
    }
}
