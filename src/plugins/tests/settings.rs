//! Types and levels of settings.

use std::collections::BTreeMap;

use rhai::Map;
use serde_json::{Value, json};

use super::super::settings::Settings;
use super::super::value::{from_json, to_json};
use super::*;
use crate::domain::{OperatorChoices, PersonChoices, SettingValues};

const TELLER: &str = "const PLUGIN = #{ settings: #{ word: \"x\" }, user_settings: #{ nick: \"friend\" } };\n\
    fn on_message(ctx, text) { if text == \"fail\" { throw 1; } ctx.settings.word + ctx.user_settings.nick }";

/// The operator sets `word` of the plugin `a`.
async fn choose(plugins: &Plugins, word: &str, optional: bool) {
    let chosen = OperatorChoices { settings: [("word".to_owned(), json!(word))].into(), optional };
    let chosen: BTreeMap<_, _> = [("a".to_owned(), chosen)].into();
    plugins.configure(async { Ok::<_, ()>(chosen) }).await.unwrap();
}

#[tokio::test]
async fn a_choice_holds_for_the_next_set_and_repairs_nothing_that_rests() {
    let folder = Folder::new().with("a.rhai", TELLER);
    let plugins = folder.open();
    let before = plugins.current().await;

    choose(&plugins, "y", false).await;
    let after = plugins.current().await;
    let (old, new) = (rewritten(&before, "hi").await, rewritten(&after, "hi").await);
    for _ in 0..3 {
        after.on_message(&ctx(), "fail".into()).await.unwrap();
    }
    choose(&plugins, "z", true).await;

    assert_eq!((old.as_str(), new.as_str()), ("xfriend", "yfriend"));
    assert_eq!(plugins.list()[0].state, PluginState::Resting);
    folder.write("a.rhai", TELLER.replace("friend", "fellow"));
    assert_eq!(rewritten(&*plugins.current().await, "hi").await, "zfellow", "an edit keeps what was chosen");
}

#[tokio::test]
async fn who_chose_nothing_has_the_very_set_of_all_and_others_one_of_their_own() {
    let folder =
        Folder::new().with("a.rhai", TELLER).with("b.rhai", "fn on_message(ctx, text) { text + \"!\" }");
    let plugins = folder.open();
    let set = plugins.current().await;
    let nick = [("nick".to_owned(), json!("Ada"))].into();
    let theirs = PersonChoices { settings: [("a".to_owned(), nick)].into(), ..PersonChoices::default() };
    let off = PersonChoices { off: ["a".to_owned(), "b".to_owned()].into(), ..PersonChoices::default() };

    let same = set.for_person(&PersonChoices::default());
    let (own, not_allowed) = (set.for_person(&theirs), set.for_person(&off));
    choose(&plugins, "x", true).await;
    let without = plugins.current().await.for_person(&off);

    assert!(Arc::ptr_eq(&same, &set));
    assert_eq!(rewritten(&own, "hi").await, "xAda!");
    assert_eq!(rewritten(&set, "hi").await, "xfriend!");
    assert_eq!(rewritten(&not_allowed, "hi").await, "xfriend!");
    assert_eq!(rewritten(&without, "hi").await, "hi!");
}

fn declared(settings: Value) -> Result<Settings, String> {
    Settings::parse("PLUGIN.settings", &from_json(&settings).cast::<Map>())
}

fn resolved(settings: Value, file: Value, form: Value) -> Result<Value, String> {
    let values = |value| serde_json::from_value::<SettingValues>(value).unwrap();
    let (settings, file) = (declared(settings)?, values(file));
    settings.check_file("demo", &file)?;
    Ok(to_json(&settings.values(&file, &values(form)), 1_000).unwrap())
}

#[test]
fn a_form_wins_over_the_file_and_the_file_over_the_default() {
    let settings = serde_json::json!({
        "most": {"type": "int", "default": 60, "min": 10, "max": 500, "label": "Most words"},
        "tone": {"type": "choice", "default": "dry", "choices": ["dry", "warm"]},
        "words": ["a"],
    });

    let file = serde_json::json!({"most": 20, "words": ["x", "y"]});

    let values = resolved(settings, file, serde_json::json!({"most": 30}));

    assert_eq!(values, Ok(serde_json::json!({"most": 30, "tone": "dry", "words": ["x", "y"]})));
}

#[test]
fn what_was_stored_and_no_longer_fits_leaves_the_level_below_and_is_not_quoted() {
    let settings = serde_json::json!({
        "most": {"type": "int", "default": 60, "max": 100},
        "tone": {"type": "choice", "default": "dry", "choices": ["dry", "warm"]},
        "key": {"type": "secret"},
        "once_secret": "",
    });
    let form = serde_json::json!({
        "most": 500, "tone": "loud", "key": "not marked", "once_secret": {"secret": "x"}, "gone": 1,
    });
    let kept = declared(settings.clone()).unwrap();
    let stored: SettingValues = serde_json::from_value(form.clone()).unwrap();

    let values = resolved(settings, serde_json::json!({"most": 7}), form);
    let misfits: Vec<_> = kept.misfits(&stored).collect();

    assert_eq!(values, Ok(serde_json::json!({"most": 7, "tone": "dry", "key": "", "once_secret": ""})));
    assert_eq!(misfits.len(), 4);
    assert!(!format!("{misfits:?}").contains("loud") && !format!("{misfits:?}").contains("marked"));
}

#[test]
fn a_secret_reaches_its_script_and_has_no_default() {
    let settings = serde_json::json!({"key": {"type": "secret", "label": "Key"}});
    let form = serde_json::json!({"key": {"secret": "from the form"}});

    let unset = resolved(settings.clone(), serde_json::json!({}), serde_json::json!({}));
    let of_file =
        resolved(settings.clone(), serde_json::json!({"key": "of the file"}), serde_json::json!({}));
    let of_form = resolved(settings, serde_json::json!({"key": "of the file"}), form);
    let given = declared(serde_json::json!({"key": {"type": "secret", "default": "x"}})).unwrap_err();

    assert_eq!(unset, Ok(serde_json::json!({"key": ""})));
    assert_eq!(of_file, Ok(serde_json::json!({"key": "of the file"})));
    assert_eq!(of_form, Ok(serde_json::json!({"key": "from the form"})));
    assert!(given.contains("has no default"), "{given}");
}

#[test]
fn a_wrong_key_type_or_range_names_the_key_in_rocket_toml() {
    let settings = serde_json::json!({
        "most": {"type": "int", "default": 60, "min": 10, "max": 500},
        "tone": {"type": "choice", "default": "dry", "choices": ["dry", "warm"]},
    });
    let sentence = |set| resolved(settings.clone(), set, serde_json::json!({})).unwrap_err();
    let table = "Rocket.toml: [default.plugins.settings.demo]";

    assert_eq!(
        sentence(serde_json::json!({"mots": 1})),
        format!("{table} has no key \"mots\"; it has most, tone")
    );
    assert_eq!(sentence(serde_json::json!({"most": "1"})), format!("{table} most must be int, not string"));
    assert_eq!(
        sentence(serde_json::json!({"most": 5})),
        format!("{table} most must be from 10 to 500, not 5")
    );
    assert_eq!(
        sentence(serde_json::json!({"tone": "loud"})),
        format!("{table} tone must be one of dry, warm, not \"loud\"")
    );
}

#[test]
fn a_declaration_that_contradicts_itself_is_refused() {
    for bad in [
        serde_json::json!({"a": null}),
        serde_json::json!({"a": {"default": 1}}),
        serde_json::json!({"a": {"type": "int"}}),
        serde_json::json!({"a": {"type": "int", "default": 1, "min": 2}}),
        serde_json::json!({"a": {"type": "int", "default": 1, "least": 2}}),
        serde_json::json!({"a": {"type": "choice", "default": "x"}}),
        serde_json::json!({"a": [1, 2]}),
        serde_json::json!({"a b": 1}),
        serde_json::json!({"a": {"type": "int", "default": 1, "label": 1}}),
    ] {
        assert!(declared(bad.clone()).is_err(), "{bad} passed");
    }
}
