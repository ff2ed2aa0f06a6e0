//! The name that a plugin gives a conversation.

use super::*;

fn exchange() -> Vec<PromptMessage> {
    vec![said(Role::User, "How do I bake bread?"), said(Role::Assistant, "With flour.")]
}

#[tokio::test]
async fn the_first_plugin_that_has_a_title_names_the_conversation() {
    let titled = |priority: i64, body: &str| {
        format!("const PLUGIN = #{{ priority: {priority} }}; fn on_title(ctx, messages) {{ {body} }}")
    };
    let folder = Folder::new()
        .with("a.rhai", &titled(1, "()"))
        .with("b.rhai", &titled(2, "messages[0].role + messages.len() + \": \" + messages[1].content"))
        .with("c.rhai", &titled(3, "\"too late\""));
    let set = folder.set().await;

    assert_eq!(set.on_title(&ctx(), exchange()).await, Ok((Some("user2: With flour.".into()), vec![])));
    assert!(set.names_conversations());
}

#[tokio::test]
async fn without_a_title_there_is_none() {
    let set = Folder::new().with("a.rhai", "fn on_title(ctx, messages) { }").set().await;
    let none = Folder::new().with("a.rhai", "fn on_message(ctx, text) { }").set().await;

    assert_eq!(set.on_title(&ctx(), exchange()).await, Ok((None, vec![])));
    assert!(!none.names_conversations());
}

#[tokio::test]
async fn a_wrong_title_is_an_error_with_file_and_line() {
    for (body, sentence) in [
        ("7", "must return a title or (), not int"),
        ("reply(\"x\")", "must return a title or (), not something else"),
        ("\" \"", "returned an empty title"),
        ("\"a\\x00\"", "returned a title that holds a NUL character"),
    ] {
        let set =
            Folder::new().with("a.rhai", &format!("\nfn on_title(ctx, messages) {{ {body} }}")).set().await;

        let (title, marks) = set.on_title(&ctx(), exchange()).await.unwrap();

        let text = format!("The plugin a was skipped: it failed at a.rhai:2: on_title {sentence}.");
        assert_eq!((title, marks), (None, vec![Mark { source: "a".into(), text }]), "{body}");
    }
}
