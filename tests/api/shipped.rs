//! The plugins of plugins/examples/ as people meet them, where a plugin's own tests cannot go.

use crate::support::{ECHO, Home, PATIENCE, Person, TestApp};

#[tokio::test]
async fn what_somebody_wants_remembered_is_known_in_all_their_conversations_and_to_nobody_else() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/memory");
    let app = TestApp::start_in(home).await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let say = async |person: &Person, text: &str| {
        let conversation = person.new_conversation().await;
        person.try_send(&conversation, text).await.text().await.unwrap()
    };

    let kept = say(&ada, "/remember I eat no meat").await;
    let (hers, his) = (say(&ada, "/memories").await, say(&bob, "/memories").await);
    let (forgotten, after) = (say(&ada, "/forget").await, say(&ada, "/memories").await);

    assert!(kept.contains("I will remember that."), "{kept}");
    assert!(hers.contains("- I eat no meat"), "{hers}");
    assert!(his.contains("I remember nothing about you."), "{his}");
    assert!(forgotten.contains("I have forgotten"), "{forgotten}");
    assert!(after.contains("I remember nothing about you."), "{after}");
}

#[tokio::test]
async fn a_translation_is_asked_for_in_plain_words() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/translate");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;

    let asked = ada.ask(&ada.new_conversation().await, "/translate German How are you?").await;

    assert_eq!(asked, "Translate into German. Answer with the translation only.\n\nHow are you?");
}

#[tokio::test]
async fn the_model_names_a_conversation_where_the_operator_grants_it() {
    let home = Home::new(&format!("{ECHO}[default.plugins]\ngrants = {{ title = [\"llm\"] }}\n"));
    home.add_plugin("examples/title");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    ada.ask(&conversation, "hello").await;

    // The scripted model says back what it is told.
    let heading =
        "id=\"chat-title\">Name what the message below is about, in two to five words, without quotes</h1>";
    let named = async { while !ada.page(&format!("/c/{conversation}")).await.contains(heading) {} };
    tokio::time::timeout(PATIENCE, named).await.expect("the model's title");
}
