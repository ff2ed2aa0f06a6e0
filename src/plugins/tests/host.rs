use std::time::Duration;

use super::*;
use crate::domain::{KvQuota, KvShelf};

/// Every word is a token.
struct Words;

impl Tokens for Words {
    fn count(&self, text: &str) -> Result<usize, String> {
        Ok(text.split_whitespace().count())
    }
}

/// What a body makes of a message: the new text, or why it failed.
async fn made(body: &str, services: Services) -> Result<String, String> {
    let folder = Folder::new().with("host.rhai", &format!("fn on_message(ctx, text) {{ {body} }}"));
    let plugins = Plugins::with_services(folder.config.clone(), services);
    assert_eq!(plugins.list()[0].error, None, "{body}");
    let outcome = plugins.current().await.on_message(&ctx(), "hello".into()).await.unwrap();
    match (outcome.marks.into_iter().next(), outcome.action) {
        (Some(mark), _) => Err(mark.text),
        (None, MessageAction::Continue(text)) => Ok(text),
        (None, other) => panic!("{other:?}"),
    }
}

async fn plain(body: &str) -> Result<String, String> {
    made(body, Services::default()).await
}

#[tokio::test]
async fn json_becomes_a_value_and_a_value_becomes_json() {
    let back = plain(r#"json_stringify(json_parse(`{"a": [1, -2.5, "é\n", null, true], "b": {}}`))"#).await;
    let large = plain("`${json_parse(\"18446744073709551615\")}`").await;

    assert_eq!(back.unwrap(), r#"{"a":[1,-2.5,"é\n",null,true],"b":{}}"#);
    assert!(large.unwrap().starts_with("1.8446744073709552"));
}

#[tokio::test]
async fn what_is_no_json_is_an_error_that_names_the_place_and_can_be_caught() {
    let told = plain("json_parse(`{\"secret\": oops}`); text").await.unwrap_err();
    let caught = plain("try { json_parse(text); } catch (why) { return `caught: ${why}`; }").await.unwrap();

    assert!(told.contains("host.rhai:1:28: the text is no JSON at line 1 column 12"), "{told}");
    assert!(!told.contains("secret"), "{told}");
    assert_eq!(caught, "caught: the text is no JSON at line 1 column 1");
}

#[tokio::test]
async fn json_is_bounded_in_depth_items_and_bytes() {
    for (body, why) in [
        ("let s = \"\"; s.pad(100_000, '['); json_parse(s)", "nests deeper than 16 levels"),
        ("let s = \"[0\"; s.pad(900_000, \",0\"); json_parse(s + \"]\")", "larger than max_array_len allows"),
        (
            "let s = \"\"; for i in 0..10_050 { s += `\"k${i}\":0,`; } json_parse(`{${s}\"z\":0}`)",
            "larger than max_map_len allows",
        ),
        ("let s = \"\\u0001\"; s.pad(2_000_000, '\\u0001'); json_stringify(s)", "max_string_bytes"),
        ("json_stringify(0.0 / 0.0)", "NaN is not a number"),
        ("json_stringify([1.0 / 0.0])", "inf is not a number"),
        ("json_stringify(#{ f: |x| x })", "of type function"),
        ("json_stringify(deny(\"no\"))", "something else"),
        ("json_parse(\"1e999\")", "the text is no JSON"),
        ("json_parse(\"\")", "the text is no JSON"),
        ("json_parse(\"1 2\")", "the text is no JSON"),
    ] {
        let told = plain(body).await.unwrap_err();
        assert!(told.contains(why), "{body}: {told}");
    }
}

#[tokio::test]
async fn a_hash_is_the_sha_256_in_hexadecimal() {
    let hash = plain("hash(\"abc\")").await.unwrap();

    assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[tokio::test]
async fn tokens_are_counted_by_the_model_or_the_error_says_why_not() {
    let services = || Services { tokens: Some(Arc::new(Words)), ..Services::default() };

    let counted = made("`${tokens(\"one two  three\")}`", services()).await;
    let long = made("let s = \"\"; s.pad(200_000, 'x'); tokens(s); text", services()).await;
    let none = plain("tokens(text); text").await;

    assert_eq!(counted.unwrap(), "3");
    assert!(long.unwrap_err().contains("up to 131072 bytes"));
    assert!(none.unwrap_err().contains("there is no model here"));
}

#[test]
fn a_service_is_out_of_reach_while_the_file_is_loaded() {
    let plugins =
        Folder::new().with("early.rhai", "const N = tokens(\"x\");\nfn on_message(ctx, text) { }").open();

    assert!(only_error(&plugins).contains("early.rhai:1:11: it can be called from a hook only"));
}

/// Keeps everything, and notes whose it is.
#[derive(Default)]
pub(super) struct Shelves(Mutex<BTreeMap<String, String>>);

impl Shelves {
    fn place(shelf: &KvShelf, key: &str) -> String {
        format!("{}/{:?}/{key}", shelf.plugin, shelf.scope)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap()
    }
}

impl KeyValue for Shelves {
    fn get(&self, shelf: &KvShelf, key: &str, _: Duration) -> Result<Option<String>, String> {
        Ok(self.held().get(&Self::place(shelf, key)).cloned())
    }

    fn set(
        &self,
        shelf: &KvShelf,
        key: &str,
        value: &str,
        lives: Option<Duration>,
        quota: KvQuota,
        _: Duration,
    ) -> Result<bool, String> {
        let value = lives.map_or_else(|| value.to_owned(), |lives| format!("{value} for {lives:?}"));
        let fits = value.len() as u64 <= quota.bytes;
        if fits {
            self.held().insert(Self::place(shelf, key), value);
        }
        Ok(fits)
    }

    fn delete(&self, shelf: &KvShelf, key: &str, _: Duration) -> Result<bool, String> {
        Ok(self.held().remove(&Self::place(shelf, key)).is_some())
    }

    fn keys(&self, shelf: &KvShelf, _: Duration) -> Result<Vec<String>, String> {
        let place = Self::place(shelf, "");
        Ok(self.held().keys().filter_map(|key| key.strip_prefix(&place)).map(str::to_owned).collect())
    }
}

pub(super) fn shelves() -> (Arc<Shelves>, Services) {
    let shelves = Arc::new(Shelves::default());
    (shelves.clone(), Services { kv: Some(shelves), ..Services::default() })
}

#[tokio::test]
async fn values_are_kept_by_scope_and_come_back_as_they_were() {
    let body = r#"
        kv_set("user", "b", #{ list: [1, 2.5, "x"], on: true });
        kv_set("user", "a", 1);
        kv_set("conversation", "a", 2, 60);
        let b = kv_get("user", "b");
        let gone = kv_delete("user", "a");
        `${kv_keys("user")} ${b.list[1] + 0.5} ${kv_get("user", "a") ?? "none"} ${gone} ${kv_delete("user", "a")}`"#;
    let (shelves, services) = shelves();

    let made = made(body, services).await.unwrap();

    assert_eq!(made, r#"["b"] 3.0 none true false"#);
    let kept: Vec<_> = shelves.held().clone().into_iter().collect();
    assert!(kept.iter().all(|(place, _)| place.starts_with("host/")), "{kept:?}");
    assert!(
        kept.iter().any(|(place, value)| place.contains("Conversation") && value == "2 for 60s"),
        "{kept:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_kept_is_an_error_with_its_reason() {
    for (body, why) in [
        ("kv_get(\"server\", \"k\")", "a scope is \"global\", \"user\" or \"conversation\""),
        ("kv_get(\"user\", \"\")", "1 to 128 bytes"),
        ("let k = \"\"; k.pad(129, 'k'); kv_get(\"user\", k)", "1 to 128 bytes"),
        ("kv_set(\"user\", \"k\", |x| x)", "of type function"),
        ("kv_set(\"user\", \"k\", 0.0 / 0.0)", "NaN is not a number"),
        ("kv_set(\"user\", \"k\", 1, 0)", "1 to 315360000 seconds"),
        ("let s = \"\"; s.pad(2_000_000, 's'); kv_set(\"user\", \"k\", s)", "1048576 bytes (kv_max_bytes)"),
        ("for i in 0..101 { kv_get(\"global\", \"k\"); }", "100 times"),
    ] {
        let told = made(body, shelves().1).await.unwrap_err();
        assert!(told.contains(why), "{body}: {told}");
    }
    assert!(plain("kv_get(\"user\", \"k\")").await.unwrap_err().contains("there is no database"));
}

#[tokio::test]
async fn values_that_other_threads_made_do_not_raise_the_memory_limit() {
    let (shelves, services) = shelves();
    shelves.held().insert("host/Global/k".into(), format!("\"{}\"", "x".repeat(1 << 20)));

    let hoard: String = (0..12).map(|n| format!("let s{n} = \"\"; s{n}.pad(3_000_000, 'x'); ")).collect();

    let told = made(&format!("for i in 0..99 {{ kv_get(\"global\", \"k\"); }} {hoard} text"), services).await;

    assert!(told.unwrap_err().contains("max_memory_bytes"));
}
