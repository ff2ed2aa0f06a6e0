use super::*;

/// What a plugin's `on_prompt` with this body makes of a draft, or why it failed.
async fn made(body: &str, before: Draft) -> Result<Draft, String> {
    let script = format!("fn on_prompt(ctx, draft) {{\n{body}\n}}");
    let set = Folder::new().with("plan.rhai", &script).set().await;
    let (after, marks) = set.on_prompt(&ctx(), before).await.unwrap();
    match marks.into_iter().next() {
        Some(mark) => Err(mark.text),
        None => Ok(after),
    }
}

fn asked() -> Draft {
    Draft {
        grammar: Some("root ::= \"x\"".into()),
        prefill: Some("Sure".into()),
        ..draft(&[(Role::User, "hi")])
    }
}

#[tokio::test]
async fn form_and_beginning_of_a_reply_are_seen_and_set() {
    let seen = made(
        "draft.messages[0].content = `${draft.grammar} ${draft.prefill} ${draft.json_schema}`; draft",
        asked(),
    );
    let set = made(
        "draft.grammar = (); draft.prefill += \", \"; draft.json_schema = #{ type: \"object\" }; draft",
        asked(),
    );

    assert_eq!(seen.await.unwrap().messages[0].content, "root ::= \"x\" Sure ");
    let set = set.await.unwrap();
    assert_eq!((set.grammar, set.prefill.as_deref()), (None, Some("Sure, ")));
    assert_eq!(set.json_schema.as_deref(), Some(r#"{"type":"object"}"#));
}

#[tokio::test]
async fn a_schema_that_is_not_touched_keeps_the_order_of_its_keys() {
    let text = r#"{"type": "object", "properties": {"z": {}, "a": {}}}"#;
    let before = Draft { json_schema: Some(text.into()), ..draft(&[(Role::User, "hi")]) };

    let after = made("draft.params.top_k = 5; draft", before).await.unwrap();

    assert_eq!(after.json_schema.as_deref(), Some(text));
}

#[tokio::test]
async fn wrong_forms_and_beginnings_are_errors_with_file_and_line() {
    for (body, why) in [
        ("draft.grammar = 7; draft", "on_prompt returned grammar, which is not a string but int"),
        ("draft.prefill = []; draft", "on_prompt returned prefill, which is not a string but array"),
        ("draft.prefill = \"\\x00\"; draft", "on_prompt returned prefill, which holds a NUL character"),
        (
            "draft.json_schema = \"{}\"; draft",
            "on_prompt returned json_schema of type string; it must be a map or ()",
        ),
        ("draft.json_schema = #{ a: 0.0 / 0.0 }; draft", "returned json_schema, where NaN is not a number"),
        (
            "let s = \"\"; s.pad(40_000, 's'); draft.json_schema = #{ s: s }; draft",
            "returned json_schema, where a value is larger",
        ),
        ("draft.json_schema = #{}; draft", "returned both grammar and json_schema; one of them must be ()"),
        (
            "draft.messages.push(#{ role: \"assistant\", content: \"So\" }); draft",
            "returned a prefill behind a message",
        ),
        (
            "draft.params.temperature = 0.0 / 0.0; draft",
            "returned params.temperature, where NaN is not a number",
        ),
    ] {
        let told = made(body, asked()).await.unwrap_err();
        assert!(told.contains(why) && told.contains("plan.rhai:1"), "{body}: {told}");
    }
}
