//! What was exported comes back, here or on another server.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{ECHO, Home, Person, TestApp};

async fn import(person: &Person, file: impl Into<Vec<u8>>) -> Response {
    let form = Form::new().part("file", Part::bytes(file.into()).file_name("fireside-ada.json"));
    person.htmx(Method::POST, "/account/import").multipart(form).send().await.unwrap()
}

async fn export(person: &Person) -> Value {
    let text = person.get("/account/export").await.text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Conversations without what differs from copy to copy: texts in the tree that they form.
fn told(export: &Value) -> Vec<Value> {
    let of = |conversation: &Value| {
        let messages = conversation["messages"].as_array().unwrap();
        let text = |id: &Value| messages.iter().find(|it| it["id"] == *id).map(|it| it["content"].clone());
        let mut tree: Vec<Value> = messages
            .iter()
            .map(|it| {
                json!([
                    it["role"],
                    it["content"],
                    text(&it["parent"]),
                    it["status"],
                    it["created_at"],
                    it["seed"]
                ])
            })
            .collect();
        tree.sort_by_key(Value::to_string);
        json!([conversation["title"], conversation["created_at"], text(&conversation["head"]), tree])
    };
    let mut all: Vec<_> = export["conversations"].as_array().unwrap().iter().map(of).collect();
    all.sort_by_key(Value::to_string);
    all
}

#[tokio::test]
async fn an_export_comes_back_on_another_server_with_every_version() {
    let (here, there) = tokio::join!(TestApp::start(ECHO), TestApp::start(ECHO));
    let (ada, bob) = (here.person("ada").await, there.person("bob").await);
    let first = ada.new_conversation().await;
    let reply = ada.send(&first, "one \"quoted\" \u{202e} 👩‍👩‍👧").await;
    ada.read(&reply).await;
    ada.ask(&first, "two").await;
    let again = format!("/c/{first}/messages/{}/regenerate", reply.id);
    let answer = ada.htmx(Method::POST, &again).send().await.unwrap().text().await.unwrap();
    let id = crate::support::begun_reply(&answer).unwrap();
    ada.read(&crate::support::Reply { conversation: first, id }).await;
    ada.ask(&ada.new_conversation().await, "three").await;
    let file = ada.get("/account/export").await.text().await.unwrap();
    let exported: Value = serde_json::from_str(&file).unwrap();
    bob.ask(&bob.new_conversation().await, "mine").await;

    let answer = import(&bob, file.clone()).await;

    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("2 conversations with 7 messages were taken over."), "{body}");
    let mut expected = told(&exported);
    let mut came = told(&export(&bob).await);
    came.retain(|conversation| conversation[0] != "mine");
    assert_eq!(came, expected);
    // Once more, to oneself: copies, which say so.
    assert!(!body.contains("here already"), "{body}");
    let body = import(&ada, file).await.text().await.unwrap();
    assert!(body.contains("2 of them were here already: the copies are marked “(imported)”."), "{body}");
    let mut copies = expected.clone();
    for copy in &mut copies {
        copy[0] = format!("{} (imported)", copy[0].as_str().unwrap()).into();
    }
    expected.extend(copies);
    expected.sort_by_key(Value::to_string);
    assert_eq!(told(&export(&ada).await), expected);
}

#[tokio::test]
async fn a_file_that_is_none_or_is_broken_is_refused_in_plain_words() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let message = |id: u8, parent: Option<u8>| {
        let uuid = |id: u8| format!("00000000-0000-7000-8000-0000000000{id:02}");
        json!({ "id": uuid(id), "parent": parent.map(uuid), "role": "user", "content": "hi", "status": "complete",
            "finish_reason": null, "error": null, "usage": null, "seed": null, "created_at": 1 })
    };
    let with = |messages: Vec<Value>| {
        let conversation = json!({ "title": "t", "created_at": 1, "updated_at": 1, "messages": messages });
        format!("{{\"fireside_export\":1,\"conversations\":[{conversation}]}}")
    };
    let cut = with(vec![]).split_once("\"created_at").unwrap().0.to_owned();
    let deep = format!("{{\"fireside_export\":1,\"conversations\":[{}", "[".repeat(100_000));
    let broken = [
        ("", "the file is empty."),
        ("# Fire\n\n**You:** hello", "Choose one that"),
        ("[]", "Choose one that"),
        ("{}", "Choose one that"),
        ("{\"conversations\":[],\"fireside_export\":1}", "Choose one that"),
        ("{\"fireside_export\":2,\"conversations\":[]}", "version 2, and this server reads version 1."),
        (&cut, "the file breaks off in the middle. Download it again"),
        (&with(vec![message(1, Some(2))]), "follows none"),
        (&with(vec![message(1, Some(2)), message(2, Some(1))]), "follows none"),
        (&with(vec![message(1, None), message(1, None)]), "the same id"),
        (&with(vec![json!({ "id": "x" })]), "line 1 column"),
        (&deep, "line 1 column"),
    ];

    for (file, why) in broken {
        let answer = import(&ada, file).await;
        assert_eq!(answer.status(), 422, "{why}");
        let body = answer.text().await.unwrap();
        assert!(body.contains("Nothing was taken over") && body.contains(why), "{why}: {body}");
        let place = why.contains("column") || why.contains("follows") || why.contains("same id");
        assert_eq!(body.contains("column"), place, "only where it helps: {body}");
    }
    assert_eq!(export(&ada).await["conversations"].as_array().unwrap().len(), 0);
    // What stands before the mistake is there.
    let half = with(vec![message(1, None)]);
    let half = format!("{},{{}}]}}", half.strip_suffix("]}").unwrap());
    let body = import(&ada, half).await.text().await.unwrap();
    assert!(body.contains("One conversation was taken over, then something was wrong"), "{body}");
}

#[tokio::test]
async fn f29_a_bomb_is_refused_before_it_fills_the_memory() {
    let home = Home::new(&format!("{ECHO}[default.chat]\nmax_import_mib = 80\n"));
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    import(&ada, "{}").await;
    app.forget_peak();
    let before = app.resident_bytes();

    let one = format!("{{\"fireside_export\":1,\"conversations\":[{{\"title\":\"{}\"", "x".repeat(70 << 20));
    let refused = import(&ada, one).await;
    assert_eq!(refused.status(), 422);
    assert!(refused.text().await.unwrap().contains("at most 64 MiB"));
    let grown = app.peak_bytes().saturating_sub(before) >> 20;
    assert!(grown < 200, "{grown} MiB");
    let large = import(&ada, vec![b' '; 90 << 20]).await;
    assert_eq!(large.status(), 413);
}

#[tokio::test]
async fn f28_a_message_has_a_limit_wherever_it_comes_from() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let message = |content: String| json!({ "id": "0".repeat(31) + "1", "parent": null, "role": "user", "content": content, "status": "complete", "created_at": 1 });
    let file = |content: String| {
        let conversation =
            json!({ "title": "Huge", "created_at": 1, "updated_at": 1, "messages": [message(content)] });
        json!({ "fireside_export": 1, "conversations": [conversation] }).to_string()
    };

    let refused = import(&ada, file("x".repeat((8 << 20) + 1))).await;
    let taken = import(&ada, file("needle ".repeat(1 << 20))).await;

    assert_eq!(refused.status(), 422);
    let told = refused.text().await.unwrap();
    assert!(told.contains("a message in “Huge” is longer than 8 MiB."), "{told}");
    assert_eq!(taken.status(), 200);
    let found = ada.page("/search?q=needle").await;
    assert!(found.contains("<mark>needle</mark>") && found.len() < 100_000, "{} bytes", found.len());
}
