use super::*;

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
    assert!(large.unwrap().starts_with("18446744073709552000"));
}

#[tokio::test]
async fn what_is_no_json_is_an_error_that_names_the_place_and_can_be_caught() {
    let told = plain("json_parse(`{\"secret\": oops}`); text").await.unwrap_err();
    let caught = plain("try { json_parse(text) } catch (why) { `caught: ${why}` }").await.unwrap();

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
            "let a = []; for i in 0..20_000 { a.push(`\"k${i}\":0`); } \
          let s = \"\"; for x in a { s += x + \",\"; } json_parse(`{${s}\"z\":0}`)",
            "larger than max_map_len allows",
        ),
        ("let s = \"\\u0001\"; s.pad(2_000_000, '\\u0001'); json_stringify(s)", "max_string_bytes"),
        ("let s = \"x\"; s.pad(3_000_000, 'x'); json_stringify([s, s])", "max_string_bytes"),
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
    let services = || Services { tokens: Some(Arc::new(Words)) };

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
