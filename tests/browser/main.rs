//! A real Chromium against the real program. Pictures of it go to `target/tmp/pictures`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test that meets a surprise should fail.

#[path = "../support/mod.rs"]
mod support;

mod account;
mod chat;
mod commands;
mod finding;
mod hostile;
mod hostile_texts;
mod keys;
mod looks;
mod parameters;
mod plain;
mod plugin_settings;
mod plugins;
mod reach;
mod reading;
mod smooth;
mod temporary;
mod text;
mod title;
mod trace;
mod versions;
mod walk;
mod window;

use serde_json::{Value, json};

use support::{ECHO, Home, TestApp};
use window::{ENTER, Window};

/// The last message of the page.
const LAST: &str = "document.querySelector('#messages > :last-child')";

/// Someone who sits before a browser, signed in, with a blank conversation open.
struct Seat {
    app: TestApp,
    window: Window,
}

impl Seat {
    async fn take(toml: &str) -> Self {
        Self::take_in(Home::new(toml)).await
    }

    async fn take_in(home: Home) -> Self {
        let (app, window) = tokio::join!(TestApp::start_in(home), Window::open());
        let seat = Self { app, window };
        seat.register("ada").await;
        seat
    }

    async fn echo() -> Self {
        Self::take(ECHO).await
    }

    async fn register(&self, name: &str) {
        self.window.goto(&format!("{}/register", self.app.url)).await;
        self.window.click("#username").await;
        self.window.keys(name).await;
        self.window.click("#password").await;
        self.window.keys(&format!("correct horse {name}{ENTER}")).await;
        self.window
            .until("location.pathname.startsWith('/c/') && document.activeElement.id === 'message'")
            .await;
    }

    /// Types a message as fast as a paste does, and sends it with Enter.
    async fn send(&self, message: &str) {
        let set = format!(
            "(document.querySelector('#message').value = {}, document.querySelector('#message').focus())",
            json!(message)
        );
        self.window.eval::<Value>(&set).await;
        self.window.keys(ENTER).await;
    }

    /// Waits until a reply is there and over.
    async fn until_over(&self, messages: usize) {
        let over = format!(
            "document.querySelectorAll('.message').length === {messages} && !document.querySelector('[aria-busy]')"
        );
        self.window.until(&over).await;
    }

    /// The exact text of the last message.
    async fn last_text(&self) -> String {
        self.window.eval(&format!("{LAST}.querySelector('.source').textContent")).await
    }

    /// The console must be empty: no violation of the content security policy, no error.
    async fn leave(self) {
        assert_eq!(self.window.console().await, Vec::<String>::new());
    }
}

/// A script for the echo model.
fn script(pieces: &[&str], repeat: usize, delay_ms: u64) -> String {
    json!({ "pieces": pieces, "repeat": repeat, "delay_ms": delay_ms }).to_string()
}
