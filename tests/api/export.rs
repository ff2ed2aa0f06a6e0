//! Everything of a person's as a download.

use serde_json::Value;

use crate::support::program::Program;
use crate::support::{ECHO, Home, Person, TestApp};

async fn export(person: &Person) -> Value {
    let answer = person.get("/account/export").await;
    let name = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(name, format!("attachment; filename=\"fireside-{}.json\"", person.name));
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn it_holds_everything_of_the_person_and_nothing_of_anybody_else() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/memory");
    home.write(
        "plugins/notes.rhai",
        "const PLUGIN = #{ settings: #{ key: #{ type: \"secret\" } }, user_settings: #{ nick: \"x\" } };\n\
         fn on_message(ctx, text) { kv_set(\"conversation\", \"last\", text); kv_set(\"global\", \"all\", 1); }",
    );
    let app = TestApp::start_in(home).await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let key = Program::new(&app, "ada").key;
    ada.post("/admin/plugins/notes/settings", &[("value[key]", "open-sesame-42"), ("switch", "true")]).await;
    ada.post("/account/plugins/notes", &[("value[nick]", "Countess"), ("switch", "true")]).await;
    // More messages than one page of the database holds, and two conversations.
    let first = ada.new_conversation().await;
    for number in 0..6 {
        ada.ask(&first, &format!("message {number} with \"quotes\" }}")).await;
    }
    let second = ada.new_conversation().await;
    let said = ada.try_send(&second, "/remember I eat no meat").await;
    assert!(said.status().is_success());
    ada.post(&format!("/c/{second}/plugins"), &[("on[notes]", "false")]).await;
    let blank = ada.new_conversation().await;
    bob.ask(&bob.new_conversation().await, "a secret of Bob's").await;

    let (of_ada, of_bob) = (export(&ada).await, export(&bob).await);

    assert_eq!(of_ada["fireside_export"], 1);
    assert_eq!(
        (&of_ada["account"]["name"], &of_ada["account"]["role"]),
        (&"ada".into(), &"administrator".into())
    );
    assert_eq!(of_ada["account"]["api_keys"][0]["name"], "test");
    assert_eq!(of_ada["plugins"]["settings"]["notes"]["nick"], "Countess");
    let conversations = of_ada["conversations"].as_array().unwrap();
    let ids: Vec<_> = conversations.iter().map(|it| it["id"].as_str().unwrap().replace('-', "")).collect();
    assert_eq!(ids, [first, second, blank]);
    let messages = conversations[0]["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 12);
    let root = messages.iter().find(|it| it["parent"].is_null()).unwrap();
    let reply = messages.iter().find(|it| it["parent"] == root["id"]).unwrap();
    assert_eq!(root["content"], "message 0 with \"quotes\" }");
    assert_eq!((&reply["role"], &reply["content"]), (&"assistant".into(), &root["content"]));
    assert!(messages.iter().any(|it| it["id"] == conversations[0]["head"]));
    assert_eq!(conversations[1]["plugins_off"], serde_json::json!(["notes"]));
    let kept = of_ada["plugin_data"].as_array().unwrap();
    assert!(
        kept.iter().any(|it| it["plugin"] == "memory" && it["value"] == serde_json::json!(["I eat no meat"]))
    );
    assert!(kept.iter().any(|it| it["plugin"] == "notes" && it["conversation"].is_string()), "{kept:?}");
    assert!(!kept.iter().any(|it| it["key"] == "all"), "what is everybody's is not hers");
    let (text, other) = (of_ada.to_string(), of_bob.to_string());
    for never in ["sesame", "argon2", "Bob's", &key[3..]] {
        assert!(!text.contains(never), "{never}: {text}");
    }
    assert!(other.contains("a secret of Bob's") && !other.contains("meat") && !other.contains("Countess"));
}

#[tokio::test]
async fn a_long_export_takes_no_memory_and_nobody_gets_one_without_a_sign_in() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let long = "word ".repeat(6_000);
    for _ in 0..3 {
        let conversation = ada.new_conversation().await;
        for _ in 0..10 {
            ada.ask(&conversation, &format!("{{\"pieces\": [\"{}\"]}}", long.trim())).await;
        }
    }
    export(&ada).await;
    app.forget_peak();
    let before = app.resident_bytes();

    let whole = export(&ada).await;
    let grown = app.peak_bytes().saturating_sub(before);

    let bytes = whole.to_string().len() as u64;
    assert!(bytes > 1_500_000, "{bytes}");
    assert!(grown < 8 << 20, "it grew by {grown} bytes for {bytes}");
    let nobody = Person::new(&app.url, "nobody");
    assert_eq!(nobody.get("/account/export").await.headers()["location"], "/login?next=%2F");
}

#[tokio::test]
async fn one_conversation_is_a_file_of_its_own() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "Bread & *butter*").await;
    ada.read(&reply).await;
    let again = format!("/c/{conversation}/messages/{}/regenerate", reply.id);
    let answer = ada.htmx(reqwest::Method::POST, &again).send().await.unwrap().text().await.unwrap();
    let id = crate::support::begun_reply(&answer).unwrap();
    ada.read(&crate::support::Reply { conversation: conversation.clone(), id }).await;
    ada.ask(&ada.new_conversation().await, "another one").await;

    let markdown = ada.get(&format!("/c/{conversation}/export.md")).await;
    let json = ada.get(&format!("/c/{conversation}/export.json")).await;

    let name = markdown.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(name, "attachment; filename=\"fireside-Bread____butter_.md\"");
    let text = markdown.text().await.unwrap();
    assert_eq!(
        text,
        "# Bread & *butter*\n\n## You\n\nBread & *butter*\n\n## Assistant\n\nBread & *butter*\n"
    );
    let json: Value = serde_json::from_str(&json.text().await.unwrap()).unwrap();
    assert_eq!(json["fireside_export"], 1);
    assert_eq!(json["conversations"].as_array().unwrap().len(), 1);
    assert_eq!(json["conversations"][0]["messages"].as_array().unwrap().len(), 3, "with every version");
    assert!(json.get("account").is_none() && json.get("plugin_data").is_none());
}
