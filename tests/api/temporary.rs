//! Conversations that are never written to the disk.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::{ECHO, Home, Person, TestApp, begun_reply, real_model, unescape};

const WORD: &str = "xylophonist";

async fn new_temporary(person: &Person) -> String {
    let answer = person.post("/c/temporary", &[]).await;
    assert_eq!(answer.status(), 303);
    answer.headers()["location"].to_str().unwrap().strip_prefix("/c/").unwrap().to_owned()
}

fn holds(home: &Home, word: &str) -> bool {
    let word = word.as_bytes();
    home.everything_written().windows(word.len()).any(|window| window == word)
}

#[tokio::test]
async fn nothing_of_it_reaches_the_disk_and_all_that_one_does_with_a_conversation_works() {
    let home = Home::new(ECHO);
    home.write(
        "plugins/keeper.rhai",
        "fn on_message(ctx, text) {
            kv_set(\"conversation\", \"last\", text);
            if text.contains(\"for ever\") { kv_set(\"user\", \"last\", text); }
            text
        }",
    );
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let id = new_temporary(&ada).await;
    let page = unescape(&ada.page(&format!("/c/{id}")).await);
    assert!(page.contains("Nothing of this conversation is written to the disk"), "{page}");

    let reply = ada.send(&id, &format!("One {WORD}, please")).await;
    assert_eq!(ada.read(&reply).await, format!("One {WORD}, please"));
    let messages = format!("/c/{id}/messages");
    let anew = ada.htmx(Method::POST, &format!("{messages}/{}/regenerate", reply.id)).send().await.unwrap();
    let anew = begun_reply(&anew.text().await.unwrap()).unwrap();
    ada.read(&crate::support::Reply { conversation: id.clone(), id: anew.clone() }).await;
    let edit =
        ada.htmx(Method::PUT, &format!("{messages}/{anew}")).form(&[("message", &format!("My {WORD}"))]);
    assert!(edit.send().await.unwrap().status().is_success());
    let put = ada.htmx(Method::PUT, &format!("/c/{id}")).form(&[("title", &format!("The {WORD}"))]);
    assert!(put.send().await.unwrap().status().is_success());
    let set = [("value[system_prompt]", &*format!("Be a {WORD}."))];
    assert!(
        ada.htmx(Method::POST, &format!("/c/{id}/parameters"))
            .form(&set)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    assert!(ada.page(&format!("{messages}/{}/trace", reply.id)).await.contains(WORD));
    assert!(ada.page(&format!("/c/{id}/export.md")).await.contains(&format!("My {WORD}")));
    let fork = ada.htmx(Method::POST, &format!("{messages}/{}/fork", reply.id)).send().await.unwrap();
    let fork = fork.headers()["hx-push-url"].to_str().unwrap().to_owned();
    assert!(unescape(&ada.page(&fork).await).contains(&format!("One {WORD}, please")));
    // A plugin may keep something for the conversation, and nothing that stays behind.
    let refused = ada.send(&id, &format!("A {WORD} for ever")).await;
    ada.read(&refused).await;
    assert!(unescape(&ada.bubble(&refused).await).contains("a temporary conversation leaves nothing behind"));

    assert!(!unescape(&ada.page("/conversations").await).contains(&id));
    assert!(!unescape(&ada.page(&format!("/search?q={WORD}")).await).contains(&id));
    assert!(!ada.page("/account/export").await.contains(WORD));
    let bob = app.person("bob").await;
    assert_eq!(bob.get(&format!("/c/{id}")).await.status(), 404);
    assert!(!holds(&app.home, WORD), "not even in the log");
    let app = app.kill_and_restart().await;
    let ada = Person { url: app.url.clone(), ..ada };
    assert_eq!(ada.get(&format!("/c/{id}")).await.status(), 404);
    // The same word in a conversation that is kept is on the disk: the look at it can fail.
    ada.ask(&ada.new_conversation().await, WORD).await;
    assert!(holds(&app.home, WORD));
}

#[tokio::test]
async fn a_deleted_one_is_gone_and_another_conversation_takes_its_place() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let kept = ada.new_conversation().await;
    ada.ask(&kept, "hello").await;
    let id = new_temporary(&ada).await;
    ada.ask(&id, "hello").await;

    let answer = ada.htmx(Method::DELETE, &format!("/c/{id}")).send().await.unwrap();

    assert_eq!(answer.headers()["hx-push-url"], format!("/c/{kept}"));
    assert_eq!(ada.get(&format!("/c/{id}")).await.status(), 404);
}

#[tokio::test]
async fn the_models_memory_of_it_stays_off_the_disk() {
    let toml = format!(
        "[default.llm]\nmodel = {}\nkv_disk_mib = 200\n[default.generation]\nmax_tokens = 40\n",
        json!(real_model())
    );
    let app = TestApp::start_in(Home::new(&toml)).await;
    let ada = app.person("ada").await;
    let saved = || {
        let folders = std::fs::read_dir(app.home.path().join("data/kv")).into_iter().flatten();
        let files =
            folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).into_iter().flatten());
        files.count()
    };
    let question =
        "Tell me in a few words what a hearth is, and why people liked to sit beside it in winter.";

    ada.ask(&new_temporary(&ada).await, question).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(saved(), 0);

    // Of one that is kept it is saved within that time.
    ada.ask(&ada.new_conversation().await, question).await;
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while saved() == 0 {
        assert!(std::time::Instant::now() < until, "an ordinary conversation is saved");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
