//! The corpus of hostile scripts against a running server: it lives, stays small, and nobody else notices.

use std::time::{Duration, Instant};

use futures::join;

use crate::support::{ECHO, TestApp};

#[path = "../hostile/corpus.rs"]
mod corpus;

/// What one script may make the server grow by, at its worst moment.
const MAX_GROWTH: u64 = 64 << 20;

#[tokio::test]
async fn f14_the_server_survives_every_hostile_script_and_answers_others_meanwhile() {
    let app = TestApp::start(&format!("{ECHO}[default.plugins]\ndeadline_ms = 200\n")).await;
    app.home.write("plugins/witness.rhai", "fn on_message(ctx, text) { text + \"!\" }");
    let (mallory, bob) = (app.person("mallory").await, app.person("bob").await);
    let (attack, talk) = (mallory.new_conversation().await, bob.new_conversation().await);
    assert_eq!(mallory.ask(&attack, "warm up").await, "warm up!");

    for hostile in corpus::scripts() {
        let (name, file) = (&hostile.name, app.home.path().join(format!("plugins/{}.rhai", hostile.name)));
        std::fs::write(&file, &hostile.script).unwrap();
        app.forget_peak();
        let before = app.resident_bytes();
        // Nobody waits long for a plugin that takes long to load; here it is to be there.
        let page = format!("/admin/plugins/{name}");
        let start = Instant::now();
        while mallory.get(&page).await.status() != 200 {
            assert!(start.elapsed() < Duration::from_secs(30), "{name} is never loaded");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }

        let attacked = async {
            let reply = mallory.send(&attack, "still there?").await;
            (mallory.read(&reply).await, mallory.bubble(&reply).await)
        };
        let ((said, bubble), answered) = join!(attacked, bob.ask(&talk, "quick"));

        assert_eq!((said.as_str(), answered.as_str()), ("still there?!", "quick!"), "{name}");
        assert_eq!(
            bubble.contains(&format!("The plugin {name} was skipped")),
            hostile.loads,
            "{name}, {:?}: {bubble}",
            hostile.told
        );
        let grown = app.peak_bytes().saturating_sub(before);
        assert!(grown < MAX_GROWTH, "{name}: the server grew by {grown} bytes");
        std::fs::remove_file(&file).unwrap();
    }

    let log = app.home.log();
    assert!(log.contains("remainder_by_zero.rhai:4:"), "{log}");
    assert!(log.contains("no_utf8.rhai: it is no UTF-8 text in line 2"), "what does not load is logged");
}
