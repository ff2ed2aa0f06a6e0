//! Without JavaScript.

use std::time::{Duration, Instant};

use super::support::{ECHO, PATIENCE, TestApp};
use super::window::{ENTER, Window};

/// Waits for a text on the page, which cannot look at itself.
pub async fn until_text(window: &Window, text: &str) {
    let start = Instant::now();
    loop {
        let body = window.text().await;
        if body.contains(text) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "never there: {text}\n{body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_person_registers_writes_reads_edits_and_leaves() {
    let (app, window) = tokio::join!(TestApp::start(ECHO), Window::open());
    window.without_scripts().await;
    window.goto(&format!("{}/register", app.url)).await;
    window.fill("#username", "ada").await;
    window.fill("#password", &format!("correct horse ada{ENTER}")).await;
    until_text(&window, "New conversation").await;

    window.fill("#message", &super::script(&["slow "], 60, 50)).await;
    window.press("#send").await;
    // It was not there when the page came: the page has looked again.
    until_text(&window, "slow ".repeat(60).trim_end()).await;
    window.fill("#message", "second").await;
    window.press("#send").await;
    until_text(&window, "\nsecond\n").await;
    until_text(&window, "UTC\nsecond\nCopy").await;
    window.press("#messages > :nth-child(3) .edit").await;
    until_text(&window, "Edit your message").await;
    window.fill("textarea", "thoughts, ").await;
    window.press("main .primary").await;
    until_text(&window, "thoughts, second").await;
    until_text(&window, "2/2").await;
    window.press(".person form button").await;
    until_text(&window, "Sign in").await;
}
