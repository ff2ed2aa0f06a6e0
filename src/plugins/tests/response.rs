//! What `on_response` may do with a complete reply.

use super::*;

#[tokio::test]
async fn a_plugin_that_holds_the_reply_may_have_it_written_anew() {
    let script = "const PLUGIN = #{ hold: \"reply\" };
        fn on_response(ctx, text) { if text.len() > 3 { retry(\"Shorter.\") } else { text + \"!\" } }";
    let set = Folder::new().with("judge.rhai", script).set().await;

    let outcome = set.on_response(&ctx(), "much too long".into()).await.unwrap();

    let retry = Retry { plugin: "judge".into(), hint: "Shorter.".into() };
    assert_eq!(outcome, ResponseOutcome { action: ResponseAction::Retry(retry), marks: vec![] });
    assert_eq!(responded(&set, "ok").await, "ok!");
    assert_eq!(set.max_retries(), 2);
}

#[tokio::test]
async fn what_it_may_not_return_is_an_error_with_file_and_line_and_the_reply_stays() {
    for (hold, body, sentence) in [
        ("0", "7", "must return a text, retry(hint) or (), not int"),
        ("0", "deny(\"no\")", "must return a text, retry(hint) or (), not something else"),
        (
            "0",
            "retry(\"again\")",
            "may return retry(hint) only with hold: \"reply\": without it readers have seen the text",
        ),
        ("\"reply\"", "retry(\" \")", "returned retry(hint) without a hint"),
        ("\"reply\"", "\"a\\x00\"", "returned a text that holds a NUL character"),
    ] {
        let script = format!("const PLUGIN = #{{ hold: {hold} }};\nfn on_response(ctx, text) {{ {body} }}");
        let set = Folder::new().with("a.rhai", &script).set().await;

        let outcome = set.on_response(&ctx(), "the reply".into()).await.unwrap();

        assert_eq!(outcome.action, ResponseAction::Keep("the reply".into()), "{body}");
        let text = format!("The plugin a was skipped: it failed at a.rhai:2: on_response {sentence}.");
        assert_eq!(outcome.marks, [Mark { source: "a".into(), text }], "{body}");
    }
}
