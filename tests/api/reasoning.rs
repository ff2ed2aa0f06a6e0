//! What a model reasons before its answer is kept, and not read again.

use serde_json::json;

use crate::support::{ECHO, Home, TestApp, unescape};

#[tokio::test]
async fn reasoning_is_stored_and_exported_and_left_out_of_the_next_prompt() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    // In pieces, so that the script itself does not say it.
    let script = json!({ "pieces": ["<think>\nThe hid", "den plan.\n", "</think>\n\n", "The ans", "wer."] });

    let reply = ada.ask(&conversation, &script.to_string()).await;
    let next = ada.send(&conversation, "And now?").await;
    ada.read(&next).await;

    assert_eq!(reply, "<think>\nThe hidden plan.\n</think>\n\nThe answer.");
    let trace = unescape(&ada.page(&format!("/c/{conversation}/messages/{}/trace", next.id)).await);
    assert!(trace.contains("The answer.") && !trace.contains("hidden plan"), "{trace}");
    let export = ada.page(&format!("/c/{conversation}/export.json")).await;
    assert!(export.contains("The hidden plan."), "{export}");
}

#[tokio::test]
async fn reasoning_that_the_prompt_has_opened_begins_with_its_tag() {
    let home = Home::new(ECHO);
    // The scripted model says back what stands last, so that this is its prompt's end and its reply.
    home.write(
        "plugins/open.rhai",
        r#"fn on_rendered(ctx, segments) {
            segments.push(#{ origin: "plugin", text: "Hm, and so on.\n</think>\n\nYes. <think>" });
            segments
        }"#,
    );
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let reply = ada.send(&conversation, "Think.").await;
    let read = ada.read(&reply).await;

    assert_eq!(read, "<think>\nHm, and so on.\n</think>\n\nYes. <think>");
    assert!(unescape(&ada.bubble(&reply).await).contains(&read));
}
