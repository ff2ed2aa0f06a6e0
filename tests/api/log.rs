//! What the log never holds, however much of it is asked for.

use serde_json::json;

use crate::support::program::Program;
use crate::support::{ECHO, Home, Person, TestApp};

/// What is secret or somebody's own, each at a place of its own.
const PASSWORD: &str = "canary-of-a-password";
const MESSAGE: &str = "canary-of-a-message";
const SEARCHED: &str = "canary-of-a-search";
const ASKED: &str = "canary-of-a-program";

#[tokio::test]
async fn s27_no_level_of_the_log_shows_keys_cookies_passwords_or_words() {
    for level in ["info", "debug", "trace", "rocket=trace", "trace,hyper=trace,sqlx=trace,rocket=trace"] {
        let home = Home::new(ECHO);
        let mut program = home.program();
        program.env("RUST_LOG", level);
        let app = TestApp::start_program(home, program);
        app.wait_until_ready().await;

        let secrets = use_everything(&app).await;

        let (_, _, home) = app.terminate();
        let log = home.log();
        assert!(
            level == "rocket=trace" || log.contains("SIGTERM: stopping"),
            "{level}: nothing is logged\n{log}"
        );
        for secret in secrets {
            assert!(!log.contains(&secret), "{level}: {secret} stands in the log\n{log}");
        }
    }
}

#[tokio::test]
async fn s27_a_name_that_breaks_the_line_is_escaped_in_the_log() {
    let app = TestApp::start(ECHO).await;
    let forged = "x\n2026-01-01T00:00:00Z  INFO fireside: forged line\u{1b}[31m";
    app.home.write(
        "plugins/forger.rhai",
        &format!("fn on_message(ctx, text) {{ log({forged:?}); throw {forged:?}; }}")
            .replace("\\u{1b}", "\\x1b"),
    );
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    ada.ask(&conversation, "Hi").await;

    let log = app.home.log();
    assert!(log.contains("forged line"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z")), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

/// Registers, fails to sign in, signs in, writes, searches, uses a key; returns everything that is nobody's business.
async fn use_everything(app: &TestApp) -> Vec<String> {
    let mut ada = Person::new(&app.url, "ada");
    ada.password = PASSWORD.into();
    ada.register().await;
    ada.password += "-wrong";
    assert_eq!(ada.sign_in().await.status(), 422);
    ada.password = PASSWORD.into();
    let answer = ada.sign_in().await;
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    let cookie = set.split([';', '=']).nth(1).unwrap().to_owned();
    let conversation = ada.new_conversation().await;
    ada.ask(&conversation, MESSAGE).await;
    assert!(ada.page(&format!("/search?q={SEARCHED}")).await.contains(SEARCHED));
    let program = Program::new(app, "ada");
    program.ask(json!({ "messages": [{ "role": "user", "content": ASKED }] })).await;
    let wrong = program.client.get(format!("{}/v1/models", app.url)).bearer_auth("fs-canary-of-a-key");
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    let secrets = [PASSWORD, MESSAGE, SEARCHED, ASKED, "fs-canary-of-a-key", &program.key, &cookie];
    secrets.map(str::to_owned).to_vec()
}
